"""How far each slider moves a picture, and what the feature bank does to moving ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.painting.brush import asked_for, painted
from benchmarks.painting.inputs import Asked
from benchmarks.scores.scores import player_of, translated
from benchmarks.scores.variants import BOTH, MEMORY_OFF, Variant
from pipeline import Engine, FrameSettings, Model
from pipeline.compute.packing import convolutions_packed
from pipeline.frames.quality import distance_from, warp_error
from pipeline.prompts.encoder import PromptEncoder
from training.clips.clips import draw_clip

FUSION = [Variant(f"fusion {share:g}", {"fusion_strength": share}) for share in (0.0, 1.0)]
BANK = [Variant(f"bank {size:g}", {"bank_frames": size}) for size in (0.25, 4.0)]


def movements(engine: Engine, drawings: Sequence[Asked], styles: Sequence[str]) -> dict[str, float]:
    """Mean |difference| of 255 that each setting makes, over drawings in the styles of some phrases."""
    found: dict[str, list[float]] = {"strength 0.3": [], "strength 1": [], "steps": [], "guidance": []}
    for drawing in drawings:
        for style in styles:
            prompt = asked_for(style, drawing.words)
            plain = painted(engine, drawing.picture, prompt)
            found["strength 0.3"].append(
                distance_from(painted(engine, drawing.picture, prompt, strength=0.3), drawing.picture)
            )
            found["strength 1"].append(distance_from(plain, drawing.picture))
            found["steps"].append(distance_from(painted(engine, drawing.picture, prompt, steps=4), plain))
            found["guidance"].append(distance_from(painted(engine, drawing.picture, prompt, guidance=2.0), plain))
    return {name: float(np.mean(each)) for name, each in found.items()}


def bank_measures(model: Model, clips: Sequence[str], frames: int, prompts: Sequence[str]) -> Mapping[str, float]:
    """Of 255, how far fusion strength 0 to 1 and bank size 0.25 to 4 move the pictures; by which share the paper's bank
    changes the warp error, and what that is without a memory."""
    encoder = PromptEncoder(model.text_encoders)
    variants = [MEMORY_OFF, BOTH, *FUSION, *BANK]
    players = {each.name: player_of(model, encoder, each) for each in variants}
    warps: dict[str, list[float]] = {MEMORY_OFF.name: [], BOTH.name: []}
    moved: dict[str, list[float]] = {"fusion": [], "bank": []}
    with convolutions_packed(model.unet, model.vae):
        for name in clips:
            clip = draw_clip(name, 0, frames, model.native_size)
            for prompt in prompts:
                settings = FrameSettings(prompt=prompt, strength=1.0, steps=2)
                outputs = {each: translated(player, clip.frames, settings).outputs for each, player in players.items()}
                for each, errors in warps.items():
                    errors.append(warp_error(outputs[each], clip.flow, clip.visible))
                for each, (least, most) in (("fusion", FUSION), ("bank", BANK)):
                    moved[each].append(distance_from(outputs[most.name], outputs[least.name]))
    off, on = (float(np.mean(each)) for each in warps.values())
    return {name: float(np.mean(each)) for name, each in moved.items()} | {"warp": on / off - 1, "warp off": off}
