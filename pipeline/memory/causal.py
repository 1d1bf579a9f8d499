"""Live2Diff's memory (arXiv 2407.08701): temporal attention over the first and the newest frames, never the future.

Written from the paper and what is published of its weights. It knows nothing about schedules or pictures.

A stream's first frames, its sinks, see each other in training. Live they come one by one. So each is painted at once
over those before it, and with the last of them the others pass the UNet once more, beside it: from then on all is as
under the mask of the training, exactly. A new prompt lets the last frames pass beside the first under that prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from pipeline.compute.attention import Kernel, PlainAttention, attend, output_of, projected
from pipeline.compute.hooks import processors_replaced
from pipeline.memory.base import MemoryRow
from pipeline.memory.depth import depth_read
from pipeline.memory.joining import Joining, UnetInput, inputs_of, joined, named
from pipeline.memory.motion import Motion, Placed, Positions, placed, positions_of, through
from pipeline.memory.window import Window
from pipeline.settings import FrameSettings

FrameTokens = Mapping[str, Tensor]
"""What is kept of a frame, by layer: its keys and values without positions, `[T, 2, C]`."""


@dataclass(frozen=True, eq=False)
class CausalRow:
    """What one denoising step of one guidance branch remembers, oldest first: the frames that the next one sees, at
    most `Window.held`, and what the last ones began with, at most `Window.joining`.

    A ring whose slots are tensors of their own: rows share those of the frames that they have in common.
    """

    frames: tuple[FrameTokens, ...]
    inputs: tuple[UnetInput, ...]

    @property
    def frame_nbytes(self) -> int:
        """Bytes of the tokens of one frame."""
        return sum(tokens.nbytes for tokens in self.frames[0].values())

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return len(self.frames) * self.frame_nbytes + sum(each.nbytes for each in self.inputs)


NOTHING = CausalRow((), ())


@dataclass(frozen=True, eq=False)
class Group:
    """Rows of a call that see equally many frames, `n`, as equally many queries, `m`: the batch indices `[G, m]` of
    their present frames, and the past ones of each."""

    index: Tensor
    pasts: Sequence[tuple[FrameTokens, ...]]

    def seen(self, layer: str, present: Tensor, positions: Positions) -> Tensor:
        """Keys and values `[G, T, n, 2, C]` of the past frames, oldest first, and of the present ones, which are rows
        of `present` `[B, T, 2, C]`; the first of them gets position 0."""
        rows = [
            torch.stack([*(frame[layer] for frame in past), *present[own].unbind()], dim=1)
            for past, own in zip(self.pasts, self.index, strict=True)
        ]
        seen = torch.stack(rows) if len(rows) > 1 else rows[0][None]
        return seen.add_(positions.seen[: seen.shape[2]])


@dataclass(frozen=True, eq=False)
class CausalCall:
    """One UNet call: its rows, what each remembers, which frames join each, and, once it has passed, what its rows
    began with and the keys and values `[B, T, 2, C]` of each layer. Rows that join come behind the others."""

    rows: Sequence[MemoryRow]
    remembered: Sequence[CausalRow]
    joining: Sequence[Joining]
    inputs: list[UnetInput] = field(default_factory=list)
    present: dict[str, Tensor] = field(default_factory=dict)

    kind: ClassVar[None] = None
    """Rows join its calls, which a recording does not know: none is replayed."""
    reads: ClassVar[tuple[()]] = ()

    def reading(self, reads: Any) -> CausalCall:
        """The same: a call that is never replayed reads what it always read."""
        return self

    @cached_property
    def places(self) -> list[list[int]]:
        """For each row the batch indices of its frames in this call, oldest first: those that join it, and its own."""
        places = [[row] for row in range(len(self.rows))]
        first = len(self.rows)
        for each in self.joining:
            places[each.row] = [*range(first, first + len(each.inputs)), each.row]
            first += len(each.inputs)
        return places

    def past(self, row: int) -> tuple[FrameTokens, ...]:
        """The frames that a row sees beside those in this call: none where others join it, which bring all there is."""
        return self.remembered[row].frames if len(self.places[row]) == 1 else ()

    @property
    def depths(self) -> list[Tensor | None]:
        """The depth of each frame in this call, in batch order, where it is read."""
        return [*(row.depth for row in self.rows), *(own.depth for each in self.joining for own in each.inputs)]

    @cached_property
    def groups(self) -> list[Group]:
        """All rows, those together that one product serves."""
        rows_of: dict[tuple[int, int], list[int]] = {}
        for row, places in enumerate(self.places):
            rows_of.setdefault((len(self.past(row)), len(places)), []).append(row)
        device = self.inputs[0].arguments["sample"].device
        return [
            Group(torch.tensor([self.places[row] for row in rows], device=device), [self.past(row) for row in rows])
            for rows in rows_of.values()
        ]

    def attended(self, layer: str, attention: Attention, positions: Positions, tokens: Tensor) -> Tensor:
        """What a temporal attention makes of tokens `[B, T, C]`: the same shape. It leaves their keys and values."""
        query, keys, values = projected(attention, tokens, tokens)
        present = self.present[layer] = torch.stack((keys, values), dim=2)
        attended = torch.empty_like(query)
        for group in self.groups:
            seen = group.seen(layer, present, positions)
            newest = positions.query[seen.shape[2] - group.index.shape[1] : seen.shape[2]]
            attended[group.index] = attend_frames(query[group.index] + newest[:, None], seen, attention.heads)
        return output_of(attention, attended)


def attend_frames(query: Tensor, seen: Tensor, heads: int) -> Tensor:
    """Softmax attention over frames, at each place of the picture by itself.

    query `[G, m, T, C]`, seen `[G, T, n, 2, C]`: keys and values of the frames that each query sees; all with their
    positions. Returns `[G, m, T, C]`.
    """
    groups, count, tokens, width = query.shape
    keys, values = seen.flatten(0, 1).unbind(dim=2)
    # A fused kernel saves nothing over so few keys, and on CUDA its grid ends at 65535 places.
    kernel: Kernel = "matmul" if query.device.type == "cuda" else "sdpa"
    apart = query.transpose(1, 2).reshape(groups * tokens, count, width)
    attended = attend(apart, keys, values, heads, kernel)
    return attended.view(groups, tokens, count, width).transpose(1, 2)


class CausalAttention:
    """The memory. Its rows live in sessions; this object holds motion modules, which no session changes."""

    name = "causal"

    def __init__(self, motion: Motion, kernel: Kernel) -> None:
        """`kernel` serves the layers of the UNet itself."""
        self.motion = motion
        self.kernel: Kernel = kernel

    @property
    def window(self) -> Window:
        """Which frames a frame sees."""
        return self.motion.window

    @property
    def experimental(self) -> bool:
        """Whether these weights were trained to see the future too, and so never for what is asked of them here."""
        return not self.motion.causal

    def depth_model(self, settings: FrameSettings) -> str | None:
        """The depth model of these weights, if they read depth, which no setting changes."""
        return None if self.motion.depth is None else self.motion.depth.model

    @contextmanager
    def installed(self, unet: UNet2DConditionModel) -> Iterator[None]:
        """While entered, motion modules stand in the UNet, and what reads depth; after it, hooks and processors are as
        before.

        Moves the modules to the UNet's device and dtype. Raises `ModelError` where they do not fit it.
        """
        passing = Passing()
        with ExitStack() as undo:
            undo.enter_context(processors_replaced(unet, lambda layer: PlainAttention(self.kernel, layer)))
            for each in placed(self.motion.adapter, unet):
                each.module.to(unet.device, unet.dtype)
                with torch.no_grad():
                    positions = positions_of(each, self.window.length)
                hook = MotionHook(each, positions, passing)
                undo.callback(each.behind.register_forward_hook(hook).remove)
            if self.motion.depth is not None:
                conditioning = self.motion.depth.conditioning
                undo.enter_context(depth_read(conditioning, unet, lambda: passing.current.depths))
            undo.callback(unet.register_forward_pre_hook(passing.begin, with_kwargs=True).remove)
            undo.callback(unet.register_forward_hook(passing.end, always_call=True).remove)
            yield

    def open(self, rows: Sequence[MemoryRow]) -> CausalCall:
        """A call in which each row sees what it remembers, or is joined by its last frames: where they fill the sinks
        together, and where they were painted under another prompt. A row whose bank size is 0 sees itself alone."""
        remembered = [self._usable(row) for row in rows]
        joining = [
            Joining(index, held.inputs)
            for index, (row, held) in enumerate(zip(rows, remembered, strict=True))
            if held.inputs and (row.reprompted or len(held.frames) == self.window.joining)
        ]
        return CausalCall(rows, remembered, joining)

    def _usable(self, row: MemoryRow) -> CausalRow:
        """What a row may look back at: nothing where the bank is refused, or where a new prompt finds no frames that
        could be seen again."""
        held: CausalRow | None = row.remembered
        if held is None or not row.settings.bank_frames or (row.reprompted and not held.inputs):
            return NOTHING
        return held

    def updated(self, call: CausalCall, index: int) -> CausalRow | None:
        """What a row remembers after a call: its frames in it have joined, and the ring's oldest has left."""
        if not call.rows[index].settings.bank_frames:
            return None
        newest = tuple(
            {layer: tokens[place].clone() for layer, tokens in call.present.items()} for place in call.places[index]
        )
        inputs = (*call.remembered[index].inputs, call.inputs[index].copied())
        first = max(0, len(inputs) - self.window.joining)
        return CausalRow(self.window.kept((*call.past(index), *newest)), inputs[first:])

    def nbytes(self, row: CausalRow | None) -> int:
        """Bytes of a row's tensors; constant from the moment the window is full."""
        return 0 if row is None else row.nbytes

    def full_nbytes(self, row: CausalRow | None, settings: FrameSettings) -> int:
        """Bytes of a row once its window is full; a bank size of 0 keeps nothing, any other all that the weights ask
        for."""
        if row is None or not settings.bank_frames:
            return 0
        inputs = row.inputs[-1].nbytes * self.window.joining if row.inputs else 0
        return row.frame_nbytes * self.window.held + inputs

    def moved(self, row: CausalRow | None, device: torch.device) -> CausalRow | None:
        """The same row with its tensors on another device."""
        if row is None:
            return None
        frames = tuple({layer: tokens.to(device) for layer, tokens in frame.items()} for frame in row.frames)
        return CausalRow(frames, tuple(each.moved(device) for each in row.inputs))

    def fill(self, row: CausalRow | None, settings: FrameSettings) -> float:
        """Frames held as a share of those that the window asks for, 0..1."""
        return len(row.frames) / self.window.held if row and settings.bank_frames else 0.0


