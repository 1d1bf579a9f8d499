"""Reading a video file with PyAV: upright frames, their times, and the packets of sound between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import av
from av.container.input import InputContainer
from av.error import FFmpegError
from av.format import Flags
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.errors import VideoError
from pipeline.video.alpha import Alpha, AlphaVideo
from pipeline.video.clock import Clock, FrameTimes, following_time
from pipeline.video.codecs import check_codec, is_in_bounds
from pipeline.video.ffmpeg import GUESSED_RATE, reason_of
from pipeline.video.pictures import Deinterlacer, as_rgb, display_matrix, upright, wider_colours

if TYPE_CHECKING:
    from pipeline.frames.codec import Frame

LONGEST_VIDEO_SIDE = 8192
"""Of every frame: those after the first may be of another size, and none is decoded that is larger than its square."""
COUNTED_BYTES = 2**28
"""Files up to this size are read through, without decoding, to count their frames where they do not say how many."""
LONGEST_GAP, LONGEST_MEANT_GAP = Fraction(10), Fraction(30 * 3600)
"""Seconds after which FFmpeg's program takes a clock for another: in formats whose clock may jump, and in others."""
LONGEST_MEANT_DELAY = 1
"""Seconds that a first frame of MP4 or MOV may be meant to be late, which such files say in so many words."""
FROM_ZERO = {"matroska", "asf", "nut"}
"""Formats whose duration counts from the clock's zero, also where the recording begins late."""
TIMED_ONCE = {"avi", "asf"}
"""Formats that know one time of a packet."""
INTERLACED_NOTE = "it is interlaced: each frame is made one whole picture."
COLOURS_NOTE = "its colours ({}) are mapped to BT.709; what is brighter than white is white."
BROKEN_OFF_SHARE, BROKEN_OFF_S = 0.05, 0.2
"""A file that lacks more than this of the time that it promises was cut off; a promise is often a little off."""

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
        seconds, frames = reader.seconds, reader.stream.frames or None
        if frames is None and reader.timed and path.stat().st_size <= COUNTED_BYTES:
            seconds, frames = counted(path, longest_side)
        elif frames is None and seconds:
            frames = round(seconds * reader.rate)
        aspect = reader.stream.sample_aspect_ratio
        if first.turned and aspect:
            aspect = 1 / aspect
        return VideoFacts((first.picture.shape[1], first.picture.shape[0]), frames, seconds, aspect)


def counted(path: Path, longest_side: int = LONGEST_VIDEO_SIDE) -> tuple[float, int]:
    """How many seconds the video at `path` has, and how many frames, found out by reading all of it."""
    with VideoReader(path, longest_side) as reader:
        frames = sum(packet.size > 0 for packet in reader.packets() if packet.stream.index == reader.stream.index)
        return reader.reached, frames


