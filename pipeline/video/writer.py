"""Writing a video file with PyAV: a whole file or none, with the times and the sound of what it is made from."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import av
import numpy as np
from av.container.output import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame

from pipeline.errors import VideoError
from pipeline.video.ffmpeg import BT709, GUESSED_RATE, reason_of

if TYPE_CHECKING:
    from pipeline.frames.codec import Frame

LIMITED_RANGE = 1
COARSEST_MOVIE_CLOCK = 10_000
"""Ticks a second; the sound's times are told by this clock as well."""


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
