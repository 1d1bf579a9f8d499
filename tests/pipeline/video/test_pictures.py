"""What is shown of frames that are transparent, interlaced, of wider colours or other sizes, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipeline import FrameSettings
from pipeline.video.alpha import AlphaVideo
from pipeline.video.pictures import as_rgb
from pipeline.video.reader import SourceFrame, VideoReader
from pipeline.video.translate import VideoReport, translate_video
from tests.support.clips import Mirror, read_clip, write_clip

PAD = FrameSettings(fit="pad")
RED = (220, 30, 30)


def mirrored(source: Path, out: Path) -> VideoReport:
    return translate_video(Mirror((256, 256)), source, out, PAD)  # type: ignore[arg-type]


def read(path: Path) -> list[SourceFrame]:
    with VideoReader(path) as reader:
        return [piece for piece in reader.pieces() if isinstance(piece, SourceFrame)]


def write(path: Path, container: str, codec: str, frames: Sequence[av.VideoFrame], **options: str) -> Path:
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, frames[0].format.name
        for time, frame in enumerate(frames):
            frame.pts, frame.time_base = time, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("container", "codec", "kind"), [("mov", "png", "rgba"), ("apng", "apng", "rgba"), ("mov", "qtrle", "argb")]
)
def test_what_is_transparent_shows_white(container: str, codec: str, kind: str, tmp_path: Path) -> None:
    pixels = np.zeros((48, 64, 4), np.uint8)
    pixels[12:36, 16:48] = (*RED, 255)
    frame = av.VideoFrame.from_ndarray(pixels, "rgba").reformat(format=kind)
    picture = read(write(tmp_path / "in", container, codec, [frame]))[0].picture
    assert picture[2, 2].tolist() == [255, 255, 255]
    assert picture[24, 32].tolist() == list(RED)


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_what_webm_keeps_beside_its_pictures_is_transparent_frame_by_frame(codec: str, tmp_path: Path) -> None:
    frames = []
    for index in range(4):
        pixels = np.full((64, 96, 4), (*RED, 0), np.uint8)
        pixels[16:48, 16 * index : 16 * index + 32, 3] = 255
        frames.append(av.VideoFrame.from_ndarray(pixels, "rgba").reformat(format="yuva420p"))
    found = read(write(tmp_path / "in.webm", "webm", codec, frames, **{"auto-alt-ref": "0", "b": "1000000"}))
    assert len(found) == 4
    for index, each in enumerate(found):
        red = [x for x in range(8, 96, 16) if each.picture[32, x].astype(int) @ (1, -1, 0) > 60]
        assert red == [16 * index + 8, 16 * index + 24] and each.picture[4, 4].min() > 250


def test_what_lies_beside_a_picture_is_bounded_as_it_is(tmp_path: Path) -> None:
    pixels = np.zeros((64, 96, 4), np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, "rgba").reformat(format="yuva420p")
    source = write(tmp_path / "in.webm", "webm", "libvpx-vp9", [frame], **{"auto-alt-ref": "0"})
    with av.open(str(source)) as file:
        (packet, *_) = file.demux(video=0)
        beside = AlphaVideo("vp9", {"max_pixels": "1024"})
        beside.take(packet)
        assert packet.has_sidedata("matroska_block_additional") and beside.of(frame) is None


@pytest.mark.parametrize(("transfer", "white"), [(16, 0.58), (18, 0.75)])
def test_white_of_hdr_is_white(transfer: int, white: float) -> None:
    frame = av.VideoFrame(64, 64, "yuv420p10le")
    np.frombuffer(frame.planes[0], np.uint16)[:] = round(64 + 876 * white)
    for plane in (1, 2):
        np.frombuffer(frame.planes[plane], np.uint16)[:] = 512
    frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc = 9, 1, 9, transfer
    assert as_rgb(frame)[32, 32].min() >= 250


def test_interlaced_frames_are_made_whole_at_their_own_times(tmp_path: Path) -> None:
    frames = []
    for index in range(6):
        pixels = np.full((96, 128, 3), 240, np.uint8)
        pixels[0::2, 10 + 8 * index : 30 + 8 * index] = 20
        pixels[1::2, 14 + 8 * index : 34 + 8 * index] = 20
        frames.append(av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p"))
    source = write(tmp_path / "in.ts", "mpegts", "mpeg2video", frames, flags="+ildct+ilme", b="8000000")
    found = read(source)
    assert len(found) == 6
    assert {after.time - before.time for before, after in zip(found, found[1:], strict=False)} == {3600}
    green = found[3].picture[..., 1].astype(int)
    assert np.abs(green[:-1] - green[1:]).mean() < 4
    assert any("interlaced" in note for note in mirrored(source, tmp_path / "out.mp4").notes)


def test_pictures_of_another_shape_stand_between_bars(tmp_path: Path) -> None:
    parts = []
    for size in ((256, 128), (128, 256)):
        pixels = np.zeros((size[1], size[0], 3), np.uint8)
        pixels[size[1] // 2 - 24 : size[1] // 2 + 24, size[0] // 2 - 24 : size[0] // 2 + 24] = RED
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
        parts.append(write(tmp_path / f"{size[0]}.h264", "h264", "libx264", [frame]).read_bytes())
    source, out = tmp_path / "in.h264", tmp_path / "out.mp4"
    source.write_bytes(b"".join(parts))
    assert any("change their size" in note for note in mirrored(source, out).notes)
    red = read_clip(out).pictures[-1][..., 0] > 120
    assert red.any(0).sum() == pytest.approx(red.any(1).sum(), abs=1)


def test_the_film_is_what_ffmpeg_takes_for_it_and_the_others_are_said(tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w", format="matroska") as file:
        streams = [file.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, side in zip(streams, (16, 64), strict=True):
            stream.width, stream.height, stream.pix_fmt = side, side, "yuv420p"
        for stream, side, count in zip(streams, (16, 64), (1, 10), strict=True):
            for time in range(count):
                frame = av.VideoFrame.from_ndarray(np.zeros((side, side, 3), np.uint8), "rgb24")
                frame.pts, frame.time_base = time, Fraction(1, 25)
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    report = mirrored(source, tmp_path / "out.mp4")
    assert report.frames == 10
    assert "16 x 16" in report.notes[0]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_the_last_picture_stands_as_long_as_it_should(suffix: str, tmp_path: Path) -> None:
    first, *others = (Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue"))
    first.save(tmp_path / "in.gif", save_all=True, append_images=others, duration=[100, 100, 2000])
    mirrored(tmp_path / "in.gif", tmp_path / f"out{suffix}")
    with av.open(str(tmp_path / f"out{suffix}")) as file:
        assert file.duration / av.time_base == pytest.approx(2.2, abs=0.01)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sounds_and_the_file_keep_what_they_are_called(suffix: str, tmp_path: Path) -> None:
    plain, source = write_clip(tmp_path / "plain.mp4", sound="aac"), tmp_path / "in.mkv"
    with av.open(str(plain)) as film, av.open(str(source), "w") as file:
        file.metadata.update(title="Holiday", date="2024")
        picture = file.add_stream_from_template(film.streams.video[0], opaque=True)
        sounds = [file.add_stream_from_template(film.streams.audio[0]) for _ in range(2)]
        sounds[0].metadata.update(language="eng", title="Commentary")
        sounds[1].metadata.update(language="deu")
        sounds[1].disposition = av.stream.Disposition.default
        for stream, read in zip((picture, *sounds), ("video", "audio", "audio"), strict=True):
            with av.open(str(plain)) as again:
                for packet in again.demux(getattr(again.streams, read)[0]):
                    if packet.dts is not None:
                        packet.stream = stream
                        file.mux_one(packet)
    mirrored(source, tmp_path / f"out{suffix}")
    with av.open(str(tmp_path / f"out{suffix}")) as file:
        assert file.metadata["title"] == "Holiday"
        assert [each.metadata["language"] for each in file.streams.audio] == ["eng", "deu"]
        assert [bool(each.disposition & 1) for each in file.streams.audio] == [False, True]
