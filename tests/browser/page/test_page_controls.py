"""The controls of the live page as a person uses them, in a real browser; what is painted is no matter here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import visited
from tests.browser.page.test_page_live import applied, draw, number, pixels, rest

if TYPE_CHECKING:
    from tests.browser.conftest import App

pytestmark = pytest.mark.browser


@pytest.fixture
def page(quick_page: Page) -> Page:
    """A fresh page of the app whose model costs nothing."""
    return quick_page


def test_every_other_setting_is_on_the_page(page: Page) -> None:
    for name in ("strength", "guidance", "fusion_threshold", "bank_interval", "negative_prompt"):
        expect(page.locator(f"#{name}")).to_be_visible()


def test_words_run_in_their_own_direction(page: Page) -> None:
    prompt = page.locator("#prompt textarea")
    assert prompt.evaluate("(box) => getComputedStyle(box).unicodeBidi") == "plaintext"
    assert prompt.evaluate("(box) => getComputedStyle(box).textAlign") == "start"


LOOKS = """() => {
  const look = (element) => {
    const { backgroundColor, outlineStyle, outlineWidth, borderTopWidth } = getComputedStyle(element);
    return [backgroundColor, outlineStyle + outlineWidth, borderTopWidth];
  };
  const of = (...selectors) => selectors.map((each) => look(document.querySelector(each)));
  return {
    tools: of("#brush", "#eraser"),
    sources: of("#source_drawing", "#camera"),
    times: of("#times label:has(:checked)", "#times label:not(:has(:checked))"),
    styles: of("#styles label:has(:checked)", "#styles label:not(:has(:checked))"),
    tabs: of('#tabs [aria-selected="true"]', '#tabs [aria-selected="false"]'),
    swatches: of('.rv-swatch[data-colour="#1d1d1f"]', '.rv-swatch[data-colour="#d63a34"]'),
    prompt: of("#prompt textarea"),
  };
}"""


def test_in_high_contrast_colours_stay_and_what_is_chosen_shows(page: Page) -> None:
    page.locator("#styles label").first.click()
    page.emulate_media(forced_colors="active")
    looks = page.evaluate(LOOKS)
    page.emulate_media(forced_colors="none")
    [(_, _, border)] = looks.pop("prompt")
    assert border == "1px"
    for name, (chosen, other) in looks.items():
        assert chosen != other, name
    assert [colour for colour, _, _ in looks["swatches"]] == ["rgb(29, 29, 31)", "rgb(214, 58, 52)"]


def test_dice_and_fusion_presets_act(page: Page) -> None:
    seed = applied(page)["seed"]
    page.click("#dice")
    page.wait_for_function("(seed) => window.rearview.applied.seed !== seed", arg=seed)
    page.click("#memory_released_code")
    page.wait_for_function(
        "window.rearview.applied.fusion_threshold === 0.98 && window.rearview.applied.fusion_strength === 0.8"
    )


def test_a_chosen_memory_is_named_and_what_it_does_not_read_rests(page: Page) -> None:
    engine, slider = page.locator('[data-fact="engine"]'), page.locator("#fusion_strength")
    expect(engine).to_contain_text("feature-bank")
    page.locator("#memory label", has_text="none").click()
    expect(engine).to_contain_text("none")
    expect(engine).not_to_contain_text("feature-bank")
    expect(slider).to_have_attribute("data-resting", "Off now: it needs the memory feature-bank.")
    page.locator("#memory label", has_text="feature-bank").click()
    expect(engine).to_contain_text("feature-bank")
    expect(slider).not_to_have_attribute("data-resting", re.compile("."))


def test_a_malformed_prompt_gets_a_sentence_and_the_stream_lives(page: Page) -> None:
    page.fill("#prompt textarea", '("a house", "a boat").blend(1')
    expect(page.locator("#notice")).not_to_be_empty()
    assert "Traceback" not in page.inner_text("#notice")
    page.fill("#prompt textarea", "oil painting")
    page.wait_for_function("window.rearview.applied.prompt === 'oil painting'")
    expect(page.locator("#notice")).to_be_empty()


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
    box = page.locator("#canvas").bounding_box()
    for stroke in range(50):
        y = box["y"] + (0.01 + 0.019 * stroke) * box["height"]
        page.mouse.move(box["x"] + 0.1 * box["width"], y)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.9 * box["width"], y + 5)
        page.mouse.up()
    assert pixels(page, "canvas") != blank
    for _ in range(49):
        page.keyboard.press("Control+z")
    assert pixels(page, "canvas") != blank
    page.keyboard.press("Control+z")
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


def test_saving_gives_a_picture(page: Page) -> None:
    with page.expect_download() as download:
        page.click("#save")
    assert re.fullmatch(r"rearview-.*\.png", download.value.suggested_filename)
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_without_a_camera_a_sentence_says_what_to_do(browser: Browser, quick_app: App) -> None:
    refuse = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); };"
    with visited(browser, quick_app, refuse) as page:
        page.click("#camera")
        expect(page.locator("#notice")).to_contain_text("allow it")


def test_a_phone_has_no_horizontal_scroll(browser: Browser, quick_app: App) -> None:
    with visited(browser, quick_app, viewport={"width": 390, "height": 844}, has_touch=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        left, right = page.locator("#canvas").bounding_box(), page.locator("#picture").bounding_box()
        assert left["width"] > 300
        assert right["y"] > left["y"] + left["height"] - 1
