"""The seam of every temporal memory: constant-size state that one UNet call reads and that a finished frame renews."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from diffusers import UNet2DConditionModel

from pipeline.settings import FrameSettings


@dataclass(frozen=True)
class MemoryLayout:
    """Where a model is best extended and fused: data of its catalogue entry.

    `extend` and `fuse` are prefixes of layer names such as `"up_blocks.1"`; `""` is every layer. `fuse_at` says which
    tokens are fused: the output of the self-attention, or that of its whole transformer block.
    The defaults are those of Stable Diffusion in StreamV2V (section 4 of arXiv 2405.15757).
    """

    extend: tuple[str, ...] = ("",)
    fuse: tuple[str, ...] = ("mid_block", "up_blocks.0", "up_blocks.1")
    fuse_at: Literal["attention", "block"] = "attention"

    def extends(self, layer: str) -> bool:
        """Whether the self-attention of this layer attends over the memory."""
        return layer.startswith(self.extend)

    def fuses(self, layer: str) -> bool:
        """Whether this layer's output is fused with the memory."""
        return layer.startswith(self.fuse)


class Memory(Protocol):
    """A method. It holds no state of any session: rows come in, rows go out.

    A row is what one denoising step of one guidance branch of one session remembers; `None` remembers nothing yet.
    """

    name: str

    def __init__(self, layout: MemoryLayout, kernel: Any) -> None: ...

    def installed(self, unet: UNet2DConditionModel) -> AbstractContextManager[None]:
        """While entered, UNet calls read the memory; on leaving, the very same objects as before are back."""

    def open(self, rows: Sequence[Any], settings: FrameSettings, generator: torch.Generator) -> Any:
        """What one UNet call with these rows, in batch order, takes as `cross_attention_kwargs={"memory": ...}`."""

    def updated(self, call: Any, settings: FrameSettings, generator: torch.Generator) -> list[Any]:
        """The rows after that call. Pure: the rows that were opened stay as they were."""

    def nbytes(self, row: Any) -> int:
        """Bytes of the tensors that a row holds."""

    def fill(self, row: Any, settings: FrameSettings) -> float:
        """How full a row is, from 0 to 1, of what the settings allow."""
