"""What of a decoded frame is shown: its colours as RGB, upright."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from av.filter.graph import Graph
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame

from pipeline.video.alpha import Alpha
from pipeline.video.ffmpeg import BT709

if TYPE_CHECKING:
    from pipeline.frames.codec import Frame

UNKNOWN_COLORSPACE = 2
HD_LINES = 720
"""Files that do not name their colours follow BT.601 below this height, BT.709 from it on, as players take it."""
HDR = {16: "PQ", 18: "HLG"}
WIDE = {9: "BT.2020", 11: "P3", 12: "P3"}
"""FFmpeg's numbers of transfers and primaries that BT.709 has no room for -> what they are called."""
WHITE = np.uint16(255)


def as_rgb(frame: VideoFrame, seen: Alpha | None = None) -> Frame:
    """A decoded frame as `uint8 [H, W, 3]` in BT.709's colours; what is transparent shows white, also where its file
    says beside it how much is `seen`."""
    unnamed_hd = frame.colorspace == UNKNOWN_COLORSPACE and frame.height >= HD_LINES
    words: dict[str, Any] = {"src_colorspace": BT709 if unnamed_hd else None}
    if wider_colours(frame):
        words |= {"dst_color_trc": BT709, "dst_color_primaries": BT709}
    if seen is None and not has_alpha(frame):
        return cast("Frame", frame.to_ndarray(format="rgb24", **words))
    rgba = frame.to_ndarray(format="rgba", **words).astype(np.uint16)
    colour, alpha = rgba[..., :3], rgba[..., 3:] if seen is None else seen[..., None].astype(np.uint16)
    return cast("Frame", ((colour * alpha + WHITE * (WHITE - alpha) + WHITE // 2) // WHITE).astype(np.uint8))


def has_alpha(frame: VideoFrame) -> bool:
    """Whether parts of a frame may be transparent."""
    return frame.format.has_palette or any(each.is_alpha for each in frame.format.components)


def wider_colours(frame: VideoFrame) -> str | None:
    """What the colours of a frame are called that go beyond BT.709; `None` where they do not."""
    return HDR.get(frame.color_trc) or WIDE.get(frame.color_primaries)


class Deinterlacer:
    """Makes each interlaced frame one whole picture, with FFmpeg's bwdif; frames that are not interlaced stay. Passes
    frames on untouched until the first interlaced one comes."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._kind: tuple[object, ...] = ()

    def passed(self, frame: VideoFrame) -> list[VideoFrame]:
        """The frames that are ready once `frame` has come; its own may need the next."""
        if self._graph is None and not frame.interlaced_frame:
            return [frame]
        ready = []
        kind = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range, frame.time_base)
        if kind != self._kind:
            ready = self.rest()
            self._graph, self._kind = _bwdif(frame), kind
        assert self._graph is not None
        self._graph.vpush(frame)
        return ready + _pulled(self._graph)

    def rest(self) -> list[VideoFrame]:
        """The frames that were held back."""
        graph, self._graph, self._kind = self._graph, None, ()
        if graph is None:
            return []
        graph.vpush(None)
        return _pulled(graph)


def _bwdif(frame: VideoFrame) -> Graph:
    graph = Graph()
    base = frame.time_base or Fraction(1)
    source = graph.add(
        "buffer",
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base={base.numerator}/"
        f"{base.denominator}:colorspace={frame.colorspace}:range={frame.color_range}",
    )
    graph.link_nodes(
        source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
    ).configure()
    return graph


def _pulled(graph: Graph) -> list[VideoFrame]:
    frames = []
    # FFmpeg says with an error that it needs another frame, or that there is none.
    with suppress(BlockingIOError, EOFError):
        while True:
            frames.append(graph.vpull())
    return frames


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
