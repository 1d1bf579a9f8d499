"""Which attention kernel a card runs a model's own layers fastest with: measured when an engine starts."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from pipeline.compute.attention import Kernel, attend, attend_rows, choose_kernel
from pipeline.compute.hooks import attention_layers, is_self_attention

CANDIDATES: tuple[Kernel, ...] = ("sdpa", "cudnn", "xformers")
WARM_UP, REPEATS = 3, 10
PROMPT_TOKENS = 77
RAGGED_SHARES = (1.0, 1.25, 2.0)
"""Keys of rows whose banks differ, as shares of the tokens of a frame: no bank, a quarter of a frame, and one."""

Measure = Callable[[Callable[[], object]], float]

log = logging.getLogger(__name__)
_cuda: Any = torch.cuda


@dataclass(frozen=True)
class Kernels:
    """What attention runs on: `plain` where the rows of a call have equally many keys, `ragged` where they have not."""

    plain: Kernel
    ragged: Kernel

    def __str__(self) -> str:
        return self.plain if self.plain == self.ragged else f"{self.plain}, unequal banks {self.ragged}"


@dataclass(frozen=True)
class AttentionShape:
    """What a layer's attention costs: queries and keys of a row, its channels, and its heads."""

    queries: int
    keys: int
    width: int
    heads: int


def choose_kernels(
    unet: UNet2DConditionModel, latents: tuple[int, int], device: torch.device, measure: Measure | None = None
) -> Kernels:
    """The fastest kernels for this UNet with latents of (height, width); all of them compute the same thing.

    On CUDA they are measured, `measure` giving a time for some work; elsewhere the dtype decides.
    """
    if device.type != "cuda":
        kernel = choose_kernel(device, unet.dtype)
        return Kernels(kernel, kernel)
    shapes = attention_shapes(unet, latents)
    with torch.inference_mode():
        plain = timings(_plain_work, shapes, device, unet.dtype, measure or milliseconds)
        ragged = timings(_ragged_work, shapes, device, unet.dtype, measure or milliseconds)
    log.info("attention, milliseconds of all layers: %s; with banks of different sizes: %s", plain, ragged)
    return Kernels(fastest(plain), fastest(ragged))


def fastest(times: Mapping[Kernel, float]) -> Kernel:
    """The kernel that takes least; of equals the first. Raises `ValueError` where there is none."""
    if not times:
        raise ValueError("no attention kernel runs on this device; needed: one. Install PyTorch for it.")
    return min(times, key=lambda kernel: times[kernel])


def timings(
    work_of: Callable[..., Callable[[], object]],
    shapes: Mapping[AttentionShape, int],
    device: torch.device,
    dtype: torch.dtype,
    measure: Measure,
) -> dict[Kernel, float]:
    """For each kernel that runs all of `shapes`, how long `work_of` it takes, each as often as the model has it."""
    times: dict[Kernel, float] = {}
    for kernel in CANDIDATES:
        try:
            times[kernel] = sum(
                count * measure(work_of(shape, kernel, device, dtype)) for shape, count in shapes.items()
            )
        except (ImportError, NotImplementedError, RuntimeError, ValueError) as reason:
            log.info("attention cannot run on %s here (%s)", kernel, str(reason)[:200])
    return times


def _plain_work(
    shape: AttentionShape, kernel: Kernel, device: torch.device, dtype: torch.dtype
) -> Callable[[], object]:
    query = torch.randn(1, shape.queries, shape.width, device=device, dtype=dtype)
    keys, values = torch.randn(2, 1, shape.keys, shape.width, device=device, dtype=dtype)
    return partial(attend, query, keys, values, shape.heads, kernel)


def _ragged_work(
    shape: AttentionShape, kernel: Kernel, device: torch.device, dtype: torch.dtype
) -> Callable[[], object]:
    counts = [max(1, round(share * shape.queries)) for share in RAGGED_SHARES]
    query = torch.randn(len(counts), shape.queries, shape.width, device=device, dtype=dtype)
    keys, values = torch.randn(2, 1, sum(counts), shape.width, device=device, dtype=dtype)
    return partial(attend_rows, query, keys, values, counts, shape.heads, kernel)


def milliseconds(work: Callable[[], object]) -> float:
    """The median milliseconds of some work on the current CUDA device, after a warm-up."""
    for _ in range(WARM_UP):
        work()
    marks = [(_cuda.Event(enable_timing=True), _cuda.Event(enable_timing=True)) for _ in range(REPEATS)]
    for start, end in marks:
        start.record()
        work()
        end.record()
    _cuda.synchronize()
    return float(median(start.elapsed_time(end) for start, end in marks))


def attention_shapes(unet: UNet2DConditionModel, latents: tuple[int, int]) -> dict[AttentionShape, int]:
    """The shapes of a UNet's attentions for latents of (height, width), and how many layers have each; a bank of one
    frame is counted in."""
    shapes: Counter[AttentionShape] = Counter()
    for block, halvings in _blocks(unet):
        tokens = math.prod(math.ceil(side / 2**halvings) for side in latents)
        for name, layer in attention_layers(block).items():
            keys = 2 * tokens if is_self_attention(name) else PROMPT_TOKENS
            shapes[AttentionShape(tokens, keys, layer.inner_dim, layer.heads)] += 1
    return dict(shapes)


def _blocks(unet: UNet2DConditionModel) -> list[tuple[Any, int]]:
    """The UNet's blocks in their order, each with how often its latents have been halved."""
    blocks, halvings = [], 0
    for block in unet.down_blocks:
        blocks.append((block, halvings))
        halvings += block.downsamplers is not None
    blocks.append((unet.mid_block, halvings))
    for block in unet.up_blocks:
        blocks.append((block, halvings))
        halvings -= block.upsamplers is not None
    return [(block, count) for block, count in blocks if block is not None]
