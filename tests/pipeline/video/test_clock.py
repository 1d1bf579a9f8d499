"""Clocks of files: they start late, jump and know one time of a packet; what is written starts at 0 and runs on."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from pipeline import FrameSettings
from pipeline.video.reader import facts_of
from pipeline.video.translate import VideoReport, translate_video
from tests.support.clips import Mirror, corners, read_clip, write_clip

PAD = FrameSettings(fit="pad")
HOUR = 3600
TICKS = 90_000


def mirrored(source: Path, out: Path) -> VideoReport:
    return translate_video(Mirror(), source, out, PAD)  # type: ignore[arg-type]


def steps(path: Path) -> list[int]:
    """Milliseconds from each frame to the next."""
    seconds = read_clip(path).seconds
    return [round(1000 * (after - before)) for before, after in zip(seconds, seconds[1:], strict=False)]


def capture(path: Path, start: int) -> bytes:
    """One second of a capture whose clock shows `start` seconds."""
    times = range(start * TICKS, (start + 1) * TICKS, TICKS // 25)
    clip = write_clip(path, times, time_base=Fraction(1, TICKS), sound="aac", sound_s=1.0, sound_start=start)
    return clip.read_bytes()


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("in.ts", 0, 0),
        ("in.ts", 0, HOUR),
        ("in.ts", HOUR, 0),
        ("in.mkv", 0, 0),
        ("in.mkv", HOUR, 0),
    ],
)
def test_captures_that_are_joined_play_one_after_the_other(name: str, first: int, second: int, tmp_path: Path) -> None:
    source, out = tmp_path / name, tmp_path / "out.mp4"
    parts = [
        capture(tmp_path / f"{start}-{index}{source.suffix}", start) for index, start in enumerate((first, second))
    ]
    source.write_bytes(b"".join(parts))
    report = mirrored(source, out)
    assert (report.frames, report.expected, report.ending, report.notes) == (50, 50, "whole", ())
    # FFmpeg's program writes the same: the second goes on where the pictures of the first end.
    assert steps(out) == [40] * 49
    assert read_clip(out).seconds[0] < Fraction(1, 25)
    with av.open(str(out)) as container:
        times = [packet.dts for packet in container.demux(audio=0) if packet.size]
        sound_s = float((times[-1] - times[0]) * container.streams.audio[0].time_base)
    assert len(times) >= 2 * 47
    assert times == sorted(set(times))
    assert sound_s == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("name", ["in.mkv", "in.webm", "in.mp4", "in.mov", "in.ts", "in.flv", "in.asf"])
def test_a_recording_that_begins_late_is_as_long_as_what_it_holds(name: str, tmp_path: Path) -> None:
    times = range(HOUR * 1000, HOUR * 1000 + 400, 40)
    source = write_clip(tmp_path / name, times, time_base=Fraction(1, 1000))
    facts = facts_of(source)
    assert facts.frames == 10
    assert facts.seconds == pytest.approx(0.4, abs=0.05)
    report = mirrored(source, tmp_path / "out.mp4")
    assert (report.frames, report.ending, report.notes) == (10, "whole", ())
    assert read_clip(tmp_path / "out.mp4").seconds[0] == 0
    assert steps(tmp_path / "out.mp4") == [40] * 9


def test_pictures_stay_late_against_a_sound_that_begins_first(tmp_path: Path) -> None:
    times = range(HOUR * 1000 + 500, HOUR * 1000 + 900, 40)
    source = write_clip(
        tmp_path / "in.mkv", times, time_base=Fraction(1, 1000), sound="libopus", sound_s=1.0, sound_start=HOUR
    )
    mirrored(source, tmp_path / "out.mp4")
    assert float(read_clip(tmp_path / "out.mp4").seconds[0]) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("container", "codec"), [("avi", "libx264"), ("asf", "libx264"), ("avi", "mpeg4")])
def test_where_a_packet_has_one_time_frames_are_even_and_with_the_sound(
    container: str, codec: str, tmp_path: Path
) -> None:
    source, out = tmp_path / f"in.{container}", tmp_path / "out.mp4"
    with av.open(str(source), "w", format=container) as file:
        stream = file.add_stream(codec, rate=25, options={"bf": "3" if codec == "libx264" else "2"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for time in range(24):
            frame = av.VideoFrame.from_ndarray(corners((48, 32)), "rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    assert mirrored(source, out).frames == 24
    assert read_clip(out).seconds[0] == 0
    assert steps(out) == [40] * 23


@pytest.mark.parametrize("name", ["in.mkv", "in.flv", "in.avi"])
def test_a_file_that_lacks_its_end_is_damaged(name: str, tmp_path: Path) -> None:
    whole = write_clip(tmp_path / name, range(60), time_base=Fraction(1, 25), size=(256, 192)).read_bytes()
    source = tmp_path / f"half{Path(name).suffix}"
    source.write_bytes(whole[: 3 * len(whole) // 4])
    report = mirrored(source, tmp_path / "out.mp4")
    assert report.ending == "damaged"
    assert len(report.notes) >= 1
    assert 0 < report.frames < 60


@pytest.mark.parametrize("frames", [2, 5, 10])
@pytest.mark.parametrize("name", ["in.mkv", "in.flv", "in.avi", "in.mp4", "in.webm", "in.asf", "in.ts"])
def test_a_short_clip_is_whole(name: str, frames: int, tmp_path: Path) -> None:
    sound = {".webm": "libopus", ".avi": "mp2"}.get(Path(name).suffix, "aac")
    source = write_clip(tmp_path / name, range(frames), time_base=Fraction(1, 25), sound=sound, sound_s=frames / 25)
    report = mirrored(source, tmp_path / "out.mp4")
    assert (report.frames, report.ending, report.notes) == (frames, "whole", ())
