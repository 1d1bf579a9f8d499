"""What a sample is: its strength and its denoising step, and what a second frame shows of a first one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.models.schedule import timestep_indices

GRID = 50


@dataclass(frozen=True)
class Draw:
    """What is drawn for each sample: strength, timesteps of the first and of the present step, and which are later.

    strength `[B]` in 0.1..1, first and present `[B]` timesteps, later `[B]` bool.
    """

    strength: Tensor
    first: Tensor
    present: Tensor
    later: Tensor


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
