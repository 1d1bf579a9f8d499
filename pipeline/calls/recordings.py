"""Work of networks that is recorded once and then replayed: the CPU launches one thing instead of thousands.

A recording reads and writes fixed places in the device's memory. What the work takes is copied there, which is little
beside what it itself moves. Work of one kind shares a recording; all other work, and the first of each kind, is done as
ever, by the same code: so the page works from its first second, and a recording changes nothing but the time.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from pipeline.compute.trees import mapped, tensors_in

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
    """Some recorded work: `places` is the tree of tensors that it reads, `result` the one that it fills."""

    places: Any
    result: Any
    replay: Callable[[], object]

    def done(self, inputs: Any) -> Any:
        """What the work gives for these inputs, a tree like `places`: good until the next replay of any recording."""
        copy_all(list(tensors_in(inputs)), list(tensors_in(self.places)))
        self.replay()
        return self.result


class Recordings:
    """The recordings of one sort of work, by its kinds. One thread at a time may use it."""

    def __init__(
        self, recorder: Recorder, what: str, calls_before: int = CALLS_BEFORE, most_recordings: int = MOST_RECORDINGS
    ) -> None:
        """`what` it is that is recorded, for the log."""
        self._recorder, self._what = recorder, what
        self._calls_before, self._most_recordings = calls_before, most_recordings
        # Both hold the kind that was used last at their end; `None` where no recording could be made.
        self._recordings: OrderedDict[Hashable, Recording | None] = OrderedDict()
        self._seen: OrderedDict[Hashable, int] = OrderedDict()

    def of(self, kind: Hashable, inputs: Any, work: Callable[[Any], Any]) -> Recording | None:
        """The recording of a kind of work that takes a tree of tensors like `inputs`, made if it is due."""
        if kind not in self._recordings and self._is_due(kind):
            self._recordings[kind] = self._recorded(inputs, work)
            if len(self._recordings) > self._most_recordings:
                self._recordings.popitem(last=False)
        recording = self._recordings.get(kind)
        if recording is not None:
            self._recordings.move_to_end(kind)
        return recording

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(each is not None for each in self._recordings.values())

    def forget(self) -> None:
        """Drop all, and with them their memory: after weights were put to another place, they would read the old ones.
        Weights that are changed in place are read as they are."""
        self._recordings.clear()
        self._seen.clear()

    def _is_due(self, kind: Hashable) -> bool:
        count = self._seen.pop(kind, 0) + 1
        self._seen[kind] = count
        if len(self._seen) > MOST_KINDS:
            self._seen.popitem(last=False)
        return count > self._calls_before

    def _recorded(self, inputs: Any, work: Callable[[Any], Any]) -> Recording | None:
        try:
            places = mapped(inputs, lambda tensor: tensor.clone())
            result, replay = self._recorder.recorded(lambda: work(places))
        except torch.OutOfMemoryError:
            log.warning("no memory is left to record %s: all recordings of such are given up", self._what)
            self.forget()
            return None
        except RuntimeError as reason:
            log.warning("%s cannot be recorded (%s): it is made as ever", self._what, reason)
            return None
        return Recording(places, result, replay)


def copy_all(sources: list[Tensor], destinations: list[Tensor]) -> None:
    """Copy each source into its destination, of its shape and dtype: one kernel for all tensors of a dtype."""
    for dtype in {each.dtype for each in sources}:
        pairs = [pair for pair in zip(destinations, sources, strict=True) if pair[0].dtype == dtype]
        torch._foreach_copy_([place for place, _ in pairs], [tensor for _, tensor in pairs])


def recorder_for(device: torch.device) -> Any:
    """A `Recorder` of the device; `None` for one that has none."""
    return CudaRecorder() if device.type == "cuda" else None
