"""One picture, painted as a visitor's first frame is."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from benchmarks.painting.inputs import SEED
from pipeline import Engine, FrameSettings
from pipeline.settings import FINER_TIMES


def painted(engine: Engine, picture: np.ndarray, prompt: str, **changes: Any) -> np.ndarray:
    """A picture uint8 `[S, S, 3]` under a prompt, at strength 1 unless `changes` say otherwise, without a past."""
    settings = FrameSettings(prompt=prompt, strength=1.0).changed(**changes)
    session = engine.open(seed=SEED)
    try:
        return np.array(session.translate(picture, settings))
    finally:
        session.close()


def rested(engine: Engine, picture: np.ndarray, prompt: str) -> np.ndarray:
    """A picture uint8 `[S, S, 3]` under a prompt as it comes once more while the visitor rests: uint8 `[2S, 2S, 3]`."""
    settings = FrameSettings(prompt=prompt, strength=1.0)
    session = engine.open(seed=SEED)
    try:
        shown = np.array(session.translate(picture, settings))
        large = cv2.resize(picture, None, fx=FINER_TIMES, fy=FINER_TIMES, interpolation=cv2.INTER_CUBIC)
        finer = session.submit_finer(large, shown, settings).result()
    finally:
        session.close()
    assert finer is not None, "nobody else waits"
    return finer


def asked_for(style: str, words: str) -> str:
    """The prompt for a picture that shows `words`, in the style of a phrase."""
    return f"{style}, {words}" if words else style
