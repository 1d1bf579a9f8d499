"""A picture at rest as a person sees it: it comes once more, finer, and the next stroke brings the live one back."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from pipeline.recording.recording import FrameSent, Rested, read_recording
from tests.browser.conftest import AT_REST, stroke, visited
from tests.conftest import TINY_SIZE
from tests.support.served import App

pytestmark = pytest.mark.browser

KEEP_SIDES = """() => {
  const picture = document.getElementById("picture");
  window.sides = [picture.width];
  new MutationObserver(() => window.sides.at(-1) !== picture.width && window.sides.push(picture.width)).observe(
    picture, { attributes: true }
  );
}"""
IS_FINE = f"() => document.getElementById('picture').width === {2 * TINY_SIZE}"


@pytest.fixture(scope="module")
def fine(is_there: None, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app that has all the time for finer pictures."""
    served = App(tmp_path_factory.mktemp("fine") / "app.log", "--finer-seconds", "600", model=str(tiny_folder))
    served.start()
    yield served
    served.stop()


@pytest.fixture
def page(browser: Browser, fine: App) -> Iterator[Page]:
    with visited(browser, fine) as page:
        page.wait_for_function(IS_FINE)
        yield page


def test_a_stroke_brings_the_live_picture_and_rest_a_finer_one(page: Page) -> None:
    frames = int(page.get_attribute("#status", "data-frames") or 0)
    page.evaluate(KEEP_SIDES)
    stroke(page)
    page.wait_for_function(f"() => window.sides.length > 2 && window.sides.at(-1) === {2 * TINY_SIZE}")
    assert page.evaluate("window.sides")[:3] == [2 * TINY_SIZE, TINY_SIZE, 2 * TINY_SIZE]
    assert int(page.get_attribute("#status", "data-frames") or 0) > frames


def test_a_finer_picture_counts_as_none_and_lasts(page: Page) -> None:
    page.wait_for_selector(AT_REST)
    before = page.get_attribute("#status", "data-frames")
    page.wait_for_timeout(1500)
    assert page.get_attribute("#status", "data-frames") == before
    assert page.evaluate(IS_FINE)


def test_what_is_saved_is_the_finer_one(page: Page) -> None:
    with page.expect_download() as download:
        page.click("#save")
    content = Path(download.value.path()).read_bytes()
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.size == (2 * TINY_SIZE, 2 * TINY_SIZE)


def test_who_turns_it_off_keeps_the_live_picture(page: Page) -> None:
    page.evaluate(KEEP_SIDES)
    page.locator("#finer").get_by_label("off").check()
    page.wait_for_function("() => window.sides.length > 1")
    page.wait_for_selector(AT_REST)
    page.wait_for_timeout(1500)
    assert page.evaluate("window.sides") == [2 * TINY_SIZE, TINY_SIZE]


def test_a_recording_knows_of_it(page: Page) -> None:
    page.click("#record")
    # What begins a recording is painted as well, so that the picture may be the live one by now.
    page.evaluate(KEEP_SIDES)
    stroke(page)
    page.wait_for_function(f"() => window.sides.includes({TINY_SIZE}) && window.sides.at(-1) === {2 * TINY_SIZE}")
    with page.expect_download() as download:
        page.click("#record")
    events = read_recording(Path(download.value.path()).read_bytes()).events
    rests = [index for index, event in enumerate(events) if isinstance(event, Rested)]
    assert rests and all(isinstance(events[index - 1], FrameSent) for index in rests)
