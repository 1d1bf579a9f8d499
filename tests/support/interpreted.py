"""Runs the Triton kernels on the CPU, by Triton's interpreter, beside what PyTorch computes, and prints what came.

A program of its own: whether Triton interprets is settled when it is first imported, for all of its own functions too.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"

import torch
from torch import Tensor

from pipeline.memory import fusion, fusion_kernel, matching

SHAPES = [(1, 1, 1, 1), (2, 5, 3, 9), (1, 16, 64, 128), (2, 37, 141, 45), (1, 17, 65, 129)]
"""Rows, queries, keys, channels: less than a tile, exactly one, one more than one."""
SHARES = [(0.75, 0.0), (1.0, 0.3), (0.3, 0.1), (0.75, 0.35), (0.0, 0.0)]
"""A strength and a threshold for each."""
TILES = (fusion_kernel.SMALL, fusion_kernel.LARGE)


def drawn(shape: tuple[int, int, int, int], seed: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rows, queries, keys, channels = shape
    one, other = (torch.randn(rows, each, channels, generator=generator).to(dtype) for each in (queries, keys))
    return one, other


def shares(rows: int, strength: float, threshold: float) -> tuple[Tensor, Tensor]:
    """Strengths and thresholds `[B]`, other ones for each row."""
    falling = 1 - 0.1 * torch.arange(rows)
    return strength * falling, threshold * falling


def nearest_misses() -> int:
    """How many indices differ from those of PyTorch, which holds all products."""
    misses = 0
    for seed, shape in enumerate(SHAPES):
        queries, keys = drawn(shape, seed)
        products, indices = fusion_kernel.nearest(queries, keys)
        expected, expected_indices = matching.nearest(queries, keys)
        torch.testing.assert_close(products, expected, rtol=1e-5, atol=1e-5)
        misses += int((indices != expected_indices).sum())
    return misses


def greatest_difference() -> float:
    """Of fused features from PyTorch's, over shapes, strengths and thresholds of which some are passed and some not."""
    greatest = 0.0
    for seed, (shape, (strength, threshold)) in enumerate(zip(SHAPES, SHARES, strict=True)):
        features, bank = drawn(shape, seed)
        strengths, thresholds = shares(shape[0], strength, threshold)
        expected = fusion.fuse(features, bank, strengths[:, None, None], thresholds[:, None, None])
        fused = fusion_kernel.fuse(features, bank, strengths, thresholds)
        greatest = max(greatest, float((fused - expected).abs().max()))
    return greatest


def share_fused() -> list[float]:
    """Which share of the tokens is fused at a threshold of 0 and at one of 0.4: both branches are taken."""
    features, bank = drawn(SHAPES[3], 3)
    changed = [fusion_kernel.fuse(features, bank, *shares(2, 0.75, each)) != features for each in (0.0, 0.4)]
    return [float(each.any(dim=-1).float().mean()) for each in changed]


def half_regret() -> float:
    """By how much the cosine of what the kernel chose in float16 falls short of the best one, in float64.

    In bfloat16 the interpreter multiplies bit patterns, which says nothing of the kernel.
    """
    features, bank = drawn(SHAPES[3], 5, torch.float16)
    strength, threshold = torch.ones(2), torch.full((2,), -1.0)
    fused = fusion_kernel.fuse(features, bank, strength, threshold)
    directions = torch.nn.functional.normalize(bank.double(), dim=-1)
    own = torch.nn.functional.normalize(features.double(), dim=-1)
    best = (own @ directions.transpose(1, 2)).max(dim=-1).values
    chosen = (own * torch.nn.functional.normalize(fused.double(), dim=-1)).sum(-1)
    return float((best - chosen).abs().max())


def ties() -> list[list[int]]:
    """Where all keys are one, inside of a tile and across tiles."""
    queries, keys = torch.ones(1, 3, 20), torch.ones(1, 150, 20)
    keys[:, 70:] = 2.0
    keys[:, 140:] = 0.0
    return [fusion_kernel.nearest(queries, each)[1][0].tolist() for each in (keys, torch.ones(1, 150, 20))]


def spoiled() -> dict[str, Any]:
    """A row of NaN keeps its NaN and leaves the other alone; a token of zeros has no nearest and stays."""
    features, bank = drawn((2, 5, 9, 12), 1)
    whole = fusion_kernel.fuse(features, bank, *shares(2, 0.75, 0.0))
    features[0, 2] = float("nan")
    features[1, 1] = 0.0
    fused = fusion_kernel.fuse(features, bank, *shares(2, 0.75, 0.1))
    return {
        "nan stays": bool(fused[0, 2].isnan().all()),
        "others whole": bool(fused[1, [0, 2, 3, 4]].isfinite().all() and whole.isfinite().all()),
        "zeros stay": bool((fused[1, 1] == 0).all()),
    }


def strided() -> float:
    """Rows and tokens that lie apart, and channels that do not lie side by side."""
    generator = torch.Generator().manual_seed(0)
    wide = torch.randn(2, 9, 3, 24, generator=generator)
    bank = torch.randn(2, 24, 11, generator=generator).transpose(1, 2)
    found = fusion_kernel.fuse(wide[:, :, 1], bank, *shares(2, 0.6, 0.1))
    expected = fusion_kernel.fuse(wide[:, :, 1].contiguous(), bank.contiguous(), *shares(2, 0.6, 0.1))
    return float((found - expected).abs().max())


def main() -> int:
    found: dict[str, Any] = {}
    for tiles in TILES:
        fusion_kernel.tiles_for = lambda rows, queries, tiles=tiles: tiles
        found[f"{tiles.queries} queries"] = {
            "nearest misses": nearest_misses(),
            "greatest difference": greatest_difference(),
            "share fused": share_fused(),
            "half regret": half_regret(),
            "ties": ties(),
            "spoiled": spoiled(),
            "strided": strided(),
        }
    sys.stdout.write(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
