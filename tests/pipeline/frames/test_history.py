"""A picture holds on to the last one where the input shows the same, and nowhere else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.frames.codec import Frame
from pipeline.frames.history import (
    LARGEST_MOTION_SIDE,
    NEIGHBOURHOOD,
    NOISE_WINDOW,
    REST,
    TOLERANCE,
    History,
    begun,
    held_back,
    motion,
    steadied,
)

SIDE = 96


def scene(seed: int, height: int = SIDE, width: int = SIDE) -> Frame:
    """A picture with detail at several scales."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for cells in (4, 8, 24):
        coarse = rng.uniform(0, 85, (cells * height // SIDE + 1, cells * width // SIDE + 1, 3)).astype(np.float32)
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture, 0, 255).astype(np.uint8)


def noisy(picture: Frame, deviation: float, seed: int) -> Frame:
    noise = np.random.default_rng(seed).normal(0, deviation, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def after(first: tuple[Frame, Frame], second: tuple[Frame, Frame], steadiness: float = 0.8) -> Frame:
    """The second of two pictures, each an input and what was painted of it."""
    history = begun(*first)
    return steadied(*second, history, steadiness)[0]


def test_without_steadiness_a_picture_is_what_was_painted_and_nothing_is_kept() -> None:
    painted = scene(1)
    picture, history = steadied(scene(0), painted, begun(scene(0), scene(2)), 0.0)
    assert picture is painted and history is None


def test_the_first_picture_is_what_was_painted() -> None:
    painted = scene(1)
    picture, history = steadied(scene(0), painted, None, 0.8)
    assert (picture == painted).all() and history is not None


@pytest.mark.parametrize("steadiness", [0.25, 0.8])
def test_where_the_input_rests_the_picture_is_the_last_one_by_the_share_of_steadiness(steadiness: float) -> None:
    one, other = noisy(scene(1), 3, 1), noisy(scene(1), 3, 2)
    within = held_back(one.astype(np.float32), other)
    expected = steadiness * within + (1 - steadiness) * other.astype(np.float32)
    assert np.abs(after((scene(0), one), (scene(0), other), steadiness) - expected).max() <= 0.51


def test_a_moved_thing_takes_its_paint_along() -> None:
    canvas, paint = scene(0, SIDE + 16, SIDE + 16), scene(1, SIDE + 16, SIDE + 16)
    here, there = np.s_[:SIDE, :SIDE], np.s_[3 : 3 + SIDE, 5 : 5 + SIDE]
    first = canvas[here], noisy(paint, 6, 1)[here]
    second = canvas[there], noisy(paint, 6, 2)[there]
    inner = np.s_[10:-10, 10:-10]
    moved = first[1][3:, 5:].astype(int)
    fresh, steady = (each[: SIDE - 3, : SIDE - 5][inner].astype(int) for each in (second[1], after(first, second)))
    assert np.abs(steady - moved[inner]).mean() < 0.5 * np.abs(fresh - moved[inner]).mean()


def test_what_the_input_shows_anew_is_painted_anew_at_once() -> None:
    changed = scene(0)
    changed[30:60, 30:60] = 255 - changed[30:60, 30:60]
    first, second = (scene(0), scene(1)), (changed, noisy(scene(1), 6, 3))
    picture = after(first, second)
    assert np.abs(picture[34:56, 34:56].astype(int) - second[1][34:56, 34:56]).max() <= TOLERANCE
    assert (picture[:20] != second[1][:20]).any()


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_another_colour_is_another_thing(channel: int) -> None:
    grey = np.full((SIDE, SIDE, 3), 120, np.uint8)
    tinted = grey.copy()
    tinted[..., channel] += 12
    picture = after((grey, np.full_like(grey, 90)), (tinted, np.full_like(grey, 94)))
    assert (picture == 94).all()


def test_a_sensors_noise_is_held_back_by_more_than_half() -> None:
    inputs = [noisy(scene(0), 5, number) for number in range(12)]
    history: History | None = None
    pictures = []
    for each in inputs:
        picture, history = steadied(each, each, history, 0.8)
        pictures.append(picture.astype(int))
    flicker = [np.abs(np.diff(frames, axis=0)).mean() for frames in (np.stack(inputs).astype(int), pictures)]
    assert flicker[1] < 0.4 * flicker[0]


def test_noise_does_not_move() -> None:
    greys = [begun(noisy(scene(0), 5, seed), scene(1)).grey for seed in range(2)]
    assert np.abs(motion(*greys)).mean() < REST / 2


@pytest.mark.parametrize("height, width", [(SIDE, SIDE), (64, LARGEST_MOTION_SIDE + 128), (1024, 40)])
def test_motion_points_to_where_things_were(height: int, width: int) -> None:
    canvas = scene(4, height + 16, width + 16)
    before, now = (begun(canvas[y : y + height, x : x + width], canvas[:height, :width]) for y, x in ((0, 0), (2, 4)))
    flow = motion(before.grey, now.grey)
    assert flow.shape == (height, width, 2)
    assert np.median(flow[..., 0]) == pytest.approx(4, abs=0.5)
    assert np.median(flow[..., 1]) == pytest.approx(2, abs=0.5)


@given(st.integers(8, 80), st.integers(8, 80), st.integers(0, 99))
def test_any_size_works_and_the_past_stays_within_the_colours_around(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame, one, other = rng.integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    picture = after((frame, one), (frame, other), 0.95)
    square = np.ones((NEIGHBOURHOOD, NEIGHBOURHOOD), np.uint8)
    least, most = cv2.erode(other, square).astype(int), cv2.dilate(other, square).astype(int)
    assert (picture >= least - TOLERANCE - 1).all() and (picture <= most + TOLERANCE + 1).all()


def test_its_bytes_are_known() -> None:
    pixels = SIDE * SIDE
    assert begun(scene(0), scene(1)).nbytes == pixels * (1 + 3 + 3 * 4)


def test_a_dot_that_is_smaller_than_the_noise_window_shows_at_once() -> None:
    paper, ink = np.full((SIDE, SIDE, 3), 240, np.uint8), np.full((SIDE, SIDE, 3), 200, np.uint8)
    size = NOISE_WINDOW // 2
    dot = np.s_[40 : 40 + size, 40 : 40 + size]
    dotted, painted = paper.copy(), ink.copy()
    dotted[dot] = painted[dot] = 0
    assert (after((paper, ink), (dotted, painted))[dot] <= TOLERANCE).all()
