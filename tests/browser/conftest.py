"""A headless Chromium and the real app in a process of its own, at a free port."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from playwright.sync_api import Browser, Error, Page, ViewportSize, WebError, expect, sync_playwright

from tests.support.served import App

BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    # The list under the address bar, which nobody sees here: a page of Chromium's own in a process of its own, made for
    # each window.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup",
]
VIEWPORT: ViewportSize = {"width": 1280, "height": 1000}
PATIENCE_MS = 90_000
"""How long anything is waited for: what a slow and busy machine may need, since a wait ends as soon as it can."""

AT_REST = '#status[data-state="idle"]'
"""The page is connected, and every picture of what was done to it so far is shown."""

# What the page tells goes by itself after a while, which is too soon for a test on a busy machine.
KEEP_WHAT_IS_TOLD = """() => {
  const toast = document.getElementById("toast");
  window.toasts = [];
  new MutationObserver(() => window.toasts.push(toast.textContent)).observe(toast, { childList: true });
}"""


def without_browser(reason: str) -> NoReturn:
    """Skip the browser tests, or fail them where a browser is required."""
    if os.environ.get("REARVIEW_REQUIRE_BROWSER") == "1":
        pytest.fail(f"the browser tests need Chromium: {reason}")
    pytest.skip(f"the browser tests need Chromium ({reason}); install it, or run: playwright install chromium")


@contextmanager
def launched() -> Iterator[Browser]:
    """A Chromium, if there is one."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=BROWSER_ARGUMENTS)
        except Error as error:
            without_browser(str(error).splitlines()[0])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def is_there() -> None:
    """No app is started where there is no browser for it."""
    with launched():
        pass


@pytest.fixture(scope="module")
def browser(is_there: None) -> Iterator[Browser]:
    """No longer than a module, because Playwright's event loop runs on while it lives."""
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="session")
def app(is_there: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    served = App(tmp_path_factory.mktemp("app") / "app.log")
    served.start()
    yield served
    served.stop()


@pytest.fixture(scope="session")
def quick_app(is_there: None, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app with a random model of a few thousand weights: for tests of the page, not of the pictures."""
    served = App(tmp_path_factory.mktemp("quick") / "app.log", model=str(tiny_folder))
    served.start()
    yield served
    served.stop()


BEEN_HERE = """
try {
  localStorage.setItem("rearview.met", "true");
  if (!localStorage.getItem("rearview.open")) localStorage.setItem("rearview.open", '["tools", "settings", "rest"]');
} catch {
  // A page whose browser keeps nothing, or an empty one.
}
"""
"""A visitor who comes again: the page begins nothing by itself, and every drawer is open."""


@contextmanager
def blank(browser: Browser, script: str = "", first: bool = False, **options: Any) -> Iterator[Page]:
    """An empty page of a visitor of its own, that runs `script` before all others; no script may fail in it. They have
    been here before unless it is their `first` visit."""
    context = browser.new_context(**({"viewport": VIEWPORT} | options))
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    if not first:
        page.add_init_script(BEEN_HERE)
    if script:
        # Of the page, not of its context: nothing that a script may ask for is there while the page is empty.
        page.add_init_script(script)
    with unbroken(page):
        try:
            yield page
        finally:
            context.close()


@contextmanager
def unbroken(page: Page) -> Iterator[None]:
    """Meanwhile no script may fail in a page."""
    problems: list[str] = []

    def keep(error: WebError) -> None:
        problems.append(str(error.error))

    context = page.context
    context.on("weberror", keep)
    yield
    context.remove_listener("weberror", keep)
    assert problems == []


def stroke(page: Page) -> None:
    """One line with the mouse, over half of the canvas."""
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.6, steps=4)
    page.mouse.up()


def settled(page: Page) -> None:
    """Wait until the page is connected and at rest, after it was opened or opened again."""
    page.wait_for_selector(AT_REST)
    page.evaluate(KEEP_WHAT_IS_TOLD)


@contextmanager
def visited(browser: Browser, app: App, script: str = "", **options: Any) -> Iterator[Page]:
    """The page of an app, connected and at rest."""
    with blank(browser, script, **options) as page:
        page.goto(app.url, wait_until="domcontentloaded")
        settled(page)
        yield page


def wait_until_told(page: Page, sentence: str) -> None:
    """Wait for a word on what was done since the page was opened; it may be gone again by now."""
    page.wait_for_function("(sentence) => window.toasts.includes(sentence)", arg=sentence)


def eventually(page: Page, is_so: Callable[[], bool]) -> bool:
    """Whether it is so, now or after any wait that is reasonable."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not is_so() and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    return is_so()


@contextmanager
def lent(page: Page, app: App) -> Iterator[Page]:
    """An empty page that becomes the page of an app, connected and at rest, and is emptied afterwards: whoever is lent
    it next was never there.

    Most of what a page costs is its process and the compiling of its scripts, and both stay.
    """
    page.set_viewport_size(VIEWPORT)
    with unbroken(page):
        page.goto(app.url, wait_until="domcontentloaded")
        settled(page)
        yield page
        for other in page.context.pages:
            if other is not page:
                other.close()
        page.evaluate("sessionStorage.clear()")
        page.goto("about:blank")
    session = page.context.new_cdp_session(page)
    session.send("Storage.clearDataForOrigin", {"origin": app.url.rstrip("/"), "storageTypes": "all"})
    session.detach()


@pytest.fixture(scope="module")
def empty_page(browser: Browser) -> Iterator[Page]:
    """One for all tests of a module that need a page and nothing special of it."""
    with blank(browser, permissions=["camera"]) as page:
        yield page


@pytest.fixture
def page(empty_page: Page, app: App) -> Iterator[Page]:
    """A fresh page of the app with the embedded model."""
    with lent(empty_page, app) as fresh:
        yield fresh


@pytest.fixture
def quick_page(empty_page: Page, quick_app: App) -> Iterator[Page]:
    """A fresh page of the quick app."""
    with lent(empty_page, quick_app) as fresh:
        yield fresh
