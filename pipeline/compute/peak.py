"""How many bytes of tensors some work has at once, on any device."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.compute.trees import tensors_in


class PeakBytes(TorchDispatchMode):
    """While entered, counts the storages that are made: `peak` is the most bytes of them that lived at once. What a
    kernel takes for itself and gives back is not seen."""

    def __init__(self) -> None:
        super().__init__()
        self.peak: int = 0
        self._live: dict[int, int] = {}
        self._seen: dict[int, Any] = {}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        given = {id(storage_of(each)) for each in tensors_in((args, kwargs))}
        for tensor in tensors_in(made):
            storage = storage_of(tensor)
            if storage is not None and id(storage) not in given and id(storage) not in self._live:
                self._count(storage)
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = id(storage)
        self._live[key] = storage.nbytes()
        self._seen[key] = weakref.ref(storage, lambda _: self._gone(key))
        self.peak = max(self.peak, sum(self._live.values()))

    def _gone(self, key: int) -> None:
        self._live.pop(key, None)
        self._seen.pop(key, None)


def storage_of(tensor: torch.Tensor) -> torch.UntypedStorage | None:
    """Where a tensor's numbers lie; `None` for one that a library keeps in a layout of its own."""
    try:
        return tensor.untyped_storage()
    except NotImplementedError:
        return None
