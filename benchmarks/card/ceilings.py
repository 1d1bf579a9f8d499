"""What a device can do at most, and the least that a UNet call asks of it: operations and bytes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

PRODUCT_SIDE, COPIED_BYTES = 8192, 1 << 30
TINY_PRODUCT_SIDE, TINY_COPIED_BYTES = 256, 1 << 20
REPEATS = 10


@dataclass(frozen=True)
class Ceilings:
    """Operations and bytes a second: of a large product in the model's dtype, and of a large copy, which reads and
    writes each byte once."""

    operations: float
    bytes: float

    def floor_ms(self, operations: float, moved: float) -> float:
        """The milliseconds below which no program does `operations` and moves `moved` bytes."""
        return 1000 * max(operations / self.operations, moved / self.bytes)


def median_ms(work: Callable[[], object], device: torch.device, repeats: int = REPEATS) -> float:
    """The median milliseconds of some work after a warm-up; on CUDA between events, on the current stream."""
    for _ in range(2):
        work()
    if device.type != "cuda":
        return median(_seconds(work) for _ in range(repeats)) * 1000
    marks = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    for start, end in marks:
        start.record()
        work()
        end.record()
    torch.cuda.synchronize(device)
    return median(start.elapsed_time(end) for start, end in marks)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measured_ceilings(device: torch.device, dtype: torch.dtype) -> Ceilings:
    """The device's ceilings; of a processor, those of a small product and a small copy."""
    small = device.type != "cuda"
    side, size = (TINY_PRODUCT_SIDE, TINY_COPIED_BYTES) if small else (PRODUCT_SIDE, COPIED_BYTES)
    # Random numbers: a product of zeros can run faster than one of anything else.
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    product = torch.empty_like(one)
    source = torch.randint(0, 256, (size,), device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    product_ms = median_ms(lambda: torch.mm(one, other, out=product), device)
    copy_ms = median_ms(lambda: target.copy_(source), device)
    return Ceilings(2 * side**3 / product_ms * 1000, 2 * size / copy_ms * 1000)


def operations_of(work: Callable[[], object]) -> float:
    """Floating-point operations of some work, as PyTorch counts them: products, convolutions and its own attention; of
    xformers' and Triton's kernels it knows nothing."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def bytes_of(module: nn.Module, work: Callable[[], object]) -> float:
    """An estimate of the bytes that some work with `module` moves: all weights once, and of every layer without layers
    of its own its inputs and its outputs once. Fused kernels move less, attention over a bank somewhat more."""
    moved = float(sum(each.nbytes for each in module.parameters()))

    def count(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal moved
        moved += sum(each.nbytes for each in (*inputs, output) if isinstance(each, Tensor))

    leaves = [layer for layer in module.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(count) for layer in leaves]
    try:
        work()
    finally:
        for hook in hooks:
            hook.remove()
    return moved
