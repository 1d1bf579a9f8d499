"""What a step of a stage of looks learns from: scenes of one side, each with a prompt, a strength and a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.looks.looks import GRADES, LOOKS
from training.meaning.latents import Latents, colour_map, read_latents
from training.model.targets import Draw, draw_steps
from training.texture.pictures import Pictures
from training.things.phrases import phrase

CROP, MARGIN = 8, 2
"""Latents of a crop that is judged as a picture, and of what is decoded around it, lest the judges see its border.

Judging costs more than the UNet: many small crops show more textures than a few large ones.
"""
NUMBERS = {name: number for number, name in enumerate(LOOKS)}


@dataclass(frozen=True)
class Scenes:
    """Scenes in looks of one side, as latents and as pictures; the linear map from latents to colours; and how many of
    them a step takes."""

    latents: Latents
    pictures: Pictures
    colours: Tensor
    batch: int


@dataclass(frozen=True)
class Sample:
    """A batch: rows of the renderings and of their scenes; sketches and targets `[B, 16, h, w]` with noises of the same
    shape; prompts and the number of each one's look; and what is drawn of strength and steps."""

    rows: Tensor
    scenes: Tensor
    sketches: Tensor
    targets: Tensor
    noises: Tensor
    prompts: list[str]
    looks: Tensor
    draw: Draw


@dataclass(frozen=True)
class Window:
    """A place in latents `[..., h, w]` that is judged: `decoded` with its margin, and in what that becomes, `seen`; its
    corner (y, x) and its side in px."""

    decoded: tuple[slice, slice]
    seen: tuple[slice, slice]
    place: tuple[int, int, int]


def read_scenes(folders: Sequence[Path], batch: int, device: torch.device) -> list[Scenes]:
    """Scenes of each folder, whose latents lie beside it, in the order of their turns; the smaller ones give so many
    more than `batch` samples a step as they cost less."""
    read = {each: read_latents(each, each.with_name(f"{each.name}_latents")) for each in dict.fromkeys(folders)}
    largest = max(each.sketches.shape[-1] for each in read.values())
    scenes = {
        folder: Scenes(
            latents,
            Pictures(folder),
            colour_map(latents).to(device),
            round(batch * (largest / latents.sketches.shape[-1]) ** 2),
        )
        for folder, latents in read.items()
    }
    return [scenes[each] for each in folders]


def sample_of(rng: np.random.Generator, scenes: Scenes, later: float, device: torch.device) -> Sample:
    """Random renderings, of which a share `later` are asked of a later step."""
    latents = scenes.latents
    rows = torch.from_numpy(rng.integers(0, len(latents), scenes.batch))
    numbers = latents.scenes[rows]
    looks = [latents.looks[int(row)] for row in rows]
    sketches, targets, noises = (
        each.to(device, torch.float32)
        for each in (latents.sketches[numbers], latents.renderings[rows], latents.noises[numbers])
    )
    prompts = [prompt_of(rng, latents, int(scene), *look) for scene, look in zip(numbers, looks, strict=True)]
    asked = torch.tensor([NUMBERS[look] for look, _ in looks], device=device)
    return Sample(
        rows, numbers, sketches, targets, noises, prompts, asked, draw_steps(rng, scenes.batch, later, device)
    )


def window_of(rng: np.random.Generator, side: int) -> Window:
    """A place anywhere in latents of `side`."""
    crop = min(CROP, side)
    corner = [int(each) for each in rng.integers(0, side - crop + 1, 2)]
    firsts = [max(0, each - MARGIN) for each in corner]
    decoded = [slice(first, min(side, each + crop + MARGIN)) for first, each in zip(firsts, corner, strict=True)]
    inner = [8 * (each - first) for first, each in zip(firsts, corner, strict=True)]
    seen = [slice(each, each + 8 * crop) for each in inner]
    return Window((decoded[0], decoded[1]), (seen[0], seen[1]), (8 * corner[0], 8 * corner[1], 8 * crop))


def prompt_of(rng: np.random.Generator, latents: Latents, scene: int, look: str, grade: str) -> str:
    """A scene in words, in a look, under a grade that is always said."""
    said = phrase(rng, latents.facts[scene], LOOKS[look].words)
    if not any(word in said for word in LOOKS[look].words):
        said = f"{LOOKS[look].words[0]}, {said}" if said else LOOKS[look].words[0]
    words = GRADES[grade].words
    return f"{said}, {words[int(rng.integers(len(words)))]}" if words else said
