"""Where a frame is white paper, what was painted stands in its place; what is drawn stays as it was."""

from __future__ import annotations

import numpy as np

from pipeline.frames.paper import over_paper

PAINTED = np.full((16, 16, 3), (200, 60, 40), np.uint8)


def test_paper_takes_the_colours_that_were_painted() -> None:
    assert np.array_equal(over_paper(np.full((32, 32, 3), 255, np.uint8), PAINTED), np.full((32, 32, 3), (200, 60, 40)))


def test_what_is_drawn_stays() -> None:
    drawn = np.full((32, 32, 3), (90, 120, 210), np.uint8)
    assert np.array_equal(over_paper(drawn, PAINTED), drawn)


def test_a_line_stays_between_two_painted_sides() -> None:
    frame = np.full((32, 32, 3), 255, np.uint8)
    frame[:, 12:20] = 0
    mixed = over_paper(frame, PAINTED)
    assert np.array_equal(mixed[:, 15:17], frame[:, 15:17])
    assert np.array_equal(mixed[:, [2, 29]], np.broadcast_to((200, 60, 40), (32, 2, 3)))


def test_thin_ink_lets_what_was_painted_through() -> None:
    drawn = np.full((32, 32, 3), (90, 120, 210), np.uint8)
    assert np.array_equal(over_paper(drawn, PAINTED, ink=0.0), np.full((32, 32, 3), (200, 60, 40)))
    assert np.abs(over_paper(drawn, PAINTED, ink=0.25).astype(int) - (172, 75, 82)).max() <= 1
