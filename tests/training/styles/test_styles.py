"""The styles and grades that the embedded model learns."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from training.styles.filters import PERIOD
from training.styles.styles import DEFAULT_STYLE, GRADES, STYLES, styled


def house_under_a_sun(size: int = 256) -> np.ndarray:
    """A plain landscape, float32 [size, size, 3], with bright, dark, grey and coloured parts."""
    picture = np.zeros((256, 256, 3), np.uint8)
    picture[:150] = np.linspace((110, 165, 225), (200, 220, 235), 150)[:, None]
    picture[150:] = (95, 150, 60)
    cv2.circle(picture, (205, 45), 22, (250, 220, 90), -1)
    cv2.rectangle(picture, (60, 90), (150, 180), (225, 205, 170), -1)
    cv2.fillPoly(picture, [np.array([(48, 95), (162, 95), (105, 45)])], (165, 65, 45))
    cv2.rectangle(picture, (95, 130), (120, 180), (70, 45, 30), -1)
    cv2.circle(picture, (205, 140), 28, (45, 110, 50), -1)
    cv2.rectangle(picture, (198, 150), (212, 195), (90, 60, 40), -1)
    cv2.rectangle(picture, (20, 200), (110, 240), (120, 120, 125), -1)
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def test_the_default_is_a_style() -> None:
    assert DEFAULT_STYLE in STYLES


@pytest.mark.parametrize("style", STYLES)
def test_shape_type_range_and_repetition(style: str) -> None:
    picture = house_under_a_sun()[:128, :160]
    before = picture.copy()
    for grade in GRADES:
        result = styled(picture, style, grade)
        assert result.shape == picture.shape and result.dtype == np.float32, grade
        assert np.isfinite(result).all() and result.min() >= 0 and result.max() <= 1, grade
        np.testing.assert_array_equal(result, styled(picture, style, grade), grade)
        np.testing.assert_array_equal(picture, before, grade)


@pytest.mark.parametrize("style", STYLES)
def test_a_blank_page_stays_in_range(style: str) -> None:
    for level in (0.0, 0.5, 1.0):
        result = styled(np.full((128, 128, 3), level, np.float32), style, "night")
        assert np.isfinite(result).all() and result.min() >= 0 and result.max() <= 1, level


def test_no_two_styles_are_alike() -> None:
    drawn = {style: styled(house_under_a_sun(), style) for style in STYLES}
    for pair in itertools.combinations(STYLES, 2):
        needed = 4 if set(pair) == {"painting", "photo"} else 10
        first, second = (drawn[style] for style in pair)
        assert np.abs(first - second).mean() * 255 >= needed, pair


@pytest.mark.parametrize("grade", [name for name in GRADES if name])
def test_a_grade_changes_every_style(grade: str) -> None:
    picture = house_under_a_sun()
    for style in STYLES:
        needed = 0.5 if STYLES[style].monochrome else 4
        assert np.abs(styled(picture, style, grade) - styled(picture, style)).mean() * 255 >= needed, style


@pytest.mark.parametrize("style", STYLES)
def test_patterns_lie_on_a_grid_of_32_px(style: str) -> None:
    wide = house_under_a_sun(320)
    first, moved = wide[:256, :256], wide[PERIOD : 256 + PERIOD, PERIOD : 256 + PERIOD]
    inner = 96  # blurs, and the fading of a woodblock print, look this far
    expected = styled(np.ascontiguousarray(first), style)[inner : -inner + PERIOD, inner : -inner + PERIOD]
    shifted = styled(np.ascontiguousarray(moved), style)[inner - PERIOD : -inner, inner - PERIOD : -inner]
    np.testing.assert_allclose(shifted, expected, atol=2e-3)


def test_words_belong_to_one_style_or_grade() -> None:
    words = [word for entry in (*STYLES.values(), *GRADES.values()) for word in entry.words]
    assert len(words) == len(set(words))
    assert all(word == word.lower().strip() for word in words)
    assert all(6 <= len(style.words) <= 14 for style in STYLES.values())


def test_a_picture_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        styled(np.zeros((100, 128, 3), np.float32), "oil")
    with pytest.raises(ValueError, match="uint8"):
        styled(np.zeros((128, 128, 3), np.uint8), "oil")
