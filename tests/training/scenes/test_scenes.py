"""Scenes come out the same from the same seed, and a sketch and its rendering share their edges."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from training.scenes.scenes import Scene, draw_scene


def scene(seed: int, size: int = 96) -> Scene:
    return draw_scene(np.random.default_rng(seed), size)


def edge_strength(picture: np.ndarray) -> np.ndarray:
    """Gradient magnitude [H, W] of the strongest channel."""
    smooth = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 0.8)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return np.hypot(across, down).max(2)


def rendering_edge_on_sketch_edges(drawn: Scene, shift: int) -> float:
    """Mean gradient of the rendering where the sketch, moved right and down by `shift` px, has its strongest edges."""
    marks = np.roll(edge_strength(drawn.sketch), (shift, shift), (0, 1))
    strongest = marks > max(60.0, float(np.quantile(marks, 0.9)))
    return float(edge_strength(drawn.rendering)[strongest].mean()) if strongest.any() else 0.0


def test_same_seed_gives_the_same_scene() -> None:
    first, again = scene(5), scene(5)
    assert np.array_equal(first.sketch, again.sketch)
    assert np.array_equal(first.rendering, again.rendering)
    assert (first.subject, first.words) == (again.subject, again.words)


def test_another_seed_gives_another_scene() -> None:
    assert not np.array_equal(scene(5).sketch, scene(6).sketch)
    assert not np.array_equal(scene(5).rendering, scene(6).rendering)


@pytest.mark.parametrize("size", [96, 256, 320])
def test_pictures_have_the_asked_size(size: int) -> None:
    drawn = scene(1, size)
    for picture in (drawn.sketch, drawn.rendering):
        assert picture.shape == (size, size, 3)
        assert picture.dtype == np.uint8


def test_sixty_seeds_draw_and_say_what_they_show() -> None:
    subjects = set()
    for seed in range(60):
        drawn = scene(seed)
        subjects.add(drawn.subject)
        assert drawn.rendering.std() > 2
        assert all(isinstance(word, str) and word for word in drawn.words)
    assert len(subjects) >= 8


def test_edges_of_sketch_and_rendering_coincide() -> None:
    scenes = [scene(seed, 256) for seed in range(24)]
    aligned, left, right = (np.mean([rendering_edge_on_sketch_edges(s, shift) for s in scenes]) for shift in (0, -4, 4))
    assert aligned > 1.25 * max(left, right)
