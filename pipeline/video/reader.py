"""Reading a video file with PyAV: upright frames, their times, and the packets of sound between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
from av.container.input import InputContainer
from av.error import FFmpegError
from av.format import Flags
from av.packet import Packet
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.errors import VideoError
from pipeline.video.codecs import check_codec, is_in_bounds
from pipeline.video.ffmpeg import BT709, GUESSED_RATE, reason_of

if TYPE_CHECKING:
    from pipeline.frames.codec import Frame

LONGEST_VIDEO_SIDE = 8192
"""Of every frame: those after the first may be of another size, and none is decoded that is larger than its square."""
UNKNOWN_COLORSPACE = 2
HD_LINES = 720
"""Files that do not name their colours follow BT.601 below this height, BT.709 from it on, as players take it."""

# A file may name other files and addresses: playlists and lists of parts do. What a stranger sends must open nothing
# but itself, so the file is handed over open, and no protocol is left by which it could open another.
READ_OPTIONS = {"protocol_whitelist": "none"}


@dataclass(frozen=True)
class VideoFacts:
    """What is known of a video before it is read: `size` is (width, height) in pixels as it is shown, upright;
    `frames` and `seconds` are what the file says or suggests, `None` where it does not; `pixel_aspect` is a pixel's
    width over its height, `None` where it is not said."""

    size: tuple[int, int]
    frames: int | None
    seconds: float | None
    pixel_aspect: Fraction | None


@dataclass(frozen=True, eq=False)
class SourceFrame:
    """One frame of a video, upright: `picture` `[H, W, 3]`; `time` and `duration` in ticks of the reader's
    `time_base`, a duration of 0 where the file gives none; `turned` if width and height changed places."""

    picture: Frame
    time: int
    duration: int
    turned: bool


def facts_of(path: Path, longest_side: int = LONGEST_VIDEO_SIDE) -> VideoFacts:
    """Open the video at `path` and look at its first frame; raises `VideoError` where there is none, or where a side is
    longer than `longest_side`."""
    with VideoReader(path, longest_side) as reader:
        first = next((piece for piece in reader.pieces() if isinstance(piece, SourceFrame)), None)
        if first is None:
            raise VideoError(
                f"{path.name} came without a frame that can be read; needed: one at least, of at most {longest_side} "
                "pixels a side. Check the file."
            )
        seconds = reader.seconds
        rate = reader.stream.average_rate
        frames = reader.stream.frames or (round(seconds * rate) if seconds and rate else None)
        aspect = reader.stream.sample_aspect_ratio
        if first.turned and aspect:
            aspect = 1 / aspect
        return VideoFacts((first.picture.shape[1], first.picture.shape[0]), frames, seconds, aspect)


class VideoReader:
    """A video file that is open for reading; a context manager. Raises `VideoError` where it holds no video.

    Of what was read so far, `reached` is the time in seconds of the latest piece, `damaged` the number of pieces that
    could not be decoded, and `broken_off` whether the file could not be read any further. A piece with more pixels than
    the square of `longest_side`, or one of more parts than a picture needs, is never decoded: it counts as damaged.
    """

    def __init__(self, path: Path, longest_side: int = LONGEST_VIDEO_SIDE) -> None:
        # FFmpeg asks before it allocates a frame, whatever the frame before it was; also while it opens the file.
        bound = {"max_pixels": str(longest_side**2)}
        self.reached = 0.0
        self.damaged = 0
        self.broken_off = False
        with ExitStack() as undo:
            try:
                file = undo.enter_context(path.open("rb"))
                self._container: InputContainer = undo.enter_context(
                    av.open(file, "r", options=READ_OPTIONS | bound, metadata_errors="replace")
                )
            except (OSError, FFmpegError) as error:
                raise VideoError(
                    f"{path.name} cannot be read as a video ({reason_of(error)}); needed: a whole file that FFmpeg "
                    "knows. Check the file."
                ) from error
            self.stream = self._video_stream(path, longest_side)
            self.stream.codec_context.options = bound
            self.audio = self._container.streams.audio
            self._undo = undo.pop_all()
        self.time_base = self.stream.time_base or Fraction(1, 1000)
        self.rate = self.stream.average_rate or self.stream.guessed_rate or GUESSED_RATE
        # Frames are decoded ahead in threads: the engine need not wait for a large one.
        self.stream.thread_type = "AUTO"

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    @property
    def seconds(self) -> float | None:
        """How long the file says that it is."""
        if self.stream.duration:
            return float(self.stream.duration * self.time_base)
        return self._container.duration / av.time_base if self._container.duration else None

    @property
    def end(self) -> float | None:
        """The time in seconds at which the file says that its last piece ends, sound or picture."""
        duration = self._container.duration
        return ((self._container.start_time or 0) + duration) / av.time_base if duration else None

    def pieces(self) -> Iterator[SourceFrame | Packet[Any]]:
        """Each frame, and each packet of sound, in the file's order. Nothing is kept: what is not used is gone."""
        shift = self._clock_start()
        last: int | None = None
        for packet in self._packets():
            if packet.stream.index != self.stream.index:
                yield shifted(packet, shift)
                continue
            for frame in self._decoded(packet):
                time = None if frame.pts is None else frame.pts - round(shift / self.time_base)
                last = following_time(time, last, frame.duration or round(1 / (self.rate * self.time_base)))
                picture, turned = upright(as_rgb(frame), display_matrix(frame))
                yield SourceFrame(picture, last, frame.duration, turned)

    def _packets(self) -> Iterator[Packet[Any]]:
        try:
            for packet in self._container.demux(self.stream, *self.audio):
                if packet.pts is not None:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    self.reached = max(self.reached, float(end))
                yield packet
        except (OSError, FFmpegError):
            self.broken_off = True

    def _decoded(self, packet: Packet[Any]) -> list[VideoFrame]:
        """The frames that `packet` completes; none where it is damaged, because those after it may be whole."""
        if not is_in_bounds(self.stream.codec_context.name, packet):
            self.damaged += 1
            return []
        try:
            return self.stream.decode(packet)
        except FFmpegError:
            self.damaged += 1
            return []

    def _clock_start(self) -> Fraction:
        """Seconds that this file's clock shows at its start, where the format's clock runs on from broadcast to
        broadcast; other formats start from 0, and a late first frame is meant to be late."""
        runs_on = self._container.format.flags & cast(int, Flags.ts_discont.value)
        return Fraction(self._container.start_time or 0, av.time_base) if runs_on else Fraction(0)

    def _video_stream(self, path: Path, longest_side: int) -> VideoStream:
        """The first video that is no cover picture."""
        streams = self._container.streams.video
        stream = next((each for each in streams if not each.disposition & Disposition.attached_pic), None)
        if stream is None or stream.codec_context is None:
            raise VideoError(f"{path.name} came without a video that can be decoded; needed: one. Choose another file.")
        check_codec(path.name, stream.codec_context.name)
        size = (stream.codec_context.width, stream.codec_context.height)
        if max(size) > longest_side:
            raise VideoError(
                f"{path.name} came with {size[0]} x {size[1]} pixels; needed: at most {longest_side} a side. Shrink it."
            )
        return stream


def shifted(packet: Packet[Any], seconds: Fraction) -> Packet[Any]:
    """`packet`, its times moved forward by `seconds`."""
    ticks = round(seconds / packet.time_base) if seconds else 0
    if packet.pts is not None:
        packet.pts -= ticks
    if packet.dts is not None:
        packet.dts -= ticks
    return packet


def following_time(time: int | None, last: int | None, step: int) -> int:
    """A frame's time in ticks: its own, or `step` after the `last` where it has none; always later than the last,
    because no file can hold two frames at once."""
    if time is None:
        return 0 if last is None else last + max(1, step)
    return time if last is None or time > last else last + 1


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
