"""How the picture is looked at: over the drawing, compared, full screen, on a page of its own, and not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import blank, eventually, settled, visited
from tests.browser.page.test_page_live import difference, draw, number, pixels, rest
from tests.browser.studio.test_drawing import drag

if TYPE_CHECKING:
    from tests.browser.conftest import App

pytestmark = pytest.mark.browser


@pytest.fixture
def page(quick_page: Page) -> Page:
    """What is tested here is the page, not its pictures."""
    return quick_page


HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
# Timers and frames that the studio's own scripts ask for; Gradio has its own.
COUNT_TIMERS = """
window.asked = [];
for (const name of ["setTimeout", "setInterval", "requestAnimationFrame"]) {
  const original = window[name];
  window[name] = (...given) => {
    if (new Error().stack.includes("/rearview/studio/")) window.asked.push(name);
    return original(...given);
  };
}
"""
NO_SOCKETS = """
window.WebSocket = class { constructor() { setTimeout(() => this.onclose?.({ code: 1006, reason: "" }), 5); } };
"""
# A browser without a screen opens no small window; what it would show is looked at.
SMALL_WINDOW = """
HTMLVideoElement.prototype.requestPictureInPicture = async function () { window.small = this; };
"""
BUSY = "(frames) => document.getElementById('status').dataset.frames > frames"


def frames(page: Page) -> float:
    return number(page, "frames")


def visible_at(page: Page, x: float, y: float) -> str:
    """The id of what a pointer meets at a place given as shares of the drawing's square."""
    script = """([x, y]) => {
      const box = document.getElementById("input").getBoundingClientRect();
      return document.elementFromPoint(box.left + x * box.width, box.top + y * box.height).id;
    }"""
    return page.evaluate(script, [x, y])


def is_inked(page: Page, x: float, y: float) -> bool:
    """Whether the black brush has been at a place given as shares of the drawing."""
    script = (
        "([x, y]) => document.getElementById('canvas').getContext('2d').getImageData(512 * x, 512 * y, 1, 1).data[0]"
    )
    return page.evaluate(script, [x, y]) < 100


def link_of(page: Page) -> str:
    """The address of the output page, as the visitor finds it."""
    page.click("#output")
    page.wait_for_function("document.getElementById('output_link').value !== ''")
    return page.input_value("#output_link")


@contextmanager
def watching(browser: Browser, address: str, script: str = "") -> Iterator[Page]:
    """Another browser, that has nothing but the address."""
    with blank(browser, script, viewport={"width": 640, "height": 360}) as page:
        page.goto(address)
        yield page


def pictures(other: Page) -> int:
    """How many an output page has shown."""
    return other.evaluate("Number(document.getElementById('picture').dataset.pictures ?? 0)")


def shows_the_same(other: Page, page: Page) -> bool:
    """Whether an output page shows what the visitor's page does, at last."""
    return eventually(other, lambda: difference(pixels(other, "picture"), pixels(page, "picture")) < 1)


def test_over_the_drawing_the_pen_goes_through_and_keys_move_the_line(page: Page) -> None:
    page.click("#over")
    expect(page.locator("#stage")).to_have_attribute("data-layout", "over")
    assert page.locator("#canvas").bounding_box() == page.locator("#picture").bounding_box()
    draw(page, (0.1, 0.3), (0.9, 0.3))
    assert [is_inked(page, x, 0.3) for x in (0.25, 0.75)] == [True, True]
    assert [visible_at(page, x, 0.3) for x in (0.25, 0.75)] == ["canvas", "canvas"]
    slider = page.get_by_role("slider", name="How much of the drawing is seen")
    slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuenow", "52")
    expect(slider).to_have_attribute("aria-valuetext", "48 % picture")
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuenow", "0")
    page.click("#over")
    expect(slider).to_be_hidden()
    assert page.locator("#canvas").bounding_box() != page.locator("#picture").bounding_box()


