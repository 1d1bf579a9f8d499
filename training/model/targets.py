"""What the model should paint: strength, denoising steps and uneven paint, made into one target picture a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from pipeline.models.schedule import timestep_indices

GRID = 50
SHARPENING = 1.4
"""Unsharp masking that a last step without noise would be asked for: each step is asked for its share of it."""


@dataclass(frozen=True)
class Draw:
    """What is drawn for each sample: strength, timesteps of the first and of the present step, and which are later.

    strength `[B]` in 0.1..1, first and present `[B]` timesteps, later `[B]` bool, refinement `[B]` in 0..1.
    """

    strength: Tensor
    first: Tensor
    present: Tensor
    later: Tensor

    @property
    def refinement(self) -> Tensor:
        return 1 - self.present.float() / self.first.float()


def share_of_style(strength: Tensor) -> Tensor:
    """How far the target is from the source to the style: 0 at a strength of 0.1, 1 at 1, even in between."""
    return ((strength - 0.1) / 0.9).clamp(0, 1)


def draw_steps(rng: np.random.Generator, size: int, later: float, device: torch.device) -> Draw:
    """Strengths (most of them 0.9 and more), numbers of steps, the present step; a share `later` is not the first."""
    strengths, firsts, presents, laters = [], [], [], []
    for _ in range(size):
        strength = float(rng.uniform(0.9, 1.0) if rng.random() < 0.7 else rng.uniform(0.1, 1.0))
        is_later = bool(rng.random() < later) and strength >= 0.2
        steps = int(rng.integers(2, 5)) if is_later else int(rng.integers(1, 5))
        grid = [(GRID - index) * (1000 // GRID) - 1 for index in timestep_indices(strength, steps)]
        step = int(rng.integers(1, steps)) if is_later else 0
        strengths.append(strength)
        firsts.append(grid[0])
        presents.append(grid[step])
        laters.append(is_later)
    return Draw(
        torch.tensor(strengths, device=device),
        torch.tensor(firsts, device=device),
        torch.tensor(presents, device=device),
        torch.tensor(laters, device=device),
    )


def texture_field(noise: Tensor) -> Tensor:
    """Where the paint is thick: a smooth field `[B, 1, 8h, 8w]` of unit deviation, from noise `[B, C, h, w]`."""
    coarse = noise[:, :2].mean(1, keepdim=True) * 2**0.5
    return interpolate(coarse, scale_factor=8, mode="bicubic", align_corners=False)


def moved(field: Tensor, fallback: Tensor, shifts: np.ndarray) -> Tensor:
    """`field` as seen from a place `shifts [B, 2]` (dy, dx) further; `fallback` where it shows nothing."""
    out = fallback.clone()
    height, width = field.shape[-2:]
    for row, (dy, dx) in enumerate(shifts):
        dy, dx = int(dy), int(dx)
        to_y, to_x = slice(max(0, -dy), height - max(0, dy)), slice(max(0, -dx), width - max(0, dx))
        from_y, from_x = slice(max(0, dy), height + min(0, dy)), slice(max(0, dx), width + min(0, dx))
        out[row, :, to_y, to_x] = field[row, :, from_y, from_x]
    return out


def sharpened(picture: Tensor, amount: Tensor) -> Tensor:
    """Unsharp masking by `amount [B]`, 0 and more."""
    blurred = avg_pool2d(picture, 5, stride=1, padding=2, count_include_pad=False)
    return (picture + amount[:, None, None, None] * (picture - blurred)).clamp(-1, 1)


def painted_target(source: Tensor, style: Tensor, texture: Tensor, field: Tensor, draw: Draw) -> Tensor:
    """What the model should paint: source and style `[B, 3, H, W]`, texture `[B, 3]`, field `[B, 1, H, W]`."""
    uneven = ((style + 1) * (1 + texture[:, :, None, None] * field) - 1).clamp(-1, 1)
    finished = sharpened(uneven, SHARPENING * draw.refinement)
    share = share_of_style(draw.strength)[:, None, None, None]
    return torch.lerp(source, finished, share)
