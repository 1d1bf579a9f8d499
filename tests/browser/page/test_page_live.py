"""The live page as a person uses it, in a real browser with the real engine."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import AT_REST, blank, eventually, visited

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
CLOSED_DRAWERS = 'localStorage.setItem("rearview.open", "[]");'
SIZES = {"wide": (1680, 1050), "laptop": (1366, 768), "phone": (390, 844)}
SCREENSHOTS = "REARVIEW_SCREENSHOTS"
"""A folder for the pictures of the page; README's are made with docs/screens."""


def pixels(page: Page, name: str) -> list[int]:
    return page.evaluate(PIXELS, name)


def difference(first: list[int], second: list[int]) -> float:
    """Mean absolute difference of two pictures, in 0..255."""
    return sum(abs(a - b) for a, b in zip(first, second, strict=True)) / len(first)


def number(page: Page, name: str) -> float:
    return float(page.locator("#status").get_attribute(f"data-{name}"))


def rest(page: Page) -> None:
    """Wait until every frame that is still to come has come."""
    page.wait_for_selector(AT_REST)


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
    ways = itertools.cycle([*range(20), *range(20, 0, -1)])

    def follows() -> bool:
        step = next(ways)
        page.mouse.move(box["x"] + 40 + 15 * step, box["y"] + 40 + 10 * step)
        return number(page, "frames") > frames + 10

    # More than the first point alone brings, which is painted again a few times.
    assert eventually(page, follows)
    page.mouse.up()


@pytest.mark.parametrize(("name", "value"), SETTINGS.items())
def test_the_next_frame_takes_a_slider(page: Page, name: str, value: float) -> None:
    assert applied(page)[name] != value
    frame = page.evaluate("window.rearview.last.frame")
    page.evaluate(
        """([name, value]) => {
      window.firstFrame = null;
      window.rearview.on("picture", ({ frame }) => {
        if (window.rearview.applied[name] === value) window.firstFrame ??= frame;
      });
    }""",
        [name, value],
    )
    move_slider(page, name, value)
    page.wait_for_function("window.firstFrame !== null")
    assert page.evaluate("window.firstFrame") <= frame + 3


def test_a_prompt_shows_within_three_frames(page: Page) -> None:
    draw_cross(page)
    before = pixels(page, "picture")
    frame = page.evaluate("window.rearview.last.frame")
    page.evaluate("""() => {
      window.firstFrame = null;
      window.rearview.on("picture", ({ frame }) => {
        if (window.rearview.applied.prompt.includes("neon")) window.firstFrame ??= frame;
      });
    }""")
    page.fill("#prompt textarea", "neon lights")
    page.wait_for_function("window.rearview.applied.prompt === 'neon lights'")
    rest(page)
    assert page.evaluate("window.firstFrame") <= frame + 3
    assert difference(pixels(page, "picture"), before) > 0.5


def test_an_example_brings_its_sketch_and_its_prompt(page: Page) -> None:
    blank = pixels(page, "canvas")
    assert page.locator(".rv-example").count() == 6
    page.locator('.rv-example[data-name="sailboat"]').click()
    page.wait_for_function("window.rearview.applied.prompt.includes('sailboat')")
    assert eventually(page, lambda: difference(pixels(page, "canvas"), blank) > 20)


def test_resetting_the_memory_begins_anew(page: Page) -> None:
    draw_cross(page)
    assert page.evaluate("window.rearview.last.frame") > 9
    sequence = page.evaluate("window.rearview.last.sequence")
    page.click("#reset_memory")
    page.wait_for_function("(sequence) => window.rearview.last.sequence > sequence", arg=sequence)


def test_the_camera_streams_and_stops(page: Page) -> None:
    drawing = pixels(page, "canvas")
    page.click("#camera")
    expect(page.locator("#camera")).to_have_attribute("aria-pressed", "true")
    frames = number(page, "frames")
    page.wait_for_function("(frames) => document.getElementById('status').dataset.frames > frames + 15", arg=frames)
    assert difference(pixels(page, "canvas"), drawing) > 5
    assert page.locator("#camera_device option").count() >= 1
    page.click("#camera")
    expect(page.locator("#camera")).to_have_attribute("aria-pressed", "false")
    assert pixels(page, "canvas") == drawing
    rest(page)


def test_a_stranger_sees_a_painted_stroke_within_three_actions(browser: Browser, app: App) -> None:
    """To open the page, to press and to move."""
    with blank(browser, viewport={"width": 1366, "height": 768}) as page:
        page.goto(app.url, wait_until="domcontentloaded")
        page.wait_for_selector('#status[data-state="idle"], #status[data-state="busy"]')
        frames = number(page, "frames")
        draw(page, (0.2, 0.5), (0.8, 0.4))
        page.wait_for_function(
            "(frames) => Number(document.getElementById('status').dataset.frames) > frames", arg=frames
        )


def test_the_page_fits_and_has_its_picture_taken(browser: Browser, app: App, tmp_path: Path) -> None:
    folder = Path(os.environ.get(SCREENSHOTS, tmp_path))
    with visited(browser, app, CLOSED_DRAWERS, reduced_motion="reduce") as page:
        page.locator('.rv-example[data-name="sailboat"]').click()
        page.wait_for_function("window.rearview.applied.prompt.includes('sailboat')")
        page.wait_for_selector('#input[data-drawn="yes"]')
        page.wait_for_selector("#replay", state="hidden")
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            page.context.new_cdp_session(page).send("Emulation.setTouchEmulationEnabled", {"enabled": size == "phone"})
            page.evaluate("window.scrollTo(0, 0)")
            rest(page)
            page.screenshot(path=folder / f"{size}.png")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, size
            canvas, picture = page.locator("#canvas").bounding_box(), page.locator("#picture").bounding_box()
            if size != "phone":
                assert max(box["y"] + box["height"] for box in (canvas, picture)) <= height, size
                assert page.locator("#prompt textarea").bounding_box()["y"] < height, size
