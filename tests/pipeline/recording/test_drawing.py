"""A drawing's operations give the pixels that a hand would have made, the same ones every time."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.frames.codec import Frame
from pipeline.recording import drawing as module
from pipeline.recording.drawing import Drawing
from pipeline.recording.operations import (
    Clear,
    Fill,
    LayerLook,
    Operation,
    Paper,
    Pasted,
    Point,
    Redo,
    Restack,
    Shape,
    Stroke,
    Undo,
)

RED, GREEN, BLUE, WHITE = (220, 30, 40), (20, 160, 60), (30, 60, 200), (255, 255, 255)


def line(colour: tuple[int, int, int] = RED, y: float = 256, width: float = 40, **more: str) -> Stroke:
    points = tuple(Point(56 + 100 * step, y, width, 100.0 * step) for step in range(5))
    return Stroke(**{"layer": "ink", "tool": "brush", "colour": colour, "points": points, **more})  # type: ignore[arg-type]


def drawing(*operations: Operation, side: int = 512, pictures: dict[str, Frame] | None = None) -> Drawing:
    made = Drawing(side, (pictures or {}).__getitem__)
    for each in operations:
        made.do(each)
    return made


def at(made: Drawing, x: int, y: int) -> tuple[int, ...]:
    picture = made.picture()
    side = picture.shape[0]
    return tuple(int(value) for value in picture[y * side // 512, x * side // 512])


def covered(made: Drawing) -> float:
    """How many units square of the paper are covered."""
    picture = made.picture().astype(float)
    return float(((255 - picture[..., 1]) / (255 - RED[1])).sum()) * (512 / picture.shape[0]) ** 2


@pytest.mark.parametrize("side", [64, 256, 512, 1024, 1500])
def test_a_stroke_is_as_wide_and_as_long_at_any_size(side: int) -> None:
    made = drawing(line(), side=side)
    assert made.picture().shape == (side, side, 3)
    assert covered(made) == pytest.approx(400 * 40 + np.pi * 20**2, rel=0.01)
    assert at(made, 256, 256) == RED
    assert at(made, 256, 200) == WHITE


def test_the_same_operations_give_the_same_pixels() -> None:
    operations = [Paper(BLUE), line(), Fill("ink", GREEN, (10, 10))]
    assert np.array_equal(drawing(*operations).picture(), drawing(*operations).picture())


def test_a_dot_is_round_and_edges_are_soft() -> None:
    made = drawing(Stroke("ink", "brush", RED, (Point(256, 256, 100, 0),)))
    assert covered(made) == pytest.approx(np.pi * 50**2, rel=0.01)
    assert len(np.unique(made.picture()[..., 1])) > 8


def test_a_fast_hand_draws_no_corners() -> None:
    corner = (Point(100, 100, 4, 0), Point(400, 100, 4, 10), Point(400, 400, 4, 20))
    made = drawing(Stroke("ink", "brush", RED, corner))
    assert at(made, 400, 100) == WHITE
    assert at(made, 400, 399) == RED


def test_a_stroke_grows_with_its_time() -> None:
    made = Drawing(512)
    shares = [int((made.during(line(), ms)[..., 1] < 200).sum()) for ms in (0, 150, 250, 400)]
    assert 0 < shares[0] < shares[1] < shares[2] < shares[3]
    made.do(line())
    assert int((made.picture()[..., 1] < 200).sum()) >= shares[3]


@pytest.mark.parametrize(("kind", "area"), [("rectangle", 200 * 100), ("ellipse", np.pi * 100 * 50)])
def test_filled_shapes_cover_their_area(kind: str, area: float) -> None:
    shape = Shape(kind, "ink", RED, 4, True, (300, 200), (100, 300), 100)  # type: ignore[arg-type]
    assert covered(drawing(shape)) == pytest.approx(area, rel=0.02)
    assert int((Drawing(512).during(shape, 50)[..., 1] < 200).sum()) == pytest.approx(area / 4, rel=0.05)


def test_empty_shapes_are_lines() -> None:
    made = drawing(Shape("rectangle", "ink", RED, 10, False, (100, 100), (400, 300), 0))
    assert at(made, 250, 200) == WHITE
    assert at(made, 100, 200) == RED
    assert covered(drawing(Shape("line", "ink", RED, 10, False, (100, 100), (400, 100), 0))) == pytest.approx(
        3000 + np.pi * 25, rel=0.03
    )


def test_the_eraser_takes_ink_and_leaves_what_is_below() -> None:
    photo = np.full((100, 200, 4), (*GREEN, 255), np.uint8)
    made = drawing(
        Pasted("picture", "images/1.png"), line(), line(tool="eraser", width=10), pictures={"images/1.png": photo}
    )
    assert at(made, 256, 256) == GREEN
    assert at(made, 256, 270) == RED


def test_a_fill_stays_inside_its_border_and_leaves_no_seam() -> None:
    made = drawing(Shape("ellipse", "ink", BLUE, 12, False, (100, 100), (400, 400), 0), Fill("ink", RED, (250, 250)))
    assert at(made, 250, 250) == RED
    assert at(made, 20, 20) == WHITE
    inside = made.picture()[250, 112:388]
    assert not (inside == 255).all(axis=1).any()


def test_a_fill_beside_the_canvas_takes_the_nearest_pixel() -> None:
    assert at(drawing(Fill("ink", RED, (-50, 9000))), 256, 256) == RED


def test_layers_lie_over_each_other_and_show_as_they_are_told() -> None:
    pictures = {"images/1.png": np.full((10, 10, 4), (*GREEN, 255), np.uint8)}
    made = drawing(line(), Pasted("picture", "images/1.png"), pictures=pictures)
    assert at(made, 256, 256) == RED
    made.do(LayerLook("ink", True, 0.5))
    assert np.abs(np.array(at(made, 256, 256)) - (np.array(RED) + GREEN) / 2).max() <= 1
    made.do(LayerLook("ink", False, 1.0))
    assert at(made, 256, 256) == GREEN
    made.do(Clear("picture"))
    assert at(made, 256, 256) == WHITE
    made.do(LayerLook("ink", True, 1.0))
    assert at(made, 256, 256) == RED


def test_layers_come_change_places_and_go() -> None:
    made = drawing(Restack(("picture", "ink", "ink2")), line(), line(GREEN, layer="ink2"))
    assert at(made, 256, 256) == GREEN
    made.do(Restack(("picture", "ink2", "ink")))
    assert at(made, 256, 256) == RED
    made.do(LayerLook("ink", True, 0.0))
    made.do(Restack(("picture", "ink")))
    assert at(made, 256, 256) == WHITE
    made.do(LayerLook("ink", True, 1.0))
    assert at(made, 256, 256) == RED
    made.do(Undo())
    made.do(LayerLook("ink", False, 1.0))
    assert at(made, 256, 256) == GREEN


def test_a_layer_that_comes_back_is_empty_and_shows() -> None:
    with_two, with_three = Restack(("picture", "ink")), Restack(("picture", "ink", "ink2"))
    made = drawing(with_three, line(layer="ink2"), LayerLook("ink2", False, 1.0), with_two, with_three)
    assert at(made, 256, 256) == WHITE
    made.do(line(layer="ink2"))
    assert at(made, 256, 256) == RED


def test_a_picture_keeps_its_opacity() -> None:
    half = np.full((10, 10, 4), (*BLUE, 128), np.uint8)
    made = drawing(Paper(GREEN), Pasted("ink", "images/1.png"), pictures={"images/1.png": half})
    assert np.abs(np.array(at(made, 256, 256)) - (np.array(BLUE) + GREEN) / 2).max() <= 2


def test_undo_and_redo_go_back_and_forth() -> None:
    made = drawing(Paper(BLUE), line(), line(GREEN))
    made.do(Undo())
    assert at(made, 256, 256) == RED
    made.do(Undo())
    made.do(Undo())
    made.do(Undo())
    assert at(made, 256, 256) == WHITE
    made.do(Redo())
    made.do(Redo())
    assert at(made, 256, 256) == RED
    made.do(Clear(None))
    made.do(Redo())
    assert at(made, 256, 256) == BLUE
    made.do(Undo())
    assert at(made, 256, 256) == RED


def test_undo_is_more_than_a_hundred_deep() -> None:
    made = drawing(*(Paper((step, 0, 0)) for step in range(150)), side=64)
    for _ in range(149):
        made.do(Undo())
    assert at(made, 5, 5) == (0, 0, 0)


LAYERS_OF_NOISE = ("picture", "ink", "ink2", "ink3", "ink4", "ink5", "ink6", "ink7")


def noise(side: int) -> Frame:
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 4)).astype(np.uint8)
    picture[..., 3] = 255
    return picture


def test_what_can_be_taken_back_takes_the_room_of_what_changed() -> None:
    pictures = {"images/n.png": noise(512)}
    made = drawing(
        Restack(LAYERS_OF_NOISE), *(Pasted(each, "images/n.png") for each in LAYERS_OF_NOISE), pictures=pictures
    )
    before = made.picture()
    tracemalloc.start()
    for number in range(60):
        made.do(line(y=100 + number))
        made.do(Paper((number % 256, 0, 0)))
    assert tracemalloc.get_traced_memory()[0] < 8 * 2**20
    tracemalloc.stop()
    for _ in range(120):
        made.do(Undo())
    assert np.array_equal(made.picture(), before)


def test_the_oldest_is_forgotten_where_all_would_take_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_UNDO_BYTES", 4 * 2**20)
    pictures = {"images/n.png": noise(512), "images/m.png": 255 - noise(512) // 2}
    made = drawing(*(Pasted("ink", f"images/{name}.png") for name in "nm" * 5), pictures=pictures)
    for _ in range(20):
        made.do(Undo())
    assert at(made, 100, 100) != WHITE
    made.do(line())
    seen = made.picture()
    made.do(Undo())
    made.do(Redo())
    assert np.array_equal(made.picture(), seen)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(*[st.integers(-600, 1200)] * 2, st.integers(0, 200)), min_size=1, max_size=12), st.data())
def test_a_stroke_that_grows_is_what_it_is_at_once(places: list[tuple[int, int, int]], data: st.DataObject) -> None:
    points = tuple(Point(x / 2, y / 2, width, 10.0 * number) for number, (x, y, width) in enumerate(places))
    stroke = Stroke("ink", "brush", RED, points)
    growing = Drawing(64)
    for ms in sorted(data.draw(st.lists(st.floats(0, 130), max_size=5))):
        seen = growing.during(stroke, ms)
        assert np.array_equal(seen, Drawing(64).during(stroke, ms))
    growing.do(stroke)
    assert np.array_equal(growing.picture(), drawing(stroke, side=64).picture())


def test_whoever_waits_for_a_long_stroke_can_turn_away() -> None:
    points = tuple(Point(512.0 * (number % 2), number % 512, 1024, number) for number in range(50_000))
    made = Drawing(1024)
    began = time.perf_counter()
    turns = made.on_the_way(Stroke("ink", "brush", RED, points), 50_000)
    for _ in range(3):
        next(turns)
    assert time.perf_counter() - began < 1
