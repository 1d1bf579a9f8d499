"""Attention: one algorithm behind `attend`, several kernels, and the processor for layers without a memory."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from pipeline.compute.devices import in_batch_order, rows_at

Kernel = Literal["sdpa", "cudnn", "matmul", "xformers"]
CUDNN_FIRST = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
"""PyTorch's kernels, for shapes that cuDNN lacks too."""

log = logging.getLogger(__name__)


def choose_kernel(device: torch.device, dtype: torch.dtype) -> Kernel:
    """The fastest that this device has for this dtype; all of them compute the same thing.

    "xformers" on CUDA where it is installed and has a kernel for the card; "matmul" for bfloat16 on a CPU, whose
    matrix units PyTorch's flash attention leaves idle: half its time; PyTorch's "sdpa" everywhere else.
    """
    if device.type == "cpu" and dtype == torch.bfloat16:
        return "matmul"
    if device.type != "cuda":
        return "sdpa"
    probe = torch.zeros(1, 8, 64, device=device, dtype=torch.float16)
    try:
        attend(probe, probe, probe, heads=1, kernel="xformers")
    except (ImportError, NotImplementedError, RuntimeError) as reason:
        log.info("attention runs on PyTorch's SDPA: xformers is not usable here (%s)", reason)
        return "sdpa"
    return "xformers"


def attend(query: Tensor, keys: Tensor, values: Tensor, heads: int, kernel: Kernel = "sdpa") -> Tensor:
    """Softmax attention, `softmax(q k^T / sqrt(d)) v` in each head (Vaswani et al. 2017, eq. 1).

    query `[B, L, C]`, keys and values `[B, N, C]`, with `C` divisible by `heads`; returns `[B, L, C]`.
    The kernels compute the same thing and differ by rounding only.
    """
    if kernel == "xformers":
        return _attend_xformers(query, keys, values, heads)
    q, k, v = (_heads_apart(each, heads).transpose(1, 2) for each in (query, keys, values))
    if kernel == "matmul":
        scores: Tensor = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)
        attended: Tensor = scores.softmax(dim=-1) @ v
        return attended.transpose(1, 2).flatten(2)
    if kernel == "cudnn":
        with sdpa_kernel(CUDNN_FIRST, set_priority=True):
            return scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    return scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def attend_rows(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    counts: Sequence[int],
    heads: int,
    kernel: Kernel = "sdpa",
    ragged: Kernel | None = None,
) -> Tensor:
    """`attend` where each row has keys and values of its own number: query `[B, L, C]`, keys and values `[1, N, C]`,
    those of one row after those of another, `counts[b]` of them for row b; returns `[B, L, C]`.

    Where the counts differ, `ragged` computes, by default `kernel`: xformers serves all rows in one call, with a
    block-diagonal mask; the other kernels take rows of one count together.
    """
    if len(set(counts)) == 1:
        rows = len(counts)
        return attend(query, keys.view(rows, counts[0], -1), values.view(rows, counts[0], -1), heads, kernel)
    kernel = ragged or kernel
    if kernel == "xformers":
        return _attend_block_diagonal(query, keys, values, counts, heads)
    apart = list(zip(*(torch.split(each, list(counts), dim=1) for each in (keys, values)), strict=True))
    parts = []
    for count in sorted(set(counts)):
        indices = [index for index, each in enumerate(counts) if each == count]
        own_keys, own_values = (torch.cat(each) for each in zip(*(apart[index] for index in indices), strict=True))
        parts.append((indices, attend(rows_at(query, indices), own_keys, own_values, heads, kernel)))
    return in_batch_order(parts)


def _attend_block_diagonal(query: Tensor, keys: Tensor, values: Tensor, counts: Sequence[int], heads: int) -> Tensor:
    rows, length, width = query.shape
    ops = importlib.import_module("xformers.ops")
    q, k, v = (_heads_apart(each, heads) for each in (query.view(1, rows * length, width), keys, values))
    mask = block_diagonal_mask(rows, length, counts, query.device)
    attended: Tensor = ops.memory_efficient_attention(q, k, v, attn_bias=mask)
    return attended.view(rows, length, width)


def block_diagonal_mask(rows: int, length: int, counts: Sequence[int], device: torch.device) -> Any:
    """xformers' mask that lets each of `rows` times `length` queries see the keys of its own row alone."""
    bias = importlib.import_module("xformers.ops.fmha.attn_bias")
    return bias.BlockDiagonalMask.from_seqlens([length] * rows, list(counts), device=device)


def _attend_xformers(query: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    # Imported on first use: on a machine without CUDA the package only costs start-up time.
    ops = importlib.import_module("xformers.ops")
    q, k, v = (_heads_apart(each, heads) for each in (query, keys, values))
    attended: Tensor = ops.memory_efficient_attention(q, k, v)
    return attended.flatten(2)


def _heads_apart(tokens: Tensor, heads: int) -> Tensor:
    """`[B, N, C]` as `[B, N, h, C / h]`."""
    rows, count, width = tokens.shape
    return tokens.view(rows, count, heads, width // heads)


def projected(attn: Attention, hidden_states: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query `[B, L, C]` of `hidden_states`, keys and values `[B, N, C]` of `context`, before the head split."""
    return attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)


def output_of(attn: Attention, attended: Tensor) -> Tensor:
    """The layer's output projection (and dropout): `[B, L, C]` to `[B, L, C]`."""
    for module in attn.to_out:
        attended = module(attended)
    return attended


@dataclass(frozen=True, eq=False)
class Likeness:
    """What pictures that the painted ones are to be like add to a call: of each row the keys and values of all layers,
    side by side, `[B, T, W]`, and where in W those of each layer begin, with their width: keys, values, width. A row of
    zeros adds nothing."""

    tokens: Tensor
    places: Mapping[str, tuple[int, int, int]]

    def of_layer(self, layer: str) -> tuple[Tensor, Tensor] | None:
        """A layer's keys and values `[B, T, C]`; `None` for one that pictures add nothing to."""
        if layer not in self.places:
            return None
        keys, values, width = self.places[layer]
        return self.tokens[..., keys : keys + width], self.tokens[..., values : values + width]


class PlainAttention:
    """A processor that attends over the context, and over what a picture adds to its `layer`, decoupled (IP-Adapter,
    arXiv 2308.06721, eq. 4 and 5); it takes a `memory` and does not look at it."""

    def __init__(self, kernel: Kernel, layer: str = "") -> None:
        self.kernel: Kernel = kernel
        self.layer = layer

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        memory: Any = None,
        likeness: Likeness | None = None,
    ) -> Tensor:
        refuse_mask(attention_mask)
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, keys, values = projected(attn, hidden_states, context)
        attended = attend(query, keys, values, attn.heads, self.kernel)
        seen = None if likeness is None else likeness.of_layer(self.layer)
        if seen is not None:
            # The values come multiplied by their row's scale, and attention is linear in them.
            attended = attended + attend(query, *seen, attn.heads, self.kernel)
        return output_of(attn, attended)


def refuse_mask(attention_mask: Tensor | None) -> None:
    """Raise `ValueError` if an attention mask came: no model of the catalogue uses one, and none is applied."""
    if attention_mask is not None:
        raise ValueError("an attention mask came; needed: none. Call the UNet without attention_mask.")
