"""One picture, painted as a visitor's first frame is."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.painting.inputs import SEED
from pipeline import Engine, FrameSettings


def painted(engine: Engine, picture: np.ndarray, prompt: str, **changes: Any) -> np.ndarray:
    """A picture uint8 `[S, S, 3]` under a prompt, at strength 1 unless `changes` say otherwise, without a past."""
    settings = FrameSettings(prompt=prompt, strength=1.0).changed(**changes)
    session = engine.open(seed=SEED)
    try:
        return np.array(session.translate(picture, settings))
    finally:
        session.close()


def asked_for(style: str, words: str) -> str:
    """The prompt for a picture that shows `words`, in the style of a phrase."""
    return f"{style}, {words}" if words else style
