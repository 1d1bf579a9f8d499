"""What can be taken away from the page: a picture with its settings, a copy, videos, a GIF."""

from __future__ import annotations

import json
import re
import time
from io import BytesIO
from typing import TYPE_CHECKING

import av
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from demo import VERSION, assets
from demo.words import word
from tests.browser.conftest import blank, visited, wait_until_told
from tests.browser.page.test_page_live import draw, rest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.conftest import App

pytestmark = pytest.mark.browser

STUDIO = f"{assets.SCRIPTS_PATH}/{assets.scripts_version(assets.served())}"
WEBM_ALONE = """
  const known = MediaRecorder.isTypeSupported.bind(MediaRecorder);
  MediaRecorder.isTypeSupported = (type) => type.startsWith("video/webm") && known(type);
"""
KEEP_THE_SOCKET = """
  window.WebSocket = class extends WebSocket { constructor(...all) { super(...all); window.socket = this; } };
"""

NO_CONNECTION = "window.WebSocket = class extends EventTarget { send() {} close() {} };"
SHARING_DEVICE = """
  navigator.canShare = ({ files }) => files.every((each) => each.type === "image/png");
  navigator.share = async ({ files: [file], text }) => {
    if (window.refuses) throw new DOMException("no", "NotAllowedError");
    window.shared = [file.name, file.type, [...new Uint8Array(await file.arrayBuffer())].slice(0, 4000), text];
  };
"""


def saved(page: Page) -> bytes:
    with page.expect_download() as download:
        page.click("#save")
    assert re.fullmatch(r"rearview-.*\.png", download.value.suggested_filename)
    return download.value.path().read_bytes()


def paint(page: Page, seed: int) -> None:
    """Wait for a picture that was made with this seed."""
    page.evaluate("(seed) => window.rearview.set({ seed })", seed)
    page.wait_for_function("(seed) => window.rearview.applied?.seed === seed", arg=seed)


def filmed(page: Page, item: str) -> tuple[str, bytes, float]:
    """The ending and the bytes of a video of some pictures, a pause, and some more, and the seconds that this took.

    The pause is twice as long as any two pictures before it were apart."""
    page.evaluate("""() => {
      window.came = [];
      window.rearview.on("picture", () => window.came.push(performance.now()));
    }""")
    began = time.monotonic()
    page.click("#capture")
    page.click(item)
    for seed in (101, 102):
        paint(page, seed)
        rest(page)
    page.wait_for_timeout(2 * page.evaluate("Math.max(...came.slice(1).map((time, at) => time - came[at]))"))
    paint(page, 103)
    assert re.fullmatch(r"\d+:\d\d", page.inner_text("#capture_end"))
    with page.expect_download() as download:
        page.click("#capture_end")
    expect(page.locator("#capture_end")).to_be_hidden()
    video = download.value.path().read_bytes()
    return download.value.suggested_filename.rsplit(".", 1)[1], video, time.monotonic() - began


def frames_of(video: bytes) -> tuple[float, list[float], tuple[int, int]]:
    """Length in seconds, times of the frames, and the size of a video."""
    with av.open(BytesIO(video)) as container:
        stream = container.streams.video[0]
        times = [frame.time for frame in container.decode(stream)]
        return container.duration / av.time_base, times, (stream.width, stream.height)


def test_a_saved_picture_brings_its_settings_back(quick_page: Page, tmp_path: Path) -> None:
    page = quick_page
    page.evaluate("window.rearview.set({ prompt: 'Ölbild, ein Schiff ⛵', steps: 2, seed: 12345 })")
    page.wait_for_function("window.rearview.applied?.seed === 12345")
    picture = saved(page)
    with Image.open(BytesIO(picture)) as opened:
        opened.load()
        facts = json.loads(opened.text["rearview"])
        assert opened.size == tuple(facts["size"])
    assert facts["format"] == "rearview-picture" and facts["app"] == VERSION and facts["memory"] == "feature-bank"
    assert facts["settings"]["prompt"] == "Ölbild, ein Schiff ⛵"
    page.evaluate("window.rearview.set({ prompt: 'anime', steps: 1, seed: 5 })")
    file = tmp_path / "picture.png"
    file.write_bytes(picture)
    page.wait_for_function("window.rearview.applied.seed === 5")
    page.set_input_files("#import_file", file)
    wait_until_told(page, word("presets.from_picture"))
    page.wait_for_function("window.rearview.applied.seed === 12345")
    expect(page.locator("#prompt textarea")).to_have_value("Ölbild, ein Schiff ⛵")
    expect(page.locator("#steps input").first).to_have_value("2")


def test_a_picture_without_our_settings_gets_a_sentence(quick_page: Page, tmp_path: Path) -> None:
    page = quick_page
    picture = saved(page)
    plain = BytesIO()
    Image.new("RGB", (8, 8)).save(plain, "PNG")
    file = tmp_path / "picture.png"
    for wrong in (plain.getvalue(), picture.replace(b'"steps":1', b'"steps":2'), picture[:120]):
        assert wrong != picture
        file.write_bytes(wrong)
        page.set_input_files("#import_file", file)
        expect(page.locator("#notice")).to_have_text(word("presets.no_settings"))
        file.write_bytes(picture)
        page.set_input_files("#import_file", file)
        expect(page.locator("#notice")).to_be_empty()


