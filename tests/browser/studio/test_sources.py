"""Where the frames come from, as a person switches it: the drawing, the camera, a screen, a video file, a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, expect

from demo.words import word
from tests.browser.conftest import visited
from tests.browser.page.test_page_live import difference, draw, number, pixels, rest
from tests.support.clips import BLUE, GREEN, RED, write_clip

if TYPE_CHECKING:
    from tests.browser.conftest import App

pytestmark = pytest.mark.browser


@pytest.fixture
def page(quick_page: Page) -> Page:
    """What is tested here is the page, not its pictures."""
    return quick_page


# A screen of two halves, red on the left and blue on the right, that somebody draws again and again.
TWO_HALVES = """
const halves = document.createElement("canvas");
halves.width = 640;
halves.height = 360;
const context = halves.getContext("2d");
setInterval(() => {
  context.fillStyle = "#f00";
  context.fillRect(0, 0, 320, 360);
  context.fillStyle = "#00f";
  context.fillRect(320, 0, 320, 360);
}, 50);
const share = async () => (window.shared = halves.captureStream(20));
"""
SCREEN = TWO_HALVES + "navigator.mediaDevices.getDisplayMedia = share;"
CAMERA = TWO_HALVES + "navigator.mediaDevices.getUserMedia = share;"
# Two cameras of which one may be open at a time, as on many phones; `window.broken` names one that opens for nobody.
ONE_OF_TWO = (
    TWO_HALVES
    + """
const cameras = ["front", "back"].map((deviceId) => ({ deviceId, kind: "videoinput", label: deviceId }));
navigator.mediaDevices.enumerateDevices = async () => cameras;
let open = null;
navigator.mediaDevices.getUserMedia = async ({ video }) => {
  const deviceId = video.deviceId?.exact ?? "front";
  if (open?.readyState === "live" || deviceId === window.broken) throw new DOMException("", "NotReadableError");
  const stream = halves.captureStream(20);
  [open] = stream.getTracks();
  open.getSettings = () => ({ deviceId });
  window.given = (window.given ?? 0) + 1;
  return stream;
};
"""
)
UNANSWERED = (
    TWO_HALVES
    + """
