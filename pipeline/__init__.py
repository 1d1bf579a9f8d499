"""Rearview's engine: live translation of frames under a prompt, with a memory of the past."""

from __future__ import annotations

from pipeline.engine import Engine
from pipeline.errors import (
    FrameError,
    MemoryNameError,
    ModelError,
    PictureError,
    PromptError,
    RearviewError,
    SessionClosedError,
)
from pipeline.models import Model, load_model
from pipeline.session import Session, Translation
from pipeline.settings import FrameSettings, SettingsError

__all__ = [
    "Engine",
    "FrameError",
    "FrameSettings",
    "MemoryNameError",
    "Model",
    "ModelError",
    "PictureError",
    "PromptError",
    "RearviewError",
    "Session",
    "SessionClosedError",
    "SettingsError",
    "Translation",
    "load_model",
]
