"""A short visit with the browsers that are not Chromium: draw, see it painted, move a slider, save, come again."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.browser.conftest import BEEN_HERE, PATIENCE_MS
from tests.support.other_browsers import Driven, drag, firefox, press, webkit

if TYPE_CHECKING:
    from tests.browser.conftest import App

pytestmark = pytest.mark.browser

ARROW_RIGHT = "\ue014"
IDLE = """document.querySelector('#status[data-state="idle"]') !== null && window.rearview?.last !== undefined"""
MIDDLE = """(() => {{
  const {{ x, y, width, height }} = document.querySelector({selector}).getBoundingClientRect();
  return [x, y, width, height];
}})()"""
DARK = """(() => {
  const canvas = document.getElementById("canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.filter((value, at) => at % 4 === 0 && value < 100).length;
})()"""
KEEP_WHAT_IS_SAVED = """(() => {
  window.problems = [];
  window.addEventListener("error", (event) => window.problems.push(event.message));
  const made = URL.createObjectURL;
  URL.createObjectURL = (blob) => ((window.kept = blob), made(blob));
  return true;
})()"""
KEPT = """new Promise((resolve) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result);
  reader.readAsDataURL(window.kept);
})"""
DEAD = """(() => {
  const shown = (id) => document.getElementById(id)?.checkVisibility() ?? false;
  return [
    shown("small_window") && !("documentPictureInPicture" in window),
    shown("source_screen") && !navigator.mediaDevices?.getDisplayMedia,
    shown("capture_share") && !navigator.canShare,
  ];
})()"""


@pytest.fixture(params=[firefox, webkit], ids=["firefox", "webkit"])
def visitor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:
    # Not the test's own folder: Firefox refuses a profile whose path is long.
    opened = request.param(tmp_path_factory.mktemp("visitor"))
    with ExitStack() as stack:
        try:
            page = stack.enter_context(opened)
        except FileNotFoundError as missing:
            pytest.skip(f"{missing}; install it to visit the page with {request.param.__name__}")
        yield page


def wait(page: Driven, script: str) -> None:
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not page.value(script):
        assert time.monotonic() < deadline, script
        time.sleep(0.1)


def box(page: Driven, selector: str) -> tuple[float, float, float, float]:
    left, top, width, height = page.value(MIDDLE.format(selector=json.dumps(selector)))
    return left, top, width, height


def click(page: Driven, selector: str) -> None:
    page.value(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{ block: 'center' }}) ?? true")
    left, top, width, height = box(page, selector)
    drag(page, [(left + width / 2, top + height / 2)])


def test_a_short_visit_works(visitor: Driven, quick_app: App) -> None:
    page = visitor
    # Something plain of the same origin: Firefox shows JSON in a page of its own.
    page.open(f"{quick_app.url}theme.css")
    page.value(f"(() => {{ {BEEN_HERE} return true; }})()")
    page.open(quick_app.url)
    wait(page, IDLE)
    assert page.value(KEEP_WHAT_IS_SAVED)
    assert not any(page.value(DEAD))

    left, top, width, height = box(page, "#canvas")
    drag(page, [(left + share * width, top + 0.5 * height) for share in (0.2, 0.5, 0.8)])
    assert page.value(DARK) > 500
    wait(page, IDLE)
    assert page.value("window.rearview.last.sequence") > 0

    steps = page.value("window.rearview.settings.steps")
    page.value("document.querySelector('#steps input[type=range]').focus() ?? true")
    press(page, ARROW_RIGHT)
    wait(page, f"window.rearview.applied?.steps === {steps + 1}")

    click(page, "#save")
    wait(page, "window.kept !== undefined")
    with Image.open(BytesIO(base64.b64decode(page.value(KEPT).partition(",")[2]))) as picture:
        assert picture.format == "PNG" and "rearview" in picture.info
        darkest, brightest = picture.convert("L").getextrema()
        assert darkest < brightest
    assert page.value("window.problems") == []

    page.open(quick_app.url)
    wait(page, IDLE)
    assert page.value(DARK) > 500