def test_the_line_is_dragged_and_stays_after_a_reload(page: Page) -> None:
    page.click("#over")
    box = page.locator("#input").bounding_box()
    handle = page.locator("#wipe").bounding_box()
    page.mouse.move(handle["x"] + 22, handle["y"] + 22)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.25 * box["width"], handle["y"], steps=4)
    page.mouse.up()
    expect(page.locator("#wipe")).to_have_attribute("aria-valuenow", "25")
    page.reload(wait_until="domcontentloaded")
    expect(page.locator("#wipe")).to_have_attribute("aria-valuenow", "25")
    expect(page.locator("#over")).to_have_attribute("aria-pressed", "true")


def test_holding_compare_shows_the_drawing_in_the_place_of_the_picture(page: Page) -> None:
    draw(page, (0.2, 0.2), (0.8, 0.8))
    rest(page)
    page.locator("#compare").hover()
    page.mouse.down()
    expect(page.locator("#before")).to_be_visible()
    assert pixels(page, "before") == pixels(page, "canvas")
    page.mouse.up()
    expect(page.locator("#before")).to_be_hidden()
    page.locator("#compare").focus()
    page.keyboard.down("Enter")
    expect(page.locator("#before")).to_be_visible()
    page.keyboard.up("Enter")
    expect(page.locator("#before")).to_be_hidden()


def test_full_screen_is_the_picture_alone_or_both_and_escape_leaves(page: Page) -> None:
    page.click("#full")
    expect(page.locator("#stage")).to_have_attribute("data-full", "alone")
    page.wait_for_function("document.fullscreenElement?.id === 'stage'")
    expect(page.locator("#canvas")).to_be_hidden()
    page.wait_for_function("""() => {
      const { height } = document.getElementById("picture").getBoundingClientRect();
      return Math.abs(height - Math.min(window.innerWidth, window.innerHeight)) <= 2;
    }""")
    page.locator("#full_both").press("Enter")
    expect(page.locator("#canvas")).to_be_visible()
    page.evaluate("document.exitFullscreen()")
    expect(page.locator("#full_leave")).to_be_hidden()
    expect(page.locator("#sources")).to_be_visible()


def test_without_a_full_screen_the_window_is_filled(page: Page) -> None:
    page.evaluate("Element.prototype.requestFullscreen = undefined")
    page.click("#full")
    expect(page.locator("#sources")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("#sources")).to_be_visible()
    expect(page.locator("#full")).to_be_focused()


def test_the_small_window_holds_the_picture(browser: Browser, quick_app: App) -> None:
    with visited(browser, quick_app, SMALL_WINDOW) as page:
        page.click("#small_window")
        expect(page.locator("#small_window")).to_have_attribute("aria-pressed", "true")
        page.wait_for_function("window.small.videoWidth === document.getElementById('picture').width")
        page.evaluate("window.small.dispatchEvent(new Event('leavepictureinpicture'))")
        expect(page.locator("#small_window")).to_have_attribute("aria-pressed", "false")


def test_nothing_moves_when_a_picture_comes(page: Page) -> None:
    page.evaluate(
        """() => {
      window.shift = 0;
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) window.shift += entry.value;
      }).observe({ type: "layout-shift" });
      const other = document.createElement("canvas");
      other.width = 96;
      other.height = 64;
      const picture = document.getElementById("picture");
      window.box = () => JSON.stringify(picture.parentElement.getBoundingClientRect());
      window.boxBefore = window.box();
      picture.width = 96;
      picture.height = 64;
    }"""
    )
    draw(page, (0.2, 0.2), (0.8, 0.8))
    rest(page)
    assert page.evaluate("window.box() === window.boxBefore")
    assert page.evaluate("window.shift") < 0.005


def shows_a_stroke(other: Page, page: Page) -> bool:
    """Whether the output page comes to show what a stroke on the page is painted as."""
    shown = pictures(other)
    draw(page, (0.2, 0.2), (0.8, 0.8))
    rest(page)
    return eventually(other, lambda: pictures(other) > shown) and shows_the_same(other, page)


