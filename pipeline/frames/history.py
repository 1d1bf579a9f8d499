"""A picture keeps what the last one painted, wherever the input shows the same things, at rest or moved.

This is the temporal accumulation of anti-aliasing in games (Yang, Liu, Salvi, "A Survey of Temporal Antialiasing
Techniques", CGF 39(2), 2020), where each frame is `lerp(painted, history moved along, weight)`. Games know how things
move; here it is estimated from the input (DIS optical flow: Kroeger et al., ECCV 2016). What the input does not explain
is painted anew at once: the weight falls to 0, so that nothing that is gone stays and nothing new comes late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.frames.codec import Frame

Pixels = TypeVar("Pixels", NDArray[np.uint8], NDArray[np.float32])
Picture = NDArray[np.float32]
"""float32 `[H, W, 3]` in 0..255."""
Map = NDArray[np.float32]
"""float32 `[H, W]`."""
Flow = NDArray[np.float32]
"""float32 `[H, W, 2]`, (x, y) in pixels, backward: what is at p now was at p + flow(p)."""

LARGEST_MOTION_SIDE = 512
"""Pixels of the longer side from which on motion is estimated on a smaller copy."""
SMALLEST_MOTION_SIDE = 32
"""Pixels of the shorter side below which nothing is said to move: the flow's patches need room."""
REST = 0.25
"""Pixels. Motion below it is what sensor noise looks like, and moving a picture by it would only blur."""
NOISE_WINDOW = 7
"""Pixels: inputs are compared by their means over such squares, in which noise cancels out."""
SAME, OTHER = 3.0, 10.0
"""Differences of such means, of 255: up to the first a thing is the same, from the second on it is another."""
SURENESS: Map = np.clip((OTHER - np.arange(256, dtype=np.float32)) / (OTHER - SAME), 0, 1)
"""By whole differences, as a table: to look a picture up takes a fifth of the time that computing takes."""
NEIGHBOURHOOD = 5
"""Pixels: the squares of the new picture whose range of colours holds the history back."""
TOLERANCE = 4.0
"""Of 255, around that range."""


@dataclass(frozen=True, eq=False)
class History:
    """What the last frame leaves: its grey and its smoothed input, uint8 `[H, W]` and `[H, W, 3]`, and the picture."""

    grey: NDArray[np.uint8]
    smooth: Frame
    picture: Picture

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.grey.nbytes + self.smooth.nbytes + self.picture.nbytes


def begun(frame: Frame, painted: Frame) -> History:
    """The history of a first input `[H, W, 3]` and the picture of it `[H, W, 3]`."""
    grey = cv2.blur(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (5, 5))
    return History(_bytes(grey), _bytes(cv2.blur(frame, (NOISE_WINDOW, NOISE_WINDOW))), painted.astype(np.float32))


def steadied(frame: Frame, painted: Frame, history: History | None, steadiness: float) -> tuple[Frame, History | None]:
    """A picture that holds on to the last one, and the history that it leaves; without steadiness it leaves none.

    frame is the input and painted its translation, uint8 `[H, W, 3]`, of the same size as the history's;
    steadiness in 0..1 is the share of the last picture where the input shows the same.
    """
    if steadiness == 0:
        return painted, None
    now = begun(frame, painted)
    if history is None:
        return painted, now
    x, y = places(motion(history.grey, now.grey))
    weight = steadiness * sameness(now.smooth, read(history.smooth, x, y)) * inside(x, y)
    past = held_back(read(history.picture, x, y, cv2.INTER_CUBIC), painted)
    picture = _floats(cv2.add(now.picture, cv2.multiply(cv2.subtract(past, now.picture), threefold(weight))))
    return as_bytes(picture), History(now.grey, now.smooth, picture)


def threefold(values: Map) -> Picture:
    """The same for each of three colours: OpenCV's arithmetic takes a third of the time of NumPy's, which repeats a map
    for each pixel."""
    return _floats(cv2.merge((values, values, values)))


def motion(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Flow:
    """How a grey picture `[H, W]` became another one: the backward flow, 0 where it is less than `REST`."""
    height, width = after.shape
    if min(height, width) < SMALLEST_MOTION_SIDE:
        return np.zeros((height, width, 2), np.float32)
    scale = min(1.0, LARGEST_MOTION_SIDE / max(height, width))
    size = (max(SMALLEST_MOTION_SIDE, round(width * scale)), max(SMALLEST_MOTION_SIDE, round(height * scale)))
    # Made anew each time: it holds buffers, and two streams must not share them.
    method = cv2.DISOpticalFlow.create(cv2.DISOpticalFlow_PRESET_FAST)
    small = method.calc(shrunk(after, size), shrunk(before, size), np.zeros((size[1], size[0], 2), np.float32))
    x, y = cv2.split(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))
    x, y = x * np.float32(width / size[0]), y * np.float32(height / size[1])
    moves = (cv2.magnitude(x, y) >= REST).astype(np.float32)
    return _floats(cv2.merge((x * moves, y * moves)))


def shrunk(grey: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A grey picture at `size`, (width, height) in pixels."""
    return _bytes(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))


def places(flow: Flow) -> tuple[Map, Map]:
    """x and y `[H, W]` of p + flow(p)."""
    height, width = flow.shape[:2]
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    return flow[..., 0] + columns, flow[..., 1] + rows[:, None]


def read(picture: Pixels, x: Map, y: Map, interpolation: int = cv2.INTER_LINEAR) -> Pixels:
    """picture `[H, W, 3]` at places x and y `[H, W]`, at the nearest border where these are outside."""
    return cv2.remap(picture, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE).astype(picture.dtype, copy=False)


def inside(x: Map, y: Map) -> Map:
    """1 where a place is inside of the picture, else 0: `[H, W]`."""
    height, width = x.shape
    return ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).astype(np.float32)


def sameness(now: Frame, past: Frame) -> Map:
    """How sure it is that two smoothed inputs `[H, W, 3]` show the same: 1 up to `SAME`, 0 from `OTHER`; `[H, W]`.

    The largest difference of the three channels counts: a thing may change in one alone.
    """
    red, green, blue = cv2.split(cv2.absdiff(now, past))
    return _floats(cv2.LUT(cv2.max(cv2.max(red, green), blue), SURENESS))


def held_back(past: Picture, painted: Frame) -> Picture:
    """past `[H, W, 3]`, held to the range of colours around each pixel of the new picture, with some tolerance.

    The neighbourhood clamp of temporal anti-aliasing (section 4.2 of the survey): what the new picture nowhere shows
    nearby cannot stay, whatever the estimate of motion says.
    """
    square = np.ones((NEIGHBOURHOOD, NEIGHBOURHOOD), np.uint8)
    least, most = cv2.erode(painted, square), cv2.dilate(painted, square)
    return _floats(cv2.max(cv2.min(past, _floats(most) + TOLERANCE), _floats(least) - TOLERANCE))


def as_bytes(picture: Picture) -> Frame:
    """Rounded to uint8."""
    return (np.clip(picture, 0, 255) + 0.5).astype(np.uint8)


def _bytes(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    return array.astype(np.uint8, copy=False)


def _floats(array: NDArray[np.generic]) -> NDArray[np.float32]:
    return array.astype(np.float32, copy=False)
