"""SVDiff's memory (arXiv 2405.19726): 8 x 8 tokens a transformer block, handed from frame to frame.

A re-implementation from the paper, which nobody released code or weights for; `pipeline/memory/spatial.py` says what it
leaves open and what we chose. Each denoising step and guidance branch hands on a memory of its own, as in the paper: a
row of the engine's. A new scene and a new prompt begin a new one, since its tokens hold what was painted as well as
where.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from pipeline.compute.attention import Kernel, PlainAttention
from pipeline.compute.hooks import processors_replaced
from pipeline.compute.trees import signature_of
from pipeline.memory.base import MemoryRow
from pipeline.memory.spatial import Placed, Recurrent, anchored, placed
from pipeline.settings import FrameSettings

Tokens = Mapping[str, Tensor]
"""A memory by its block's name, `[B, 64, C]` each."""


@dataclass(frozen=True, eq=False)
class RecurrentRow:
    """What one denoising step of one guidance branch remembers, `[1, 64, C]` a block: the memory that its next frame
    reads, and what the first frame of its scene left, where it is drawn back to that."""

    memory: Tokens
    anchor: Tokens | None = None

    @property
    def parts(self) -> tuple[Tokens, ...]:
        """Both, or the memory alone."""
        return (self.memory,) if self.anchor is None else (self.memory, self.anchor)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors: `64 C` numbers a block and part, from the first frame on."""
        return sum(tokens.nbytes for part in self.parts for tokens in part.values())


@dataclass(frozen=True, eq=False)
class RecurrentCall:
    """One UNet call: its rows, the memory `[B, 64, C]` that each block reads, and, once it has passed, the next."""

    rows: Sequence[MemoryRow]
    memory: Tokens
    present: dict[str, Tensor] = field(default_factory=dict)

    @property
    def reads(self) -> Tokens:
        """All tensors that the UNet reads of it."""
        return self.memory

    def reading(self, reads: Tokens) -> RecurrentCall:
        """A call that reads these, of the same shapes."""
        return RecurrentCall(self.rows, reads)

    @property
    def kind(self) -> Hashable:
        """Calls of equally many rows: a row that begins reads as many tokens as any other."""
        return "recurrent", signature_of(self.memory)


class RecurrentMemory:
    """The memory. Its rows live in sessions; this object holds layers, which no session changes."""

    name = "recurrent"

    def __init__(self, recurrent: Recurrent, kernel: Kernel) -> None:
        """`kernel` serves the memory's attention and the layers of the UNet itself."""
        self.recurrent = recurrent
        self.kernel: Kernel = kernel

    @contextmanager
    def installed(self, unet: UNet2DConditionModel) -> Iterator[None]:
        """While entered, a memory stands behind each transformer block; after it, hooks and processors are as before.

        Moves the memory's layers to the UNet's device and dtype. Raises `ModelError` where they do not fit it.
        """
        with ExitStack() as undo:
            undo.enter_context(processors_replaced(unet, lambda layer: PlainAttention(self.kernel, layer)))
            for each in placed(self.recurrent.spatial, unet):
                each.memory.to(unet.device, unet.dtype)
                hook = MemoryHook(each, self.kernel)
                undo.callback(each.behind.register_forward_hook(hook, with_kwargs=True).remove)
            yield

    def open(self, rows: Sequence[MemoryRow]) -> RecurrentCall:
        """A call in which each row reads what it remembers; one that begins reads the first tokens."""
        remembered = [remembered_by(row) for row in rows]
        first = {} if all(remembered) else self.recurrent.spatial.first(1)
        names = self.recurrent.spatial.names
        memory = {name: torch.cat([(row.memory if row else first)[name] for row in remembered]) for name in names}
        return RecurrentCall(rows, memory)

    def updated(self, call: RecurrentCall, index: int) -> RecurrentRow | None:
        """What a row remembers after a call: the next memory, drawn back to its anchor. A bank size of 0 keeps nothing.

        In tensors of its own: what is kept must not keep the whole batch alive.
        """
        row, share = call.rows[index], self.recurrent.anchor_share
        if not row.settings.bank_frames:
            return None
        own = {name: tokens[index : index + 1].clone() for name, tokens in call.present.items()}
        before = remembered_by(row)
        if not share:
            return RecurrentRow(own)
        if before is None or before.anchor is None:
            return RecurrentRow(own, {name: tokens.clone() for name, tokens in own.items()})
        return RecurrentRow(anchored_by_block(own, before.anchor, share), before.anchor)

    def nbytes(self, row: RecurrentRow | None) -> int:
        """Bytes of a row's tensors; constant from its first frame on."""
        return 0 if row is None else row.nbytes

    def full_nbytes(self, row: RecurrentRow | None, settings: FrameSettings) -> int:
        """Bytes of a row that remembers anything; a bank size of 0 keeps nothing."""
        return self.nbytes(row) if settings.bank_frames else 0

    def moved(self, row: RecurrentRow | None, device: torch.device) -> RecurrentRow | None:
        """The same row with its tensors on another device."""
        if row is None:
            return None
        return RecurrentRow(*({name: tokens.to(device) for name, tokens in part.items()} for part in row.parts))

    def fill(self, row: RecurrentRow | None, settings: FrameSettings) -> float:
        """1 from the first frame on: the memory has one size."""
        return 1.0 if row and settings.bank_frames else 0.0


def remembered_by(row: MemoryRow) -> RecurrentRow | None:
    """What a row reads; `None` where it begins: nothing is remembered, or the prompt is new, or no bank is wanted."""
    return row.features if row.settings.bank_frames else None


def anchored_by_block(memory: Tokens, anchor: Tokens, share: float) -> dict[str, Tensor]:
    """A memory drawn back to its anchor by a share, 0..1."""
    return {name: anchored(tokens, anchor[name], share) for name, tokens in memory.items()}


class MemoryHook:
    """Sends the output `[B, L, C]` of a transformer block through the memory behind it, which is handed on."""

    def __init__(self, placed: Placed, kernel: Kernel) -> None:
        self.placed = placed
        self.kernel: Kernel = kernel

    def __call__(self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Tensor:
        """Raises `RuntimeError` if no memory came with the UNet call."""
        call = (kwargs.get("cross_attention_kwargs") or {}).get("memory")
        if call is None:
            raise RuntimeError(
                "no memory came with the UNet call; needed: an opened one while a recurrent memory is installed. "
                'Pass cross_attention_kwargs={"memory": memory.open(rows)}.'
            )
        name = self.placed.name
        features: Tensor
        features, call.present[name] = self.placed.memory(output, call.memory[name], self.kernel)
        return features
