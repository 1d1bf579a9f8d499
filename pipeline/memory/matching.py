"""Which token of many is nearest, without ever holding the products of a whole layer with its bank."""

from __future__ import annotations

import logging
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

PRODUCTS_ON_CPU = 1 << 19
"""Elements of products that are held at once: 2 MiB in float32, which still lie in a core's cache."""
PRODUCTS_ON_GPU = 1 << 22
"""More, because each chunk costs the launch of its kernels."""

log = logging.getLogger(__name__)


@cache
def has_kernels(device: torch.device) -> bool:
    """Whether the Triton kernels of `pipeline.memory.fusion_kernel` run on this device: on CUDA, where Triton and what
    it compiles with are installed. They compute what PyTorch's operations compute elsewhere, to rounding."""
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    probe = torch.ones(1, 1, 16, device=device, dtype=torch.float16)
    try:
        from pipeline.memory import fusion_kernel

        fusion_kernel.nearest(probe, probe)
    except Exception as reason:  # noqa: BLE001 - a C compiler, an assembler and a driver take part, each with errors of its own
        log.warning("nearest tokens are found by PyTorch: Triton cannot be used here (%s)", reason)
        return False
    return True


def kernels_serve(*tensors: Tensor) -> bool:
    """Whether the Triton kernels take these: they are on a device that has them, and no gradient is asked for."""
    needs_gradient = torch.is_grad_enabled() and any(each.requires_grad for each in tensors)
    return has_kernels(tensors[0].device) and not needs_gradient


def products_held(device: torch.device) -> int:
    """How many elements of products may be held at once on this device."""
    return PRODUCTS_ON_CPU if device.type == "cpu" else PRODUCTS_ON_GPU


def nearest(queries: Tensor, keys: Tensor, most: int | None = None) -> tuple[Tensor, Tensor]:
    """For each query its largest product with a key, `max_j <queries_i, keys_j>`, and the first `j` that has it.

    With keys of unit length `j` is the nearest by cosine; with queries of unit length too the product is that cosine.

    queries `[B, n, C]`, keys `[B, M, C]`, `M >= 1`; returns the products `[B, n]` in float32 and the indices `[B, n]`.
    Queries are taken in chunks: at most `most` elements of products, by default `products_held(device)`, are held at
    once, or those of one query a row, `B * M`, where these are more. The size of the chunks changes nothing else.
    The Triton kernel holds a tile of them, and `most` says nothing to it.
    """
    if kernels_serve(queries, keys):
        from pipeline.memory import fusion_kernel

        return fusion_kernel.nearest(queries, keys)
    held = products_held(queries.device) if most is None else most
    chunk = max(1, held // (keys.shape[0] * keys.shape[1]))
    across = keys.transpose(1, 2)
    found = [largest((part @ across).float()) for part in torch.split(queries, chunk, dim=1)]
    return torch.cat([values for values, _ in found], dim=1), torch.cat([indices for _, indices in found], dim=1)


def largest(products: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of each row `[B, n, M]` float32, and the first place that has it: `[B, n]` each."""
    if products.device.type != "cpu" or products.requires_grad:
        values, indices = products.max(dim=-1)
        return values, indices
    # NumPy finds places with vector instructions, in a tenth of PyTorch's time.
    indices = torch.from_numpy(products.numpy().argmax(axis=-1))
    return products.gather(-1, indices[..., None])[..., 0], indices
