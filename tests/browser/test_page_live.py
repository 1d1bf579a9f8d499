"""The live page as a person uses it, in a real browser with the real engine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, Page, expect

if TYPE_CHECKING:
    from tests.browser.conftest import App

pytestmark = pytest.mark.browser

PIXELS = """(id) => {
  const canvas = document.getElementById(id);
  const small = document.createElement("canvas");
  small.width = small.height = 16;
  const context = small.getContext("2d");
  context.drawImage(canvas, 0, 0, 16, 16);
  return [...context.getImageData(0, 0, 16, 16).data];
}"""
SETTINGS = {"fusion_strength": 0.25, "bank_frames": 2, "steps": 2}


def pixels(page: Page, name: str) -> list[int]:
    return page.evaluate(PIXELS, name)


def difference(first: list[int], second: list[int]) -> float:
    """Mean absolute difference of two pictures, in 0..255."""
    return sum(abs(a - b) for a, b in zip(first, second, strict=True)) / len(first)


def number(page: Page, name: str) -> float:
    return float(page.locator("#status").get_attribute(f"data-{name}"))


def rest(page: Page) -> None:
    """Wait until every frame that is still to come has come."""
    page.wait_for_timeout(150)
    page.wait_for_selector('#status[data-state="idle"]', timeout=30_000)


def draw(page: Page, *points: tuple[float, float]) -> None:
    """Draw a line through points given as shares of the canvas."""
    box = page.locator("#canvas").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def draw_cross(page: Page) -> None:
    page.evaluate("document.getElementById('brush_size').value = 60")
    page.locator("#brush_size").dispatch_event("input")
    draw(page, (0.15, 0.2), (0.85, 0.8))
    draw(page, (0.85, 0.2), (0.15, 0.8))
    rest(page)


def move_slider(page: Page, name: str, value: float) -> None:
    """Move a slider as a hand does: the range's own event, many times a second."""
    page.locator(f"#{name} input[type=range]").evaluate(
        "(range, value) => { range.value = value; range.dispatchEvent(new Event('input', { bubbles: true })); }", value
    )


def applied(page: Page) -> dict[str, Any]:
    """The settings that the shown picture was made with, as the server says."""
    page.wait_for_function("window.rearview.applied !== null")
    return page.evaluate("window.rearview.applied")


def test_what_is_drawn_changes_the_picture(page: Page) -> None:
    before, blank = pixels(page, "picture"), pixels(page, "canvas")
    frames = number(page, "frames")
    draw_cross(page)
    assert difference(pixels(page, "canvas"), blank) > 5
    assert difference(pixels(page, "picture"), before) > 0.5
    assert difference(pixels(page, "picture"), pixels(page, "canvas")) > 2
    assert number(page, "frames") > frames + 3
    assert number(page, "fps") > 0
    assert number(page, "latency-ms") > 0
    assert 0 < number(page, "bank-fill") <= 1


def test_the_picture_follows_while_the_pen_is_down(page: Page) -> None:
    frames = number(page, "frames")
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    for step in range(1, 20):
        page.mouse.move(box["x"] + 40 + 15 * step, box["y"] + 40 + 10 * step)
        page.wait_for_timeout(50)
    assert number(page, "frames") > frames + 2
    page.mouse.up()


@pytest.mark.parametrize(("name", "value"), SETTINGS.items())
def test_the_next_frame_takes_a_slider(page: Page, name: str, value: float) -> None:
    rest(page)
    assert applied(page)[name] != value
    frame = page.evaluate("window.rearview.last.frame")
    page.evaluate(
        """([name, value]) => {
      window.firstFrame = null;
      window.watching = setInterval(() => {
        if (window.firstFrame === null && window.rearview.applied[name] === value)
          window.firstFrame = window.rearview.last.frame;
      }, 1);
    }""",
        [name, value],
    )
    move_slider(page, name, value)
    page.wait_for_function("window.firstFrame !== null")
    assert page.evaluate("window.firstFrame") <= frame + 3


@pytest.mark.parametrize("name", ["strength", "guidance", "fusion_threshold", "bank_interval", "negative_prompt"])
def test_every_other_setting_is_on_the_page(page: Page, name: str) -> None:
    expect(page.locator(f"#{name}")).to_be_visible()


def test_dice_and_fusion_presets_act(page: Page) -> None:
    seed = applied(page)["seed"]
    page.click("#dice")
    page.wait_for_function("(seed) => window.rearview.applied.seed !== seed", arg=seed)
    page.click("#memory_released_code")
    page.wait_for_function("window.rearview.applied.fusion_threshold === 0.98")
    assert applied(page)["fusion_strength"] == 0.8


