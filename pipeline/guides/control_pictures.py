"""What a control reads: white lines on black, drawn from any frame, a drawing or a camera's.

All functions are pure: `uint8 [H, W, 3]` in, `uint8 [H, W, 3]` out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.frames.codec import Frame

Mask: TypeAlias = NDArray[np.uint8]
"""Pixels that belong to something, uint8 `[H, W]`: 255 there, else 0."""

WORKING_SIDE = 320
"""Lines are looked for in a copy whose shorter side is at most this many pixels, in which all widths below are meant:
what is finer is texture, and a frame costs milliseconds."""
FLAT = 0.7
"""Share of pixels around which nothing changes from which on a frame is a drawing."""
FLAT_RANGE = 4
"""Grey levels, of 255, that a neighbourhood where nothing changes may span: a sensor's noise, a JPEG's ripples."""
WIDEST_INK = 11
"""Pixels up to which a dark stroke of a drawing becomes one line; what is wider is drawn as its outline."""
WIDEST_COLOUR = 7
"""The same for light strokes and coloured ones, which small areas between dark lines are easily taken for."""
LEAST_CONTRAST = 36
"""By how much, of 255 in one channel of Lab, a stroke differs from what is on both of its sides."""
DRAWING_BLUR, PHOTO_BLUR = 1.1, 1.5
"""Standard deviations in pixels of the blur before edges are looked for."""
LEAST_GRADIENT = 90.0
"""Sobel's gradient of a blurred drawing in Lab from which on an edge begins: that of a step of 31 of 255."""
TIMES_MEAN_GRADIENT = 2.1
"""The same for a photo, in mean gradients of its light: a dim or soft one has weaker edges, and in one that is full of
textures many of them are none."""
LEAST_PHOTO_GRADIENT = 40.0
"""Below which it never falls: a sensor's noise on a plain wall has less."""
GOES_ON = 0.43
"""Share of the gradient that begins an edge with which it goes on."""
LEAST_LINE = 10
"""Pixels below which a line is a speckle."""
CANNY_THRESHOLDS = (100, 200)
"""Those with which the pictures for canny controls are commonly made."""
LEAST_CANNY = 16
"""Pixels below which one of its edges is a speckle."""
FULL_BAR = 0.9
"""Share of a row that shows something at once where a bar ends; a drawing's own white margin ends with less."""


def scribble(frame: Frame) -> Frame:
    """Lines of six pixels, as a broad pen draws them."""
    return _drawn(frame, width=6)


def sketch(frame: Frame) -> Frame:
    """Lines of four pixels."""
    return _drawn(frame, width=4)


def lineart(frame: Frame) -> Frame:
    """Lines of two and a half pixels with soft sides."""
    return _drawn(frame, width=2.5, softness=2)


def canny(frame: Frame) -> Frame:
    """Canny's edges, one pixel wide, on both sides of a stroke (Canny, "A computational approach to edge detection",
    IEEE PAMI 1986)."""
    inside = content(frame)
    edges = np.zeros(frame.shape[:2], np.uint8)
    smooth = cv2.GaussianBlur(frame[inside], (5, 5), 1.0, borderType=cv2.BORDER_REPLICATE)
    edges[inside] = without_speckles(_bytes(cv2.Canny(smooth, *CANNY_THRESHOLDS)), LEAST_CANNY)
    return as_rgb(edges)


CONTROL_PICTURES: Mapping[str, Callable[[Frame], Frame]] = {
    "scribble": scribble,
    "sketch": sketch,
    "lineart": lineart,
    "canny": canny,
}
"""Every kind of picture that a control may have been trained on."""


def _drawn(frame: Frame, width: float, softness: float = 1.0) -> Frame:
    """The lines of a frame, `width` pixels wide from half white to half white, and `softness` from white to black."""
    inside = content(frame)
    drawn = np.zeros(frame.shape[:2], np.uint8)
    away = distance_to_lines(frame[inside])
    drawn[inside] = np.clip(((width - 2 * away) / (2 * softness) + 0.5) * 255, 0, 255).astype(np.uint8)
    return as_rgb(drawn)


def as_rgb(mask: Mask) -> Frame:
    """A mask as a frame."""
    return _bytes(cv2.cvtColor(mask, cv2.COLOR_GRAY2RGB))


def content(frame: Frame) -> tuple[slice, slice]:
    """Rows and columns in which a frame `[H, W, 3]` shows more than the white bars that pad it.

    Where bars end the picture begins along a whole side, and that is no line of it.
    """
    paper = cv2.inRange(frame, (255, 255, 255), (255, 255, 255))
    return _between_bars(paper.mean(axis=1) / 255), _between_bars(paper.mean(axis=0) / 255)


def _between_bars(paper: NDArray[np.float64]) -> slice:
    """Those rows or columns that are no bars, from the share of white in each: `[N]`, 0..1."""
    shown = np.flatnonzero(paper < 1)
    if not len(shown):
        return slice(0, len(paper))
    first, last = int(shown[0]), int(shown[-1])
    return slice(first if paper[first] <= 1 - FULL_BAR else 0, last + 1 if paper[last] <= 1 - FULL_BAR else len(paper))


