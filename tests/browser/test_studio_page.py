"""The studio as strangers meet it: quick to the first painted stroke, calm, in reach of every hand, and on its own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.served import App

pytestmark = pytest.mark.browser

IDLE = '#status[data-state="idle"]'
SIZES = {"wide": (1680, 1050), "laptop": (1366, 768), "phone": (390, 844)}
SERIOUS = {"serious", "critical"}
FIRST_STROKE_S = 10.0
MOST_STOPS = 400
SCREENSHOTS = "REARVIEW_SCREENSHOTS"
"""A folder for the pictures of the page; README's are made with docs/screens."""

PAINTED = "(frames) => Number(document.getElementById('status').dataset.frames) > frames"
WATCH_SHIFTS = """() => {
  window.shifted = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries())
      for (const { node } of entry.sources) if (node?.id !== undefined) window.shifted.push(node.id || node.className);
  }).observe({ type: "layout-shift" });
}"""
CONTROLS = """() => [...document.querySelectorAll("button, input, select, textarea, summary, a[href], [tabindex='0']")]
  .filter((each) => !each.disabled && each.tabIndex >= 0 && !["radio", "file"].includes(each.type))
  .filter((each) => each.checkVisibility({ checkOpacity: false, checkVisibilityCSS: true }))
  .map((each) => each.dataset.stop = each.dataset.stop ?? String(Math.random()))"""
REACHED = "() => document.activeElement?.dataset.stop ?? ''"
NAMED = """(stops) => stops.map((stop) => document.querySelector(`[data-stop="${stop}"]`)?.outerHTML.slice(0, 150))"""


@contextmanager
def opened(browser: Browser, app: App, size: str, dark: bool = False) -> Iterator[Page]:
    """A page at rest in a window of that size."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        has_touch=size == "phone",
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(app.url, wait_until="domcontentloaded")
    page.wait_for_selector(IDLE, timeout=30_000)
    yield page
    context.close()


def stroke(page: Page) -> None:
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.4 * box["height"], steps=8)
    page.mouse.up()


def frames_of(page: Page) -> int:
    return int(page.locator("#status").get_attribute("data-frames") or 0)


@pytest.mark.parametrize(("size", "dark"), [("wide", False), ("wide", True), ("phone", False)])
def test_axe_finds_nothing_serious(browser: Browser, quick_app: App, size: str, dark: bool) -> None:
    with opened(browser, quick_app, size, dark) as page:
        found = Axe().run(page).response["violations"]
    serious = {
        each["id"]: [node["html"][:150] for node in each["nodes"]] for each in found if each["impact"] in SERIOUS
    }
    assert serious == {}


def test_a_stranger_sees_a_painted_stroke_within_three_actions_and_ten_seconds(browser: Browser, app: App) -> None:
    page = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
    started = time.monotonic()
    page.goto(app.url, wait_until="domcontentloaded")
    page.wait_for_selector('#status[data-state="idle"], #status[data-state="busy"]')
    frames = frames_of(page)
    stroke(page)
    page.wait_for_function(PAINTED, arg=frames)
    seconds = time.monotonic() - started
    page.context.close()
    assert seconds < FIRST_STROKE_S


def test_every_control_is_reached_by_the_tabulator(browser: Browser, quick_app: App) -> None:
    with opened(browser, quick_app, "laptop") as page:
        wanted = set(page.evaluate(CONTROLS))
        reached: set[str] = set()
        page.evaluate("document.body.focus()")
        for _ in range(MOST_STOPS):
            page.keyboard.press("Tab")
            reached.add(page.evaluate(REACHED))
            if wanted <= reached:
                break
        assert len(wanted) > 30
        assert page.evaluate(NAMED, sorted(wanted - reached)) == []


def test_nothing_moves_when_pictures_arrive(browser: Browser, quick_app: App) -> None:
    with opened(browser, quick_app, "laptop") as page:
        page.evaluate(WATCH_SHIFTS)
        frames = frames_of(page)
        stroke(page)
        page.wait_for_function(PAINTED, arg=frames + 4)
        page.wait_for_selector(IDLE)
        assert page.evaluate("window.shifted") == []


def test_the_page_asks_its_own_host_alone(browser: Browser, quick_app: App) -> None:
    hosts: set[str] = set()
    page = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.on("websocket", lambda socket: hosts.add(urlsplit(socket.url).netloc))
    page.goto(quick_app.url, wait_until="domcontentloaded")
    page.wait_for_selector(IDLE, timeout=30_000)
    stroke(page)
    page.wait_for_selector(IDLE)
    page.context.close()
    assert hosts - {""} == {f"127.0.0.1:{quick_app.port}"}


def test_the_keys_are_listed_under_the_question_mark(browser: Browser, quick_app: App) -> None:
    with opened(browser, quick_app, "laptop") as page:
        page.fill("#prompt textarea", "")
        page.locator("#prompt textarea").press("?")
        expect(page.locator("#help")).to_be_hidden()
        page.locator("#canvas").press("?")
        expect(page.locator("#help")).to_be_visible()
        assert page.locator("#help dt").count() > 10
        page.keyboard.press("Escape")
        expect(page.locator("#help")).to_be_hidden()


def test_who_wants_less_motion_gets_none(browser: Browser, quick_app: App) -> None:
    with opened(browser, quick_app, "laptop") as page:
        stroke(page)
        running = "document.getElementById('live').getAnimations({ subtree: true }).map((each) => each.animationName)"
        assert page.evaluate(running) == []


@pytest.mark.parametrize("size", SIZES)
def test_the_page_fits_and_has_its_picture_taken(browser: Browser, app: App, size: str, tmp_path: Path) -> None:
    folder = Path(os.environ.get(SCREENSHOTS, tmp_path))
    with opened(browser, app, size) as page:
        page.locator('.rv-example[data-name="sailboat"]').click()
        page.wait_for_function("window.rearview.applied?.prompt.includes('sailboat')")
        page.wait_for_timeout(1000)
        page.wait_for_selector(IDLE, timeout=60_000)
        page.evaluate("window.scrollTo(0, 0)")
        page.screenshot(path=folder / f"{size}.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        canvas, picture = page.locator("#canvas").bounding_box(), page.locator("#picture").bounding_box()
        assert canvas is not None and picture is not None
        if size != "phone":
            bottom = max(box["y"] + box["height"] for box in (canvas, picture))
            assert bottom <= SIZES[size][1]
            assert page.locator("#prompt textarea").bounding_box()["y"] < SIZES[size][1]
