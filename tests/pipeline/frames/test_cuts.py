"""A cut is told from everything else that makes two frames differ."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from pipeline.frames.codec import Frame
from pipeline.frames.cuts import has_moved, is_cut, likeness, thumbnail_of
from training.scenes.scenes import Scene, draw_scene
from training.styles.filters import as_bytes

CANVAS, SIDE = 320, 256


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    rng = np.random.default_rng(11)
    return [draw_scene(rng, CANVAS) for _ in range(24)]


@pytest.fixture(scope="module", params=["sketch", "rendering"])
def pictures(request: pytest.FixtureRequest, scenes: list[Scene]) -> list[Frame]:
    """Canvases of scenes, as hurried drawings or as full renderings."""
    return [getattr(scene, request.param) for scene in scenes]


def seen(canvas: Frame, y: float = 0, x: float = 0, turn: float = 0, zoom: float = 1) -> Frame:
    """What a camera sees of a canvas."""
    middle = SIDE / 2
    move = cv2.getRotationMatrix2D((middle + x, middle + y), turn, zoom)
    move[:, 2] -= (x, y)
    return cv2.warpAffine(canvas, move, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)


def share_of_cuts(pairs: list[tuple[Frame, Frame]]) -> float:
    return float(np.mean([is_cut(thumbnail_of(one), thumbnail_of(other)) for one, other in pairs]))


def test_another_scene_is_a_cut(pictures: list[Frame]) -> None:
    assert share_of_cuts([(seen(one), seen(other)) for one, other in pairwise(pictures)]) > 0.85


@pytest.mark.parametrize("dy, dx", [(0, 4), (8, 16), (20, 40), (0, 64)])
def test_a_pan_is_none_however_fast(pictures: list[Frame], dy: int, dx: int) -> None:
    assert share_of_cuts([(seen(each), seen(each, dy, dx)) for each in pictures]) == 0


def test_a_turn_and_a_zoom_of_a_hand_are_none(pictures: list[Frame]) -> None:
    moved = [(seen(each, 32, 32), seen(each, 32, 32, turn=2, zoom=1.03)) for each in pictures]
    assert share_of_cuts(moved) == 0


@pytest.mark.parametrize("gain, offset", [(1.5, 50), (1.0, 90), (0.4, 0)])
def test_a_flash_and_a_lamp_that_goes_out_are_hardly_ever_one(
    pictures: list[Frame], gain: float, offset: float
) -> None:
    lit = [np.clip(seen(each) * gain + offset, 0, 255).astype(np.uint8) for each in pictures]
    assert share_of_cuts([(seen(each), other) for each, other in zip(pictures, lit, strict=True)]) < 0.05


def test_no_step_of_a_fade_is_one(pictures: list[Frame]) -> None:
    for one, other in pairwise(pictures[:8]):
        faded = [cv2.addWeighted(seen(one), 1 - k / 12, seen(other), k / 12, 0) for k in range(13)]
        assert share_of_cuts(list(pairwise(faded))) == 0


def test_a_thing_that_vanishes_is_none(pictures: list[Frame]) -> None:
    with_ball = [cv2.circle(seen(each), (128, 150), 40, (220, 40, 40), -1) for each in pictures]
    assert share_of_cuts(list(zip(with_ball, map(seen, pictures), strict=True))) < 0.05


def test_strokes_on_an_empty_canvas_are_none() -> None:
    canvas = np.full((SIDE, SIDE, 3), 255, np.uint8)
    for start in range(20, 200, 20):
        before = canvas.copy()
        cv2.line(canvas, (start, 30), (230 - start, 220), (30, 30, 30), 6)
        assert not is_cut(thumbnail_of(before), thumbnail_of(canvas))


def test_a_background_that_is_filled_under_a_drawing_is_none(scenes: list[Scene]) -> None:
    drawing = np.full((SIDE, SIDE, 3), 255, np.uint8)
    for start in range(20, 200, 30):
        cv2.line(drawing, (start, 30), (230 - start, 220), (30, 30, 30), 6)
    filled = np.where(drawing.min(2, keepdims=True) > 250, np.array([110, 170, 230], np.uint8), drawing)
    assert not is_cut(thumbnail_of(drawing), thumbnail_of(filled))


def test_a_picture_that_is_opened_on_an_empty_canvas_is_a_cut(pictures: list[Frame]) -> None:
    empty = np.full((SIDE, SIDE, 3), 255, np.uint8)
    full = [each for each in map(seen, pictures) if each.mean() < 200]
    assert full and share_of_cuts([(empty, each) for each in full]) == 1


def test_frames_of_any_size_have_thumbnails_of_one_size() -> None:
    for shape in ((8, 8, 3), (256, 384, 3), (33, 57, 3)):
        assert thumbnail_of(np.zeros(shape, np.uint8)).shape == (32, 32, 3)


def test_likeness_is_one_for_a_shifted_copy_and_none_for_nothing() -> None:
    field = np.random.default_rng(0).normal(0, 40, (32, 32)).astype(np.float32)
    assert likeness(field, field) == pytest.approx(1, abs=1e-5)
    shifted = np.zeros_like(field)
    shifted[5:, :-9] = field[:-5, 9:]
    assert likeness(field, shifted) == pytest.approx(1, abs=1e-5)
    assert likeness(field, -field) < 0.3
    assert likeness(field, np.zeros_like(field)) == 0


def test_a_sensors_noise_is_no_motion(pictures: list[Frame]) -> None:
    rng = np.random.default_rng(5)
    for each in pictures[:12]:
        one, other = (as_bytes(seen(each) / 255 + rng.normal(0, 0.022, (SIDE, SIDE, 3))) for _ in range(2))
        assert not has_moved(thumbnail_of(one), thumbnail_of(other))


def test_one_thin_stroke_is_motion(pictures: list[Frame]) -> None:
    for each in pictures[:12]:
        drawn = seen(each)
        before = thumbnail_of(drawn)
        ink = (0, 0, 0) if drawn.mean() > 110 else (255, 255, 255)
        cv2.line(drawn, (40, 60), (90, 75), ink, 2)
        assert has_moved(before, thumbnail_of(drawn))
