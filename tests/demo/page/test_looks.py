"""What a visitor asks for: cards, their pictures, surprises, and what the studio's scripts know of the settings."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from demo import assets
from demo.page import looks
from demo.page.presets import AS_DRAWN, STYLES, TIMES, chosen, compose
from demo.words import WORDS
from examples import paint_gallery
from pipeline.settings import DECLARATIONS, RANGES, FrameSettings
from tests.demo.page.test_page import built, component

MOST_CARD_BYTES = 60_000
SHEET = (assets.STUDIO / "settings/cards.css").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return built("sketch-sd15")


def scripts_of(config: dict[str, Any], elem_id: str, event: str) -> list[str]:
    """The scripts that run when `event` happens to a component."""
    ids = {each["props"].get("elem_id"): each["id"] for each in config["components"]}
    return [
        each["js"]
        for each in config["dependencies"]
        if each["js"] and [ids[elem_id], event] in map(list, each["targets"])
    ]


def test_each_style_has_its_picture_in_one_small_file() -> None:
    width, height = looks.CARD_SIZE
    with Image.open(assets.STUDIO / looks.CARDS) as row:
        assert row.size == (width * len(STYLES), height)
    assert (assets.STUDIO / looks.CARDS).stat().st_size < MOST_CARD_BYTES


def test_each_card_shows_its_own_part_of_that_file() -> None:
    places = dict(re.findall(r"nth-child\((\d+)\) \{ --at: (\d+); \}", SHEET))
    assert places == {str(at + 1): str(at) for at in range(1, len(STYLES))}
    assert f"* 100% / {len(STYLES) - 1})" in SHEET and f"{len(STYLES)}00% 100%" in SHEET


def test_the_pictures_are_painted_in_the_order_of_the_styles(monkeypatch: pytest.MonkeyPatch) -> None:
    def shade(session: Any, picture: Image.Image, prompt: str) -> Image.Image:
        return Image.new("RGB", picture.size, (10 * list(STYLES.values()).index(prompt.split(", ")[0]), 0, 0))

    monkeypatch.setattr(paint_gallery, "painted", shade)
    row = paint_gallery.cards_in_a_row(session=None)
    shades = [row.getpixel((round((at + 0.5) * looks.CARD_SIZE[0]), 50))[0] for at in range(len(STYLES))]
    assert shades == [10 * at for at in range(len(STYLES))]


def test_cards_and_scripts_of_others_have_addresses() -> None:
    version = assets.scripts_version(assets.served())
    client = TestClient(Starlette(routes=assets.routes()))
    for name, kind in ((looks.CARDS, "image/webp"), ("vendor/gifenc.js", "text/javascript")):
        answer = client.get(f"{assets.SCRIPTS_PATH}/{version}/{name}")
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
    assert client.get(f"{assets.SCRIPTS_PATH}/{version}/vendor/gifenc.LICENSE").status_code == 404


def test_scripts_of_others_have_their_licence_beside_them() -> None:
    vendored = sorted((assets.STUDIO / "vendor").glob("*.js"))
    assert vendored
    for script in vendored:
        assert "Permission is hereby granted" in script.with_suffix(".LICENSE").read_text(encoding="utf-8")


def test_every_style_and_time_has_a_name_and_every_name_has_one() -> None:
    assert list(WORDS["styles"]) == list(STYLES)
    assert list(WORDS["times"]) == [AS_DRAWN, *TIMES]


def test_styles_are_a_named_group_of_radio_buttons(config: dict[str, Any]) -> None:
    cards = component(config, "styles")
    assert cards["label"] == "Style"
    assert [list(each) for each in cards["choices"]] == [[WORDS["styles"][name], name] for name in STYLES]


@pytest.mark.parametrize("subject", WORDS["surprises"].values())
def test_a_surprise_is_a_prompt_whose_style_and_time_are_found_again(subject: str) -> None:
    prompt = ", ".join(["van gogh", subject, "night"])
    assert prompt == compose(subject, "van_gogh", "night")
    assert chosen(prompt) == ("van_gogh", "night")
    FrameSettings(prompt=prompt)


def test_the_studio_knows_the_range_of_every_setting() -> None:
    plain = json.loads(json.dumps(looks.studio_facts()))["declarations"]
    assert list(plain) == list(DECLARATIONS)
    for name, each in RANGES.items():
        assert (plain[name]["minimum"], plain[name]["maximum"], plain[name]["integer"]) == (
            each.minimum,
            each.maximum,
            each.integer,
        )
    assert plain["prompt"]["maximum_length"] == 1000
    assert plain["bank_renewal"]["choices"] == ["together", "spread"]


@pytest.mark.parametrize("control", ["sketch-sd15", None])
def test_the_studio_can_move_every_control_of_the_page(control: str | None) -> None:
    config = built(control)
    names = {each["id"]: each["props"].get("elem_id") for each in config["components"]}
    (js,) = scripts_of(config, "live", looks.APPLIED)
    shown = next(each for each in config["dependencies"] if each["js"] == js)
    asked = re.findall(r"'(\w+)'", js)
    assert asked == [names[each] for each in shown["outputs"]]
    assert set(DECLARATIONS) - set(asked) == (set() if control else {"control_strength", "like_strength", "like_part"})


@pytest.mark.parametrize(("event", "script"), [("submit", looks.SUBMITTED), ("blur", looks.LEFT)])
def test_the_studio_hears_which_prompts_were_meant(config: dict[str, Any], event: str, script: str) -> None:
    assert script in scripts_of(config, "prompt", event)


def test_a_style_that_was_picked_counts_as_meant(config: dict[str, Any]) -> None:
    assert sum(each["js"] == looks.SUBMITTED for each in config["dependencies"]) == 4
