"""What of a decoded frame is shown: its colours as RGB, upright."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame

from pipeline.video.ffmpeg import BT709

if TYPE_CHECKING:
    from pipeline.frames.codec import Frame

UNKNOWN_COLORSPACE = 2
HD_LINES = 720
"""Files that do not name their colours follow BT.601 below this height, BT.709 from it on, as players take it."""


def as_rgb(frame: VideoFrame) -> Frame:
    """A decoded frame as `uint8 [H, W, 3]`."""
    unnamed_hd = frame.colorspace == UNKNOWN_COLORSPACE and frame.height >= HD_LINES
    rgb: Frame = frame.to_ndarray(format="rgb24", src_colorspace=BT709 if unnamed_hd else None)  # type: ignore[assignment]
    return rgb


def display_matrix(frame: VideoFrame) -> Sequence[int] | None:
    """FFmpeg's display matrix of a frame, nine numbers, or `None` where it is shown as it is stored."""
    side_data = cast(SideDataContainer, frame.side_data)
    data = next((each for each in side_data if each.type is SideDataType.DISPLAYMATRIX), None)
    return None if data is None else np.frombuffer(bytes(data), np.int32).tolist()


def upright(picture: Frame, matrix: Sequence[int] | None) -> tuple[Frame, bool]:
    """`picture` `[H, W, 3]` turned and mirrored as `matrix` (a b u, c d v, x y w) says, and whether width and height
    changed places. A point (p, q) is shown at (a p + c q, b p + d q): FFmpeg, libavutil/display.h."""
    if matrix is None:
        return picture, False
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    turned = abs(b) > abs(a)
    if turned:
        picture, a, d = picture.transpose(1, 0, 2), c, b
    picture = picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return np.ascontiguousarray(picture), turned