navigator.mediaDevices.getUserMedia = () => new Promise((resolve) => {
  window.allow = async () => resolve(await share());
});
"""
)
PRESSED = '[aria-pressed="true"]'


@pytest.fixture
def opened(browser: Browser, quick_app: App) -> Iterator[Callable[[str], Page]]:
    """Opens a page at rest that runs a script of the test first."""
    with ExitStack() as visits:
        yield lambda script: visits.enter_context(visited(browser, quick_app, script))


def colour(page: Page, x: float, y: float) -> list[int]:
    """What goes to the engine at a place given as shares of the canvas."""
    script = "([x, y]) => [...document.getElementById('canvas').getContext('2d').getImageData(x, y, 1, 1).data]"
    return page.evaluate(script, [round(511 * x), round(511 * y)])[:3]


def is_like(found: list[int], expected: tuple[int, ...]) -> bool:
    return max(abs(one - other) for one, other in zip(found, expected, strict=True)) < 40


def wait_for_colour(page: Page, x: float, y: float, expected: tuple[int, ...]) -> None:
    page.wait_for_function(
        """([x, y, expected]) => {
      const data = document.getElementById("canvas").getContext("2d").getImageData(511 * x, 511 * y, 1, 1).data;
      return expected.every((value, at) => Math.abs(data[at] - value) < 40);
    }""",
        arg=[x, y, list(expected)],
    )


def test_a_shared_screen_is_painted_and_its_end_brings_the_drawing_back(opened: Callable[[str], Page]) -> None:
    page = opened(SCREEN)
    draw(page, (0.2, 0.2), (0.8, 0.8))
    drawing = pixels(page, "canvas")
    page.click("#source_screen")
    expect(page.locator(f"#source_screen{PRESSED}")).to_be_visible()
    wait_for_colour(page, 0.1, 0.5, (255, 0, 0))
    assert is_like(colour(page, 0.9, 0.5), (0, 0, 255))
    frames = number(page, "frames")
    page.wait_for_function("(frames) => document.getElementById('status').dataset.frames > frames + 5", arg=frames)
    # As from the browser's own bar.
    page.evaluate("window.shared.getTracks()[0].dispatchEvent(new Event('ended'))")
    expect(page.locator(f"#source_drawing{PRESSED}")).to_be_visible()
    assert pixels(page, "canvas") == drawing
    assert page.evaluate("window.shared.getTracks().every((track) => track.readyState === 'ended')")


def test_a_share_that_is_refused_leaves_everything_and_says_what_to_do(opened: Callable[[str], Page]) -> None:
    refuse = "navigator.mediaDevices.getDisplayMedia = async () => { throw new DOMException('', 'NotAllowedError'); };"
    page = opened(CAMERA + refuse)
    page.click("#camera")
    expect(page.locator(f"#camera{PRESSED}")).to_be_visible()
    page.click("#source_screen")
    expect(page.locator("#notice")).to_contain_text("choose a screen")
    expect(page.locator(f"#camera{PRESSED}")).to_be_visible()


def test_the_camera_is_a_mirror_that_can_be_turned_off(opened: Callable[[str], Page]) -> None:
    page = opened(CAMERA)
    page.click("#camera")
    wait_for_colour(page, 0.1, 0.5, (0, 0, 255))
    page.click("#mirror")
    wait_for_colour(page, 0.1, 0.5, (255, 0, 0))
    expect(page.locator("#mirror")).to_have_attribute("aria-pressed", "false")


def test_a_camera_that_is_unplugged_is_told(opened: Callable[[str], Page]) -> None:
    page = opened(CAMERA)
    page.click("#camera")
    wait_for_colour(page, 0.1, 0.5, (0, 0, 255))
    page.evaluate("window.shared.getTracks()[0].dispatchEvent(new Event('ended'))")
    expect(page.locator(f"#source_drawing{PRESSED}")).to_be_visible()
    expect(page.locator("#notice")).to_have_text(word("sources.camera_gone"))


def test_another_camera_takes_the_place_of_the_first_or_leaves_it(opened: Callable[[str], Page]) -> None:
    page = opened(ONE_OF_TWO)
    page.click("#camera")
    wait_for_colour(page, 0.1, 0.5, (0, 0, 255))
    page.select_option("#camera_device", "back")
    # The list has it before the camera is there.
    page.wait_for_function("window.given === 2 && document.querySelectorAll('video').length === 1")
    expect(page.locator("#camera_device")).to_have_value("back")
    expect(page.locator("#notice")).to_be_empty()
    page.evaluate("() => { window.broken = 'front'; }")
    page.select_option("#camera_device", "front")
    expect(page.locator("#notice")).to_have_text(word("sources.camera_problems.NotReadableError"))
    expect(page.locator("#camera_device")).to_have_value("back")
    frames = number(page, "frames")
    page.wait_for_function("(frames) => document.getElementById('status').dataset.frames > frames + 3", arg=frames)
    # The other one is gone as well by now.
    page.evaluate("() => { window.broken = 'back'; }")
    page.select_option("#camera_device", "front")
    expect(page.locator("#camera_device")).to_have_value("front")
    expect(page.locator("video")).to_have_count(1)


def test_a_video_opens_while_the_cameras_question_waits(opened: Callable[[str], Page], tmp_path: Path) -> None:
    page = opened(UNANSWERED)
    page.click("#camera")
    page.set_input_files("#video_file", write_clip(tmp_path / "clip.webm", size=(64, 64)))
    expect(page.locator(f"#source_video{PRESSED}")).to_be_visible()
    page.evaluate("window.allow()")
    page.wait_for_function("window.shared.getTracks().every((track) => track.readyState === 'ended')")
    expect(page.locator(f"#source_video{PRESSED}")).to_be_visible()
    expect(page.locator("video")).to_have_count(1)


def test_a_camera_that_looks_away_is_no_mirror(opened: Callable[[str], Page]) -> None:
    away = "MediaStreamTrack.prototype.getSettings = () => ({ facingMode: 'environment' });"
    page = opened(CAMERA + away)
    page.click("#camera")
    wait_for_colour(page, 0.1, 0.5, (255, 0, 0))
    expect(page.locator("#mirror")).to_be_hidden()


def test_where_no_screen_can_be_shared_nobody_is_asked_to(opened: Callable[[str], Page]) -> None:
    page = opened("delete MediaDevices.prototype.getDisplayMedia;")
    expect(page.locator("#source_screen")).to_be_hidden()
    expect(page.locator("#source_video")).to_be_visible()


def test_a_video_file_plays_cropped_can_be_held_and_sought(page: Page, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.webm", range(0, 50 * 512, 512), size=(96, 64))
    draw(page, (0.2, 0.2), (0.8, 0.8))
    drawing = pixels(page, "canvas")
    with page.expect_file_chooser() as chooser:
        page.click("#source_video")
    chooser.value.set_files(clip)
    wait_for_colour(page, 0.1, 0.1, RED)
    assert is_like(colour(page, 0.9, 0.1), GREEN)
    assert is_like(colour(page, 0.1, 0.9), BLUE)
    frames = number(page, "frames")
    page.wait_for_function("(frames) => document.getElementById('status').dataset.frames > frames + 5", arg=frames)
    expect(page.get_by_label("Pause the video")).to_be_visible()
    page.click("#video_play")
    expect(page.get_by_label("Play the video")).to_be_visible()
    rest(page)
    frames = number(page, "frames")
    page.locator("#video_seek").focus()
    page.keyboard.press("End")
    expect(page.locator("#video_time")).to_have_text("0:02 / 0:02")
    page.wait_for_function("(frames) => document.getElementById('status').dataset.frames > frames", arg=frames)
    page.click("#source_drawing")
    assert pixels(page, "canvas") == drawing
    expect(page.locator("#source_options")).to_be_hidden()


def test_a_file_that_is_no_video_gets_a_sentence(page: Page, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 100)
    page.set_input_files("#video_file", tmp_path / "broken.mp4")
    expect(page.locator("#notice")).to_contain_text("Choose an MP4")
    expect(page.locator(f"#source_drawing{PRESSED}")).to_be_visible()
    assert page.locator("video").count() == 0


def test_from_one_source_to_the_next_nothing_stays_open(opened: Callable[[str], Page], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.webm", size=(64, 64))
    page = opened(SCREEN)
    page.click("#source_screen")
    expect(page.locator(f"#source_screen{PRESSED}")).to_be_visible()
    page.set_input_files("#video_file", clip)
    expect(page.locator(f"#source_video{PRESSED}")).to_be_visible()
    assert page.evaluate("window.shared.getTracks().every((track) => track.readyState === 'ended')")
    expect(page.locator("video")).to_have_count(1)
    page.click("#source_video")
    expect(page.locator(f"#source_drawing{PRESSED}")).to_be_visible()
    assert page.locator("video").count() == 0


def test_a_picture_goes_to_the_drawing(page: Page) -> None:
    blank = pixels(page, "canvas")
    with page.expect_file_chooser() as chooser:
        page.click("#source_picture")
    chooser.value.set_files(Path(__file__).parents[3] / "examples" / "sketches" / "sailboat.png")
    page.wait_for_function("document.getElementById('undo').disabled === false")
    assert difference(pixels(page, "canvas"), blank) > 5
