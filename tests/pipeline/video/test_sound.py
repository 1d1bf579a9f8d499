"""Sounds that come to a file: kept wherever its kind can hold them, else left out with advice that can be followed."""

from __future__ import annotations

import errno
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.error import FFmpegError

from pipeline import FrameSettings
from pipeline.video.translate import VideoReport, translate_video
from pipeline.video.writer import advice_on
from tests.support.clips import Mirror, read_clip, sound_of, write_clip

PAD = FrameSettings(fit="pad")
FRAMES = {"times": range(10), "time_base": Fraction(1, 25)}


def mirrored(source: Path, out: Path, **more: object) -> VideoReport:
    return translate_video(Mirror(), source, out, PAD, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("name", ["in.avi", "in.mkv"])
def test_sound_of_so_many_channels_is_kept_without_their_names(name: str, suffix: str, tmp_path: Path) -> None:
    source, out = write_clip(tmp_path / name, sound="pcm_s16le", **FRAMES), tmp_path / f"out{suffix}"
    assert mirrored(source, out).notes == ()
    assert b"".join(sound_of(out)) == b"".join(sound_of(source)) != b""
    assert len(read_clip(out).pictures) == 10


@pytest.mark.parametrize(
    ("name", "codec", "suffix", "ends"),
    [
        ("in.avi", "pcm_alaw", ".mkv", ".mkv files cannot hold it. Write .mov to keep it."),
        ("in.avi", "pcm_s16le", ".webm", ".webm files cannot hold it. Write .mkv to keep it."),
        ("in.avi", "adpcm_ima_wav", ".mkv", ".mkv files cannot hold it."),
        ("in.mkv", "flac", ".mov", ".mov files cannot hold it. Write .mkv to keep it."),
    ],
)
def test_sound_is_left_out_with_advice_that_can_be_followed(
    name: str, codec: str, suffix: str, ends: str, tmp_path: Path
) -> None:
    source, out = write_clip(tmp_path / name, sound=codec, **FRAMES), tmp_path / f"out{suffix}"
    (note,) = mirrored(source, out).notes
    assert note.endswith(ends)
    assert codec in note
    assert sound_of(out) == []
    assert len(read_clip(out).pictures) == 10


def test_who_can_write_one_kind_is_not_advised_to_write_another(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.avi", sound="pcm_alaw", **FRAMES)
    (note,) = mirrored(source, tmp_path / "out.mp4", kinds=(".mp4",)).notes
    assert note.endswith(".mp4 files cannot hold it.")


@pytest.mark.parametrize(
    ("error", "blamed", "not_blamed"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "room", "FFmpeg"),
        (OSError(errno.EACCES, "Permission denied"), "folder", "room"),
        (OSError(errno.EIO, "Input/output error"), "place", "room"),
        (av.error.ArgumentError(errno.EINVAL, "Invalid argument"), "pictures and sound", "room"),
        (av.error.InvalidDataError(0xFF, "Invalid data found"), "pictures and sound", "folder"),
    ],
)
def test_no_error_blames_what_is_not_to_blame(error: OSError | FFmpegError, blamed: str, not_blamed: str) -> None:
    assert blamed in advice_on(error)
    assert not_blamed not in advice_on(error)
