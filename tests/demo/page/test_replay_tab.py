"""The tab that paints a recording again: what it shows, what it leaves, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from demo.page import replay
from demo.page.replay import View, Wanted, painted_again
from pipeline import Engine, Model
from pipeline.frames.codec import Frame
from pipeline.recording.recording import packed
from tests.pipeline.recording.test_replay import drawn, pictures, sent


def seen(engine: Engine, file: Path, wanted: Wanted) -> tuple[list[View], tuple[int, int], Frame | None]:
    """All views, the size of the video, and the picture, which are gone afterwards."""
    views, size, picture = [], (0, 0), None
    for view in painted_again(engine, file, wanted, every_s=0.0):
        views.append(view)
        if view.video is not None and view.picture is not None:
            with av.open(view.video) as opened:
                size = opened.streams.video[0].width, opened.streams.video[0].height
            with Image.open(view.picture) as image:
                picture = np.asarray(image)
    assert not any(view.video and view.video.exists() for view in views)
    return views, size, picture


@pytest.fixture
def file(frames: list[Frame], tmp_path: Path) -> Path:
    (tmp_path / "one.rearview").write_bytes(packed(sent(frames[:3])))
    return tmp_path / "one.rearview"


def test_a_recording_is_painted_as_it_was(engine: Engine, file: Path, frames: list[Frame]) -> None:
    views, size, picture = seen(engine, file, Wanted())
    assert [view.status for view in views[:3]] == ["Frame 1 of 3.", "Frame 2 of 3.", "Frame 3 of 3."]
    assert [view.running for view in views] == [True, True, True, False]
    assert views[-1].status.startswith("3 frames. It was recorded with tiny")
    assert size == (32, 32)
    assert np.array_equal(picture, pictures(engine, sent(frames[:3]))[-1])
    assert engine.session_count == 0


def test_it_can_be_painted_otherwise(engine: Engine, file: Path, frames: list[Frame]) -> None:
    _, size, picture = seen(engine, file, Wanted(steps=3, side=64, prompt=" neon ", side_by_side=True))
    assert size == (128, 64)
    asked = {"steps": 3, "prompt": "neon"}
    assert np.array_equal(picture, pictures(engine, sent(frames[:3]), asked, size=(64, 64))[-1])
    file.write_bytes(packed(drawn()))
    views, _, _ = seen(engine, file, Wanted(strokes=True))
    assert views[0].status == "Frame 1."


def test_it_can_be_painted_with_another_memory(tiny_model: Model, file: Path, frames: list[Frame]) -> None:
    with Engine(tiny_model, memories=("none",)) as engine:
        bank, none = (seen(engine, file, Wanted(memory=each))[2] for each in ("feature-bank", "none"))
        assert np.array_equal(none, pictures(engine, sent(frames[:3]), {"memory": "none"})[-1])
        assert np.array_equal(bank, pictures(engine, sent(frames[:3]))[-1])
    assert not np.array_equal(bank, none)


def test_what_cannot_be_painted_gets_a_sentence(
    engine: Engine, file: Path, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "without strokes" in seen(engine, file, Wanted(strokes=True))[0][-1].status
    file.write_bytes(packed(replace(sent(frames[:3]), size=(33, 33))))
    assert "size came as (33, 33)" in seen(engine, file, Wanted())[0][-1].status
    monkeypatch.setattr(replay, "MOST_FRAMES", 2)
    file.write_bytes(packed(sent(frames[:3])))
    assert "more than 2 frames" in seen(engine, file, Wanted())[0][0].status
    file.write_bytes(packed(drawn()))
    assert "more than 2 frames" in seen(engine, file, Wanted(strokes=True))[0][-1].status
    file.write_bytes(b"no recording")
    assert "cannot be read" in seen(engine, file, Wanted())[0][0].status
    assert engine.session_count == 0


def test_what_is_larger_than_the_host_allows_gets_a_sentence(
    tiny_model: Model, frames: list[Frame], tmp_path: Path
) -> None:
    file = tmp_path / "large.rearview"
    file.write_bytes(packed(replace(sent(frames[:3]), size=(2048, 2048))))
    with Engine(tiny_model, largest_area=2.25) as engine:
        (view,) = seen(engine, file, Wanted())[0]
        assert "size came as (2048, 2048)" in view.status and "smaller" in view.status
        (view,) = seen(engine, file, Wanted(side=64))[0]
        assert "size came as (64, 64)" in view.status
