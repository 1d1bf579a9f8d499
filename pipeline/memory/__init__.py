"""Temporal memories: what a session remembers of its past frames, one file a method."""

from __future__ import annotations

from pipeline.attention import Kernel
from pipeline.errors import MemoryNameError
from pipeline.memory.base import Memory, MemoryLayout, MemoryRow
from pipeline.memory.feature_bank import FeatureBank
from pipeline.memory.none import NoMemory

MEMORIES: dict[str, type[Memory]] = {FeatureBank.name: FeatureBank, NoMemory.name: NoMemory}

__all__ = ["MEMORIES", "Memory", "MemoryLayout", "MemoryRow", "create_memory"]


def create_memory(name: str, layout: MemoryLayout, kernel: Kernel, ragged: Kernel | None = None) -> Memory:
    """The memory called `name`, whose attention runs on `kernel`, and on `ragged` where rows hold memories of different
    sizes; raises `MemoryNameError` for a name that is none of `MEMORIES`."""
    if name not in MEMORIES:
        raise MemoryNameError(f"memory came as {name!r}; needed: one of {', '.join(MEMORIES)}. Choose one of these.")
    return MEMORIES[name](layout, kernel, ragged)