def test_nothing_is_shared_before_there_is_a_picture(browser: Browser, quick_app: App) -> None:
    with blank(browser, NO_CONNECTION) as page:
        page.goto(quick_app.url, wait_until="domcontentloaded")
        expect(page.locator("#capture")).to_be_disabled()
        expect(page.locator("#save")).to_be_disabled()


def test_where_the_device_shares_it_gets_the_picture_with_its_settings(browser: Browser, quick_app: App) -> None:
    with visited(browser, quick_app, SHARING_DEVICE) as page:
        draw(page, (0.2, 0.2), (0.8, 0.8))
        page.click("#capture")
        page.click("#capture_share")
        page.wait_for_function("window.shared")
        name, kind, start, prompt = page.evaluate("window.shared")
        assert re.fullmatch(r"rearview-.*\.png", name) and kind == "image/png"
        assert bytes(start)[:4] == b"\x89PNG" and b"rearview" in bytes(start)
        assert prompt == page.evaluate("window.rearview.settings.prompt")
        page.evaluate("window.refuses = true")
        page.click("#capture")
        page.click("#capture_share")
        expect(page.locator("#notice")).to_have_text(word("capture.no_share"))


def test_a_link_with_the_settings_lies_in_the_clipboard(browser: Browser, quick_app: App) -> None:
    with visited(browser, quick_app) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        paint(page, 77)
        page.click("#capture")
        page.click("#capture_link")
        wait_until_told(page, word("presets.shared"))
        assert "seed=77" in page.evaluate("navigator.clipboard.readText()")


def test_the_menu_goes_by_keys(quick_page: Page) -> None:
    page = quick_page
    expect(page.locator("#capture")).to_be_enabled()
    page.locator("#capture").press("Enter")
    expect(page.locator("#capture_save")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.locator("#film_both")).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#capture_copy")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#capture_menu")).to_be_hidden()
    expect(page.locator("#capture")).to_be_focused()
    expect(page.locator("#capture")).to_have_attribute("aria-expanded", "false")


def test_a_copy_lies_in_the_clipboard(browser: Browser, quick_app: App) -> None:
    with visited(browser, quick_app) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.click("#capture")
        page.click("#capture_copy")
        wait_until_told(page, word("capture.copied"))
        types = page.evaluate("navigator.clipboard.read().then((items) => items[0].types)")
        assert types == ["image/png"]


def test_a_video_has_its_frames_at_their_own_times(quick_page: Page) -> None:
    _, video, lasted = filmed(quick_page, "#film_both")
    seconds, times, (width, height) = frames_of(video)
    assert width == 2 * height
    assert len(times) >= 4
    gaps = [after - before for before, after in zip(times, times[1:], strict=False)]
    assert max(gaps) > 1.5 * min(gaps)
    assert times[-1] - 0.1 < seconds < lasted


def test_a_webm_says_how_long_it_is(browser: Browser, quick_app: App) -> None:
    with visited(browser, quick_app, WEBM_ALONE) as page:
        ending, video, lasted = filmed(page, "#film_picture")
        assert ending == "webm"
        seconds, times, (width, height) = frames_of(video)
        assert width == height
        assert times[-1] - 0.1 < seconds < lasted
        again = page.evaluate(
            """async ([address, bytes]) => {
          const { withDuration } = await import(address);
          return withDuration(new Uint8Array(bytes), 5).length === bytes.length;
        }""",
            [f"{STUDIO}/keep/webm.js", list(video)],
        )
        assert again


def test_a_video_ends_with_the_connection(browser: Browser, quick_app: App) -> None:
    with visited(browser, quick_app, KEEP_THE_SOCKET) as page:
        page.click("#capture")
        page.click("#film_picture")
        paint(page, 55)
        with page.expect_download() as download:
            page.evaluate("window.socket.close()")
        assert download.value.path().stat().st_size > 0
        wait_until_told(page, word("capture.film_lost"))


def test_the_gif_shows_the_drawing_being_made(quick_page: Page) -> None:
    page = quick_page
    for place in (0.2, 0.5, 0.8):
        draw(page, (0.1, place), (0.9, place))
        rest(page)
    page.click("#capture")
    with page.expect_download() as download:
        page.click("#capture_gif")
    with Image.open(download.value.path()) as gif:
        assert gif.size == (512, 256)
        assert gif.n_frames >= 3
        gif.seek(0)
        first = gif.convert("RGB").getpixel((128, 205))
        gif.seek(gif.n_frames - 1)
        last = gif.convert("RGB").getpixel((128, 205))
        assert gif.info["duration"] == 2000
    assert min(first) > 230 and max(last) < 120
