"""Writing a video file with PyAV: a whole file or none, with the times and the sound of what it is made from."""

from __future__ import annotations

import errno
import os
import secrets
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import av
import numpy as np
from av.container.output import OutputContainer
from av.error import ArgumentError, FFmpegError, InvalidDataError
from av.packet import Packet
from av.video.frame import VideoFrame

from pipeline.errors import VideoError
from pipeline.video.ffmpeg import BT709, GUESSED_RATE, reason_of
from pipeline.video.sound import added_sound, can_hold, left_out
from pipeline.video.targets import TARGETS, Target, target_of

if TYPE_CHECKING:
    from pipeline.frames.codec import Frame

LIMITED_RANGE = 1
COARSEST_MOVIE_CLOCK = 10_000
"""Ticks a second; the sound's times are told by this clock as well."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
OWN_TAGS = {"encoder", "duration", "major_brand", "minor_version", "compatible_brands"}
"""What tells of the file itself, and not of what it holds."""
RESIZED_NOTE = "its pictures change their size: those of another are fitted into the first one's, between bars."
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


class Timed(Protocol):
    """Whose times and sound a video is written with: ticks of `time_base` seconds, frames at about `rate` a second."""

    @property
    def time_base(self) -> Fraction: ...

    @property
    def rate(self) -> Fraction: ...

    @property
    def audio(self) -> Sequence[Any]: ...

    @property
    def tags(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class Silent:
    """Times of pictures that come from no video file."""

    time_base: Fraction = Fraction(1, 1000)
    rate: Fraction = GUESSED_RATE
    audio: tuple[()] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


def even(size: tuple[int, int]) -> tuple[int, int]:
    """`size` (width, height), rounded up to what 4:2:0 video can hold."""
    return size[0] + size[0] % 2, size[1] + size[1] % 2


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

    def __init__(
        self,
        out: Path,
        size: tuple[int, int],
        pixel_aspect: Fraction | None,
        reader: Timed,
        kinds: Collection[str] = tuple(TARGETS),
    ) -> None:
        """`size` is (width, height) in pixels, both even; times and sound are as in `reader`. Only kinds of file among
        `kinds`, suffixes, are advised where this one cannot hold a sound."""
        self.frames = 0
        self.left_out: list[str] = []
        self._refused: Counter[str] = Counter()
        self._heard: dict[int, int] = {}
        self._durations: dict[int, int] = {}
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
            self._container.metadata.update(
                {name: text for name, text in reader.tags.items() if name.lower() not in OWN_TAGS}
            )
            self._sound = self._sound_streams(reader, kinds)
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
            frame = self._fitted(picture).reformat(
                *self._size, "yuv420p", dst_colorspace=BT709, dst_color_range=LIMITED_RANGE, interpolation="BICUBIC"
            )
            frame.pts, frame.duration, frame.time_base = time, duration, self._time_base
            if duration:
                self._durations[time] = duration
            self._mux(self._stream.encode(frame))
        self.frames += 1

    def copy(self, packet: Packet[Any]) -> None:
        """Put a packet of sound into the file as it is, if the file can hold it."""
        stream = self._sound.get(packet.stream.index)
        # A packet without a time is the mark of the end, not sound.
        if stream is None or packet.dts is None:
            return
        # Where one recording goes on behind another, the sound of both may meet.
        ratio = packet.time_base / stream.time_base
        last = self._heard.get(packet.stream.index)
        if last is not None and round(packet.dts * ratio) <= last:
            packet.dts = ceil((last + 1) / ratio)
            packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
        self._heard[packet.stream.index] = round(packet.dts * ratio)
        packet.stream = stream
        with self._in_words():
            try:
                self._container.mux_one(packet)
            except (ArgumentError, InvalidDataError):
                # Some pieces are refused only once they come: the pictures need not go with them.
                self._refused[stream.codec_context.name] += 1

    def commit(self) -> None:
        """Finish the file and put it in the place of `out`, if a frame was written; nothing may be written after it."""
        if not self.frames:
            return
        self.left_out += [
            f"{count} pieces of the sound ({name}) are left out: {self._out.suffix} files cannot hold them."
            for name, count in self._refused.items()
        ]
        with self._in_words():
            self._mux(self._stream.encode(None))
            self._container.close()
            self._file.close()
            os.replace(self._made, self._out)

    def _fitted(self, picture: Frame) -> VideoFrame:
        """`picture` as a frame of the file's shape: one of another stands between black bars."""
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
        if even((frame.width, frame.height)) == self._size:
            return frame
        if RESIZED_NOTE not in self.left_out:
            self.left_out.append(RESIZED_NOTE)
        width, height = self._size
        scale = min(width / frame.width, height / frame.height)
        inner = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        barred = np.zeros((height, width, 3), np.uint8)
        barred[top : top + inner[1], left : left + inner[0]] = frame.reformat(
            *inner, "rgb24", interpolation="BICUBIC"
        ).to_ndarray()
        return VideoFrame.from_ndarray(barred, "rgb24")

    def _mux(self, packets: Sequence[Packet[Any]]) -> None:
        """Write encoded pictures; an encoder forgets how long each is to be shown, the last one for good."""
        for packet in packets:
            if packet.pts is not None:
                packet.duration = self._durations.pop(packet.pts, packet.duration)
            self._container.mux_one(packet)

    def _describe(self, pixel_aspect: Fraction | None) -> None:
        context = self._stream.codec_context
        context.width, context.height = self._size
        context.pix_fmt = "yuv420p"
        context.time_base = self._time_base
        context.color_range, context.colorspace = LIMITED_RANGE, BT709
        context.color_primaries, context.color_trc = BT709, BT709
        if pixel_aspect:
            context.sample_aspect_ratio = pixel_aspect

    def _sound_streams(self, reader: Timed, kinds: Collection[str]) -> dict[int, Any]:
        """Index of each sound of the reader that this file can hold -> its place here."""
        suffix = self._out.suffix.lower()
        streams = {}
        for each in reader.audio:
            if can_hold(suffix, each):
                streams[each.index] = added_sound(self._container, each)
            else:
                self.left_out.append(left_out(each, suffix, kinds))
        return streams

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (OSError, FFmpegError) as error:
            raise VideoError(f"{self._out.name} cannot be written ({reason_of(error)}); {advice_on(error)}") from error


def advice_on(error: OSError | FFmpegError) -> str:
    """What is needed and what to do after an error of writing; a place is blamed for what a place can do alone."""
    if error.errno in NO_ROOM:
        return "needed: room for it. Make room, or choose another place."
    if error.errno in FORBIDDEN:
        return "needed: a folder that may be written to. Choose another place."
    if isinstance(error, FFmpegError):
        return "needed: pictures and sound that FFmpeg can put into such a file. Choose another video."
    return "needed: a place that takes it. Choose another place."


def close_unfinished(opened: BinaryIO | OutputContainer) -> None:
    """Close what is thrown away: what kept it from being written may well keep it from being finished."""
    with suppress(OSError, FFmpegError):
        opened.close()
