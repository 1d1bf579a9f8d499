"""README's moving picture, made small: what is drawn, what it becomes under which words, and how long it is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples import film
from examples.paint_gallery import CAPTION, GAP
from pipeline import Engine, Model
from pipeline.recording.recording import SettingsChanged, read_recording

SIDE = 32


@pytest.fixture(scope="module")
def shots(tiny_model: Model) -> list[film.Shot]:
    recording = film.with_words(read_recording(film.DRAWING), film.THEN)
    with Engine(tiny_model) as engine:
        return film.shots(engine, recording, SIDE)


def test_words_change_one_after_another_once_the_hand_has_finished() -> None:
    recording = film.with_words(read_recording(film.DRAWING), film.THEN)
    changes = [each for each in recording.events if isinstance(each, SettingsChanged)]
    assert [film.prompt_at(recording, each.ms) for each in changes] == list(film.THEN)
    assert film.prompt_at(recording, film.end_of(recording)) == recording.settings["prompt"]


def test_the_film_begins_finished_and_ends_before_that(shots: list[film.Shot]) -> None:
    drawn = [np.asarray(each.picture)[:SIDE, :SIDE] for each in shots]
    assert np.array_equal(drawn[0], drawn[1])
    blank = next(place for place, each in enumerate(drawn) if len(np.unique(each.reshape(-1, 3), axis=0)) == 1)
    assert 0 < blank < len(shots) * 0.6
    assert all(each.picture.size == (2 * SIDE + GAP, SIDE + CAPTION) for each in shots)


def test_the_film_is_as_long_as_its_drawing_in_haste_and_what_is_held(shots: list[film.Shot]) -> None:
    drawn = film.end_of(read_recording(film.DRAWING)) / film.HASTE
    held = (len(film.THEN) + 1) * film.HELD_MS
    assert sum(each.ms for each in shots) == pytest.approx(drawn + held, abs=2000 / film.FPS)


def test_a_film_goes_round_with_its_times(tmp_path: Path, shots: list[film.Shot]) -> None:
    out = tmp_path / "film.webp"
    film.write_film(shots, out)
    with Image.open(out) as moving:
        shown = 0
        for frame in range(moving.n_frames):
            moving.seek(frame)
            moving.load()
            shown += moving.info["duration"]
        assert (shown, moving.info["loop"]) == (sum(each.ms for each in shots), 0)
