"""Video files by PyAV: a reader of upright frames and their times, a writer that leaves a whole file or none."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

import av
import numpy as np
from av.container.input import InputContainer
from av.container.output import OutputContainer
from av.error import FFmpegError
from av.format import Flags
from av.packet import Packet
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.errors import VideoError

if TYPE_CHECKING:
    from pipeline.frames.codec import Frame

LONGEST_VIDEO_SIDE = 8192
GUESSED_RATE = Fraction(25)
BT709 = 1
LIMITED_RANGE = 1
UNKNOWN_COLORSPACE = 2
COARSEST_MOVIE_CLOCK = 10_000
"""Ticks a second; the sound's times are told by this clock as well."""
HD_LINES = 720
"""Files that do not name their colours follow BT.601 below this height, BT.709 from it on, as players take it."""

# A file may name other files and addresses: playlists and lists of parts do. What a stranger sends must open nothing
# but itself, so the file is handed over open, and no protocol is left by which it could open another.
READ_OPTIONS = {"protocol_whitelist": "none"}


@dataclass(frozen=True)
class Target:
    """How a kind of file is written: the container's and the encoder's name for FFmpeg, and the encoder's options."""

    container: str
    encoder: str
    options: dict[str, str] = field(default_factory=dict)


_X264 = ("libx264", {"preset": "veryfast", "crf": "18"})
_VP9 = ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "6", "row-mt": "1", "crf": "24"})
TARGETS: dict[str, Target] = {
    ".mp4": Target("mp4", *_X264),
    ".m4v": Target("mp4", *_X264),
    ".mov": Target("mov", *_X264),
    ".mkv": Target("matroska", *_X264),
    ".webm": Target("webm", *_VP9),
}
"""Suffix of the file to write -> how it is written."""


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


def facts_of(path: Path) -> VideoFacts:
    """Open the video at `path` and look at its first frame; raises `VideoError` where there is none."""
    with VideoReader(path) as reader:
        first = next((piece for piece in reader.pieces() if isinstance(piece, SourceFrame)), None)
        if first is None:
            raise VideoError(
                f"{path.name} came without a frame that can be read; needed: one at least. Check the file."
            )
        seconds = reader.seconds
        rate = reader.stream.average_rate
        frames = reader.stream.frames or (round(seconds * rate) if seconds and rate else None)
        aspect = reader.stream.sample_aspect_ratio
        if first.turned and aspect:
            aspect = 1 / aspect
        return VideoFacts((first.picture.shape[1], first.picture.shape[0]), frames, seconds, aspect)


class Timed(Protocol):
    """Whose times and sound a video is written with: ticks of `time_base` seconds, frames at about `rate` a second."""

    @property
    def time_base(self) -> Fraction: ...

    @property
    def rate(self) -> Fraction: ...

    @property
    def audio(self) -> Sequence[Any]: ...


@dataclass(frozen=True)
class Silent:
    """Times of pictures that come from no video file."""

    time_base: Fraction = Fraction(1, 1000)
    rate: Fraction = GUESSED_RATE
    audio: tuple[()] = ()


