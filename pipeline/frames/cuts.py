"""Whether a frame begins a new scene, or moves at all, from small copies of it and of a frame before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pipeline.frames.codec import Frame

Thumbnail = NDArray[np.uint8]
"""A small copy of a frame, uint8 `[32, 32, 3]`."""

SIDE = 32
LEAST_CHANGE = 16.0
"""Mean absolute difference, of 255, below which nothing is a cut: sensor noise, a stroke, a step of a slow fade."""
LEAST_MOTION = 8
"""Difference of one value of a small copy, of 255, from which on something has moved: the sensor's noise, averaged over
the pixels that a value stands for, stays below it, and a thin stroke across them does not."""
LEAST_LIKENESS = 0.42
"""Correlation of details, at the shift where it is greatest, from which on both frames show one scene."""
LEAST_OVERLAP = 0.45
"""Share of the frame that a shift has to leave in both: a pan that is faster shows a new scene."""


def thumbnail_of(frame: Frame) -> Thumbnail:
    """A small copy of a frame `[H, W, 3]`; each pixel is the mean of those it stands for."""
    image = Image.fromarray(frame)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))


def is_cut(before: Thumbnail, after: Thumbnail) -> bool:
    """Whether `after` shows another scene than `before`.

    Much has to differ, and no shift of the picture may explain it: then neither a pan, nor a flash or another light,
    nor a thing that comes or goes in front of a background that stays is a cut.
    """
    change = np.abs(after.astype(np.float32) - before).mean()
    return bool(change >= LEAST_CHANGE and likeness(details(before), details(after)) < LEAST_LIKENESS)


def has_moved(before: Thumbnail, after: Thumbnail) -> bool:
    """Whether anything in `after` is elsewhere or other than in `before`: one stroke is enough, noise is not."""
    return bool(np.abs(after.astype(np.int16) - before).max() >= LEAST_MOTION)


def details(thumbnail: Thumbnail) -> NDArray[np.float32]:
    """Luminance `[32, 32]` without its broad tones, which many scenes share and every light changes."""
    grey = Image.fromarray(thumbnail).convert("L")
    broad = grey.filter(ImageFilter.GaussianBlur(3))
    return np.asarray(grey, np.float32) - np.asarray(broad, np.float32)


def likeness(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The greatest normalised correlation of two arrays `[h, w]` over all shifts that leave enough overlap, -1..1.

    Masked correlation by Fourier transforms (Padfield, "Masked object registration in the Fourier domain", IEEE TIP
    2012, eq. 8, without its means: details have none). Arrays without any detail are like nothing: 0.
    """
    shape = (2 * one.shape[0], 2 * one.shape[1])
    whole = np.ones_like(one)

    def correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
        """At each shift, the sum of products over the overlap."""
        product = np.fft.rfft2(a, shape) * np.conj(np.fft.rfft2(b, shape))
        return np.fft.irfft2(product, shape)

    overlap = correlation(whole, whole) >= LEAST_OVERLAP * one.size
    energies = correlation(one * one, whole) * correlation(whole, other * other)
    enough = overlap & (energies > 1.0)
    if not enough.any():
        return 0.0
    return float((correlation(one, other)[enough] / np.sqrt(energies[enough])).max())
