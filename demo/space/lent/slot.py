"""The newest frame of one visitor in memory that two processes share: written over, never queued.

One process writes and another reads, without a lock, which one of them might take to its grave: an odd version says
that somebody is writing, and a version that has changed says that what was read is a mixture (a sequence lock).
"""

from __future__ import annotations

import json
import mmap
import struct
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.settings import FrameSettings

MOST_SETTINGS_BYTES = 64 * 1024
"""Three texts of 1,000 characters, of twelve bytes each as JSON writes the rarest, and the numbers beside them."""

_VERSION = struct.Struct("<Q")
_WHOSE = struct.Struct("<Q")
_STOP = struct.Struct("<B")
_ASKED = struct.Struct("<QQI?")
"""Version; the call it is for; whether that is to end; number, resets, bytes of settings, and whether a map is asked
for."""

_WHOSE_AT = _VERSION.size
_STOP_AT = _WHOSE_AT + _WHOSE.size
_ASKED_AT = _STOP_AT + 8
_SETTINGS_AT = _ASKED_AT + 64
_FRAME_AT = _SETTINGS_AT + MOST_SETTINGS_BYTES
TRIES = 20


@dataclass(frozen=True)
class Asked:
    """A frame `[H, W, 3]` with its number, from 1, its settings, and how often everything was forgotten before it."""

    number: int
    resets: int
    frame: np.ndarray
    settings: FrameSettings
    with_map: bool = False


class Slot:
    """Room for one frame of `size` (width, height) and its settings. Made before the process that reads it is forked.

    A slot serves one call after another. Each names itself by a number that is never used twice, so that a process of
    an older call, should it still live, reads nothing that is not its own.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self._memory = mmap.mmap(-1, _FRAME_AT + size[0] * size[1] * 3)

    def open_for(self, call: int) -> None:
        """Empty it, for the call of this number."""
        self._begin()
        _WHOSE.pack_into(self._memory, _WHOSE_AT, call)
        _STOP.pack_into(self._memory, _STOP_AT, 0)
        _ASKED.pack_into(self._memory, _ASKED_AT, 0, 0, 0, False)
        self._memory[_SETTINGS_AT:] = bytes(len(self._memory) - _SETTINGS_AT)
        self._end()

    def stop(self) -> None:
        """The call is to end."""
        _STOP.pack_into(self._memory, _STOP_AT, 1)

    def is_over_for(self, call: int) -> bool:
        """Whether the call of this number is to end, or has lost the slot to another."""
        stopped, whose = _STOP.unpack_from(self._memory, _STOP_AT)[0], _WHOSE.unpack_from(self._memory, _WHOSE_AT)[0]
        return bool(stopped) or whose != call

    def write(self, asked: Asked) -> None:
        """Put a frame in the place of the last one; raises `ValueError` for one of another size."""
        width, height = self.size
        if asked.frame.shape != (height, width, 3) or asked.frame.dtype != np.uint8:
            raise ValueError(
                f"a frame came as {asked.frame.dtype} {asked.frame.shape}; needed: uint8 {height, width, 3}."
            )
        settings = json.dumps(asdict(asked.settings)).encode()
        self._begin()
        _ASKED.pack_into(self._memory, _ASKED_AT, asked.number, asked.resets, len(settings), asked.with_map)
        self._memory[_SETTINGS_AT : _SETTINGS_AT + len(settings)] = settings
        self._memory[_FRAME_AT:] = asked.frame.tobytes()
        self._end()

    def read(self, call: int, since: int = 0) -> Asked | None:
        """The frame that lies there for the call of this number, or `None` where it is none after number `since`."""
        for _ in range(TRIES):
            before = self._version()
            number, resets, length, with_map = _ASKED.unpack_from(self._memory, _ASKED_AT)
            whose = _WHOSE.unpack_from(self._memory, _WHOSE_AT)[0]
            if before % 2 == 0 and (number <= since or whose != call):
                return None
            settings = self._memory[_SETTINGS_AT : _SETTINGS_AT + length]
            pixels = self._memory[_FRAME_AT:]
            if before % 2 == 0 and self._version() == before:
                width, height = self.size
                values: dict[str, Any] = json.loads(settings)
                frame = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
                return Asked(number, resets, frame, FrameSettings(**values), with_map)
        return None

    def _version(self) -> int:
        return int(_VERSION.unpack_from(self._memory)[0])

    def _begin(self) -> None:
        _VERSION.pack_into(self._memory, 0, self._version() | 1)

    def _end(self) -> None:
        _VERSION.pack_into(self._memory, 0, self._version() + 1)
