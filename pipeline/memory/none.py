"""No memory: every frame is translated by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from diffusers import UNet2DConditionModel

from pipeline.attention import Kernel, PlainAttention
from pipeline.memory.base import MemoryLayout
from pipeline.memory.hooks import processors_replaced
from pipeline.settings import FrameSettings


class NoMemory:
    """Plain self-attention and nothing remembered: what a feature bank of size 0 computes."""

    name = "none"

    def __init__(self, layout: MemoryLayout, kernel: Kernel) -> None:
        self._processor = PlainAttention(kernel)

    @contextmanager
    def installed(self, unet: UNet2DConditionModel) -> Iterator[None]:
        with processors_replaced(unet, lambda layer: self._processor):
            yield

    def open(self, rows: Sequence[None], settings: FrameSettings, generator: torch.Generator) -> int:
        """How many rows there are: all that this memory knows of a call."""
        return len(rows)

    def updated(self, call: int, settings: FrameSettings, generator: torch.Generator) -> list[None]:
        return [None] * call

    def nbytes(self, row: None) -> int:
        return 0

    def fill(self, row: None, settings: FrameSettings) -> float:
        return 0.0