def test_the_output_page_shows_the_picture_and_nothing_else(page: Page, browser: Browser) -> None:
    with watching(browser, link_of(page)) as other:
        expect(page.locator("#output_watched")).to_have_text("1 page watches now.")
        page.keyboard.press("Escape")
        rest(page)
        assert shows_the_same(other, page)
        assert shows_a_stroke(other, page)
        assert other.locator("button, input, a").count() == 0
        assert other.inner_text("body").strip() == ""
        assert other.locator("#picture").bounding_box() == {"x": 0, "y": 0, "width": 640, "height": 360}
    page.click("#output")
    expect(page.locator("#output_watched")).to_have_text("Nobody watches now.")


def test_the_output_page_comes_back_after_a_reload_and_says_when_it_is_over(page: Page, browser: Browser) -> None:
    address = link_of(page)
    with watching(browser, address) as other:
        rest(page)
        assert eventually(other, lambda: pictures(other) > 0) and shows_the_same(other, page)
        page.reload(wait_until="domcontentloaded")
        settled(page)
        assert link_of(page) == address
        page.keyboard.press("Escape")
        rest(page)
        assert shows_the_same(other, page)
        # Both are at rest: what comes now is a picture of the page as it is after its reload.
        assert shows_a_stroke(other, page)
        page.click("#output")
        page.click("#output_stop")
        expect(other.locator("#sentence")).to_contain_text("have ended")
        assert other.evaluate("document.getElementById('picture').width") == 1


def test_the_output_page_works_where_no_socket_gets_through(page: Page, browser: Browser) -> None:
    with watching(browser, link_of(page), NO_SOCKETS) as other:
        rest(page)
        assert eventually(other, lambda: pictures(other) > 0) and shows_the_same(other, page)
        page.keyboard.press("Escape")
        shown = pictures(other)
        draw(page, (0.2, 0.8), (0.8, 0.2))
        rest(page)
        assert eventually(other, lambda: pictures(other) > shown) and shows_the_same(other, page)


def test_a_hidden_page_rests_and_goes_on_when_it_is_seen_again(page: Page) -> None:
    page.evaluate(HIDE, True)
    expect(page.locator('[data-fact="state"]')).to_have_text("paused while hidden")
    rest(page)
    before = frames(page)
    draw(page, (0.2, 0.2), (0.8, 0.8))
    page.wait_for_timeout(300)
    assert frames(page) == before
    page.evaluate(HIDE, False)
    page.wait_for_function(BUSY, arg=before)
    expect(page.locator('[data-fact="state"]')).not_to_have_text("paused while hidden")


def test_a_hidden_page_that_is_watched_goes_on(page: Page, browser: Browser) -> None:
    with watching(browser, link_of(page)):
        expect(page.locator("#output_watched")).to_have_text("1 page watches now.")
        page.keyboard.press("Escape")
        page.click("#camera")
        expect(page.locator("#camera")).to_have_attribute("aria-pressed", "true")
        # No frame of the camera is told to a hidden page.
        page.evaluate("HTMLVideoElement.prototype.requestVideoFrameCallback = () => 0")
        page.evaluate(HIDE, True)
        # More than those that were under way, and the last one again and again.
        page.wait_for_function(
            "(frames) => document.getElementById('status').dataset.frames > frames + 15", arg=frames(page)
        )
    expect(page.locator('[data-fact="state"]')).to_have_text("paused while hidden")
    page.evaluate(HIDE, False)


def test_a_page_at_rest_does_nothing(browser: Browser, quick_app: App) -> None:
    with visited(browser, quick_app, COUNT_TIMERS) as page:
        page.wait_for_timeout(500)
        before = frames(page)
        page.evaluate("window.asked.length = 0")
        page.wait_for_timeout(2000)
        assert frames(page) == before
        assert page.evaluate("window.asked") == []


def test_of_an_empty_sheet_no_picture_is_shown(quick_page: Page) -> None:
    page = quick_page
    expect(page.locator("#picture")).to_have_css("opacity", "0")
    drag(page, (100, 100), (300, 200))
    expect(page.locator("#picture")).to_have_css("opacity", "1")
    page.click("#clear")
    expect(page.locator("#picture")).to_have_css("opacity", "0")
    page.click("#undo")
    expect(page.locator("#picture")).to_have_css("opacity", "1")
