"""Video files: times, sizes, turns and sound are kept; memory is not; what goes wrong is said, and harms no file."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import weakref
from collections.abc import Iterator
from fractions import Fraction
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline import Engine, FrameError, FrameSettings, Session, VideoError
from pipeline.frames.codec import Frame, unfitted
from pipeline.models.catalogue import CATALOGUE
from pipeline.options import OF_THE_MODEL
from pipeline.settings import DECLARATIONS, RANGES, Choice
from pipeline.video.reader import SourceFrame, VideoReader, facts_of, following_time, upright
from pipeline.video.targets import TARGETS
from pipeline.video.translate import VideoReport, _asked, main, outcome, parse, translate_video, translated_frames
from pipeline.video.writer import check_paths
from tests.support.clips import (
    BLUE,
    GREEN,
    GREY,
    RED,
    Mirror,
    corners,
    read_clip,
    sound_of,
    write_clip,
    write_loose_avi,
    write_sound,
)

ROOT = Path(__file__).resolve().parents[3]
PAD = FrameSettings(fit="pad")
UNEVEN = [0, 1001, 1500, 7777, 7778, 30_000]


def mirrored(source: Path, out: Path, session: Any = None, settings: FrameSettings = PAD, **more: Any) -> Any:
    return translate_video(session or Mirror(), source, out, settings, **more)


def corner_colours(picture: Frame) -> list[tuple[int, ...]]:
    """The colours in the middle of each quarter: above left, above right, below left, below right."""
    height, width = picture.shape[:2]
    return [tuple(map(int, picture[y, x])) for y in (height // 4, -height // 4) for x in (width // 4, -width // 4)]


def assert_alike(found: list[tuple[int, ...]], expected: list[tuple[int, ...]]) -> None:
    assert np.abs(np.array(found) - np.array(expected)).max() < 25, (found, expected)


def test_one_picture_comes_for_each_frame_before_the_next_is_asked_for(engine: Engine, frames: list[Frame]) -> None:
    asked = []

    def source() -> Iterator[Frame]:
        for index, frame in enumerate(frames[:3]):
            asked.append(index)
            yield frame

    pictures = translated_frames(engine.open(), source(), PAD)
    assert asked == []
    for index, picture in enumerate(pictures):
        assert asked == list(range(index + 1))
        assert picture.shape == frames[index].shape
    assert asked == [0, 1, 2]


def test_a_clip_has_one_past(engine: Engine, frames: list[Frame]) -> None:
    by_hand = engine.open(seed=3)
    expected = [unfitted(np.asarray(by_hand.translate(frame, PAD)), (48, 40), "pad") for frame in frames[:4]]
    found = list(translated_frames(engine.open(seed=3), frames[:4], PAD))
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
    assert by_hand.bank_fill == 1.0


def test_a_clip_is_painted_by_the_engine(engine: Engine, tmp_path: Path) -> None:
    source, out = write_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    with_engine = engine.open()
    report = translate_video(with_engine, source, out, PAD)
    assert (report.frames, report.expected, report.ending, report.notes) == (8, 8, "whole", ())
    assert with_engine.frames == 8
    assert read_clip(out).seconds == read_clip(source).seconds
    assert not np.allclose(read_clip(out).pictures[0], read_clip(source).pictures[0], atol=30)


@pytest.mark.parametrize("suffix", TARGETS)
@pytest.mark.parametrize("name", ["in.mp4", "in.mkv", "in.webm", "in.ts", "in.h264", "in.avi"])
def test_every_kind_of_file_becomes_every_kind(name: str, suffix: str, tmp_path: Path) -> None:
    source, out = write_clip(tmp_path / name, range(8), time_base=Fraction(1, 25)), tmp_path / f"out{suffix}"
    assert mirrored(source, out).frames == 8
    clip = read_clip(out)
    assert clip.codec == ("vp9" if suffix == ".webm" else "h264")
    assert [round(1000 * each) for each in clip.seconds] == [40 * index for index in range(8)]
    assert_alike(corner_colours(clip.pictures[3]), [RED, GREEN, BLUE, GREY])


@pytest.mark.parametrize(
    "time_base", [Fraction(1, 30_000), Fraction(1, 90_000), Fraction(1, 15_360), Fraction(1, 10**6)]
)
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_uneven_times_are_kept_to_the_tick(time_base: Fraction, suffix: str, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", UNEVEN, time_base=time_base)
    mirrored(source, tmp_path / f"out{suffix}")
    assert read_clip(tmp_path / f"out{suffix}").seconds == [each * time_base for each in UNEVEN]


def test_a_late_first_frame_stays_late(tmp_path: Path) -> None:
    times = [12_347, 13_000, 14_444]
    source = write_clip(tmp_path / "in.mp4", times, time_base=Fraction(1, 90_000))
    mirrored(source, tmp_path / "out.mp4")
    assert read_clip(tmp_path / "out.mp4").seconds == [Fraction(each, 90_000) for each in times]


def test_a_clock_of_a_broadcast_starts_from_zero(tmp_path: Path) -> None:
    start = 26_000 * 90_000
    times = [start, start + 3_000, start + 9_000]
    source = write_clip(tmp_path / "in.ts", times, time_base=Fraction(1, 90_000))
    mirrored(source, tmp_path / "out.mp4")
    assert read_clip(tmp_path / "out.mp4").seconds == [0, Fraction(3_000, 90_000), Fraction(9_000, 90_000)]


@given(
    times=st.lists(st.one_of(st.none(), st.integers(-10, 100)), min_size=1, max_size=30),
    step=st.integers(0, 5),
)
def test_frames_never_meet(times: list[int | None], step: int) -> None:
    last = None
    for time in times:
        following = following_time(time, last, step)
        assert last is None or following > last
        if time is not None and (last is None or time > last):
            assert following == time
        last = following


@pytest.mark.parametrize(("size", "shown"), [((33, 41), (34, 42)), ((48, 130), (48, 130)), ((200, 20), (200, 20))])
def test_any_shape_comes_back_uncut(size: tuple[int, int], shown: tuple[int, int], tmp_path: Path) -> None:
    source, out = write_clip(tmp_path / "in.mp4", size=size), tmp_path / "out.mp4"
    mirrored(source, out, Mirror((64, 64)))
    picture = read_clip(out).pictures[0]
    assert (picture.shape[1], picture.shape[0]) == shown
    assert_alike(corner_colours(picture), [RED, GREEN, BLUE, GREY])
    # No white of the bars that the model saw.
    assert picture[1, shown[0] // 4].min() < 120
    assert picture[shown[1] // 4, 1].min() < 120


def test_what_is_cropped_away_stays_away(tmp_path: Path) -> None:
    source, out = write_clip(tmp_path / "in.mp4", size=(96, 48)), tmp_path / "out.mp4"
    mirrored(source, out, Mirror((64, 64)), FrameSettings(fit="crop"))
    assert read_clip(out).pictures[0].shape == (48, 48, 3)


@pytest.mark.parametrize("mirror", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_turned_clips_are_painted_upright(degrees: int, mirror: tuple[bool, bool], tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", size=(48, 32), rotation=(degrees, *mirror))
    seen: list[Frame] = []
    mirrored(source, tmp_path / "out.mp4", preview=lambda frame, _: seen.append(frame))
    expected = np.rot90(corners((48, 32)), degrees // 90)
    expected = expected[:: -1 if mirror[1] else 1, :: -1 if mirror[0] else 1]
    assert seen[0].shape == expected.shape
    assert_alike(corner_colours(seen[0]), corner_colours(expected))
    clip = read_clip(tmp_path / "out.mp4")
    assert clip.rotation == 0
    assert_alike(corner_colours(clip.pictures[0]), corner_colours(expected))


def test_without_a_matrix_nothing_turns() -> None:
    frame = corners((6, 4))
    assert upright(frame, None)[0] is frame


@pytest.mark.parametrize(
    ("name", "codec", "suffix"),
    [
        ("in.mp4", "aac", ".mp4"),
        ("in.mp4", "aac", ".mkv"),
        ("in.mkv", "libopus", ".webm"),
        ("in.mkv", "libopus", ".mp4"),
    ],
)
def test_sound_is_copied_byte_for_byte(name: str, codec: str, suffix: str, tmp_path: Path) -> None:
    source, out = write_clip(tmp_path / name, sound=codec), tmp_path / f"out{suffix}"
    assert mirrored(source, out).notes == ()
    assert sound_of(out) == sound_of(source) != []


def test_sound_that_the_file_cannot_hold_is_named(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", sound="aac")
    report = mirrored(source, tmp_path / "out.webm")
    assert report.frames == 8
    assert len(report.notes) == 1
    assert "aac" in report.notes[0]
    assert "Write .mkv" in report.notes[0]


def test_sound_that_goes_on_after_the_pictures_is_kept(tmp_path: Path) -> None:
    source, out = write_clip(tmp_path / "in.mp4", sound="aac", sound_s=2.0), tmp_path / "out.mp4"
    mirrored(source, out)
    assert sound_of(out) == sound_of(source)


def test_one_frame_is_a_clip(tmp_path: Path) -> None:
    source, out = write_clip(tmp_path / "in.mp4", [0]), tmp_path / "out.mp4"
    assert mirrored(source, out).frames == 1
    assert len(read_clip(out).pictures) == 1


def test_facts_are_those_of_the_upright_clip(tmp_path: Path) -> None:
    facts = facts_of(write_clip(tmp_path / "in.mp4", size=(48, 32), rotation=(90, False, False)))
    assert (facts.size, facts.frames) == ((32, 48), 8)
    assert facts.seconds == pytest.approx(8 / 25)


def test_few_frames_are_alive_at_a_time(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", range(0, 200 * 512, 512), sound="aac", sound_s=8.0)
    born: list[weakref.ref[Frame]] = []
    most = 0

    def count(frame: Frame, painted: Frame) -> None:
        nonlocal most
        born.extend((weakref.ref(frame), weakref.ref(painted)))
        most = max(most, sum(each() is not None for each in born))

    assert mirrored(source, tmp_path / "out.mp4", preview=count).frames == 200
    assert most <= 4


def test_progress_counts_every_frame(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    mirrored(write_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4", progress=lambda *each: told.append(each))
    assert told == [(index, 8) for index in range(1, 9)]


def test_a_stopped_clip_is_playable(tmp_path: Path) -> None:
    source, out = write_clip(tmp_path / "in.mp4", sound="aac"), tmp_path / "out.mp4"
    session = Mirror()
    report = mirrored(source, out, session, stop=lambda: session.frames == 3)
    assert (report.frames, report.expected, report.ending) == (3, 8, "stopped")
    assert len(read_clip(out).pictures) == 3


def test_what_is_stopped_before_the_first_frame_writes_nothing(tmp_path: Path) -> None:
    source, out = write_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    assert mirrored(source, out, stop=lambda: True).frames == 0
    assert list(tmp_path.iterdir()) == [source]


def test_a_keyboard_interrupt_leaves_a_playable_file_and_goes_on(tmp_path: Path) -> None:
    def interrupt(frame: int) -> None:
        if frame == 5:
            raise KeyboardInterrupt

    out = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        mirrored(write_clip(tmp_path / "in.mp4"), out, Mirror(on_frame=interrupt))
    assert len(read_clip(out).pictures) == 5


def fail(frame: int) -> None:
    if frame == 2:
        raise FrameError("the model gave NaN")


def test_a_failure_leaves_the_older_file_and_nothing_beside_it(tmp_path: Path) -> None:
    source, out = write_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    out.write_bytes(b"older")
    with pytest.raises(FrameError):
        mirrored(source, out, Mirror(on_frame=fail))
    assert out.read_bytes() == b"older"
    assert set(tmp_path.iterdir()) == {source, out}


class SmallDisk(FileIO):
    """A file on a disk that holds so many bytes, and no more."""

    room = 0

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


@pytest.mark.parametrize("room", [0, 100, 1500])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_full_disk_is_said_and_cleaned_up(
    room: int, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = write_clip(tmp_path / "in.mp4", range(0, 60 * 512, 512)), tmp_path / f"out{suffix}"
    out.write_bytes(b"older")
    opened = Path.open
    monkeypatch.setattr(SmallDisk, "room", room)
    monkeypatch.setattr(
        Path,
        "open",
        lambda path, mode="r", **more: (
            BufferedWriter(SmallDisk(path, mode)) if "x" in mode else opened(path, mode, **more)
        ),
    )
    with pytest.raises(VideoError, match=rf"out{suffix} cannot be written \(No space left on device\); needed"):
        mirrored(source, out)
    monkeypatch.undo()
    assert out.read_bytes() == b"older"
    assert set(tmp_path.iterdir()) == {source, out}


def test_a_link_is_written_through(tmp_path: Path) -> None:
    source, target, link = write_clip(tmp_path / "in.mp4"), tmp_path / "target.mp4", tmp_path / "link.mp4"
    target.write_bytes(b"older")
    link.symlink_to(target)
    mirrored(source, link)
    assert link.is_symlink()
    assert len(read_clip(target).pictures) == 8


def test_damage_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", range(0, 60 * 512, 512), size=(128, 96))
    data = bytearray(source.read_bytes())
    middle = slice(len(data) // 4, len(data) // 4 + 300)
    data[middle] = random.Random(1).randbytes(300)
    source.write_bytes(data)
    report = mirrored(source, tmp_path / "out.mp4")
    assert report.ending == "whole"
    assert any("could not be decoded" in note for note in report.notes)
    clip = read_clip(tmp_path / "out.mp4")
    assert 10 < len(clip.pictures) < 60
    # What comes after the damage is there, at its own time.
    assert clip.seconds[-1] == Fraction(59, 25)


def test_a_file_that_was_cut_off_gives_what_it_has(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mkv", range(0, 60 * 512, 512))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    report = mirrored(cut, tmp_path / "out.mp4")
    assert 0 < report.frames < 54
    assert any("seconds that it promises" in note for note in report.notes)
    assert len(read_clip(tmp_path / "out.mp4").pictures) == report.frames


def test_a_file_that_breaks_off_gives_what_came_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = VideoReader.pieces

    def breaking(reader: VideoReader) -> Iterator[Any]:
        for index, piece in enumerate(each for each in pieces(reader) if isinstance(each, SourceFrame)):
            if index == 4:
                reader.broken_off = True
                return
            yield piece

    monkeypatch.setattr(VideoReader, "pieces", breaking)
    report = mirrored(write_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4")
    assert (report.frames, report.ending) == (4, "damaged")
    assert len(read_clip(tmp_path / "out.mp4").pictures) == 4


def unreadable(kind: str, folder: Path) -> Path:
    path = folder / f"{kind.replace(' ', '_')}.mp4"
    if kind == "sound":
        return write_sound(path)
    if kind == "no frames":
        return write_clip(path, [], sound="aac")
    if kind == "cut off":
        path.write_bytes(write_clip(folder / "whole.mp4").read_bytes()[:1200])
    if kind == "text":
        path.write_text("no video at all\n" * 50)
    if kind == "empty":
        path.touch()
    if kind == "a list of other files":
        write_clip(folder / "secret.mp4")
        path.write_text("ffconcat version 1.0\nfile secret.mp4\n")
    return path


@pytest.mark.parametrize("kind", ["sound", "no frames", "cut off", "text", "empty", "missing", "a list of other files"])
def test_what_is_no_video_gets_a_sentence(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = unreadable(kind, tmp_path)
    before = set(tmp_path.iterdir())
    assert main([str(source), str(tmp_path / "out.mp4")]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert source.name in said
    assert "needed" in said
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("in.mp4", "to read and to write"),
        ("same.mp4", "to read and to write"),
        ("nowhere/out.mp4", "the folder"),
        ("out.txt", "needed: one of .mp4"),
        ("out", "needed: one of .mp4"),
        ("folder.mp4", "is a folder"),
    ],
)
def test_what_cannot_be_written_gets_a_sentence(
    out: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_clip(tmp_path / "in.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "same.mp4").symlink_to(source)
    before = source.read_bytes()
    assert main([str(source), str(tmp_path / out)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said
    assert source.read_bytes() == before


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    with av.open(str(source), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(corners((32, 32)), "rgb24").reformat(format="yuvj420p")
        container.mux([*cover.encode(frame), *cover.encode(None)])
    with pytest.raises(VideoError, match="without a video"):
        facts_of(source)


@pytest.mark.parametrize("sides", [(64, 80, 64), (80, 64, 64)])
def test_a_frame_that_is_larger_than_the_bound_is_never_decoded(tmp_path: Path, sides: tuple[int, ...]) -> None:
    source = write_loose_avi(tmp_path / "in.avi", 64, sides)
    with VideoReader(source, longest_side=72) as reader:
        frames = [piece.picture.shape for piece in reader.pieces() if isinstance(piece, SourceFrame)]
    assert (frames, reader.damaged) == ([(64, 64, 3)] * 2, 1)
    with VideoReader(source) as reader:
        assert len(list(reader.pieces())) == 3


def test_a_header_that_says_less_than_its_frames_opens_no_door(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="at most 72 pixels a side"):
        facts_of(write_loose_avi(tmp_path / "in.avi", 64, (80, 80)), 72)


def test_other_names_of_one_file_are_found(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4")
    os.link(source, tmp_path / "hard.mp4")
    with pytest.raises(VideoError, match="two files"):
        check_paths(source, tmp_path / "hard.mp4")


@pytest.mark.parametrize("name", sorted(set(DECLARATIONS) - {"memory", "pipelined", "finer"}))
def test_every_setting_has_its_flag(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    flag = f"--{name.replace('_', '-')}"
    assert getattr(parse(["in.mp4", "out.mp4"]), name) is None
    if name in RANGES:
        assert getattr(parse(["in.mp4", "out.mp4", flag, f"{RANGES[name].minimum:g}"]), name) == RANGES[name].minimum
        with pytest.raises(SystemExit) as stopped:
            parse(["in.mp4", "out.mp4", flag, str(RANGES[name].maximum + 1)])
        assert stopped.value.code == 2
        assert "needed" in capsys.readouterr().err
    elif isinstance(DECLARATIONS[name], Choice):
        for choice in DECLARATIONS[name].choices:
            assert getattr(parse(["in.mp4", "out.mp4", flag, choice]), name) == choice
        with pytest.raises(SystemExit):
            parse(["in.mp4", "out.mp4", flag, "neither"])
        assert f"needed: one of {', '.join(DECLARATIONS[name].choices)}" in capsys.readouterr().err
    else:
        assert getattr(parse(["in.mp4", "out.mp4", flag, "neon, 5%"]), name) == "neon, 5%"


def test_what_is_not_said_is_as_the_model_wants_it() -> None:
    model_s_own = FrameSettings(steps=4, strength=0.6)
    said = _asked(parse(["in.mp4", "out.mp4", "--strength", "0.3", "--prompt", "neon"]), model_s_own)
    assert said == FrameSettings(prompt="neon", steps=4, strength=0.3, fit="pad")
    for entry in CATALOGUE.values():
        assert entry.defaults == FrameSettings(**{name: getattr(entry.defaults, name) for name in OF_THE_MODEL})


@pytest.mark.parametrize(("text", "size"), [("320x192", (320, 192)), ("256", (256, 256))])
def test_a_size_is_two_numbers_or_one(text: str, size: tuple[int, int]) -> None:
    assert parse(["in.mp4", "out.mp4", "--size", text]).size == size


@pytest.mark.parametrize("arguments", [["--size", "wide"], ["--steps", "1.5"], ["--fit", "stretch"], ["--seed", "x"]])
def test_a_wrong_argument_gets_a_sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(["in.mp4", "out.mp4", *arguments])
    assert stopped.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_help_does_not_wait_for_torch() -> None:
    code = """
