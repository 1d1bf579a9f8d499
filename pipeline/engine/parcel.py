"""What a session holds, for another process to go on with: its tensors as safetensors, and all else without them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from safetensors.torch import load, save

from pipeline.compute.trees import mapped, tensors_in
from pipeline.engine.stream import StreamState
from pipeline.memory import Memory


class Taken:
    """Stands where a tensor was taken out of a state."""


@dataclass(frozen=True)
class Parcel:
    """The tensors of a state in their order, and the state with `Taken` in the place of each. Plain values, which any
    process of this program can hold without a device."""

    tensors: bytes
    state: StreamState

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors, and of the pictures beside them."""
        history = self.state.history
        return len(self.tensors) + self.state.seen.nbytes + (0 if history is None else history.nbytes)


def packed(state: StreamState, memory: Memory) -> Parcel:
    """The state of a session whose memory is `memory`."""
    on_cpu = state.moved(memory, torch.device("cpu"))
    tensors = {str(at): each.contiguous().clone() for at, each in enumerate(tensors_in(on_cpu))}
    return Parcel(save(tensors), mapped(on_cpu, lambda _: Taken()))


def unpacked(parcel: Parcel) -> StreamState:
    """The state that `packed` was given, on the CPU."""
    tensors = load(parcel.tensors)
    in_order = (tensors[str(at)] for at in range(len(tensors)))
    state: StreamState = mapped(parcel.state, lambda _: next(in_order), of=Taken)
    return state
