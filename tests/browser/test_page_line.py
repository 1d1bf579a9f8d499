"""The line in front of the door, and the end of a visit, as a person sees them in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.served import App

pytestmark = pytest.mark.browser

WITHOUT_SOCKETS = "window.WebSocket = class { constructor() { setTimeout(() => this.onclose?.({ code: 1006 }), 5); } };"
IDLE = '#status[data-state="idle"]'
QUEUED = '#status[data-state="queued"]'


@pytest.fixture(scope="module")
def narrow(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app with one place, and short visits."""
    log = tmp_path_factory.mktemp("narrow") / "app.log"
    served = App(log, "--visitors", "1", "--session-seconds", "25", "--grace-seconds", "0.5")
    served.start()
    yield served
    served.stop()


def opened(browser: Browser, app: App, script: str = "") -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    if script:
        page.add_init_script(script)
    page.goto(app.url, wait_until="domcontentloaded")
    return page


@pytest.mark.parametrize("script", ["", WITHOUT_SOCKETS], ids=["socket", "post"])
def test_a_newcomer_sees_their_place_and_gets_in_by_themselves(browser: Browser, narrow: App, script: str) -> None:
    first = opened(browser, narrow)
    first.wait_for_selector(IDLE, timeout=30_000)
    second = opened(browser, narrow, script)
    second.wait_for_selector(QUEUED, timeout=30_000)
    expect(second.locator("#place")).to_have_text("You are number 1 of 1 in line")
    expect(second.locator("#expected")).to_contain_text("The picture starts by itself.")
    expect(second.locator("#line")).to_be_visible()
    first.context.close()
    second.wait_for_selector(IDLE, timeout=30_000)
    expect(second.locator("#line")).to_be_hidden()
    second.context.close()


def test_a_visit_that_is_over_may_be_begun_again(browser: Browser, narrow: App) -> None:
    page = opened(browser, narrow)
    page.wait_for_selector(IDLE, timeout=30_000)
    expect(page.locator("#again")).to_be_hidden()
    expect(page.locator("#notice")).to_contain_text("ends in half a minute", timeout=20_000)
    expect(page.locator("#notice")).to_contain_text("welcome to come again", timeout=40_000)
    page.click("#again")
    page.wait_for_selector(IDLE, timeout=30_000)
    expect(page.locator("#again")).to_be_hidden()
    page.context.close()