class VideoReader:
    """A video file that is open for reading; a context manager. Raises `VideoError` where it holds no video.

    Of what was read so far, `reached` is the time in seconds at which the latest piece ends, `damaged` the number of
    pieces that could not be decoded, `broken_off` whether the file could not be read any further, and `notes` sentences
    on what is shown otherwise than it is stored. A piece with more pixels than the square of `longest_side`, or one of
    more parts than a picture needs, is never decoded: it counts as damaged.
    """

    def __init__(self, path: Path, longest_side: int = LONGEST_VIDEO_SIDE) -> None:
        # FFmpeg asks before it allocates a frame, whatever the frame before it was; also while it opens the file.
        self._bound = bound = {"max_pixels": str(longest_side**2)}
        self.reached = 0.0
        self.damaged = 0
        self.broken_off = False
        # Each sentence once, in the order in which its reason was met.
        self.notes: dict[str, None] = {}
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
        self.tags: Mapping[str, str] = self._container.metadata
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
        """How long the file says or suggests that it is."""
        if self.stream.duration and self.stream.frames:
            return float(self.stream.duration * self.time_base)
        duration = Fraction(self._container.duration or 0, av.time_base)
        if self._formats & FROM_ZERO and duration > self._start:
            duration -= self._start
        return float(duration) or None

    @property
    def timed(self) -> bool:
        """Whether the file says when its pieces come."""
        return not self._has(Flags.no_timestamps)

    @property
    def missing(self) -> float:
        """Seconds that the file promises and that did not come, once it is read to its end; 0 where it has all, or
        promises nothing."""
        # Where the clock may jump, the file's length is a guess from its last time.
        if not self.timed or self._has(Flags.ts_discont) or not self._container.duration:
            return 0.0
        promised = self._container.duration / av.time_base
        if not (self._formats & FROM_ZERO and promised > self._start):
            promised += float(self._start)
        if "avi" in self._formats:
            # Of a file that is cut off, only the number of frames in its header tells what there was.
            promised = max(promised, float(self.stream.frames / self.rate))
        missing = promised - float(self._start) - self.reached
        return missing if missing > max(BROKEN_OFF_S, BROKEN_OFF_SHARE * promised) else 0.0

    def pieces(self) -> Iterator[SourceFrame | Packet[Any]]:
        """Each frame, and each packet of sound, in the file's order. Nothing is kept: what is not used is gone."""
        last: int | None = None
        times, whole = FrameTimes(bool(self._formats & TIMED_ONCE)), Deinterlacer()
        transparency = AlphaVideo(self.stream.codec_context.name, self._bound)
        for packet in self.packets():
            if packet.stream.index != self.stream.index:
                yield packet
                continue
            times.begin(packet)
            transparency.take(packet)
            for frame in self._decoded(packet):
                seen = transparency.of(frame)
                step = frame.duration or round(1 / (self.rate * self.time_base))
                last = following_time(times.time_of(frame, self._reorder_depth * step), last, step)
                frame.pts, frame.time_base = last, self.time_base
                if frame.interlaced_frame:
                    self.notes[INTERLACED_NOTE] = None
                for ready in whole.passed(frame):
                    yield self._source_frame(ready, seen)
        yield from map(self._source_frame, whole.rest())

    def _source_frame(self, frame: VideoFrame, seen: Alpha | None = None) -> SourceFrame:
        colours = wider_colours(frame)
        if colours:
            self.notes[COLOURS_NOTE.format(colours)] = None
        picture, turned = upright(as_rgb(frame, seen), display_matrix(frame))
        # A filter may count time by a clock of its own.
        ticks = (frame.time_base or self.time_base) / self.time_base
        return SourceFrame(picture, round((frame.pts or 0) * ticks), round(frame.duration * ticks), turned)

    def packets(self) -> Iterator[Packet[Any]]:
        """The packets of the video and of the sounds, on one clock that starts at 0 and does not jump."""
        used = {self.stream.index, *(each.index for each in self.audio)}
        clock = Clock(self._shift, LONGEST_GAP if self._has(Flags.ts_discont) else LONGEST_MEANT_GAP)
        try:
            # All streams: the file may promise the time of one that is not used, of subtitles for one.
            for packet in self._container.demux():
                if packet.stream.index in used:
                    packet = clock.moved(packet)
                elif packet.pts is not None:
                    packet.pts -= round(self._shift / packet.time_base)
                if packet.pts is not None:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    self.reached = max(self.reached, float(end))
                if packet.stream.index in used:
                    yield packet
        except (OSError, FFmpegError):
            self.broken_off = True

    @property
    def _formats(self) -> set[str]:
        return set(self._container.format.name.split(","))

    @property
    def _reorder_depth(self) -> int:
        return self.stream.codec_context.reorder_depth

    def _has(self, flag: Flags) -> bool:
        return bool(self._container.format.flags & cast(int, flag.value))

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

    @property
    def _start(self) -> Fraction:
        """Seconds that this file's clock shows where the first of picture and sound comes."""
        starts = [
            each.start_time * each.time_base for each in (self.stream, *self.audio) if each.start_time is not None
        ]
        return min(starts, default=Fraction(self._container.start_time or 0, av.time_base))

    @property
    def _shift(self) -> Fraction:
        """Seconds by which this file's clock is ahead of one that starts at 0."""
        start = self._start
        if self._has(Flags.ts_discont):
            return start
        meant = "mov" in self._formats and start <= LONGEST_MEANT_DELAY
        return Fraction(0) if meant else max(Fraction(0), start)

    def _video_stream(self, path: Path, longest_side: int) -> VideoStream:
        """The video that FFmpeg takes for the film among those that are no cover pictures."""
        streams = [each for each in self._container.streams.video if not each.disposition & Disposition.attached_pic]
        best = cast(VideoStream | None, self._container.streams.best("video"))
        index = best.index if best is not None else None
        stream = next((each for each in streams if each.index == index), streams[0] if streams else None)
        if stream is None or stream.codec_context is None:
            raise VideoError(f"{path.name} came without a video that can be decoded; needed: one. Choose another file.")
        check_codec(path.name, stream.codec_context.name, stream.codec_context.extradata)
        size = (stream.codec_context.width, stream.codec_context.height)
        if max(size) > longest_side:
            raise VideoError(
                f"{path.name} came with {size[0]} x {size[1]} pixels; needed: at most {longest_side} a side. Shrink it."
            )
        others = [f"{each.width} x {each.height}" for each in streams if each is not stream]
        if others:
            painted = f"that of {size[0]} x {size[1]} pixels is painted"
            self.notes[f"it holds {len(streams)} videos: {painted}, left out is {' and '.join(others)}."] = None
        return stream
