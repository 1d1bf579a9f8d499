"""The looks: they follow picture and noise alone, are told apart, and keep the words of the page's cards."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from demo.page.presets import STYLES, TIMES
from training.looks.fields import bristles, flow
from training.looks.looks import DEFAULT_LOOK, GRADES, LOOKS, looked
from training.looks.regions import cells, flat_pieces, heights

SIDE = 128


def noise(seed: int = 0, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(16, side // 8, side // 8)).astype(np.float32)


def house_under_a_sun() -> np.ndarray:
    """Bright, dark, grey and coloured parts, float32 `[S, S, 3]`."""
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[:75] = np.linspace((110, 165, 225), (200, 220, 235), 75)[:, None]
    picture[75:] = (95, 150, 60)
    cv2.circle(picture, (102, 22), 11, (250, 220, 90), -1)
    cv2.rectangle(picture, (30, 45), (75, 90), (225, 205, 170), -1)
    cv2.fillPoly(picture, [np.array([(24, 48), (81, 48), (52, 22)])], (165, 65, 45))
    cv2.rectangle(picture, (47, 65), (60, 90), (70, 45, 30), -1)
    return picture.astype(np.float32) / 255


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_is_a_picture_of_picture_and_noise_alone(look: str) -> None:
    picture = house_under_a_sun()
    before = picture.copy()
    first = looked(picture, noise(), look, "night")
    assert first.shape == picture.shape and first.dtype == np.float32
    assert np.isfinite(first).all() and first.min() >= 0 and first.max() <= 1
    np.testing.assert_array_equal(first, looked(picture, noise(), look, "night"))
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize("look", [name for name in LOOKS if name not in ("toy", "pixel")])
def test_other_noise_makes_other_strokes(look: str) -> None:
    picture = house_under_a_sun()
    assert np.abs(looked(picture, noise(0), look) - looked(picture, noise(1), look)).mean() * 255 > 0.3


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_blank_sheet_stays_a_picture(look: str, level: float) -> None:
    result = looked(np.full((64, 64, 3), level, np.float32), noise(0, 64), look)
    assert np.isfinite(result).all() and result.min() >= 0 and result.max() <= 1


def test_no_two_looks_are_alike() -> None:
    drawn = {look: looked(house_under_a_sun(), noise(), look) for look in LOOKS}
    for pair in itertools.combinations(LOOKS, 2):
        assert np.abs(drawn[pair[0]] - drawn[pair[1]]).mean() * 255 >= 9, pair


@pytest.mark.parametrize("grade", [name for name in GRADES if name])
def test_a_grade_changes_every_look(grade: str) -> None:
    picture = house_under_a_sun()
    for name, look in LOOKS.items():
        change = np.abs(looked(picture, noise(), name, grade) - looked(picture, noise(), name)).mean() * 255
        assert change >= (0.5 if look.own_light else 4), name


def test_the_cards_of_the_page_name_looks_and_grades() -> None:
    known = {word for look in LOOKS.values() for word in look.words}
    assert set(STYLES.values()) <= known
    assert set(TIMES.values()) <= {word for grade in GRADES.values() for word in grade.words}
    assert DEFAULT_LOOK in LOOKS


def test_a_word_belongs_to_one_look_or_grade() -> None:
    words = [word for entry in (*LOOKS.values(), *GRADES.values()) for word in entry.words]
    assert len(words) == len(set(words))
    assert all(word == word.lower().strip() for word in words)


def test_noise_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="Draw the noise for this picture"):
        looked(house_under_a_sun(), noise(0, 64), "oil")


def test_strokes_run_along_a_stripe_and_where_nothing_is_as_they_are_told() -> None:
    stripe = np.zeros((SIDE, SIDE, 3), np.float32)
    stripe[:, 56:72] = 1
    angle = flow(stripe, 5, np.full((SIDE, SIDE), 0.3, np.float32))
    assert abs(np.cos(angle[64, 56])) < 0.1
    assert angle[64, 8] == pytest.approx(0.3, abs=0.02)


def test_a_brush_s_streaks_are_wide_enough_for_the_codec_and_run_where_it_goes() -> None:
    across = np.full((SIDE, SIDE), np.pi / 2, np.float32)
    laid = bristles(noise(0), across, 44, 3.0)
    along, over = (np.abs(np.diff(laid, axis=axis)).mean() for axis in (0, 1))
    assert laid.std() == pytest.approx(1, abs=0.01)
    assert along < 0.5 * over  # long lines
    turns = (np.diff(np.sign(laid), axis=1) != 0).sum(1).mean()
    assert SIDE / turns > 5  # what is finer the codec does not keep


def test_cells_end_where_colours_do() -> None:
    picture = np.zeros((64, 64, 3), np.float32)
    picture[:, 29:] = 1
    labels = cells(picture, noise(0, 64), 16, 0.3)
    assert not set(np.unique(labels[:, :28])) & set(np.unique(labels[:, 30:]))


def test_a_small_piece_lies_above_a_large_one() -> None:
    picture = np.full((64, 64, 3), 0.9, np.float32)
    picture[24:32, 24:32] = (0.8, 0.1, 0.1)
    labels, colours = flat_pieces(picture, 4, 2.0)
    levels = heights(labels)
    assert levels[labels[28, 28]] > levels[labels[4, 4]] == 0
    np.testing.assert_allclose(colours[labels[4, 4]], 0.9, atol=0.02)
