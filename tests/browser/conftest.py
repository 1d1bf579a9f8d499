"""A headless Chromium and the real app in a process of its own, at a free port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 90.0
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


class App:
    """The app as a person starts it: `python app.py`. It can be stopped and started again at the same port."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the app and wait until its page answers."""
        model = os.environ.get("REARVIEW_TEST_MODEL", "embedded")
        command = [sys.executable, "app.py", "--port", str(self.port), "--model", model]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail(f"the app did not start: {self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)

    def stop(self) -> int:
        """Stop the app as a service manager does; its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(timeout=20)

    def kill(self) -> None:
        """End the app without any goodbye, as a crash does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=20)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Whether a page is served at `url`."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def without_browser(reason: str) -> NoReturn:
    """Skip the browser tests, or fail them where a browser is required."""
    if os.environ.get("REARVIEW_REQUIRE_BROWSER") == "1":
        pytest.fail(f"the browser tests need Chromium: {reason}")
    pytest.skip(f"the browser tests need Chromium ({reason}); install it, or run: playwright install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """No longer than a module, because Playwright's event loop runs on while it lives."""
    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=BROWSER_ARGUMENTS)
        except Error as error:
            without_browser(str(error).splitlines()[0])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def app(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    served = App(tmp_path_factory.mktemp("app") / "app.log")
    served.start()
    yield served
    served.stop()


@pytest.fixture
def page(browser: Browser, app: App) -> Iterator[Page]:
    """A fresh page that is connected and at rest."""
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
