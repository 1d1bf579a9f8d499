"""Small video files for tests, made with PyAV, what they hold when they are read back, and a session of no model."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from pipeline import FrameSettings
from pipeline.frames.codec import Frame, fitted

RATE = 48_000
RED, GREEN, BLUE, GREY = (220, 30, 30), (30, 200, 30), (30, 30, 220), (128, 128, 128)
FORMATS = {
    ".mp4": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".ts": "mpegts",
    ".h264": "h264",
    ".avi": "avi",
    ".flv": "flv",
    ".asf": "asf",
}
CODECS = {".webm": "libvpx-vp9", ".avi": "mpeg4", ".flv": "flv", ".asf": "wmv2"}


def corners(size: tuple[int, int]) -> Frame:
    """Red above left, green above right, blue below left, grey below right: no turn and no mirror hides in it."""
    width, height = size
    frame = np.empty((height, width, 3), np.uint8)
    frame[: height // 2, : width // 2], frame[: height // 2, width // 2 :] = RED, GREEN
    frame[height // 2 :, : width // 2], frame[height // 2 :, width // 2 :] = BLUE, GREY
    return frame


def write_loose_avi(path: Path, said: int, sides: Sequence[int]) -> Path:
    """A video of JPEGs: square frames of these `sides`, each of which says its own, under a header that has `said`."""
    return write_avi_of(path, said, [_grey_jpeg(side) for side in sides])


def write_avi_of(path: Path, said: int, frames: Sequence[bytes], codec: bytes = b"MJPG") -> Path:
    """A video of these pictures' files, under a header that has `said` that each is square and of such a side."""
    count = len(frames)
    main = struct.pack("<14L", 40_000, 0, 0, 0x10, count, 0, 1, 0, said, said, 0, 0, 0, 0)
    stream = b"vids" + codec + struct.pack("<LHHLLLLLLLLHHHH", 0, 0, 0, 0, 1, 25, 0, count, 0, 0, 0, 0, 0, said, said)
    picture = struct.pack("<LllHH4sLllLL", 40, said, said, 1, 24, codec, 3 * said**2, 0, 0, 0, 0)
    streams = _chunk(b"LIST", b"strl" + _chunk(b"strh", stream) + _chunk(b"strf", picture))
    head = _chunk(b"LIST", b"hdrl" + _chunk(b"avih", main) + streams)
    movie = _chunk(b"LIST", b"movi" + b"".join(_chunk(b"00dc", each) for each in frames))
    path.write_bytes(_chunk(b"RIFF", b"AVI " + head + movie))
    return path


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<L", len(content)) + content + bytes(len(content) % 2)


def _grey_jpeg(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (side, side), 128).save(file, "JPEG", quality=10)
    return file.getvalue()


def write_clip(
    path: Path,
    times: Sequence[int] = range(0, 8 * 512, 512),
    *,
    size: tuple[int, int] = (48, 32),
    time_base: Fraction = Fraction(1, 12_800),
    rotation: tuple[float, bool, bool] | None = None,
    sound: str | None = None,
    sound_s: float = 0.4,
    sound_start: int = 0,
) -> Path:
    """A clip of `corners` with a frame at each of `times`; `rotation` is PyAV's: degrees, and whether mirrored."""
    # Else MP4 would tell when the first frame comes in milliseconds.
    clock = {"movie_timescale": "90000"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", format=FORMATS[path.suffix], container_options=clock) as container:
        stream = container.add_stream(CODECS.get(path.suffix, "libx264"), rate=25, options={"g": "4"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p"
        stream.codec_context.time_base = time_base
        if rotation is not None:
            stream.set_display_rotation(*rotation)
        if sound is not None:
            voice = container.add_stream(sound, rate=RATE)
            heard = sine(sound_s, voice.format.name)
            heard.pts = sound_start * RATE
            for packet in [*voice.encode(heard), *voice.encode(None)]:
                container.mux(packet)
        for time in times:
            frame = av.VideoFrame.from_ndarray(corners(size), "rgb24")
            frame.pts, frame.time_base = time, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    """A file of sound alone."""
    with av.open(str(path), "w", format=FORMATS[path.suffix]) as container:
        voice = container.add_stream("aac", rate=RATE)
        for packet in [*voice.encode(sine(0.2, voice.format.name)), *voice.encode(None)]:
            container.mux(packet)
    return path


def sine(seconds: float, sample_format: str) -> av.AudioFrame:
    wave = np.sin(2 * np.pi * 440 * np.arange(int(seconds * RATE)) / RATE) * 0.3
    samples = np.stack([wave, wave]).astype(np.float32)
    if sample_format in ("s16", "s16p"):
        samples = (samples * 32_767).astype(np.int16)
    if sample_format == "s16":
        samples = samples.T.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(samples, sample_format, "stereo")
    frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
    return frame


@dataclass(frozen=True, eq=False)
class Clip:
    """What a file holds: seconds and picture of each frame, and the bytes of its sound."""

    seconds: list[Fraction]
    pictures: list[Frame]
    rotation: int
    codec: str
    sound: list[bytes]


def read_clip(path: Path) -> Clip:
    """Read a whole file, which must be playable."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        seconds = [Fraction(frame.pts) * stream.time_base for frame in frames]
        pictures = [frame.to_ndarray(format="rgb24") for frame in frames]
        codec, rotation = stream.codec_context.codec.canonical_name, frames[0].rotation
    return Clip(seconds, pictures, rotation, codec, sound_of(path))


def sound_of(path: Path) -> list[bytes]:
    """The packets of a file's first sound; none where it has none."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]


class Mirror:
    """A session that gives every frame back, at the size it works at; `on_frame` is called before each."""

    def __init__(self, size: tuple[int, int] = (64, 64), on_frame: Callable[[int], None] | None = None) -> None:
        self.size = size
        self.frames = 0
        self.flagged = 0
        self.closed = False
        self._on_frame = on_frame

    def translate(self, frame: Frame, settings: FrameSettings) -> Image.Image:
        if self._on_frame is not None:
            self._on_frame(self.frames)
        self.frames += 1
        return Image.fromarray(fitted(frame, self.size, settings.fit))

    def close(self) -> None:
        self.closed = True
