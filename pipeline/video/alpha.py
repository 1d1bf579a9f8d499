"""What of a VP8 or VP9 video is transparent: WebM keeps another picture beside each of its own, whose brightness is how
much is seen."""

from __future__ import annotations

from typing import Any, Literal, cast

import av
import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

CODECS = {"vp8": "vp8", "libvpx": "vp8", "vp9": "vp9", "libvpx-vp9": "vp9"}
BESIDE: Literal["matroska_block_additional"] = "matroska_block_additional"
NUMBER_BYTES = 8
"""Of what lies beside a picture, before it: which of several it is."""
MOST_WAITING = 64
"""Pictures whose own ones have not come yet; a decoder holds back as many as it has threads."""

Alpha = NDArray[np.uint8]
"""`uint8 [H, W]`, 0 where nothing is seen."""


class AlphaVideo:
    """The second video of a stream in the codec of that name, decoded beside it."""

    def __init__(self, codec: str, options: dict[str, str]) -> None:
        self._codec = CODECS.get(codec)
        self._options = options
        self._context: VideoCodecContext | None = None
        self._waiting: dict[int, Alpha] = {}

    def take(self, packet: Packet[Any]) -> None:
        """Decode what lies beside the picture of `packet`, if anything does; what cannot be decoded hides nothing."""
        if self._codec is None or packet.pts is None or not packet.has_sidedata(BESIDE):
            return
        beside: Packet[Any] = Packet(bytes(packet.get_sidedata(BESIDE))[NUMBER_BYTES:])
        beside.pts = packet.pts
        try:
            frames = self._opened().decode(beside)
        except FFmpegError:
            return
        for frame in frames:
            self._waiting[packet.pts] = plane_of(frame)
        while len(self._waiting) > MOST_WAITING:
            self._waiting.pop(next(iter(self._waiting)))

    def of(self, frame: VideoFrame) -> Alpha | None:
        """How much of a decoded frame is seen; `None` where all of it is."""
        alpha = None if frame.pts is None else self._waiting.pop(frame.pts, None)
        return alpha if alpha is not None and alpha.shape == (frame.height, frame.width) else None

    def _opened(self) -> VideoCodecContext:
        if self._context is None:
            self._context = cast(VideoCodecContext, av.CodecContext.create(str(self._codec), "r"))
            self._context.options = self._options
            # One thread: each packet gives its picture at once.
            self._context.thread_count = 1
        return self._context


def plane_of(frame: VideoFrame) -> Alpha:
    """The brightness of a frame as it is stored."""
    plane = frame.planes[0]
    rows: Alpha = np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width].copy()
