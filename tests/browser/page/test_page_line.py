"""The line in front of the door, and the end of a visit, as a person sees them in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import AT_REST, PATIENCE_MS, blank
from tests.support.served import App

pytestmark = pytest.mark.browser

WITHOUT_SOCKETS = "window.WebSocket = class { constructor() { setTimeout(() => this.onclose?.({ code: 1006 }), 5); } };"
QUEUED = '#status[data-state="queued"]'
SHORTEST_VISIT_S = 10
# Every sentence that stood under the pictures: on a slow machine a visit is over before anybody has looked.
KEEP_WHAT_IS_SAID = """
window.said = [];
new MutationObserver(() => {
  const sentence = document.getElementById("notice")?.textContent;
  if (sentence && window.said.at(-1) !== sentence) window.said.push(sentence);
}).observe(document, { subtree: true, childList: true, characterData: true });
"""
WAS_SAID = "(words) => window.said.some((sentence) => sentence.includes(words))"


@contextmanager
def started(model: Path, folder: Path, *options: str) -> Iterator[App]:
    """An app whose pictures cost nothing, with limits of its own."""
    served = App(folder / "app.log", *options, model=str(model))
    served.start()
    yield served
    served.stop()


@pytest.fixture(scope="module")
def narrow(is_there: None, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app with one place."""
    with started(tiny_folder, tmp_path_factory.mktemp("narrow"), "--visitors", "1", "--grace-seconds", "0.5") as app:
        yield app


@pytest.fixture(scope="module")
def brief(is_there: None, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app with short visits."""
    folder = tmp_path_factory.mktemp("brief")
    with started(tiny_folder, folder, "--session-seconds", str(SHORTEST_VISIT_S)) as app:
        yield app


@contextmanager
def opened(browser: Browser, app: App, script: str = "") -> Iterator[Page]:
    """The page of an app, in whatever state it is."""
    with blank(browser, script) as page:
        page.goto(app.url, wait_until="domcontentloaded")
        yield page


@pytest.mark.parametrize("script", ["", WITHOUT_SOCKETS], ids=["socket", "post"])
def test_a_newcomer_sees_their_place_and_gets_in_by_themselves(browser: Browser, narrow: App, script: str) -> None:
    with opened(browser, narrow) as first:
        first.wait_for_selector(AT_REST)
        with opened(browser, narrow, script) as second:
            second.wait_for_selector(QUEUED)
            expect(second.locator("#place")).to_have_text("You are number 1 of 1 in line")
            expect(second.locator("#expected")).to_contain_text("The picture starts by itself.")
            expect(second.locator("#line")).to_be_visible()
            first.close()
            second.wait_for_selector(AT_REST)
            expect(second.locator("#line")).to_be_hidden()


def test_a_visit_that_is_over_may_be_begun_again(browser: Browser, brief: App) -> None:
    with opened(browser, brief, KEEP_WHAT_IS_SAID) as page:
        page.wait_for_function(WAS_SAID, arg="ends in half a minute")
        page.wait_for_function(WAS_SAID, arg="welcome to come again", timeout=PATIENCE_MS + 1000 * SHORTEST_VISIT_S)
        frames = int(page.get_attribute("#status", "data-frames") or 0)
        expect(page.locator("#again")).to_be_visible()
        page.click("#again")
        page.wait_for_function(
            "(frames) => Number(document.getElementById('status').dataset.frames) > frames", arg=frames
        )
