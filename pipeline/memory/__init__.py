"""Temporal memories: what a session remembers of its past frames, one file a method.

A memory keeps no state: what rows remember comes in and goes out, and lives in the session. Nothing here knows frames,
models or prompts; a layer is changed in a `with` and comes back as it was. Start with `base.py`, what every memory has,
and `feature_bank.py`, the default, with `bank.py`, what it holds; `fusion.py`, `matching.py` and `merge.py` are its
maths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.compute.attention import Kernel
from pipeline.errors import MemoryNameError, ModelError
from pipeline.memory.bank_map import MappedMemory
from pipeline.memory.base import Memory, MemoryLayout, MemoryRow
from pipeline.memory.causal import CausalAttention
from pipeline.memory.feature_bank import FeatureBank
from pipeline.memory.motion import load_motion
from pipeline.memory.none import NoMemory
from pipeline.memory.recurrent import RecurrentMemory
from pipeline.memory.spatial import load_recurrent

MEMORIES: Mapping[str, Callable[[MemoryLayout, Kernel, Kernel | None], Memory]] = {
    FeatureBank.name: FeatureBank,
    NoMemory.name: NoMemory,
}
"""Those that need no weights of their own."""

TRAINED_MEMORIES: Mapping[str, Callable[[Path, Kernel], Memory]] = {
    CausalAttention.name: lambda folder, kernel: CausalAttention(load_motion(folder), kernel),
    RecurrentMemory.name: lambda folder, kernel: RecurrentMemory(load_recurrent(folder), kernel),
}
"""Those that read weights from a folder."""

__all__ = ["MEMORIES", "TRAINED_MEMORIES", "MappedMemory", "Memory", "MemoryLayout", "MemoryRow", "create_memory"]


def create_memory(
    name: str, layout: MemoryLayout, kernel: Kernel, ragged: Kernel | None = None, weights: Path | None = None
) -> Memory:
    """The memory called `name`, whose attention runs on `kernel`, and on `ragged` where rows hold memories of different
    sizes; `weights` is the folder of those of `TRAINED_MEMORIES`.

    Raises `MemoryNameError` for a name that there is not, `ModelError` for weights that are not there.
    """
    if name in MEMORIES:
        return MEMORIES[name](layout, kernel, ragged)
    if name not in TRAINED_MEMORIES:
        known = ", ".join([*MEMORIES, *TRAINED_MEMORIES])
        raise MemoryNameError(f"memory came as {name!r}; needed: one of {known}. Choose one of these.")
    if weights is None or not weights.is_dir():
        raise ModelError(
            f"memory {name!r} came without weights for this model ({weights or 'no folder'}); needed: a folder that "
            "holds them. Name it, or choose another memory."
        )
    return TRAINED_MEMORIES[name](weights, kernel)
