"""The attack benchmark: its files are what they say, its verdicts follow what came, and a real app holds out."""

from __future__ import annotations

import argparse
import csv
import io
import random
import sys
import zipfile
from pathlib import Path

import av
import pytest
from PIL import Image

from benchmarks import attack
from benchmarks.attack import Siege, Stretch, attack_names, stretch_rows, verdict_rows
from benchmarks.strangers import attacks, payloads
from pipeline.recording.archive import SUFFIX
from pipeline.recording.recording import read_recording


def stretch(name: str, *waits: float, newcomer: str = "served", resident: float | None = 100.0) -> Stretch:
    return Stretch(name, waits, tries=3, newcomer=newcomer, resident=resident)


def judged(siege: Siege) -> dict[object, object]:
    return {row["what"]: row["verdict"] for row in verdict_rows(siege)}


REST = stretch("at rest", 100.0, 100.0, newcomer="")


def test_an_app_that_goes_on_as_it_was_keeps_every_promise() -> None:
    siege = Siege((REST, stretch("noise", 120.0, 250.0), REST), failed=0, cut_short=0, complaints=())
    assert set(judged(siege).values()) == {"kept"}
    assert [row["95 %, of that at rest"] for row in stretch_rows(siege)] == [1.0, 2.435, 1.0]


@pytest.mark.parametrize(
    ("siege", "promise"),
    [
        (Siege((REST, stretch("noise", 400.0), REST), 0, 0, ()), "95 % wait, of that at rest, worst"),
        (Siege((REST, stretch("noise", 9.0, newcomer="full"), REST), 0, 0, ()), "newcomers who were not served"),
        (Siege((REST, stretch("noise", 9.0), REST), 1, 0, ()), "failed frames of honest visitors"),
        (Siege((REST, stretch("noise", 9.0), REST), 0, 1, ()), "honest visits cut short"),
        (Siege((REST, stretch("noise", 9.0), REST), 0, 0, ("Traceback",)), "errors in the log"),
        (
            Siege((REST, stretch("noise", 9.0), stretch("after", 9.0, resident=111.0)), 0, 0, ()),
            "resident memory, of that at rest",
        ),
    ],
)
def test_each_harm_breaks_its_promise_alone(siege: Siege, promise: str) -> None:
    assert [what for what, verdict in judged(siege).items() if verdict == "broken"] == [promise]


def test_a_jpeg_of_many_scans_opens_as_one_of_its_size() -> None:
    data = payloads.many_scans(512, 100_000)
    assert Image.open(io.BytesIO(data)).size == (512, 512) and len(data) <= 100_000
    assert data.count(b"\xff\xda") > 5000


def test_an_archive_that_unfolds_announces_little() -> None:
    entry = zipfile.ZipFile(io.BytesIO(payloads.unfolding(2**24))).infolist()[0]
    assert (entry.file_size, entry.compress_type) == (100, zipfile.ZIP_BZIP2)


@pytest.mark.parametrize(
    "content", [payloads.pasted_pictures(3, 64), payloads.long_strokes(50), payloads.undo_steps(3, 64)]
)
def test_recordings_that_take_long_are_recordings(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / f"x{SUFFIX}"
    file.write_bytes(content)
    assert read_recording(file).events


def test_a_video_that_grows_begins_small() -> None:
    with av.open(io.BytesIO(payloads.growing_video(128, frames=2))) as video:
        assert [(frame.width, frame.height) for frame in video.decode(video=0)] == [(64, 64), (128, 128), (128, 128)]


def test_nonsense_comes_as_text_and_as_bytes() -> None:
    generator = random.Random(7)
    assert {type(payloads.nonsense(generator)) for _ in range(50)} == {str, bytes}


def test_attacks_are_named_by_how_they_begin() -> None:
    assert attack_names("uploads, sockets") == ("sockets that say nothing", "uploads: much, broken, slow")
    with pytest.raises(argparse.ArgumentTypeError, match="'kindness' begins no attack's name"):
        attack_names("kindness")


@pytest.mark.skipif(sys.platform != "linux", reason="strangers have an address of their own on Linux's loopback alone")
def test_a_real_app_holds_out_against_every_attack_for_a_moment(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attack, "WARM_UP_PICTURES", 2)
    monkeypatch.setattr(attack, "WARM_UP_S", 0.1)
    monkeypatch.setattr(attack, "REST_S", 1.0)
    monkeypatch.setattr(attack, "SETTLE_S", 0.2)
    monkeypatch.setattr(attack, "LAST_SETTLE_S", 0.2)
    monkeypatch.setattr(attacks, "LISTEN_S", 0.5)
    app = ["--model", str(tiny_folder), "--app=--graphs off"]
    attack.main([*app, "--minutes", "0.1", "--results", str(tmp_path)])
    with (tmp_path / "attack-promises.csv").open(encoding="utf-8", newline="") as file:
        seen = {row["what"]: row["verdict"] for row in csv.DictReader(file)}
    for promise in (
        "newcomers who were not served",
        "failed frames of honest visitors",
        "honest visits cut short",
        "errors in the log",
    ):
        assert seen[promise] == "kept"
    with (tmp_path / "attack-attacks.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(attacks.ATTACKS) + 2