class Passing:
    """The call that passes through a UNet now: a layer behind a resnet is not told otherwise."""

    call: CausalCall | None = None

    def begin(
        self, unet: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Before the UNet: let in the frames that join. Raises `RuntimeError` if no call came with it."""
        call = (kwargs.get("cross_attention_kwargs") or {}).get("memory")
        if call is None:
            raise RuntimeError(
                "no memory came with the UNet call; needed: an opened one while motion modules are installed. "
                'Pass cross_attention_kwargs={"memory": memory.open(rows)}.'
            )
        self.call = call
        arguments = named(args, kwargs)
        own = zip(inputs_of(arguments), call.rows, strict=True)
        call.inputs.extend(replace(each, depth=row.depth) for each, row in own)
        return (), joined(arguments, call.joining) if call.joining else arguments

    def end(self, unet: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """After it, also where it failed: only the rows of whoever called go out, as a tuple."""
        call, self.call = self.call, None
        if call is None or output is None or not call.joining:
            return None
        return (output[0][: len(call.rows)],)

    @property
    def current(self) -> CausalCall:
        """The call; raises `RuntimeError` outside of one."""
        if self.call is None:
            raise RuntimeError("a layer of the UNet ran by itself; needed: a call of the whole UNet. Call the UNet.")
        return self.call


class MotionHook:
    """Sends the output of a UNet's layer through a motion module."""

    def __init__(self, placed: Placed, positions: Mapping[str, Positions], passing: Passing) -> None:
        self.placed = placed
        self.positions = positions
        self.passing = passing

    def __call__(self, layer: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """A transformer's output is a tuple, a resnet's a tensor `[B, C, h, w]`."""
        if isinstance(output, tuple):
            return (through(self.placed, output[0], self._attended), *output[1:])
        return through(self.placed, output, self._attended)

    def _attended(self, layer: str, attention: Attention, tokens: Tensor) -> Tensor:
        return self.passing.current.attended(layer, attention, self.positions[layer], tokens)
