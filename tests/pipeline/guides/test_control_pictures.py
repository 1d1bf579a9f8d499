"""What a control reads: lines of even width from drawings and photos, without speckles and without a border."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from demo.page.presets import EXAMPLES
from pipeline.frames.codec import Frame, as_frame, fitted
from pipeline.guides.control_pictures import CONTROL_PICTURES, WIDEST_INK, canny, lines, scribble, sketch, thinned

DRAWN = ("scribble", "sketch", "lineart")
WIDTHS = {"scribble": 6, "sketch": 4, "lineart": 2.5}


def paper(side: int = 512, colour: tuple[int, int, int] = (255, 255, 255)) -> Frame:
    return np.full((side, side, 3), colour, np.uint8)


def stroked(
    width: int, ink: tuple[int, int, int] = (20, 20, 20), ground: tuple[int, int, int] = (255, 255, 255)
) -> Frame:
    """A level stroke through the middle of a sheet."""
    sheet = paper(colour=ground)
    top = 256 - width // 2
    sheet[top : top + width, 64:448] = ink
    return sheet


def noisy(frame: Frame, deviation: float) -> Frame:
    noise = np.random.default_rng(0).normal(0, deviation, frame.shape)
    return (frame + noise).clip(0, 255).astype(np.uint8)


def photo() -> Frame:
    """Two soft discs before a lit wall, with a sensor's noise."""
    wall = np.linspace(130, 190, 512)[None, :, None] * np.array([1.0, 0.95, 0.8])
    picture = np.broadcast_to(wall, (512, 512, 3)).astype(np.uint8).copy()
    cv2.circle(picture, (180, 260), 110, (25, 20, 15), -1)
    cv2.circle(picture, (360, 200), 70, (235, 60, 30), -1)
    return noisy(cv2.GaussianBlur(picture, (0, 0), 1.5), 5)


def runs(profile: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each stretch that is at least half white."""
    white = np.flatnonzero(np.diff(np.concatenate([[0], (profile >= 128).astype(int), [0]])))
    return [(int(a), int(b) - 1) for a, b in white.reshape(-1, 2)]


@pytest.mark.parametrize("kind", CONTROL_PICTURES)
@pytest.mark.parametrize("shape", [(1, 1), (8, 40), (360, 640)])
def test_any_frame_gives_white_on_black_of_its_own_size(kind: str, shape: tuple[int, int]) -> None:
    frame = noisy(np.full((*shape, 3), 128, np.uint8), 60)
    before = frame.copy()
    drawn = CONTROL_PICTURES[kind](frame)
    assert drawn.shape == frame.shape and drawn.dtype == np.uint8
    assert (drawn == drawn[..., :1]).all()
    assert (frame == before).all()
    assert (CONTROL_PICTURES[kind](frame) == drawn).all()


@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.parametrize("width", [3, 14])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [((20, 20, 20), (255, 255, 255)), ((20, 20, 20), (70, 160, 220)), ((200, 30, 30), (240, 230, 200))],
)
def test_a_stroke_becomes_one_line_of_the_same_width_whatever_its_own(
    kind: str, width: int, ink: tuple[int, int, int], ground: tuple[int, int, int]
) -> None:
    drawn = CONTROL_PICTURES[kind](stroked(width, ink, ground))[..., 0]
    for column in range(100, 412, 13):
        ((first, last),) = runs(drawn[:, column])
        assert last - first + 1 == pytest.approx(WIDTHS[kind], abs=1)
        assert (first + last) / 2 == pytest.approx(255.5, abs=2)


def test_a_light_stroke_on_dark_becomes_one_line_too() -> None:
    drawn = scribble(stroked(7, (250, 250, 250), (30, 60, 160)))[..., 0]
    assert len(runs(drawn[:, 256])) == 1


def test_what_is_wider_than_a_stroke_is_drawn_as_its_outline() -> None:
    sheet = paper()
    sheet[100:400, 150:350] = (60, 140, 70)
    drawn = sketch(sheet)[..., 0]
    assert [round((a + b) / 2) for a, b in runs(drawn[250])] == pytest.approx([150, 350], abs=2)
    assert drawn[120:380, 170:330].max() == 0


def test_canny_keeps_both_sides_of_a_stroke() -> None:
    assert [a for a, _ in runs(canny(stroked(14))[:, 256, 0])] == pytest.approx([249, 262], abs=2)


@pytest.mark.parametrize("kind", CONTROL_PICTURES)
@pytest.mark.parametrize("deviation", [0, 3, 12])
def test_plain_paper_gives_no_speckle(kind: str, deviation: float) -> None:
    assert CONTROL_PICTURES[kind](noisy(paper(colour=(150, 140, 130)), deviation)).max() == 0


@pytest.mark.parametrize("kind", CONTROL_PICTURES)
def test_a_photo_gives_the_outlines_of_its_things_and_no_border(kind: str) -> None:
    drawn = CONTROL_PICTURES[kind](photo())[..., 0]
    # Both discs are cut on both sides.
    assert len(runs(drawn[230])) == 4
    assert max(drawn[0].max(), drawn[-1].max(), drawn[:, 0].max(), drawn[:, -1].max()) == 0


@pytest.mark.parametrize("kind", CONTROL_PICTURES)
def test_the_bars_of_a_padded_frame_are_black_and_their_ends_no_lines(kind: str) -> None:
    drawn = CONTROL_PICTURES[kind](fitted(photo()[100:400], (512, 512), "pad"))[..., 0]
    assert drawn[:106].max() == 0 and drawn[406:].max() == 0
    assert (drawn[106:109] > 0).mean() < 0.1


def test_the_white_margin_of_a_drawing_is_no_bar() -> None:
    drawn = sketch(stroked(7))[..., 0]
    sheet = paper()
    sheet[:60, 200:240] = 0
    assert (drawn[256] > 0).mean() > 0.6
    assert len(runs(sketch(sheet)[30, :, 0])) == 2


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_a_sketch_is_drawn_alike_before_and_after_a_jpeg(example: object) -> None:
    frame = as_frame(example.picture)  # type: ignore[attr-defined]
    _, data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    drawn, again = (scribble(each)[..., 0] > 0 for each in (frame, as_frame(data.tobytes())))
    assert 0.03 < drawn.mean() < 0.15
    near = cv2.dilate(drawn.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert near[again].mean() > 0.95


def test_lines_are_one_pixel_wide() -> None:
    thin = lines(cv2.cvtColor(stroked(9)[::2, ::2], cv2.COLOR_RGB2LAB))
    assert ((thin > 0).sum(axis=0)[40:216] == 1).all()


@pytest.mark.parametrize("width", [1, 2, 5, WIDEST_INK])
def test_thinning_keeps_a_bar_whole_and_takes_its_middle(width: int) -> None:
    mask = np.zeros((41, 81), np.uint8)
    mask[20 - width // 2 : 20 - width // 2 + width, 10:71] = 255
    thin = thinned(mask)
    assert (thin <= mask).all()
    assert ((thin > 0).sum(axis=0)[20:61] == 1).all()
    assert abs(np.flatnonzero(thin[:, 40])[0] - 20) <= 1
    assert cv2.connectedComponents(thin)[0] == 2
