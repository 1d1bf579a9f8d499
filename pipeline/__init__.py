"""Rearview's engine: live translation of frames under a prompt, with a memory of the past.

What stands in `__all__` is imported when it is first asked for: torch takes seconds, and a `--help` does not need it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.engine.engine import Engine
    from pipeline.engine.session import Session, Translation
    from pipeline.errors import (
        FrameError,
        LoraError,
        MemoryNameError,
        ModelError,
        NoRoomError,
        PictureError,
        PromptError,
        RearviewError,
        RecordingError,
        SessionClosedError,
        VideoError,
    )
    from pipeline.guides.adapter import PictureAdapter
    from pipeline.guides.adapter_load import load_adapter
    from pipeline.guides.control import Control
    from pipeline.guides.control_load import load_control
    from pipeline.guides.sketches import SketchClassifier, load_sketches
    from pipeline.models.decoder import with_decoder
    from pipeline.models.hub import Hub
    from pipeline.models.load import Model, load_model
    from pipeline.models.lora import FusedLoras
    from pipeline.models.lora_files import read_loras
    from pipeline.models.textual_inversion import read_embeddings, with_embeddings
    from pipeline.recording.recording import Recording, packed, read_recording
    from pipeline.recording.replay import replayed, write_replay
    from pipeline.settings import FrameSettings, SettingsError
    from pipeline.video.translate import VideoReport, translate_video, translated_frames

__all__ = [
    "Control",
    "Engine",
    "FrameError",
    "FrameSettings",
    "FusedLoras",
    "Hub",
    "LoraError",
    "MemoryNameError",
    "Model",
    "ModelError",
    "NoRoomError",
    "PictureAdapter",
    "PictureError",
    "PromptError",
    "RearviewError",
    "Recording",
    "RecordingError",
    "Session",
    "SessionClosedError",
    "SettingsError",
    "SketchClassifier",
    "Translation",
    "VideoError",
    "VideoReport",
    "load_adapter",
    "load_control",
    "load_model",
    "load_sketches",
    "packed",
    "read_embeddings",
    "read_loras",
    "read_recording",
    "replayed",
    "translate_video",
    "translated_frames",
    "with_decoder",
    "with_embeddings",
    "write_replay",
]

_HOMES = {
    "guides.adapter": ("PictureAdapter",),
    "guides.adapter_load": ("load_adapter",),
    "guides.control": ("Control",),
    "guides.control_load": ("load_control",),
    "guides.sketches": ("SketchClassifier", "load_sketches"),
    "engine.engine": ("Engine",),
    "errors": (
        "FrameError",
        "LoraError",
        "MemoryNameError",
        "ModelError",
        "NoRoomError",
        "PictureError",
        "PromptError",
        "RearviewError",
        "RecordingError",
        "SessionClosedError",
        "VideoError",
    ),
    "models.decoder": ("with_decoder",),
    "models.hub": ("Hub",),
    "models.lora": ("FusedLoras",),
    "models.lora_files": ("read_loras",),
    "models.load": ("Model", "load_model"),
    "recording.recording": ("Recording", "packed", "read_recording"),
    "recording.replay": ("replayed", "write_replay"),
    "engine.session": ("Session", "Translation"),
    "settings": ("FrameSettings", "SettingsError"),
    "models.textual_inversion": ("read_embeddings", "with_embeddings"),
    "video.translate": ("VideoReport", "translate_video", "translated_frames"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
