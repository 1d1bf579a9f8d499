"""The page's wire to the server in a real browser: without WebSockets, and when the server is gone for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, expect

from demo.words import word
from tests.browser.conftest import AT_REST, blank, visited
from tests.browser.page.test_page_live import draw, draw_cross, move_slider, number, pixels
from tests.support.proxy import proxied

if TYPE_CHECKING:
    from tests.browser.conftest import App

pytestmark = pytest.mark.browser

WITHOUT_SOCKETS = "window.WebSocket = class { constructor() { setTimeout(() => this.onclose?.({ code: 1006 }), 5); } };"


def test_without_websockets_the_page_posts(browser: Browser, quick_app: App) -> None:
    with visited(browser, quick_app, WITHOUT_SOCKETS) as page:
        before = pixels(page, "picture")
        draw_cross(page)
        assert pixels(page, "picture") != before
        move_slider(page, "steps", 2)
        page.wait_for_function("window.rearview.applied.steps === 2")


def test_behind_a_proxy_that_rewrites_host_the_page_says_what_to_do(browser: Browser, quick_app: App) -> None:
    with proxied(quick_app.port, "", host=f"127.0.0.1:{quick_app.port}") as proxy, blank(browser) as page:
        page.goto(proxy.url, wait_until="domcontentloaded")
        notice = page.locator("#notice")
        expect(notice).to_have_text(word("live.foreign"))
        page.evaluate("""() => {
          window.said = [];
          const notice = document.getElementById("notice");
          new MutationObserver(() => window.said.push(notice.textContent)).observe(notice, { childList: true });
        }""")
        # Where the second one is asked for, the first one has failed, and said nothing.
        for _ in range(2):
            page.wait_for_event("websocket")
        assert page.evaluate("window.said") == []


def test_who_answers_in_the_servers_place_is_not_taken_for_it(browser: Browser, quick_app: App) -> None:
    """A proxy that cannot reach it, a login in front of it, a page of the host's own."""
    with blank(browser, WITHOUT_SOCKETS) as page:
        for status in (502, 401, 200):
            answered_with(page, status)
            page.goto(quick_app.url, wait_until="domcontentloaded")
            expect(page.locator("#notice")).to_have_text(word("wire.not_the_server", status=status))
        page.unroute_all(behavior="wait")
        page.wait_for_selector(AT_REST)
        expect(page.locator("#notice")).to_be_empty()


def answered_with(page: Page, status: int) -> None:
    page.route("**/rearview/frame", lambda route: route.fulfill(status=status, body="<html>a login</html>"))


@pytest.mark.timeout(600)
def test_the_page_survives_a_crash_of_the_server(quick_page: Page, quick_app: App) -> None:
    page = quick_page
    draw_cross(page)
    drawing = pixels(page, "canvas")
    quick_app.kill()
    page.wait_for_selector('#status[data-state="away"]')
    expect(page.locator("#notice")).to_contain_text("connects again")
    quick_app.start()
    page.wait_for_selector(AT_REST)
    expect(page.locator("#notice")).to_be_empty()
    assert pixels(page, "canvas") == drawing
    frames = number(page, "frames")
    draw(page, (0.1, 0.5), (0.9, 0.5))
    page.wait_for_function("(frames) => document.getElementById('status').dataset.frames > frames", arg=frames)
