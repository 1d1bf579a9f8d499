"""Dynamic merging: a growing set of tokens held at a constant size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pipeline.compute.devices import sent
from pipeline.memory.matching import nearest


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
    # Sorted where the tokens are: a card does it beside the CPU. Stable, so that equal numbers fall alike everywhere.
    order = sent(torch.rand(rows, count, generator=generator), keys.device).argsort(dim=1, stable=True)
    destinations, sources = order[:, :keep].sort(dim=1).values, order[:, keep:]
    # Only destinations need unit length: a source's own length scales all of its cosines alike.
    directions = normalize(tokens_at(keys, destinations).float(), dim=-1).to(keys.dtype)
    _, chosen = nearest(tokens_at(keys, sources), directions)
    return _means((keys, *others), destinations, sources, chosen)


def tokens_at(tokens: Tensor, index: Tensor) -> Tensor:
    """tokens `[B, N, C]` at index `[B, n]`, row by row: `[B, n, C]`."""
    rows, count, width = tokens.shape
    return tokens.reshape(-1, width).index_select(0, _flat(index, count)).view(rows, -1, width)


def _flat(index: Tensor, count: int) -> Tensor:
    """Indices `[B, n]` into rows of `count`, as indices `[B * n]` into all rows one after another."""
    if len(index) == 1:
        return index[0]
    return (index + count * torch.arange(len(index), device=index.device)[:, None]).flatten()


def _means(tensors: tuple[Tensor, ...], destinations: Tensor, sources: Tensor, chosen: Tensor) -> tuple[Tensor, ...]:
    """Of each of `tensors` `[B, N, .]` the mean of every destination `[B, keep]` and the sources `[B, N - keep]` that
    chose it, `chosen` `[B, N - keep]`: `[B, keep, .]`."""
    rows, keep = destinations.shape
    count = tensors[0].shape[1]
    staying, leaving, into = _flat(destinations, count), _flat(sources, count), _flat(chosen, keep)
    # Counted by adding ones: `bincount` would have the CPU wait for the device.
    ones = torch.ones(rows * keep, 1, device=into.device)
    sizes = ones.index_add(0, into, ones.new_ones(len(into), 1))
    means = []
    for tensor in tensors:
        tokens = tensor.reshape(rows * count, -1)
        sums = tokens.index_select(0, staying).float()
        sums.index_add_(0, into, tokens.index_select(0, leaving).float())
        means.append(sums.div_(sizes).to(tensor.dtype).view(rows, keep, -1))
    return tuple(means)