class VideoReader:
    """A video file that is open for reading; a context manager. Raises `VideoError` where it holds no video.

    Of what was read so far, `reached` is the time in seconds of the latest piece, `damaged` the number of pieces that
    could not be decoded, and `broken_off` whether the file could not be read any further.
    """

    def __init__(self, path: Path) -> None:
        self.reached = 0.0
        self.damaged = 0
        self.broken_off = False
        with ExitStack() as undo:
            try:
                file = undo.enter_context(path.open("rb"))
                self._container: InputContainer = undo.enter_context(
                    av.open(file, "r", options=READ_OPTIONS, metadata_errors="replace")
                )
            except (OSError, FFmpegError) as error:
                raise VideoError(
                    f"{path.name} cannot be read as a video ({reason_of(error)}); needed: a whole file that FFmpeg "
                    "knows. Check the file."
                ) from error
            self.stream = self._video_stream(path)
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

    def _video_stream(self, path: Path) -> VideoStream:
        """The first video that is no cover picture."""
        streams = self._container.streams.video
        stream = next((each for each in streams if not each.disposition & Disposition.attached_pic), None)
        if stream is None or stream.codec_context is None:
            raise VideoError(f"{path.name} came without a video that can be decoded; needed: one. Choose another file.")
        size = (stream.codec_context.width, stream.codec_context.height)
        if max(size) > LONGEST_VIDEO_SIDE:
            raise VideoError(
                f"{path.name} came with {size[0]}x{size[1]} pixels; needed: at most {LONGEST_VIDEO_SIDE} a side. "
                "Shrink it."
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


def even(size: tuple[int, int]) -> tuple[int, int]:
    """`size` (width, height), rounded up to what 4:2:0 video can hold."""
    return size[0] + size[0] % 2, size[1] + size[1] % 2


def target_of(out: Path) -> Target:
    """How the file `out` is written; raises `VideoError` for a suffix that is not in `TARGETS`."""
    if out.suffix.lower() not in TARGETS:
        raise VideoError(
            f"{out.name} came with the suffix {out.suffix!r}; needed: one of {', '.join(TARGETS)}. Rename it."
        )
    return TARGETS[out.suffix.lower()]


def clock_options(target: Target, time_base: Fraction) -> dict[str, str]:
    """What lets a file hold a late first frame to the tick: MP4 and MOV write that gap in a clock of their own, which
    counts milliseconds unless it is told to count as the video does."""
    if target.container not in ("mp4", "mov"):
        return {}
    ticks = time_base.denominator
    return {"movie_timescale": str(ticks * -(-COARSEST_MOVIE_CLOCK // ticks))}


def check_paths(source: Path, out: Path) -> None:
    """Raise `VideoError` unless `source` is a file and `out` names another one that can be written."""
    if not source.is_file():
        raise VideoError(f"{source} is not there, or is no file; needed: a video file. Check the name.")
    target_of(out)
    if not out.parent.is_dir():
        raise VideoError(f"the folder {out.parent} is not there; needed: a folder to write {out.name} to. Make it.")
    if out.is_dir():
        raise VideoError(f"{out} is a folder; needed: the name of a file. Choose another name.")
    if out.exists() and out.samefile(source):
        raise VideoError(f"{source} came as the file to read and to write; needed: two files. Choose another name.")


class VideoWriter:
    """A video file in the making, beside `out` under another name; a context manager.

    `commit` puts it in the place of `out`. Without it, also after any error, nothing is left and an older `out` stays.
    Every method raises `VideoError` where the file cannot be written. `left_out` names what the file cannot hold.
    """

    def __init__(self, out: Path, size: tuple[int, int], pixel_aspect: Fraction | None, reader: Timed) -> None:
        """`size` is (width, height) in pixels, both even; times and sound are as in `reader`."""
        self.frames = 0
        self.left_out: list[str] = []
        self._size = size
        self._time_base = reader.time_base
        # A link stays a link: what it points to is replaced.
        self._out = out.resolve()
        self._made = self._out.with_name(f".rearview-{secrets.token_hex(6)}.part")
        target = target_of(out)
        with ExitStack() as undo, self._in_words():
            undo.callback(self._made.unlink, missing_ok=True)
            self._file = self._made.open("xb")
            undo.callback(close_unfinished, self._file)
            self._container: OutputContainer = av.open(
                self._file, "w", format=target.container, container_options=clock_options(target, reader.time_base)
            )
            undo.callback(close_unfinished, self._container)
            self._stream: Any = self._container.add_stream(target.encoder, rate=reader.rate, options=target.options)
            self._describe(pixel_aspect)
            self._sound = self._sound_streams(reader, out)
            self._container.start_encoding()
            self._undo = undo.pop_all()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def write(self, picture: Frame, time: int, duration: int) -> None:
        """Encode `picture` `[H, W, 3]`, scaled to the file's size, to be shown from `time` on, in ticks."""
        with self._in_words():
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24").reformat(
                *self._size, "yuv420p", dst_colorspace=BT709, dst_color_range=LIMITED_RANGE, interpolation="BICUBIC"
            )
            frame.pts, frame.duration, frame.time_base = time, duration, self._time_base
            self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def copy(self, packet: Packet[Any]) -> None:
        """Put a packet of sound into the file as it is, if the file can hold it."""
        stream = self._sound.get(packet.stream.index)
        # A packet without a time is the mark of the end, not sound.
        if stream is None or packet.dts is None:
            return
        packet.stream = stream
        with self._in_words():
            self._container.mux_one(packet)

    def commit(self) -> None:
        """Finish the file and put it in the place of `out`, if a frame was written; nothing may be written after it."""
        if not self.frames:
            return
        with self._in_words():
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._file.close()
            os.replace(self._made, self._out)

    def _describe(self, pixel_aspect: Fraction | None) -> None:
        context = self._stream.codec_context
        context.width, context.height = self._size
        context.pix_fmt = "yuv420p"
        context.time_base = self._time_base
        context.color_range, context.colorspace = LIMITED_RANGE, BT709
        context.color_primaries, context.color_trc = BT709, BT709
        if pixel_aspect:
            context.sample_aspect_ratio = pixel_aspect

    def _sound_streams(self, reader: Timed, out: Path) -> dict[int, Any]:
        """Index of each sound of the reader that this file can hold -> its place here."""
        streams = {}
        for each in reader.audio:
            name = each.codec_context.name if each.codec_context else "unknown"
            try:
                streams[each.index] = self._container.add_stream_from_template(each)
            except ValueError:
                self.left_out.append(
                    f"the sound ({name}) is left out: {out.suffix} files cannot hold it. Write .mkv to keep it."
                )
        return streams

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (OSError, FFmpegError) as error:
            raise VideoError(
                f"{self._out.name} cannot be written ({reason_of(error)}); needed: a folder with room that may be "
                "written to. Make room, or choose another place."
            ) from error


def close_unfinished(opened: BinaryIO | OutputContainer) -> None:
    """Close what is thrown away: what kept it from being written may well keep it from being finished."""
    with suppress(OSError, FFmpegError):
        opened.close()


def reason_of(error: OSError | FFmpegError) -> str:
    """What the system or FFmpeg says, in a few words without paths."""
    return error.strerror or type(error).__name__