import sys
from pipeline.video.translate import main
try:
    main(["--help"])
finally:
    assert "torch" not in sys.modules
"""
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0
    assert "--fusion-threshold" in finished.stdout


def test_the_command_line_translates(tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = write_clip(tmp_path / "in.mp4", sound="aac"), tmp_path / "out.webm"
    words = ["--prompt", "oil painting", "--model", str(tiny_folder), "--size", "48x32", "--seed", "3"]
    assert main([str(source), str(out), *words]) == 0
    said = capsys.readouterr()
    assert said.out == "out.webm holds 8 frames.\n"
    assert "aac" in said.err
    assert len(read_clip(out).pictures) == 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "no-such-model"], "no-such-model"),
        (["--memory", "none-such"], "none-such"),
        (["--memory", "causal", "--memory-weights", "no-such-folder"], "no-such-folder"),
        (["--size", "33"], "33"),
    ],
)
def test_what_the_engine_refuses_gets_a_sentence(
    arguments: list[str], words: str, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_clip(tmp_path / "in.mp4")
    assert main([str(source), str(tmp_path / "out.mp4"), "--model", str(tiny_folder), *arguments]) == 1
    said = capsys.readouterr().err
    assert words in said
    assert "needed" in said
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_playable_file_and_says_how_far_it_came(
    number: signal.Signals,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    translate = Session.translate

    def interrupted(session: Session, frame: Frame, settings: FrameSettings) -> Image.Image:
        if session.frames == 2:
            signal.raise_signal(number)
        return translate(session, frame, settings)

    monkeypatch.setattr(Session, "translate", interrupted)
    before = signal.getsignal(number)
    source, out = write_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    assert main([str(source), str(out), "--model", str(tiny_folder)]) == 130
    assert capsys.readouterr().err == "Stopped: out.mp4 holds 3 of 8 frames.\n"
    assert len(read_clip(out).pictures) == 3
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    ("frames", "expected", "ending", "said"),
    [
        (1, 1, "whole", "out.mp4 holds 1 frame."),
        (2, 2, "whole", "out.mp4 holds 2 frames."),
        (1, 8, "stopped", "Stopped: out.mp4 holds 1 of 8 frames."),
        (1, None, "stopped", "Stopped: out.mp4 holds 1 frame."),
    ],
)
def test_one_frame_is_no_frames(frames: int, expected: int | None, ending: Any, said: str) -> None:
    assert outcome(VideoReport(frames, expected, ending), Path("out.mp4")) == said
