"""The nearest token and the blend with it as one Triton kernel each: no similarity matrix is ever in memory.

Each program takes a block of queries of one row and goes over the bank tile by tile, holding the best product so far
and where it was, as FlashAttention (arXiv 2205.14135) holds a running maximum. Products are summed in float32 whatever
the inputs are. Import this module where `pipeline.memory.matching.has_kernels` says that it runs: Triton is not on
every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

LEAST_NORM = tl.constexpr(1e-12)
"""What lengths are held above, as in `torch.nn.functional.normalize`."""


@dataclass(frozen=True)
class Tiles:
    """How a problem is cut: queries of a program, keys and channels of a tile, warps of a program, and how many tiles
    are loaded ahead."""

    queries: int
    keys: int
    channels: int
    warps: int = 4
    stages: int = 2


SMALL, LARGE = Tiles(queries=16, keys=64, channels=128), Tiles(queries=64, keys=64, channels=64)
"""Both fit the shared memory of small cards too, in float32 as well."""
PROGRAMS_THAT_FILL_A_CARD = 128


def tiles_for(rows: int, queries: int) -> Tiles:
    """Few queries in small blocks, so that there are programs for the card's processors; many in large ones, which read
    the bank less often."""
    fills = rows * -(-queries // LARGE.queries) >= PROGRAMS_THAT_FILL_A_CARD
    return LARGE if fills else SMALL


@triton.jit
def _best_in_bank(
    queries, keys, first, n, m, width, query_stride, key_stride,
    BY_COSINE: tl.constexpr, N: tl.constexpr, M: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """For `N` queries from `first` on the largest product with a key (divided by the key's length where `BY_COSINE`),
    and the first key that has it; `queries` and `keys` point at one row."""
    query_at = first + tl.arange(0, N)
    channels = tl.arange(0, C)
    best = tl.full((N,), float("-inf"), tl.float32)
    index = tl.zeros((N,), tl.int32)
    for start in range(0, m, M):
        key_at = start + tl.arange(0, M)
        products = tl.zeros((N, M), tl.float32)
        squares = tl.zeros((M,), tl.float32)
        for channel in range(0, width, C):
            at = channel + channels
            query = tl.load(
                queries + query_at[:, None] * query_stride + at[None, :],
                mask=(query_at[:, None] < n) & (at[None, :] < width),
                other=0.0,
            )
            key = tl.load(
                keys + key_at[None, :] * key_stride + at[:, None],
                mask=(key_at[None, :] < m) & (at[:, None] < width),
                other=0.0,
            )
            # The default would round float32 to TF32.
            products = tl.dot(query, key, products, input_precision="ieee")
            if BY_COSINE:
                squares += tl.sum(key.to(tl.float32) * key.to(tl.float32), axis=0)
        if BY_COSINE:
            products = products / tl.maximum(tl.sqrt(squares), LEAST_NORM)[None, :]
        products = tl.where(key_at[None, :] < m, products, float("-inf"))
        # Both ties go to the first: inside a tile by `tl.max`, between tiles because a later one has to be better.
        tile_best, tile_index = tl.max(products, axis=1, return_indices=True)
        better = tile_best > best
        index = tl.where(better, start + tile_index, index)
        best = tl.where(better, tile_best, best)
    return best, index


@triton.jit
def _nearest(
    queries, keys, products, indices, n, m, width, query_row, query_stride, key_row, key_stride,
    N: tl.constexpr, M: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    row, first = tl.program_id(1).to(tl.int64), tl.program_id(0) * N
    best, index = _best_in_bank(
        queries + row * query_row, keys + row * key_row, first, n, m, width, query_stride, key_stride, False, N, M, C
    )
    query_at = first + tl.arange(0, N)
    tl.store(products + row * n + query_at, best, mask=query_at < n)
    tl.store(indices + row * n + query_at, index.to(tl.int64), mask=query_at < n)


@triton.jit
def _fused(
    features, bank, fused, strength, threshold, n, m, width, feature_row, feature_stride, bank_row, bank_stride,
    N: tl.constexpr, M: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    row, first = tl.program_id(1).to(tl.int64), tl.program_id(0) * N
    features += row * feature_row
    bank += row * bank_row
    best, index = _best_in_bank(features, bank, first, n, m, width, feature_stride, bank_stride, True, N, M, C)
    query_at = first + tl.arange(0, N)
    channels = tl.arange(0, C)
    squares = tl.zeros((N,), tl.float32)
    for channel in range(0, width, C):
        at = channel + channels
        inside = (query_at[:, None] < n) & (at[None, :] < width)
        own = tl.load(features + query_at[:, None] * feature_stride + at[None, :], mask=inside, other=0.0)
        squares += tl.sum(own.to(tl.float32) * own.to(tl.float32), axis=1)
    cosine = best / tl.maximum(tl.sqrt(squares), LEAST_NORM)
    taken = cosine >= tl.load(threshold + row)
    share = tl.load(strength + row)
    for channel in range(0, width, C):
        at = channel + channels
        inside = (query_at[:, None] < n) & (at[None, :] < width)
        own = tl.load(features + query_at[:, None] * feature_stride + at[None, :], mask=inside, other=0.0)
        past = tl.load(bank + index[:, None] * bank_stride + at[None, :], mask=inside & taken[:, None], other=0.0)
        wide_own, wide_past = own.to(tl.float32), past.to(tl.float32)
        # Both forms, as `torch.lerp` has it: exact at a share of 0 and at one of 1.
        blend = tl.where(
            share < 0.5,
            wide_own + share * (wide_past - wide_own),
            wide_past - (wide_past - wide_own) * (1 - share),
        )
        value = tl.where(taken[:, None], blend.to(own.dtype), own)
        tl.store(fused + row * n * width + query_at[:, None] * width + at[None, :], value, mask=inside)


def nearest(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """`pipeline.memory.matching.nearest`: queries `[B, n, C]`, keys `[B, M, C]`, `M >= 1`; products `[B, n]` float32
    and indices `[B, n]` int64."""
    rows, n, width = queries.shape
    products = torch.empty(rows, n, dtype=torch.float32, device=queries.device)
    indices = torch.empty(rows, n, dtype=torch.int64, device=queries.device)
    if n == 0:
        return products, indices
    queries, keys = _dense(queries), _dense(keys.to(queries.dtype))
    _launch(_nearest, rows, n, queries, keys, products, indices, n, keys.shape[1], width, *_strides(queries, keys))
    return products, indices


def fuse(features: Tensor, bank: Tensor, strength: Tensor, threshold: Tensor) -> Tensor:
    """`pipeline.memory.fusion.fuse`: features `[B, L, C]`, bank `[B, M, C]`, `M >= 1`, strength and threshold float32
    `[B]`; returns `[B, L, C]`."""
    rows, n, width = features.shape
    features, bank = _dense(features), _dense(bank.to(features.dtype))
    fused = torch.empty(rows, n, width, dtype=features.dtype, device=features.device)
    strides = _strides(features, bank)
    _launch(_fused, rows, n, features, bank, fused, strength, threshold, n, bank.shape[1], width, *strides)
    return fused


def _launch(kernel: Any, rows: int, queries: int, *arguments: Any) -> None:
    tiles = tiles_for(rows, queries)
    grid = (-(-queries // tiles.queries), rows)
    kernel[grid](
        *arguments, N=tiles.queries, M=tiles.keys, C=tiles.channels, num_warps=tiles.warps, num_stages=tiles.stages
    )


def _dense(tokens: Tensor) -> Tensor:
    """tokens `[B, n, C]` whose channels lie side by side."""
    return tokens if tokens.stride(2) == 1 else tokens.contiguous()


def _strides(queries: Tensor, keys: Tensor) -> tuple[int, int, int, int]:
    """How far rows and tokens lie apart: the queries', then the keys'."""
    return queries.stride(0), queries.stride(1), keys.stride(0), keys.stride(1)
