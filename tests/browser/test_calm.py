"""What a stranger meets: what a first drawing needs in sight, all else one step away, on a laptop and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import blank

if TYPE_CHECKING:
    from tests.browser.conftest import App

pytestmark = pytest.mark.browser

LAPTOP = {"width": 1366, "height": 768}
PHONE = {"width": 390, "height": 844}
LYING_PHONE = {"width": 844, "height": 390}
FIRST_NEEDS = (
    *("#brush", "#eraser", "#brush_size", '[data-colour="#1d1d1f"]', "#colour", "#undo", "#clear", "#more_tools"),
    *("#camera", "#canvas", "#picture", "#prompt textarea", "#styles label:first-of-type", "#surprise", "#dice"),
    "#show_settings",
)
STEP_AWAY = ("#draw_line", "#layers", "#record", "#source_screen", "#pause", "#fusion_strength", "#guidance")
TALLEST_ROW = 80


@contextmanager
def met(browser: Browser, app: App, **options: Any) -> Iterator[Page]:
    """The page on a first visit, with all that it begins with."""
    with blank(browser, first=True, **options) as page:
        page.goto(app.url, wait_until="domcontentloaded")
        page.wait_for_function("() => window.rearview?.last?.sequence > 1")
        page.locator("#styles label").first.wait_for()
        yield page


def below(page: Page, *selectors: str) -> dict[str, float]:
    """Those that reach out of the window without any scrolling, and how low their lower ends are."""
    height = page.evaluate("innerHeight")
    boxes = {each: page.locator(each).first.bounding_box() for each in selectors}
    ends = {each: box["y"] + box["height"] if box else float("inf") for each, box in boxes.items()}
    return {each: end for each, end in ends.items() if end > height}


def bar_height(page: Page) -> float:
    box = page.locator(".rv-bar").first.bounding_box()
    assert box is not None
    return box["height"]


def test_on_a_laptop_a_first_drawing_needs_no_scrolling(browser: Browser, quick_app: App) -> None:
    with met(browser, quick_app, viewport=LAPTOP) as page:
        assert below(page, *FIRST_NEEDS) == {}
        assert bar_height(page) < TALLEST_ROW
        for each in STEP_AWAY:
            expect(page.locator(each)).to_be_hidden()


def test_all_else_is_one_step_away_and_stays_open_for_the_next_visit(browser: Browser, quick_app: App) -> None:
    with met(browser, quick_app, viewport=LAPTOP) as page:
        for each in ("#more_tools", "#show_settings", "#show_rest"):
            page.click(each)
            expect(page.locator(each)).to_have_attribute("aria-expanded", "true")
        page.evaluate("() => delete window.rearview")
        page.reload(wait_until="domcontentloaded")
        for each in STEP_AWAY:
            expect(page.locator(each)).to_be_visible()
        page.click("#more_tools")
        expect(page.locator("#draw_line")).to_be_hidden()


@pytest.mark.parametrize("window", [PHONE, LYING_PHONE], ids=["upright", "lying"])
def test_on_a_phone_drawing_and_picture_are_in_sight_together(
    browser: Browser, quick_app: App, window: dict[str, int]
) -> None:
    with met(browser, quick_app, viewport=window, has_touch=True, is_mobile=True) as page:
        assert below(page, "#brush", "#more_tools", "#camera", "#canvas", "#picture") == {}
        assert bar_height(page) < TALLEST_ROW
        for each in ("#brush", "#brush_size", '[data-colour="#1d1d1f"]', "#undo", "#clear"):
            expect(page.locator(each)).to_be_in_viewport(ratio=1)
        assert page.evaluate("document.documentElement.scrollWidth") <= window["width"]
        if window is PHONE:
            assert page.evaluate("document.documentElement.scrollHeight") < 3 * window["height"]


def test_on_a_phone_the_settings_come_from_below_and_go_again(browser: Browser, quick_app: App) -> None:
    with met(browser, quick_app, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        page.locator("#show_settings").tap()
        sheet = page.locator("#settings_drawer").bounding_box()
        assert sheet is not None
        assert sheet["y"] > PHONE["height"] / 3 and sheet["y"] + sheet["height"] == PHONE["height"]
        expect(page.locator("#fusion_strength")).to_be_in_viewport()
        page.locator("#sheet_head button").tap()
        expect(page.locator("#settings_drawer")).to_be_hidden()
