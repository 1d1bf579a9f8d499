"""Rearview's engine: live translation of frames under a prompt, with a memory of the past.

What stands in `__all__` is imported when it is first asked for: torch takes seconds, and a `--help` does not need it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.engine import Engine
    from pipeline.errors import (
        FrameError,
        MemoryNameError,
        ModelError,
        NoRoomError,
        PictureError,
        PromptError,
        RearviewError,
        SessionClosedError,
        VideoError,
    )
    from pipeline.hub import Hub
    from pipeline.models import Model, load_model
    from pipeline.session import Session, Translation
    from pipeline.settings import FrameSettings, SettingsError
    from pipeline.video import VideoReport, translate_video, translated_frames

__all__ = [
    "Engine",
    "FrameError",
    "FrameSettings",
    "Hub",
    "MemoryNameError",
    "Model",
    "ModelError",
    "NoRoomError",
    "PictureError",
    "PromptError",
    "RearviewError",
    "Session",
    "SessionClosedError",
    "SettingsError",
    "Translation",
    "VideoError",
    "VideoReport",
    "load_model",
    "translate_video",
    "translated_frames",
]

_HOMES = {
    "engine": ("Engine",),
    "errors": (
        "FrameError",
        "MemoryNameError",
        "ModelError",
        "NoRoomError",
        "PictureError",
        "PromptError",
        "RearviewError",
        "SessionClosedError",
        "VideoError",
    ),
    "hub": ("Hub",),
    "models": ("Model", "load_model"),
    "session": ("Session", "Translation"),
    "settings": ("FrameSettings", "SettingsError"),
    "video": ("VideoReport", "translate_video", "translated_frames"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
