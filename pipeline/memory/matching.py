"""Which token of many is nearest, without ever holding the products of a whole layer with its bank."""

from __future__ import annotations

import torch
from torch import Tensor

PRODUCTS_ON_CPU = 1 << 19
"""Elements of products that are held at once: 2 MiB in float32, which still lie in a core's cache."""
PRODUCTS_ON_GPU = 1 << 22
"""More, because each chunk costs the launch of its kernels."""


def products_held(device: torch.device) -> int:
    """How many elements of products may be held at once on this device."""
    return PRODUCTS_ON_CPU if device.type == "cpu" else PRODUCTS_ON_GPU


def nearest(queries: Tensor, keys: Tensor, most: int | None = None) -> tuple[Tensor, Tensor]:
    """For each query its largest product with a key, `max_j <queries_i, keys_j>`, and the first `j` that has it.

    With keys of unit length `j` is the nearest by cosine; with queries of unit length too the product is that cosine.

    queries `[B, n, C]`, keys `[B, M, C]`, `M >= 1`; returns the products `[B, n]` in float32 and the indices `[B, n]`.
    Queries are taken in chunks: at most `most` elements of products, by default `products_held(device)`, are held at
    once, or those of one query a row, `B * M`, where these are more. The size of the chunks changes nothing else.
    """
    held = products_held(queries.device) if most is None else most
    chunk = max(1, held // (keys.shape[0] * keys.shape[1]))
    across = keys.transpose(1, 2)
    found = [(part @ across).float().max(dim=-1) for part in torch.split(queries, chunk, dim=1)]
    return torch.cat([each.values for each in found], dim=1), torch.cat([each.indices for each in found], dim=1)
