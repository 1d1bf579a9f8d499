"""A headless Chromium and the real app in a process of its own, at a free port."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

from tests.served import App

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
]


def without_browser(reason: str) -> NoReturn:
    """Skip the browser tests, or fail them where a browser is required."""
    if os.environ.get("REARVIEW_REQUIRE_BROWSER") == "1":
        pytest.fail(f"the browser tests need Chromium: {reason}")
    pytest.skip(f"the browser tests need Chromium ({reason}); install it, or run: playwright install chromium")


@contextmanager
def launched() -> Iterator[Browser]:
    """A Chromium, if there is one."""
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


@contextmanager
def visited(browser: Browser, app: App) -> Iterator[Page]:
    """A fresh page that is connected and at rest; no script of it may fail while it is open."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, permissions=["camera"])
    fresh = context.new_page()
    problems: list[str] = []
    fresh.on("pageerror", lambda error: problems.append(str(error)))
    fresh.goto(app.url, wait_until="domcontentloaded")
    fresh.wait_for_function("window.rearview && window.rearview.applied !== null", timeout=30_000)
    fresh.wait_for_selector('#status[data-state="idle"]', timeout=30_000)
    yield fresh
    context.close()
    assert problems == []


@pytest.fixture
def page(browser: Browser, app: App) -> Iterator[Page]:
    """A fresh page of the app with the embedded model."""
    with visited(browser, app) as fresh:
        yield fresh


@pytest.fixture
def quick_page(browser: Browser, quick_app: App) -> Iterator[Page]:
    """A fresh page of the quick app."""
    with visited(browser, quick_app) as fresh:
        yield fresh