def test_a_prompt_shows_within_three_frames(page: Page) -> None:
    draw_cross(page)
    rest(page)
    before = pixels(page, "picture")
    frame = page.evaluate("window.rearview.last.frame")
    page.evaluate("""() => {
      window.firstFrame = null;
      window.watching = setInterval(() => {
        if (window.firstFrame === null && window.rearview.applied.prompt.includes("neon"))
          window.firstFrame = window.rearview.last.frame;
      }, 1);
    }""")
    page.fill("#prompt textarea", "neon lights")
    page.wait_for_function("window.rearview.applied.prompt === 'neon lights'")
    rest(page)
    assert page.evaluate("window.firstFrame") <= frame + 3
    assert difference(pixels(page, "picture"), before) > 0.5


def test_a_malformed_prompt_gets_a_sentence_and_the_stream_lives(page: Page) -> None:
    page.fill("#prompt textarea", '("a house", "a boat").blend(1')
    expect(page.locator("#notice")).not_to_be_empty(timeout=10_000)
    assert "Traceback" not in page.inner_text("#notice")
    page.fill("#prompt textarea", "oil painting")
    page.wait_for_function("window.rearview.applied.prompt === 'oil painting'")
    expect(page.locator("#notice")).to_be_empty(timeout=10_000)


def test_the_chosen_style_follows_the_words(page: Page) -> None:
    page.fill("#prompt textarea", "van gogh, a boat, sunset")
    expect(page.get_by_label("Van Gogh", exact=True)).to_be_checked()
    expect(page.get_by_label("Sunset", exact=True)).to_be_checked()
    page.fill("#prompt textarea", "a boat")
    expect(page.get_by_label("Van Gogh", exact=True)).not_to_be_checked()
    expect(page.get_by_label("As drawn", exact=True)).to_be_checked()


def test_styles_and_times_combine_in_the_prompt(page: Page) -> None:
    page.fill("#prompt textarea", "a boat")
    page.get_by_text("Oil", exact=True).click()
    expect(page.locator("#prompt textarea")).to_have_value("oil painting, a boat")
    page.get_by_text("Night", exact=True).click()
    expect(page.locator("#prompt textarea")).to_have_value("oil painting, a boat, night")
    page.get_by_text("Neon", exact=True).click()
    expect(page.locator("#prompt textarea")).to_have_value("neon lights, a boat, night")
    page.wait_for_function("window.rearview.applied.prompt === 'neon lights, a boat, night'")


def test_an_example_brings_its_sketch_and_its_prompt(page: Page) -> None:
    blank = pixels(page, "canvas")
    assert page.locator(".rv-example").count() == 6
    page.locator('.rv-example[data-name="sailboat"]').click()
    page.wait_for_function("window.rearview.applied.prompt.includes('sailboat')")
    assert difference(pixels(page, "canvas"), blank) > 20


def test_undo_redo_and_clear(page: Page) -> None:
    blank = pixels(page, "canvas")
    draw(page, (0.2, 0.2), (0.8, 0.2))
    first = pixels(page, "canvas")
    draw(page, (0.2, 0.8), (0.8, 0.8))
    second = pixels(page, "canvas")
    page.click("#undo")
    assert pixels(page, "canvas") == first
    rest(page)
    page.locator("#canvas").press("Control+z")
    assert pixels(page, "canvas") == blank
    page.locator("#canvas").press("Control+Shift+Z")
    page.click("#redo")
    assert pixels(page, "canvas") == second
    page.click("#clear")
    assert pixels(page, "canvas") == blank
    page.click("#undo")
    assert pixels(page, "canvas") == second


def test_fifty_strokes_can_be_undone(page: Page) -> None:
    page.click("#pause")
    blank = pixels(page, "canvas")
    for stroke in range(50):
        draw(page, (0.1, 0.01 + 0.019 * stroke), (0.9, 0.02 + 0.019 * stroke))
    for _ in range(50):
        page.locator("#canvas").press("Control+z")
    assert pixels(page, "canvas") == blank


