"""Things and scenes: drawings and renderings lie over each other, and what a scene hides its phrase says."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from tests.support.icons import NAMES, simple_icon, simple_icons
from training.things.catalogue import (
    ANIMAL_HEADS,
    FIRST_DRAWN,
    HELD_OUT,
    MOST_DRAWN,
    PLACES,
    SKY,
    base_and_tone,
    said,
    wanted,
)
from training.things.colours import COLOURS, in_colour
from training.things.hands import fill, outline
from training.things.icons import SIDE, Icons, colour_difference, laid_over
from training.things.phrases import Facts, as_json, facts_of, from_json, phrase, vocabulary
from training.things.scene import FIRST_DRAWINGS, SCENES, Scene, chosen_name, draw_scene
from training.things.shading import coloured_like, inflated, without_violet

STYLE = ("toy",)


def scene(seed: int, side: int = 64) -> Scene:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(16, side // 8, side // 8)).astype(np.float32)
    return draw_scene(rng, noise, simple_icons(), side, frozenset())


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene(seed) for seed in range(60)]


def test_the_same_seed_draws_the_same_scene() -> None:
    one, other = scene(4), scene(4)
    assert np.array_equal(one.sketch, other.sketch)
    assert np.array_equal(one.rendering, other.rendering)
    assert one.things == other.things


def test_every_way_of_drawing_and_every_place_comes_up(scenes: list[Scene]) -> None:
    assert {each.hand for each in scenes} == set(SCENES.hands)
    assert {each.place for each in scenes} >= {"meadow", "studio", "under water", "table"}


def test_a_first_drawing_is_one_large_thing_most_often_in_outlines() -> None:
    noise, icons = np.zeros((16, 8, 8), np.float32), simple_icons()
    drawings = [
        draw_scene(np.random.default_rng(seed), noise, icons, 64, frozenset(), FIRST_DRAWINGS) for seed in range(40)
    ]
    assert all(len(each.things) == 1 for each in drawings)
    assert min(each.things[0].size for each in drawings) >= FIRST_DRAWINGS.alone[0]
    assert sum(each.hand == "line" for each in drawings) > 30
    assert sum(bool(each.things[0].colour) for each in drawings) < 12


def test_a_bare_outline_shows_paper_and_ink_alone(scenes: list[Scene]) -> None:
    bare = [each for each in scenes if each.hand == "line" and each.bare]
    assert bare
    for each in bare:
        colours = each.sketch.reshape(-1, 3).astype(int)
        assert np.median(colours, axis=0).min() == 255
        ink = 255 - colours[colours.sum(1) < 600]
        if len(ink) > 1:  # one hue: all of the ink lies on one line from white
            directions = ink / np.linalg.norm(ink, axis=1, keepdims=True)
            assert np.ptp(directions, axis=0).max() < 0.2


def test_a_photo_is_the_rendering_with_a_camera_s_blur(scenes: list[Scene]) -> None:
    for each in (one for one in scenes if one.hand == "render"):
        assert np.abs(each.sketch.astype(int) - each.rendering).mean() < 12


@pytest.mark.parametrize("name", ["blue", "white", "black"])
def test_a_named_colour_is_taken_and_dark_details_stay(name: str) -> None:
    pair = simple_icon((200, 60, 40), 40)
    painted = in_colour(pair, name)
    body = painted[:, SIDE // 2 + 50, SIDE // 2].astype(int)
    expected = {
        "blue": lambda rgb: rgb[2] > rgb[0] + 60,
        "white": lambda rgb: rgb.min() > 170,
        "black": lambda rgb: rgb.max() < 110,
    }
    for picture in body:
        assert expected[name](picture[:3])
    assert painted[0, SIDE // 2, SIDE // 2, :3].max() < 40
    assert np.array_equal(painted[..., 3], pair[..., 3])


def test_a_red_daisy_has_red_petals_and_keeps_its_leaves_and_its_middle() -> None:
    daisy = square(230, 230, 230)
    daisy[6:10, 6:10, :3], daisy[11:, 4:12, :3] = (250, 170, 40), (60, 160, 30)
    for picture in in_colour(np.stack([daisy, daisy]), "red"):
        petal, middle, leaf = (picture[row, 5 + 2 * (row == 7), :3].astype(int) for row in (4, 7, 12))
        assert petal[0] > petal[1] + 100
        assert np.array_equal(middle, (250, 170, 40)) and np.array_equal(leaf, (60, 160, 30))


def test_a_blue_butterfly_has_blue_fields_and_keeps_its_dark_grey() -> None:
    butterfly = square(70, 66, 72)
    butterfly[5:8, 4:12, :3] = (250, 110, 30)
    for picture in in_colour(np.stack([butterfly, butterfly]), "blue"):
        field, wing = picture[6, 6, :3].astype(int), picture[11, 6, :3].astype(int)
        assert field[2] > field[0] + 100
        assert np.abs(wing - (70, 66, 72)).max() < 12


def test_an_outline_lies_on_the_borders_and_a_fill_inside() -> None:
    rng = np.random.default_rng(0)
    drawing = simple_icon((200, 60, 40), 40)[0].astype(np.float32) / 255
    drawing[..., :3] *= drawing[..., 3:]
    lines = np.mean([outline(drawing, rng, 4.0) for _ in range(8)], axis=0)
    away = np.hypot(*(np.mgrid[0:SIDE, 0:SIDE] - SIDE / 2))
    assert lines[np.abs(away - 80) < 3].mean() > 0.4
    assert lines[(away > 30) & (away < 65)].mean() < 0.05
    filled = np.mean([fill(drawing, rng)[..., 3] for _ in range(8)], axis=0)
    assert filled[away > 90].mean() < 0.02 < 0.5 < filled[away < 70].mean()


def test_an_inflated_drawing_is_lit_from_the_upper_left() -> None:
    flat = np.zeros((SIDE, SIDE, 4), np.uint8)
    flat[40:150, 40:150] = (120, 120, 120, 255)
    solid = inflated(flat).astype(int)
    assert np.array_equal(solid[..., 3], flat[..., 3])
    assert solid[48, 48, :3].mean() > solid[142, 142, :3].mean() + 15


def test_a_rendering_gets_the_hue_of_its_drawing_and_keeps_its_own_light() -> None:
    red, purple = (np.full((64, 64, 4), (*colour, 255), np.uint8) for colour in ((240, 40, 40), (150, 40, 140)))
    purple[32:, :, :3] //= 2
    red[:, :8, 3] = purple[:, 56:, 3] = 0  # each is where the other is not
    coloured = coloured_like(purple, red)
    assert np.array_equal(coloured[..., 3], purple[..., 3])
    lit, shaded = (part[:, 16:48, :3].reshape(-1, 3).mean(0) for part in (coloured[:24], coloured[40:]))
    assert lit[0] > 2 * lit[2] and shaded[0] > 2 * shaded[2]
    assert lit.mean() > 1.3 * shaded.mean()


def test_a_rendering_of_another_shape_or_colour_is_not_taken() -> None:
    disc, triangle = simple_icon((200, 60, 40), 40)[0], simple_icon((200, 60, 40), 3)[0]
    assert laid_over(disc, disc) is not None
    assert laid_over(triangle, disc) is None
    assert colour_difference(disc, disc) == 0
    assert colour_difference(disc, simple_icon((40, 60, 200), 40)[0]) > 45


def test_what_an_outline_hides_its_phrase_says() -> None:
    facts = Facts((("house", "blue"),), "meadow", "night", "snow", "line", True)
    rng = np.random.default_rng(0)
    phrases = [phrase(rng, facts, STYLE) for _ in range(200)]
    assert np.mean(["blue" in each.split() for each in phrases]) > 0.85
    assert np.mean([any(word in each for word in ("night", "starry")) for each in phrases]) > 0.85


def test_a_phrase_counts_twins_and_knows_their_plural() -> None:
    rng = np.random.default_rng(0)
    facts = Facts((("mouse-face", ""), ("mouse-face", "")), "studio", "day", "", "both", True)
    phrases = [phrase(rng, facts, STYLE) for _ in range(50)]
    assert any("two mice" in each for each in phrases)


def test_some_phrases_say_nothing_of_the_thing() -> None:
    rng = np.random.default_rng(0)
    facts = Facts((("house", ""),), "meadow", "day", "grass", "line", True)
    silent = np.mean(["house" not in phrase(rng, facts, STYLE) for _ in range(300)])
    assert 0.05 < silent < 0.2


def test_the_vocabulary_has_every_word_but_nonsense(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(0)
    known = {*vocabulary(list(NAMES)), "toy", "a", "an", "and", "of"}
    strange = 0
    phrases = [phrase(rng, facts_of(each), STYLE) for each in scenes for _ in range(3)]
    for each in phrases:
        strange += sum(word not in known for word in each.replace(",", " ").split())
    assert strange < 0.2 * len(phrases)


def test_facts_come_back_from_json(scenes: list[Scene]) -> None:
    for each in scenes:
        facts = facts_of(each)
        assert from_json(as_json(facts)) == facts


def test_every_name_of_the_lists_is_whole_and_has_a_word() -> None:
    names = {*SKY, *ANIMAL_HEADS, *FIRST_DRAWN, *HELD_OUT, *(name for several in PLACES.values() for name in several)}
    for name in names:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name), name  # a line that is broken at a hyphen leaves half a name
        assert all(said(name))
    for several in (SKY, ANIMAL_HEADS, *PLACES.values()):
        assert len(set(several)) == len(several)


def test_what_people_draw_first_is_drawn_more_often_than_what_may_stand_there_as_well() -> None:
    icons = simple_icons()
    known = Icons(icons.pictures, icons.rows | {name: icons.rows["sailboat"] for name in ("ship", "ferry")})
    rng = np.random.default_rng(0)
    chosen = Counter(chosen_name(rng, known, "sea", aloft=False) for _ in range(400))
    assert MOST_DRAWN < FIRST_DRAWN
    assert PLACES["sea"].count("ship") == PLACES["sea"].count("ferry")
    assert chosen["sailboat"] > 1.5 * chosen["ship"] > 2 * chosen["ferry"] > 0


def square(*colour: int) -> np.ndarray:
    """One colour with a border that is not there."""
    picture = np.zeros((16, 16, 4), np.uint8)
    picture[2:-2, 2:-2] = (*colour, 255)
    return picture


def test_violet_ink_and_shadows_become_grey_and_what_is_meant_to_be_violet_stays() -> None:
    for ink in ((67, 59, 107), (50, 27, 65), (180, 172, 188)):
        seen = without_violet(square(*ink))[8, 8].astype(int)
        assert np.ptp(seen[:3]) < 0.4 * np.ptp(ink)
        assert seen[3] == 255
    for meant in ((141, 101, 197), (140, 60, 160), (200, 60, 60), (60, 90, 60)):
        assert np.abs(without_violet(square(*meant))[8, 8, :3].astype(int) - meant).max() <= 1


def test_another_drawing_of_a_thing_is_painted_where_it_has_its_colours() -> None:
    drawings = [square(230, 40, 40), square(210, 50, 60), square(40, 150, 230)]
    rows = {"red-apple": [0, 1], "butterfly": [0, 2], "fox": [0]}
    icons = Icons(np.stack([np.stack([each, each]) for each in drawings]), rows)
    assert [name for name in rows if icons.has_two_of_one_colour(name)] == ["red-apple"]


def test_names_are_said_as_people_say_them() -> None:
    assert said("automobile")[0] == "car"
    assert said("man-farmer-dark") == ["farmer"]
    assert base_and_tone("woman-medium-light") == ("woman", "medium-light")
    assert base_and_tone("traffic-light") == ("traffic-light", "")


def test_signs_and_clocks_are_not_wanted_and_people_come_in_all_tones() -> None:
    categories = {
        name: [] for name in ("Activities", "Animals & Nature", "Food & Drink", "Objects", "Smileys & Emotion")
    }
    categories["Travel & Places"] = ["house", "one-oclock", "stop-sign"]
    categories["People & Body"] = ["woman", "woman-dark", "woman-gesturing-no", "middle-finger"]
    assert wanted(categories) == ["house", "woman", "woman-dark"]


def test_every_colour_has_a_hue_a_saturation_and_a_brightness() -> None:
    for hue, saturation, brightness in COLOURS.values():
        assert 0 <= hue < 180 and 0 <= saturation <= 1 and 0 < brightness < 1.5
