"""Dynamic merging: a growing set of tokens held at a constant size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def dynamic_merge(keys: Tensor, *others: Tensor, keep: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """StreamV2V's dynamic merging (arXiv 2405.15757, section 4.3) down to `keep` tokens.

    Of N tokens, `N - keep` drawn at random are sources; each goes to its nearest destination by cosine of keys; a
    destination becomes the mean of itself and its sources. One assignment serves keys and others alike.

    keys `[B, N, C]`, others `[B, N, C']`, `0 <= keep`; returns as many tensors `[B, min(keep, N), .]`, keys first,
    destinations in their old order. The split is drawn from `generator`, which lives on the CPU; on CUDA the sums
    are exact to rounding, not bit for bit, unless PyTorch's deterministic algorithms are on.
    """
    rows, count, _ = keys.shape
    if count <= keep:
        return keys, *others
    if keep == 0:
        return tuple(each.new_empty(rows, 0, each.shape[2]) for each in (keys, *others))
    order = torch.rand(rows, count, generator=generator).argsort(dim=1).to(keys.device)
    destinations, sources = order[:, :keep].sort(dim=1).values, order[:, keep:]
    directions = normalize(keys.float(), dim=-1)
    cosine = _rows_at(directions, sources) @ _rows_at(directions, destinations).transpose(1, 2)
    nearest = cosine.argmax(dim=-1)
    return tuple(_mean_at(each, destinations, sources, nearest) for each in (keys, *others))


def _rows_at(tokens: Tensor, index: Tensor) -> Tensor:
    """tokens `[B, N, C]` at index `[B, n]`: `[B, n, C]`."""
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))


def _mean_at(tokens: Tensor, destinations: Tensor, sources: Tensor, nearest: Tensor) -> Tensor:
    """Mean of each destination `[B, keep]` and of the sources `[B, N - keep]` that chose it by `nearest`."""
    sums = _rows_at(tokens, destinations).float()
    sums = sums.scatter_add(1, nearest[..., None].expand(-1, -1, tokens.shape[-1]), _rows_at(tokens, sources).float())
    counts = torch.ones_like(destinations).scatter_add(1, nearest, torch.ones_like(nearest))
    return (sums / counts[..., None]).to(tokens.dtype)
