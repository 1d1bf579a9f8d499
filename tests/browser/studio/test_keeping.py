"""A drawing is its visitor's property: what this browser keeps of it, whatever becomes of the page."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from demo.words import word
from tests.browser.conftest import AT_REST, eventually, settled
from tests.browser.studio.test_drawing import BLUE, BRING, LISTEN, RED, at, colour, digest, drag, ink, opened, told

if TYPE_CHECKING:
    from tests.browser.conftest import App

pytestmark = pytest.mark.browser

KEPT_WITHIN_S = 1.0
FIRST_ROW, ROW = 20, 10
ROWS = """() => {
  const { data } = document.getElementById("canvas").getContext("2d").getImageData(200, 0, 1, 512);
  return Array.from({ length: 50 }, (_, row) => data[4 * (20 + 10 * row)] < 128);
}"""
"""Which of the rows that `hatched` draws are there."""

PUT = """async ([name, colour, at]) => {
  const square = Object.assign(document.createElement("canvas"), { width: 512, height: 512 });
  const context = square.getContext("2d");
  context.fillStyle = colour;
  context.fillRect(0, 0, 512, 512);
  const image = colour ? await new Promise((made) => square.toBlob(made)) : new Blob(["no picture"]);
  const operations = [{ op: "layers", order: ["picture", "ink"] }, { op: "picture", layer: "ink", image }];
  const request = indexedDB.open("rearview", 1);
  await new Promise((opened) => (request.onsuccess = opened));
  const transaction = request.result.transaction("drawing", "readwrite");
  transaction.objectStore("drawing").put({ version: 1, at, operations, tools: { size: 33 } }, name);
  await new Promise((written) => (transaction.oncomplete = written));
  request.result.close();
}"""
"""A record whose ink is all of one colour, or a damaged picture; as earlier versions wrote it, `at` is left out."""

NAMES = """async () => {
  const request = indexedDB.open("rearview", 1);
  await new Promise((opened) => (request.onsuccess = opened));
  const asked = request.result.transaction("drawing").objectStore("drawing").getAllKeys();
  await new Promise((read) => (asked.onsuccess = read));
  request.result.close();
  return asked.result;
}"""

NO_STORAGE = "indexedDB.open = () => { throw new DOMException('no', 'SecurityError'); };"
FULL = "IDBObjectStore.prototype.put = () => { throw new DOMException('full', 'QuotaExceededError'); };"
# As WebKit's private windows have it.
NO_BLOBS = """
const put = IDBObjectStore.prototype.put;
const holdsBlob = (value) => value instanceof Blob
  || (value instanceof Object && !(value instanceof ArrayBuffer) && Object.values(value).some(holdsBlob));
