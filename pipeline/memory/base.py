"""The seam of every temporal memory: constant-size state that one UNet call reads and that a finished frame renews."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

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


@dataclass(frozen=True)
class MemoryRow:
    """One row of a UNet call: what that denoising step and guidance branch of its session remembers (`None`: nothing
    yet), the settings that it is read and renewed with, what its merges are drawn from, whether the prompt is
    another one than what it remembers was painted under, and the depth of its frame as latents `[1, C, h, w]`, where
    its memory reads it."""

    remembered: Any
    settings: FrameSettings
    generator: torch.Generator
    reprompted: bool = False
    depth: Tensor | None = None

    @property
    def features(self) -> Any:
        """What it remembers of frames under its prompt: an old style is gone at once."""
        return None if self.reprompted else self.remembered


class OpenedCall(Protocol):
    """What a memory gives to one UNet call that reads it. It may be replayed (`pipeline.calls.graphs`): then another
    call of the same kind has read other tensors in the same places, and what it left is this call's."""

    present: dict[str, Any]
    """What the UNet leaves, by layer."""

    @property
    def reads(self) -> Any:
        """A tree of all tensors that the UNet reads."""

    def reading(self, reads: Any) -> OpenedCall:
        """Another call that reads these, of the same shapes."""

    @property
    def kind(self) -> Hashable | None:
        """What calls have in common that differ in the values of what they read alone; `None` for one that is not to be
        replayed."""


class Memory(Protocol):
    """A method. It holds no state of any session: what rows remember comes in, and what they remember next goes out.

    Rows of one call may belong to different sessions and steps; what becomes of one does not depend on the others.
    """

    name: str

    def installed(self, unet: UNet2DConditionModel) -> AbstractContextManager[None]:
        """While entered, UNet calls read the memory; on leaving, the very same objects as before are back."""

    def open(self, rows: Sequence[MemoryRow]) -> Any:
        """What one UNet call with these rows, in batch order, takes as `cross_attention_kwargs={"memory": ...}`: an
        `OpenedCall`, or `None` where there is nothing to read."""

    def updated(self, call: Any, index: int) -> Any:
        """What row number `index` remembers after that call. Pure: what it remembered before stays as it was."""

    def nbytes(self, row: Any) -> int:
        """Bytes of the tensors that a row remembers."""

    def full_nbytes(self, row: Any, settings: FrameSettings) -> int:
        """Bytes of a row once it is as full as the settings allow; `row` is any row of the same model and size that
        remembers something."""

    def moved(self, row: Any, device: torch.device) -> Any:
        """The same row with its tensors on another device."""

    def fill(self, row: Any, settings: FrameSettings) -> float:
        """How full a row is, from 0 to 1, of what the settings allow."""
