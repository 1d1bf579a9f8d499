"""White paper in a frame: where a drawing says nothing yet."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.frames.codec import Frame

DARKEST, WHITEST = 225.0, 250.0
"""Of a pixel's darkest channel, in 0..255: below the first it is drawn on, from the second on it is paper."""
SOFT = 1.0
"""Width of the seam between both, in pixels."""


def over_paper(frame: Frame, painted: Frame, ink: float = 1.0) -> Frame:
    """A frame `[H, W, 3]` with what was painted `[h, w, 3]`, at any size, where it is white paper: an outline whose
    inside was painted once asks for the same colours again. What is drawn covers it by `ink`, 0 to 1."""
    height, width = frame.shape[:2]
    darkest = frame.min(axis=2).astype(np.float32)
    paper = np.clip((darkest - DARKEST) / (WHITEST - DARKEST), 0, 1)
    drawn = ink * (1 - cv2.GaussianBlur(paper, (0, 0), SOFT)[..., None])
    larger = cv2.resize(painted, (width, height), interpolation=cv2.INTER_CUBIC)
    mixed: Frame = np.rint((1 - drawn) * larger + drawn * frame).astype(np.uint8)
    return mixed
