"""UNet calls that are recorded once and then replayed: the CPU launches one thing instead of two thousand.

A recording reads and writes fixed places in the device's memory. What a call takes is copied there, the memory's tokens
too, which is little beside what the call itself moves. Calls of one kind share a recording: the same number of rows, of
the same shapes, with banks of one size. All others, and the first calls of each kind, are made as ever, by the same
code: so the page works from its first second, and a recording changes nothing but the time.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from pipeline.compute.trees import mapped, signature_of, tensors_in
from pipeline.models.unet_call import UnetInputs, UnetRunner, predicted

Graphs = Literal["auto", "off"]
GRAPHS: tuple[Graphs, ...] = ("auto", "off")
CALLS_BEFORE = 4
"""Calls of a kind that are made as ever before one is recorded: kernels are compiled and chosen in them, and what comes
once does not come back."""
MOST_RECORDINGS = 8
MOST_KINDS = 256

Result = TypeVar("Result")
log = logging.getLogger(__name__)


class Recorder(Protocol):
    """A way to do some work again without the code that describes it."""

    def recorded(self, work: Callable[[], Result]) -> tuple[Result, Callable[[], object]]:
        """What `work` returns, whose tensors hold nothing yet, and what does that work: it reads what the tensors that
        `work` read hold by then, and fills those that were returned."""


class CudaRecorder:
    """CUDA graphs, all in one pool: what one of them leaves is used up before the next is replayed."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def recorded(self, work: Callable[[], Result]) -> tuple[Result, Callable[[], object]]:
        # Once as ever: nothing may be compiled, loaded or chosen while it is recorded.
        work()
        graph = torch.cuda.CUDAGraph()
        # Sessions are parked from other threads, whose copies must not spoil the recording.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            result = work()
        return result, graph.replay


@dataclass(frozen=True, eq=False)
class Recording:
    """One recorded call: `inputs` are the places it reads, `prediction` and `present`, what a memory is left with,
    those that it fills."""

    inputs: UnetInputs
    prediction: Tensor
    present: dict[str, Any]
    replay: Callable[[], object]

    def predicted(self, inputs: UnetInputs) -> Tensor:
        """The prediction for these inputs, `[B, C, h, w]` float32: good until the next call of any recording."""
        copy_all(list(tensors_in(inputs_read(inputs))), list(tensors_in(inputs_read(self.inputs))))
        self.replay()
        if inputs.memory is not None:
            inputs.memory.present.update(self.present)
        return self.prediction


class RecordedUnet:
    """A `UnetRunner` that replays the kinds of calls that come again and again. One thread at a time may use it."""

    def __init__(
        self, recorder: Recorder, calls_before: int = CALLS_BEFORE, most_recordings: int = MOST_RECORDINGS
    ) -> None:
        self._recorder = recorder
        self._calls_before = calls_before
        self._most_recordings = most_recordings
        # Both hold the kind that was used last at their end; `None` where no recording could be made.
        self._recordings: OrderedDict[Hashable, Recording | None] = OrderedDict()
        self._seen: OrderedDict[Hashable, int] = OrderedDict()

    def __call__(self, unet: UNet2DConditionModel, inputs: UnetInputs) -> Tensor:
        kind = kind_of(inputs)
        if kind is None:
            return predicted(unet, inputs)
        if kind not in self._recordings and self._is_due(kind):
            self._recordings[kind] = self._recorded(unet, inputs)
            if len(self._recordings) > self._most_recordings:
                self._recordings.popitem(last=False)
        recording = self._recordings.get(kind)
        if recording is None:
            return predicted(unet, inputs)
        self._recordings.move_to_end(kind)
        return recording.predicted(inputs)

    @property
    def recordings(self) -> int:
        """How many there are."""
        return sum(each is not None for each in self._recordings.values())

    def forget(self) -> None:
        """Drop all recordings, and with them their memory: after weights were put to another place, they would read
        the old ones. Weights that are changed in place are read as they are."""
        self._recordings.clear()
        self._seen.clear()

    def _is_due(self, kind: Hashable) -> bool:
        count = self._seen.pop(kind, 0) + 1
        self._seen[kind] = count
        if len(self._seen) > MOST_KINDS:
            self._seen.popitem(last=False)
        return count > self._calls_before

    def _recorded(self, unet: UNet2DConditionModel, inputs: UnetInputs) -> Recording | None:
        rows = len(inputs.samples)
        try:
            places = placed(inputs)
            (prediction, present), replay = self._recorder.recorded(lambda: left_by(unet, places))
        except torch.OutOfMemoryError:
            log.warning("no memory is left to record a UNet call of %d rows: all recordings are given up", rows)
            self.forget()
            return None
        except RuntimeError as reason:
            log.warning("a UNet call of %d rows cannot be recorded (%s): it is made as ever", rows, reason)
            return None
        return Recording(places, prediction, present, replay)


def left_by(unet: UNet2DConditionModel, inputs: UnetInputs) -> tuple[Tensor, dict[str, Any]]:
    """The prediction of a call, and what it leaves to its memory."""
    prediction = predicted(unet, inputs)
    return prediction, {} if inputs.memory is None else dict(inputs.memory.present)


def kind_of(inputs: UnetInputs) -> Hashable | None:
    """What calls that share a recording have in common; `None` for a call that none is made of."""
    kind = "none" if inputs.memory is None else inputs.memory.kind
    return None if kind is None else (kind, signature_of(replace(inputs, memory=None)))


def inputs_read(inputs: UnetInputs) -> UnetInputs:
    """The inputs with what is read of the memory in the place of its call."""
    return replace(inputs, memory=None if inputs.memory is None else inputs.memory.reads)


def placed(inputs: UnetInputs) -> UnetInputs:
    """The same inputs in places of their own."""
    own: UnetInputs = mapped(inputs_read(inputs), lambda tensor: tensor.clone())
    return own if inputs.memory is None else replace(own, memory=inputs.memory.reading(own.memory))


def copy_all(sources: list[Tensor], destinations: list[Tensor]) -> None:
    """Copy each source into its destination, of its shape and dtype: one kernel for all tensors of a dtype."""
    for dtype in {each.dtype for each in sources}:
        pairs = [pair for pair in zip(destinations, sources, strict=True) if pair[0].dtype == dtype]
        torch._foreach_copy_([place for place, _ in pairs], [tensor for _, tensor in pairs])


def unet_runner(device: torch.device, graphs: Graphs) -> UnetRunner:
    """What makes the UNet calls of an engine on this device: recordings on CUDA unless they are off."""
    recorder = recorder_for(device)
    return predicted if recorder is None or graphs == "off" else RecordedUnet(recorder)


def recorder_for(device: torch.device) -> Any:
    """The device's `Recorder`; `None` for one that has none."""
    return CudaRecorder() if device.type == "cuda" else None
