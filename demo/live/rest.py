"""The picture that a page shows at rest, which may come once more, finer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from demo.live import wire
from pipeline.settings import FINER_TIMES, FrameSettings

if TYPE_CHECKING:
    from pipeline import Translation

REST_S = 0.7
"""Without a new frame: then nothing moves, and a page has sent what it sends until its picture has settled."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A frame that was answered: what came, its picture `[H, W, 3]`, what was made of it, under which settings, and in
    how many steps it is painted once more."""

    frame: wire.Frame
    picture: np.ndarray
    translation: Translation
    settings: FrameSettings
    revision: int
    finer_steps: int

    @property
    def finer_seconds(self) -> float:
        """How long a finer picture of it may well take: as its own did, for so many more steps and pixels."""
        return self.translation.seconds * self.finer_steps / self.settings.steps * FINER_TIMES**2

    def wants_finer(self, within_s: float) -> bool:
        """Whether it should come once more, finer, where that may take `within_s` seconds."""
        wanted = self.settings.finer == "on" and self.settings.pipelined == "off" and not self.translation.flagged
        return wanted and self.finer_seconds <= within_s

    def packed(self, jpeg: bytes, kind: int) -> bytes:
        """The message to the page with its picture, or a finer one."""
        translation = self.translation
        return wire.pack_picture(
            self.frame,
            jpeg,
            revision=self.revision,
            seconds=translation.seconds,
            bank_fill=translation.bank_fill,
            count=translation.frame,
            resets=translation.resets,
            kind=kind,
        )
