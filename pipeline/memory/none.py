"""No memory: every frame is translated by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from diffusers import UNet2DConditionModel

from pipeline.compute.attention import Kernel, PlainAttention
from pipeline.compute.hooks import processors_replaced
from pipeline.memory.base import MemoryLayout, MemoryRow
from pipeline.settings import FrameSettings


class NoMemory:
    """Plain self-attention and nothing remembered: what a feature bank of size 0 computes."""

    name = "none"

    def __init__(self, layout: MemoryLayout, kernel: Kernel, ragged: Kernel | None = None) -> None:
        self.kernel: Kernel = kernel

    @contextmanager
    def installed(self, unet: UNet2DConditionModel) -> Iterator[None]:
        with processors_replaced(unet, lambda layer: PlainAttention(self.kernel, layer)):
            yield

    def open(self, rows: Sequence[MemoryRow]) -> None:
        """Nothing: there is nothing that a call would have to know."""

    def updated(self, call: None, index: int) -> None:
        """Nothing."""

    def nbytes(self, row: None) -> int:
        return 0

    def full_nbytes(self, row: None, settings: FrameSettings) -> int:
        return 0

    def moved(self, row: None, device: torch.device) -> None:
        return None

    def fill(self, row: None, settings: FrameSettings) -> float:
        return 0.0
