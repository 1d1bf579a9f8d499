"""The page inside a page of another origin, as on huggingface.co, behind a proxy's prefix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser, Frame, Page

from tests.browser.conftest import AT_REST, blank
from tests.support.proxy import Proxy, proxied
from tests.support.served import App

pytestmark = pytest.mark.browser

PREFIX = "/paint"
OUTSIDE = {"SYSTEM": "spaces", "SPACE_ID": "anna/rearview", "GRADIO_SSR_MODE": "True", "GRADIO_ROOT_PATH": PREFIX}
BLOCKED_STORAGE = """
for (const name of ["localStorage", "sessionStorage", "indexedDB", "caches"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("blocked", "SecurityError"); } });
}
"""
"""What a browser does to pages of others whose visitor lets them keep nothing."""


@pytest.fixture(scope="module")
def app(browser: Browser, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    log = tmp_path_factory.mktemp("embedded") / "app.log"
    served = App(log, environment={**OUTSIDE, "REARVIEW_MODEL": str(tiny_folder)})
    served.start()
    yield served
    served.stop()


@contextmanager
def hosted(address: str) -> Iterator[str]:
    """A site of another origin that shows the page at `address` in a frame, as Spaces do."""
    allowed = "camera; microphone; clipboard-write; fullscreen"
    body = f'<!doctype html><iframe src="{address}" allow="{allowed}" width="1200" height="1000"></iframe>'.encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def inner(page: Page, host: str, proxy: Proxy) -> Frame:
    """The app's page in the page of the site, once that is connected and at rest."""
    page.goto(host, wait_until="domcontentloaded")
    frame = page.wait_for_selector("iframe").content_frame()
    assert frame is not None
    frame.wait_for_url(lambda url: url.startswith(proxy.url))
    frame.wait_for_selector(AT_REST)
    return frame


@pytest.mark.parametrize(("storage", "sockets"), [("kept", True), ("blocked", True), ("kept", False)])
def test_a_drawing_is_painted_in_a_frame_of_another_origin(
    browser: Browser, app: App, storage: str, sockets: bool
) -> None:
    """Also where the page may keep nothing, and where the proxy passes no WebSockets on."""
    asked: list[str] = []
    script = BLOCKED_STORAGE if storage == "blocked" else ""
    with proxied(app.port, PREFIX, sockets) as proxy, hosted(proxy.url) as host:
        with blank(browser, script, viewport={"width": 1280, "height": 1100}) as page:
            page.context.on("request", lambda request: asked.append(request.url))
            frame = inner(page, host, proxy)
            assert frame.evaluate("window.origin") != page.evaluate("window.origin")
            draw(page, frame)
        allowed = {host.split("/")[2], f"127.0.0.1:{proxy.port}"}
    assert {url.split("/")[2] for url in asked if url.startswith(("http", "ws"))} == allowed
    assert sockets is not any("rearview/frame" in url for url in asked)


def draw(page: Page, frame: Frame) -> None:
    """Draw a line in a frame, and wait until it is painted."""
    before = frame.evaluate("window.rearview.last.sequence")
    box = frame.locator("#canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 160, steps=6)
    page.mouse.up()
    frame.wait_for_function("before => window.rearview.last.sequence > before", arg=before)
