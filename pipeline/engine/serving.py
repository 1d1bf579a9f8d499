"""One engine a model: what memories and kernels do to a UNet, a second engine would undo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any
from weakref import WeakSet

from pipeline.errors import ModelError
from pipeline.models.load import Model

_served: WeakSet[Any] = WeakSet()
_served_lock = Lock()


@contextmanager
def unet_served(model: Model) -> Iterator[None]:
    """While entered, the model's UNet belongs to one engine; raises `ModelError` if it belongs to another: its memory
    would be overwritten."""
    with _served_lock:
        if model.unet in _served:
            raise ModelError(
                f"model {model.name!r} is in use by another engine; needed: one engine a model. "
                "Close that engine, or load the model again."
            )
        _served.add(model.unet)
    try:
        yield
    finally:
        with _served_lock:
            _served.discard(model.unet)
