"""Several memories in one engine: each frame is translated with the one that its settings name.

The rows of a UNet call have one memory (`UnderWay.shape` keeps others out of it), and a UNet has room for the hooks and
processors of one. Those of the memory that the last call had stay until a call comes with another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from pipeline.compute.attention import Kernel
from pipeline.errors import MemoryNameError
from pipeline.memory import MEMORIES, TRAINED_MEMORIES, MappedMemory, Memory, MemoryRow, create_memory
from pipeline.memory.depth import depth_model_of
from pipeline.models.load import Model
from pipeline.models.unet_call import UnetInputs, UnetRunner
from pipeline.settings import OWN_MEMORY, FrameSettings


@dataclass(frozen=True, eq=False)
class ChosenCall:
    """A call that a memory has opened, with that memory's name."""

    name: str
    call: Any


@dataclass(frozen=True, eq=False)
class ChosenRow:
    """What a row remembers, with the name of the memory that understands it."""

    name: str
    remembered: Any


class MemoryChoice:
    """Some memories by name, as one. The first is for settings that name none.

    UNet calls have to go through `running`. A row that was left under one memory is nothing to another.
    """

    def __init__(self, memories: Mapping[str, Memory]) -> None:
        self.memories = dict(memories)
        self.name = next(iter(self.memories))
        self._undo = ExitStack()
        self._placed: str | None = None

    def chosen(self, settings: FrameSettings) -> str:
        """The name of the memory that settings ask for; raises `MemoryNameError` for one that is not among these."""
        name = self.name if settings.memory == OWN_MEMORY else settings.memory
        if name not in self.memories:
            raise MemoryNameError(
                f"memory came as {name!r}; needed: one that was loaded, {', '.join(self.memories)}. Choose one of "
                "these, or start with it."
            )
        return name

    @contextmanager
    def installed(self, unet: UNet2DConditionModel) -> Iterator[None]:
        """While entered, calls through `running` read their memory; after it, the very same objects as before.

        Raises `ModelError` where weights of any of them do not fit the UNet.
        """
        for memory in self.memories.values():
            with memory.installed(unet):
                pass
        try:
            yield
        finally:
            self._removed()

    def running(self, runner: UnetRunner, runners: Mapping[str, UnetRunner] | None = None) -> UnetRunner:
        """A runner for calls that `open` has opened: it puts their memory into the UNet first. `runners` go before
        `runner` for the memories of these names."""
        own = runners or {}

        def run(unet: UNet2DConditionModel, inputs: UnetInputs) -> Tensor:
            chosen: ChosenCall = inputs.memory
            self._place(chosen.name, unet)
            return own.get(chosen.name, runner)(unet, replace(inputs, memory=chosen.call))

        return run

    def _place(self, name: str, unet: UNet2DConditionModel) -> None:
        if name != self._placed:
            self._removed()
            self._undo.enter_context(self.memories[name].installed(unet))
            self._placed = name

    def _removed(self) -> None:
        self._placed = None
        self._undo.close()

    def open(self, rows: Sequence[MemoryRow]) -> ChosenCall:
        """A call with the memory that all rows ask for; raises `ValueError` where they ask for several."""
        names = {self.chosen(row.settings) for row in rows}
        if len(names) != 1:
            raise ValueError(f"rows came that ask for {sorted(names)}; needed: one memory a call. Call for each.")
        (name,) = names
        return ChosenCall(name, self.memories[name].open([replace(row, remembered=own(row, name)) for row in rows]))

    def updated(self, call: ChosenCall, index: int) -> ChosenRow:
        """What a row remembers after a call."""
        return ChosenRow(call.name, self.memories[call.name].updated(call.call, index))

    def known(self, call: ChosenCall, index: int, size: tuple[int, int]) -> Tensor | None:
        """How well a row knew each place, if its memory can say."""
        memory = self.memories[call.name]
        return memory.known(call.call, index, size) if isinstance(memory, MappedMemory) else None

    def depth_model(self, settings: FrameSettings) -> str | None:
        """The depth model that has to see a frame with these settings, if their memory reads depth."""
        return depth_model_of(self.memories[self.chosen(settings)], settings)

    def nbytes(self, row: ChosenRow | None) -> int:
        """Bytes of the tensors that a row remembers."""
        return 0 if row is None else self.memories[row.name].nbytes(row.remembered)

    def full_nbytes(self, row: ChosenRow | None, settings: FrameSettings) -> int:
        """Bytes of a row once it is as full as the settings allow; `row` is of the memory that they ask for."""
        return 0 if row is None else self.memories[row.name].full_nbytes(row.remembered, settings)

    def moved(self, row: ChosenRow | None, device: torch.device) -> ChosenRow | None:
        """The same row with its tensors on another device."""
        return row and ChosenRow(row.name, self.memories[row.name].moved(row.remembered, device))

    def fill(self, row: ChosenRow | None, settings: FrameSettings) -> float:
        """How full a row is, from 0 to 1."""
        return 0.0 if row is None else self.memories[row.name].fill(row.remembered, settings)


def own(row: MemoryRow, name: str) -> Any:
    """What a row remembers of frames that had the memory of this name; `None` where the last had another."""
    left: ChosenRow | None = row.remembered
    return left.remembered if left is not None and left.name == name else None


def loaded_memories(
    model: Model, names: Sequence[str], kernel: Kernel, ragged: Kernel | None, weights: Path | None
) -> dict[str, Memory]:
    """The memories of these names for a model, in their order; the first reads its weights from the folder `weights`,
    if one is named, the others from that of their name in the model's. Raises `MemoryNameError` or `ModelError`."""
    loaded: dict[str, Memory] = {}
    for name in names:
        folder = weights if weights is not None and name == names[0] else own_folder(model, name)
        if name not in loaded:
            loaded[name] = create_memory(name, model.entry.memory_layout, kernel, ragged, folder)
    return loaded


def loadable_memories(model: Model) -> tuple[str, ...]:
    """The memories that need nothing beside this model: no weights, or such as lie in its folder."""
    trained = [name for name in TRAINED_MEMORIES if (folder := own_folder(model, name)) and folder.is_dir()]
    return (*MEMORIES, *trained)


def own_folder(model: Model, name: str) -> Path | None:
    """Where the weights of a memory lie in a model's folder, if it has one."""
    source = model.entry.source
    return source / name if isinstance(source, Path) else None