def test_fill_eraser_and_background(page: Page) -> None:
    page.click('.rv-swatch[aria-label="Red"]')
    page.click("#fill")
    page.locator("#canvas").click(position={"x": 100, "y": 100})
    assert pixels(page, "canvas")[:3] == [0xD6, 0x3A, 0x34]
    page.locator("#background").evaluate(
        "(input) => { input.value = '#2458c9'; input.dispatchEvent(new Event('change')); }"
    )
    page.click("#eraser")
    draw(page, (0.1, 0.5), (0.9, 0.5))
    middle = page.evaluate("[...document.getElementById('canvas').getContext('2d').getImageData(256, 256, 1, 1).data]")
    assert middle[:3] == [0x24, 0x58, 0xC9]


def test_brackets_change_the_brush(page: Page) -> None:
    size = int(page.input_value("#brush_size"))
    page.locator("#canvas").press("]")
    larger = int(page.input_value("#brush_size"))
    assert larger > size
    page.locator("#canvas").press("[")
    assert int(page.input_value("#brush_size")) < larger


def test_pause_stops_and_continues(page: Page) -> None:
    page.click("#pause")
    rest(page)
    frames = number(page, "frames")
    draw(page, (0.2, 0.2), (0.8, 0.8))
    page.wait_for_timeout(500)
    assert number(page, "frames") == frames
    page.click("#pause")
    page.wait_for_function("(frames) => document.getElementById('status').dataset.frames > frames", arg=frames)


def test_resetting_the_memory_begins_anew(page: Page) -> None:
    draw_cross(page)
    assert page.evaluate("window.rearview.last.frame") > 9
    sequence = page.evaluate("window.rearview.last.sequence")
    page.click("#reset_memory")
    page.wait_for_function("(sequence) => window.rearview.last.sequence > sequence", arg=sequence)


def test_the_camera_streams_and_stops(page: Page) -> None:
    drawing = pixels(page, "canvas")
    page.click("#camera")
    expect(page.locator("#camera")).to_have_attribute("aria-pressed", "true", timeout=10_000)
    frames = number(page, "frames")
    page.wait_for_function("(frames) => document.getElementById('status').dataset.frames > frames + 15", arg=frames)
    assert difference(pixels(page, "canvas"), drawing) > 5
    assert page.locator("#camera_device option").count() >= 1
    page.click("#camera")
    expect(page.locator("#camera")).to_have_attribute("aria-pressed", "false")
    assert pixels(page, "canvas") == drawing
    rest(page)


def test_saving_gives_a_picture(page: Page) -> None:
    with page.expect_download() as download:
        page.click("#save")
    assert re.fullmatch(r"rearview-.*\.png", download.value.suggested_filename)
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_without_a_camera_a_sentence_says_what_to_do(browser: Browser, app: App) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script(
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); };"
    )
    page.goto(app.url, wait_until="domcontentloaded")
    page.wait_for_selector('#status[data-state="idle"]', timeout=30_000)
    page.click("#camera")
    expect(page.locator("#notice")).to_contain_text("allow it")
    context.close()


def test_without_websockets_the_page_posts(browser: Browser, app: App) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.add_init_script(
        "window.WebSocket = class { constructor() { setTimeout(() => this.onclose?.({ code: 1006 }), 5); } };"
    )
    page.goto(app.url, wait_until="domcontentloaded")
    page.wait_for_selector('#status[data-state="idle"]', timeout=30_000)
    before = pixels(page, "picture")
    draw_cross(page)
    assert difference(pixels(page, "picture"), before) > 0.5
    move_slider(page, "steps", 2)
    page.wait_for_function("window.rearview.applied.steps === 2")
    context.close()


def test_a_phone_has_no_horizontal_scroll(browser: Browser, app: App) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(app.url, wait_until="domcontentloaded")
    page.wait_for_selector('#status[data-state="idle"]', timeout=30_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    left, right = page.locator("#canvas").bounding_box(), page.locator("#picture").bounding_box()
    assert left["width"] > 300
    assert right["y"] > left["y"] + left["height"] - 1
    context.close()


def test_the_page_survives_a_crash_of_the_server(page: Page, app: App) -> None:
    draw_cross(page)
    drawing = pixels(page, "canvas")
    app.kill()
    page.wait_for_selector('#status[data-state="away"]', timeout=10_000)
    expect(page.locator("#notice")).to_contain_text("connects again")
    app.start()
    page.wait_for_selector('#status[data-state="idle"]', timeout=60_000)
    expect(page.locator("#notice")).to_be_empty()
    assert pixels(page, "canvas") == drawing
    frames = number(page, "frames")
    draw(page, (0.1, 0.5), (0.9, 0.5))
    page.wait_for_function("(frames) => document.getElementById('status').dataset.frames > frames", arg=frames)
