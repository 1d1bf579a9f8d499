"""What each memory makes of moving scenes whose motion is known, measured: a score for each clip and style."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.scores.pictures import draw_pictures
from benchmarks.scores.variants import MEMORY_OFF, Variant
from pipeline import FrameSettings, Model
from pipeline.compute.packing import convolutions_packed
from pipeline.engine.stream import StreamState, noise_for
from pipeline.engine.translator import Asked, Translator
from pipeline.frames.codec import as_picture, as_pixels, decode, encode
from pipeline.frames.quality import (
    GHOST_AFTER,
    distance_from,
    flicker,
    ghost,
    lag,
    old_shares,
    structure_error,
    warp_error,
)
from pipeline.frames.quality_clip import ClipScores, NotComputed, clip_scores
from pipeline.guides.depth import depth_model_for
from pipeline.prompts.encoder import PromptEncoder
from training.clips.clips import FEWEST_FRAMES, Clip, draw_clip
from training.looks.looks import looked
from training.memory.lessons import NEWEST
from training.memory.scenes import along_motion
from training.styles.filters import as_bytes

SEED = 7
"""Of the sessions. Fresh noise counts up from it."""
STRUCTURE_EVERY = 8
"""Frames from one that is compared with the style's own rendering to the next: a style takes longer than a frame."""
EVENT_KINDS = ("cut", "vanish", "change")
MEASURES = (
    "warp error",
    "warp limit",
    "flicker",
    *(f"lag {kind}" for kind in EVENT_KINDS),
    *(f"ghost {number}" for number in GHOST_AFTER),
    "structure error",
    "from memory off",
    "CLIP consistency",
    "CLIP text",
)
PICTURES = ("vanish", "handheld")


@dataclass(frozen=True, eq=False)
class Run:
    """One clip under one variant: outputs uint8 `[T, S, S, 3]`, milliseconds of each frame, bytes of its session."""

    outputs: np.ndarray
    milliseconds: list[float]
    nbytes: int


@dataclass(frozen=True, eq=False)
class Score:
    """What is known of one clip in one style under one variant: measures by name, the shares of the old scene that are
    left after each cut or vanishing, milliseconds a frame, bytes."""

    clip: str
    style: str
    measures: Mapping[str, float | str]
    left: list[np.ndarray]
    milliseconds: list[float]
    nbytes: int


@dataclass(frozen=True, eq=False)
class Player:
    """A variant at work: its memory beside a model, and what guesses the depth that this reads, loaded once."""

    variant: Variant
    translator: Translator


def player_of(model: Model, prompts: PromptEncoder, variant: Variant) -> Player:
    """The variant at work. Raises `ModelError` where the model has no weights for it."""
    model, memory = variant.decoded_by(model), variant.memory_for(model)
    depth = depth_model_for([memory], model.device)
    return Player(variant, Translator(model, memory, prompts, model.schedule, depth=depth))


def translated(player: Player, frames: Sequence[np.ndarray], settings: FrameSettings) -> Run:
    """The frames `[S, S, 3]` as the engine translates them in a session of their own, with the variant's memory."""
    translator, state, outputs, milliseconds = player.translator, StreamState(), [], []
    with translator.memory.installed(translator.model.unet):
        for number, frame in enumerate(frames):
            start = time.perf_counter()
            asked = Asked(frame, player.variant.settings_at(number, settings, SEED), SEED)
            picture, state = translator.translated(asked, state)
            milliseconds.append((time.perf_counter() - start) * 1000)
            outputs.append(picture)
    return Run(np.stack(outputs), milliseconds, state.nbytes(translator.memory))


def style_renderings(clip: Clip, style: str) -> dict[int, np.ndarray]:
    """By frame, the style's own rendering uint8 `[S, S, 3]` of some frames of a clip, for the noise of its session."""
    side = clip.rendering.shape[1] // 8
    noise = noise_for(SEED, 0, (1, 16, side, side))[0].numpy()
    times = range(0, len(clip.rendering), STRUCTURE_EVERY)
    return {each: as_bytes(looked(clip.rendering[each].astype(np.float32) / 255, noise, style)) for each in times}


