"""A first visit begins by itself, and ends where the visitor begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page

from demo.page.presets import EXAMPLES
from tests.browser.conftest import blank, eventually
from tests.browser.studio.test_drawing import drag

if TYPE_CHECKING:
    from tests.browser.conftest import App

pytestmark = pytest.mark.browser

COLOURS = """(id) => {
  const { data } = document.getElementById(id).getContext("2d").getImageData(0, 0, 512, 512);
  return new Set(new Uint32Array(data.buffer)).size;
}"""
OWN = "() => window.rearview.drawing.described().filter(({ op }) => op === 'picture').length"
WHOSE = "() => document.getElementById('input').dataset.drawn ?? ''"
HOUSE = next(each for each in EXAMPLES if each.name == "house")


def is_drawn(page: Page) -> bool:
    return bool(page.evaluate(COLOURS, "canvas") > 1)


def test_a_sketch_is_drawn_and_painted_until_the_sheet_is_touched_and_one_undo_brings_it_back(
    browser: Browser, quick_app: App
) -> None:
    with blank(browser, first=True) as page:
        page.goto(quick_app.url, wait_until="domcontentloaded")
        page.wait_for_function("() => window.rearview?.last?.sequence > 3")
        assert eventually(page, lambda: is_drawn(page))
        page.wait_for_selector(f"text=“{HOUSE.prompt}”")
        assert (page.evaluate(OWN), page.evaluate(WHOSE)) == (0, "")
        drag(page, (100, 400), (300, 400))
        assert page.evaluate(WHOSE) == "yes" and page.evaluate(OWN) == 1
        page.keyboard.press("Control+z")
        assert eventually(page, lambda: not is_drawn(page))
        page.keyboard.press("Control+z")
        assert eventually(page, lambda: is_drawn(page)) and page.evaluate(OWN) == 1


def test_whoever_chooses_a_style_gets_a_clean_sheet_and_is_not_welcomed_again(browser: Browser, quick_app: App) -> None:
    with blank(browser, first=True) as page:
        page.goto(quick_app.url, wait_until="domcontentloaded")
        assert eventually(page, lambda: page.evaluate("() => Boolean(window.rearview)") and is_drawn(page))
        page.get_by_label("Ink", exact=True).check(force=True)
        assert eventually(page, lambda: not is_drawn(page))
        page.evaluate("() => delete window.rearview")
        page.goto(quick_app.url, wait_until="domcontentloaded")
        page.wait_for_selector('#status[data-state="idle"]')
        page.wait_for_timeout(500)
        assert not is_drawn(page)


def test_who_wants_no_motion_sees_a_finished_pair(browser: Browser, quick_app: App) -> None:
    with blank(browser, first=True, reduced_motion="reduce") as page:
        page.goto(quick_app.url, wait_until="domcontentloaded")
        page.wait_for_selector(f"text=“{HOUSE.prompt}”")
        page.wait_for_selector('#status[data-state="idle"]')
        first = page.evaluate("() => document.getElementById('canvas').toDataURL()")
        page.wait_for_timeout(500)
        assert page.evaluate("() => document.getElementById('canvas').toDataURL()") == first and is_drawn(page)


@pytest.mark.parametrize("address", ["#p=1", ""], ids=["with a link", "again"])
def test_who_comes_with_a_link_or_again_finds_an_empty_sheet(browser: Browser, quick_app: App, address: str) -> None:
    with blank(browser, first=bool(address)) as page:
        page.goto(quick_app.url + address, wait_until="domcontentloaded")
        page.wait_for_selector('#status[data-state="idle"]')
        page.wait_for_timeout(500)
        assert not is_drawn(page)
