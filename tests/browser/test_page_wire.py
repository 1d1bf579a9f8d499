"""The page's wire to the server in a real browser: without WebSockets, and when the server is gone for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import AT_REST, visited
from tests.browser.test_page_live import draw, draw_cross, move_slider, number, pixels

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