def distance_to_lines(frame: Frame) -> NDArray[np.float32]:
    """How many pixels away the nearest line is, float32 `[H, W]`: of the middle of each stroke, and of where another
    colour begins."""
    height, width = frame.shape[:2]
    scale = min(1.0, WORKING_SIDE / min(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    lab = cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2LAB)
    # Without any line the distance is the largest number there is.
    away = np.minimum(cv2.distanceTransform(255 - lines(_bytes(lab)), cv2.DIST_L2, cv2.DIST_MASK_5), max(size))
    return np.asarray(cv2.resize(away, (width, height), interpolation=cv2.INTER_CUBIC), np.float32) / np.float32(scale)


def lines(lab: Frame) -> Mask:
    """The lines of a picture `[H, W, 3]` in Lab, one pixel wide."""
    if not is_drawing(lab):
        return without_speckles(edges(lab, PHOTO_BLUR), LEAST_LINE)
    drawn = edges(lab, DRAWING_BLUR, LEAST_GRADIENT)
    filled = cv2.morphologyEx(drawn | strokes(lab, drawn), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return thinned(without_speckles(_bytes(filled), LEAST_LINE))


def is_drawing(lab: Frame) -> bool:
    """Whether a picture `[H, W, 3]` in Lab is made of strokes and plain areas, as a canvas is, and not of textures."""
    grey = cv2.GaussianBlur(lab[..., 0], (0, 0), 0.7)
    around = np.ones((3, 3), np.uint8)
    return bool((cv2.dilate(grey, around) - cv2.erode(grey, around) <= FLAT_RANGE).mean() >= FLAT)


def edges(lab: Frame, blur: float, gradient: float | None = None) -> Mask:
    """Canny's edges of a picture `[H, W, 3]` in Lab, by that channel which changes most at each pixel.

    An edge begins at `gradient`, by default as it does in a photo.
    """
    smooth = cv2.GaussianBlur(lab, (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
    if gradient is None:
        gradient = max(LEAST_PHOTO_GRADIENT, TIMES_MEAN_GRADIENT * mean_gradient(_bytes(smooth[..., 0])))
    return _bytes(cv2.Canny(smooth, GOES_ON * gradient, gradient, L2gradient=True))


def mean_gradient(light: Mask) -> float:
    """The mean of Sobel's gradient, its sides added up, over all pixels `[H, W]`."""
    across, down = cv2.spatialGradient(light)
    return (cv2.norm(across, cv2.NORM_L1) + cv2.norm(down, cv2.NORM_L1)) / light.size


def strokes(lab: Frame, edges: Mask) -> Mask:
    """What lies between two edges and is thin in a picture `[H, W, 3]` in Lab: dark ink, and light or coloured ink.

    Closing fills dark strokes with what is beside them, so that a gap between two of them is no light stroke
    afterwards.
    """
    wide, narrow = (np.ones((width, width), np.uint8) for width in (WIDEST_INK, WIDEST_COLOUR))
    light, *colours = cv2.split(lab)
    filled = cv2.morphologyEx(light, cv2.MORPH_CLOSE, wide)
    apart = cv2.max(cv2.subtract(filled, light), cv2.morphologyEx(filled, cv2.MORPH_TOPHAT, narrow))
    for colour in colours:
        for kind in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
            apart = cv2.max(apart, cv2.morphologyEx(colour, kind, narrow))
    between = cv2.morphologyEx(edges, cv2.MORPH_CLOSE, wide)
    return _bytes(np.where(np.asarray(apart) >= LEAST_CONTRAST, between, 0))


def without_speckles(mask: Mask, least: int) -> Mask:
    """A mask without its connected parts of fewer than `least` pixels."""
    _, labels, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    stays = np.where(facts[:, cv2.CC_STAT_AREA] >= least, 255, 0).astype(np.uint8)
    stays[0] = 0
    return _bytes(stays[labels])


def thinned(mask: Mask) -> Mask:
    """The middle lines of a mask, one pixel wide (Zhang and Suen, "A fast parallel algorithm for thinning digital
    patterns", CACM 1984)."""
    bits = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)
    left = mask // 255
    for _ in range(WIDEST_INK):
        before = left
        for leaves in _leaving():
            around = cv2.filter2D(left, cv2.CV_8U, bits, borderType=cv2.BORDER_CONSTANT)
            left = left & ~_bytes(cv2.LUT(around, leaves))
        if np.array_equal(before, left):
            break
    return left * 255


@cache
def _leaving() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """For each of Zhang and Suen's two passes, whether a pixel leaves (1), by its neighbours: the bits, from the
    lowest, are those from north clockwise."""
    ring = (np.arange(256)[:, None] >> np.arange(8)) & 1
    north, east, south, west = (ring[:, index] for index in (0, 2, 4, 6))
    count = ring.sum(axis=1)
    begins = ((ring == 0) & (np.roll(ring, -1, axis=1) == 1)).sum(axis=1)
    on_side = (count >= 2) & (count <= 6) & (begins == 1)
    first = on_side & (north * east * south == 0) & (east * south * west == 0)
    second = on_side & (north * east * west == 0) & (north * south * west == 0)
    return first.astype(np.uint8), second.astype(np.uint8)


def _bytes(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    """The same array; OpenCV's functions do not say of what type theirs are."""
    return np.asarray(array, np.uint8)
