"""The studio as strangers meet it: quick to the first painted stroke, calm, in reach of every hand, and on its own."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import AT_REST, blank, visited
from tests.support.served import App

pytestmark = pytest.mark.browser

SERIOUS = {"serious", "critical"}
MOST_STOPS = 400
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


@pytest.fixture(scope="module")
def calm(browser: Browser, quick_app: App) -> Iterator[Page]:
    """One page for all tests that leave it as it was, in the window of a laptop of somebody who wants less motion."""
    with visited(browser, quick_app, viewport={"width": 1366, "height": 768}, reduced_motion="reduce") as page:
        yield page


def stroke(page: Page) -> None:
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.4 * box["height"], steps=8)
    page.mouse.up()


def frames_of(page: Page) -> int:
    return int(page.locator("#status").get_attribute("data-frames") or 0)


LIGHT_WORDS = "() => getComputedStyle(document.getElementById('seed_shown')).color.match(/\\d+/g)[0] > 200"
"""Whether words stand on a dark page."""


def serious(page: Page) -> dict[str, list[str]]:
    """What axe finds: rules that are broken, and where."""
    found = Axe().run(page).response["violations"]
    return {each["id"]: [node["html"][:150] for node in each["nodes"]] for each in found if each["impact"] in SERIOUS}


def test_axe_finds_nothing_serious(browser: Browser, quick_app: App) -> None:
    with visited(browser, quick_app, viewport={"width": 1680, "height": 1050}, reduced_motion="reduce") as page:
        assert serious(page) == {}
        page.emulate_media(color_scheme="dark")
        # Gradio's own colours fade, and begin to only after its script has heard of the change.
        page.wait_for_function(LIGHT_WORDS)
        page.wait_for_function("document.getAnimations().every((each) => !(each instanceof CSSTransition))")
        assert serious(page) == {}
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "reduced_motion": "reduce"}
    with visited(browser, quick_app, **phone) as page:
        assert serious(page) == {}
        for each in ("#more_tools", "#show_settings"):
            page.click(each)
            assert serious(page) == {}, each


def test_every_control_is_reached_by_the_tabulator(calm: Page) -> None:
    page = calm
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


def test_the_keys_are_listed_under_the_question_mark(calm: Page) -> None:
    page = calm
    page.fill("#prompt textarea", "")
    page.locator("#prompt textarea").press("?")
    expect(page.locator("#help")).to_be_hidden()
    page.locator("#canvas").press("?")
    expect(page.locator("#help")).to_be_visible()
    assert page.locator("#help dt").count() > 10
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()


def test_who_wants_less_motion_gets_none(calm: Page) -> None:
    stroke(calm)
    running = "document.getElementById('live').getAnimations({ subtree: true }).map((each) => each.animationName)"
    assert calm.evaluate(running) == []


def test_nothing_moves_when_pictures_arrive(browser: Browser, quick_app: App) -> None:
    with visited(browser, quick_app, viewport={"width": 1366, "height": 768}) as page:
        page.evaluate(WATCH_SHIFTS)
        frames = frames_of(page)
        stroke(page)
        page.wait_for_function(PAINTED, arg=frames + 4)
        page.wait_for_selector(AT_REST)
        assert page.evaluate("window.shifted") == []


def test_the_page_asks_its_own_host_alone(browser: Browser, quick_app: App) -> None:
    hosts: set[str] = set()
    with blank(browser) as page:
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.on("websocket", lambda socket: hosts.add(urlsplit(socket.url).netloc))
        page.goto(quick_app.url, wait_until="domcontentloaded")
        page.wait_for_selector(AT_REST)
        stroke(page)
        page.wait_for_selector(AT_REST)
    assert hosts - {""} == {f"127.0.0.1:{quick_app.port}"}
