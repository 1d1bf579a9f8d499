"""Every error that the engine raises on purpose. Its message says what came, what is needed, what to do."""

from __future__ import annotations


class RearviewError(Exception):
    """The root of them all, for whoever shows any of them to a visitor as a sentence."""


class PictureError(RearviewError, ValueError):
    """A picture cannot be read, or is too large to be."""


class PromptError(RearviewError, ValueError):
    """A prompt cannot be understood."""


class ModelError(RearviewError, RuntimeError):
    """A model cannot be found or loaded, or its parts do not fit together."""


class LoraError(RearviewError, RuntimeError):
    """A file of LoRA or of a learned word cannot be read, or does not fit the model."""


class MemoryNameError(RearviewError, ValueError):
    """There is no memory of that name."""


class SessionClosedError(RearviewError, RuntimeError):
    """A session, or the engine behind it, has been closed."""


class NoRoomError(RearviewError, RuntimeError):
    """The bytes that all sessions together may take are taken."""


class FrameError(RearviewError, RuntimeError):
    """A frame could not be translated; the session is as it was before."""


class RecordingError(RearviewError, ValueError):
    """A recording cannot be read, or cannot be replayed as asked."""


class VideoError(RearviewError, ValueError):
    """A video file cannot be read, or cannot be written as asked."""