def measures_of(
    clip: Clip, outputs: np.ndarray, memory_off: np.ndarray, renderings: Mapping[int, np.ndarray]
) -> dict[str, float | str]:
    """The measures of outputs `[T, S, S, 3]` that this clip can have, by their names in `MEASURES`."""
    measures: dict[str, float | str] = {
        "warp error": warp_error(outputs, clip.flow, clip.visible),
        "structure error": float(np.mean([structure_error(outputs[at], each) for at, each in renderings.items()])),
        "from memory off": distance_from(outputs, memory_off),
    }
    if clip.is_still:
        measures["flicker"] = flicker(outputs)
    for event in clip.events:
        arguments = (outputs, memory_off, event.frame, event.region)
        measures[f"lag {event.kind}"] = lag(*arguments)
        if event.kind != "change":
            measures |= {f"ghost {number}": left for number, left in ghost(*arguments).items()}
    return measures


def warp_limit(model: Model, clip: Clip, memory_off: np.ndarray) -> float:
    """The warp error of pictures `[T, S, S, 3]` that a memory which knew the true motion would have painted."""
    still = along_motion(memory_off.astype(np.float32), clip.flow, clip.visible, NEWEST).clip(0, 255)
    through_codec = [recoded(model, as_bytes(each / 255)) for each in still]
    return warp_error(np.stack(through_codec), clip.flow, clip.visible)


@torch.inference_mode()
def recoded(model: Model, picture: np.ndarray) -> np.ndarray:
    """A picture uint8 `[S, S, 3]` once through a model's codec: the same shape."""
    pixels = as_pixels(picture, model.device, model.dtype)
    return as_picture(decode(model.vae, encode(model.vae, pixels)))


def clip_measures(outputs: np.ndarray, prompt: str, folder: str) -> dict[str, float | str]:
    """CLIP's scores under their names in `MEASURES`, or that they were not computed."""
    match clip_scores(outputs, prompt, folder):
        case ClipScores(consistency, alignment):
            return {"CLIP consistency": consistency, "CLIP text": alignment}
        case NotComputed() as why:
            return {"CLIP consistency": str(why), "CLIP text": str(why)}


@dataclass(frozen=True)
class Study:
    """What is measured: which clips, how long, under which settings and style."""

    clips: Sequence[str]
    frames: int
    settings: FrameSettings
    style: str
    seed: int
    clip_model: str
    pictures: Sequence[str] = PICTURES


def scores_of(
    model: Model, study: Study, players: Sequence[Player], stem: Path | None = None
) -> dict[str, list[Score]]:
    """The scores of each player by its variant's name, one a clip, the first of them with memory off; pictures of
    `study.pictures` go to files that begin with `stem`."""
    scores: dict[str, list[Score]] = {each.variant.name: [] for each in players}
    plain = players[0].translator.model
    with convolutions_packed(model.unet, *{each.translator.model.vae for each in players}):
        # The first frames of a process are slow: memory is new and kernels are chosen.
        first = draw_clip(study.clips[0], study.seed, FEWEST_FRAMES, model.native_size)
        translated(players[0], first.frames, study.settings)
        for turn, name in enumerate(study.clips):
            clip = draw_clip(name, study.seed, study.frames, model.native_size)
            runs = runs_of_clip(players, study, clip, turn)
            renderings = style_renderings(clip, study.style)
            off = runs[MEMORY_OFF.name].outputs
            limit = {MEMORY_OFF.name: {"warp limit": warp_limit(plain, clip, off)}}
            for variant, run in runs.items():
                measures = measures_of(clip, run.outputs, off, renderings) | limit.get(variant, {})
                scores[variant].append(score_of(clip, run, off, measures, study))
            if stem is not None and name in study.pictures:
                draw_pictures(clip, {variant: run.outputs for variant, run in runs.items()}, stem)
            print(f"{name}: {study.frames} frames, {len(players)} variants", file=sys.stderr)
    return scores


def runs_of_clip(players: Sequence[Player], study: Study, clip: Clip, turn: int) -> dict[str, Run]:
    """What each player makes of one clip, by its variant's name and in their order. Memory off goes first, then another
    one in each turn."""
    off, *others = players
    start = turn % max(1, len(others))
    played = {
        each.variant.name: translated(each, clip.frames, study.settings)
        for each in (off, *others[start:], *others[:start])
    }
    return {each.variant.name: played[each.variant.name] for each in players}


def score_of(clip: Clip, run: Run, off: np.ndarray, measures: Mapping[str, float | str], study: Study) -> Score:
    """What is known of a run on a clip: these measures, CLIP's, and what is left beside memory off's pictures
    `[T, S, S, 3]`."""
    measures = {**measures, **clip_measures(run.outputs, study.settings.prompt, study.clip_model)}
    events = [event for event in clip.events if event.kind != "change"]
    left = [old_shares(run.outputs, off, event.frame, event.region) for event in events]
    return Score(clip.name, study.style, measures, left, run.milliseconds, run.nbytes)