IDBObjectStore.prototype.put = function (value, name) {
  if (holdsBlob(value)) throw new DOMException("no Blob", "DataCloneError");
  return put.call(this, value, name);
};
"""


def hatched(page: Page, row: int) -> None:
    y = FIRST_ROW + ROW * row
    drag(page, (100, y), (300, y))


def rows(page: Page) -> int:
    """How many rows are there; they are the first ones, without a gap."""
    found: list[bool] = page.evaluate(ROWS)
    assert found == sorted(found, reverse=True)
    return sum(found)


def again(page: Page) -> None:
    page.reload(wait_until="domcontentloaded")
    settled(page)
    page.evaluate(LISTEN)


def another(page: Page, app: App) -> Page:
    """The page in another tab of the same browser."""
    tab = page.context.new_page()
    tab.goto(app.url, wait_until="domcontentloaded")
    settled(tab)
    tab.click("#pause")
    return tab


def test_quick_strokes_and_one_under_way_are_there_after_a_reload(browser: Browser, quick_app: App) -> None:
    with opened(browser, quick_app) as page:
        page.click("#pause")
        ink(page, size=6)
        for row in range(9):
            hatched(page, row)
        page.mouse.move(*at(page, 100, FIRST_ROW + 9 * ROW))
        page.mouse.down()
        page.mouse.move(*at(page, 300, FIRST_ROW + 9 * ROW), steps=3)
        again(page)
        assert rows(page) == 10


def test_a_page_that_is_killed_at_any_moment_keeps_what_is_a_second_old(browser: Browser, quick_app: App) -> None:
    chance = random.Random(7)
    with opened(browser, quick_app) as page:
        page.click("#pause")
        drawn: list[float] = []
        for _ in range(2):
            ink(page, size=6)
            for _ in range(chance.randrange(4, 12)):
                hatched(page, len(drawn))
                page.wait_for_timeout(chance.randrange(0, 300))
                drawn.append(time.monotonic())
            page.wait_for_timeout(chance.randrange(0, 900))
            old_enough = sum(each < time.monotonic() - KEPT_WITHIN_S for each in drawn)
            with page.expect_event("crash"), suppress(Error):
                page.goto("chrome://crash")
            page = another(page, quick_app)
            found = rows(page)
            assert old_enough <= found <= len(drawn)
            drawn = drawn[:found]


def test_an_older_tab_destroys_nothing(browser: Browser, quick_app: App) -> None:
    with opened(browser, quick_app) as page:
        page.click("#pause")
        ink(page, colour=RED)
        older = another(page, quick_app)
        page.bring_to_front()
        drag(page, (50, 300), (450, 300))
        older.bring_to_front()
        older.keyboard.press("e")
        older.keyboard.press("b")
        drag(older, (50, 100), (450, 100))
        for tab, own, other in ((older, 100, 300), (page, 300, 100)):
            tab.bring_to_front()
            again(tab)
            assert (colour(tab, 250, own) != "#ffffff", colour(tab, 250, other)) == (True, "#ffffff")
        newest = another(page, quick_app)
        assert colour(newest, 250, 100) != "#ffffff"


def test_the_drawing_and_the_tools_survive_a_reload(browser: Browser, quick_app: App) -> None:
    with opened(browser, quick_app) as page:
        page.click("#pause")
        ink(page, colour=RED, size=40)
        drag(page, (100, 100), (400, 400))
        page.evaluate(BRING, ["drop", ["blue.png", "image/png"]])
        page.wait_for_function("window.told.length === 2")
        page.click("#layers")
        page.click("#layer_add")
        ink(page, tool="ellipse", colour="#123456", stabiliser=0.4)
        drag(page, (100, 100), (400, 400))
        seen = digest(page)
        page.reload(wait_until="domcontentloaded")
        page.wait_for_selector('#input[data-drawn="yes"]', state="attached")
        assert digest(page) == seen
        expect(page.locator("#stabiliser")).to_have_value("40")
        expect(page.locator("#draw_ellipse")).to_have_attribute("aria-pressed", "true")
        page.wait_for_selector(f'{AT_REST}:not([data-frames="0"])')


def test_what_is_left_in_the_middle_is_not_kept(browser: Browser, quick_app: App) -> None:
    with opened(browser, quick_app, NO_BLOBS) as page:
        drag(page, (100, 100), (400, 100))
        page.locator("#canvas").press("Enter")
        for _ in range(8):
            page.keyboard.press("ArrowDown")
        page.wait_for_timeout(600)
        page.keyboard.press("Escape")
        again(page)
        assert colour(page, 250, 100) != "#ffffff" and colour(page, 256, 300) == "#ffffff"


def test_records_of_earlier_versions_are_read_damaged_ones_passed_over_and_the_newest_stay(
    browser: Browser, quick_app: App
) -> None:
    with opened(browser, quick_app) as page:
        page.evaluate(PUT, ["now", RED, None])
        again(page)
        assert colour(page, 250, 250) == RED
        expect(page.locator("#brush_size")).to_have_value("33")
        for number in range(14):
            page.evaluate(PUT, [f"tab {number}", BLUE, number])
        page.evaluate(PUT, ["damaged", "", 20])
        newest = another(page, quick_app)
        assert colour(newest, 250, 250) == BLUE
        assert eventually(newest, lambda: len(newest.evaluate(NAMES)) == 12)
        assert {"tab 13", "damaged"} <= set(newest.evaluate(NAMES))


@pytest.mark.parametrize("script", [NO_STORAGE, FULL], ids=["forbidden", "full"])
def test_where_nothing_can_be_kept_one_draws_all_the_same_and_is_told(
    browser: Browser, quick_app: App, script: str
) -> None:
    with opened(browser, quick_app, script) as page:
        page.keyboard.press("e")
        page.keyboard.press("b")
        page.wait_for_timeout(600)
        expect(page.locator("#notice")).to_be_empty()
        drag(page, (100, 100), (400, 400))
        assert len(told(page)) == 1
        expect(page.locator("#notice")).to_have_text(word("drawing.not_kept"))
