"""What a visitor asks for, in a real browser: cards, surprises, the lock of the seed, used prompts, presets, links."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, Page, expect

from demo import assets
from demo.page.looks import CARD_SIZE, CARDS
from demo.page.presets import STYLES, chosen
from demo.words import WORDS, word
from tests.browser.conftest import AT_REST, blank, settled, stroke, visited, wait_until_told

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.conftest import App

pytestmark = pytest.mark.browser

STUDIO = f"{assets.SCRIPTS_PATH}/{assets.scripts_version(assets.served())}"
PROMPT = "#prompt textarea"
NOTHING_ALLOWED = """
Object.defineProperty(window, "localStorage", { get() { throw new DOMException("no", "SecurityError"); } });
navigator.clipboard.writeText = async () => { throw new DOMException("no", "NotAllowedError"); };
"""


def settings(page: Page) -> dict[str, Any]:
    return page.evaluate("({ ...window.rearview.settings })")


def wait_for_value(page: Page, name: str, value: str) -> None:
    """Wait until the slider or the number of a setting stands there."""
    expect(page.locator(f"#{name} input").first).to_have_value(value)


def test_the_cards_are_radio_buttons_with_pictures(quick_page: Page) -> None:
    page = quick_page
    size = page.evaluate(
        """async (address) => {
      const image = new Image();
      image.src = getComputedStyle(document.documentElement).getPropertyValue("--rv-cards").slice(5, -2);
      await image.decode();
      return [image.src.endsWith(address), image.naturalWidth, image.naturalHeight];
    }""",
        f"{STUDIO}/{CARDS}",
    )
    assert size == [True, CARD_SIZE[0] * len(STYLES), CARD_SIZE[1]]
    page.get_by_label("Oil", exact=True).check(force=True)
    expect(page.locator(PROMPT)).to_have_value("oil painting")
    page.get_by_label("Oil", exact=True).press("ArrowRight")
    expect(page.get_by_label("Ink", exact=True)).to_be_checked()
    expect(page.locator(PROMPT)).to_have_value("ink painting")


def test_cards_show_what_is_drawn_once_it_rests(quick_page: Page) -> None:
    page = quick_page
    cards = 'getComputedStyle(document.documentElement).getPropertyValue("--rv-cards")'
    stroke(page)
    page.wait_for_function(f"""{cards}.startsWith('url("blob:')""")
    size = page.evaluate(
        f"""async () => {{
      const image = new Image();
      image.src = {cards}.slice(5, -2);
      await image.decode();
      return [image.naturalWidth, image.naturalHeight];
    }}"""
    )
    assert size == [CARD_SIZE[0] * len(STYLES), CARD_SIZE[1]]
    page.click("#clear")
    page.wait_for_function(f"{cards}.includes('{CARDS}')")


def test_a_slider_shows_what_it_does_the_first_time(quick_page: Page) -> None:
    page = quick_page
    stroke(page)
    slider, ends = page.locator("#strength input[type=range]"), page.locator("#strength .rv-ends")
    slider.press("ArrowLeft")
    expect(ends.locator("figcaption")).to_have_text(["0.3", "1"])
    ends.click()
    expect(ends).to_have_count(0)
    slider.press("ArrowLeft")
    stroke(page)
    cards = 'getComputedStyle(document.documentElement).getPropertyValue("--rv-cards")'
    page.wait_for_function(f"""{cards}.startsWith('url("blob:')""")
    expect(ends).to_have_count(0)


def test_a_prompt_keeps_its_words_in_each_style(browser: Browser, quick_app: App) -> None:
    with blank(browser) as page:
        page.goto(f"{quick_app.url}healthz")
        prompts = page.evaluate(
            """async (address) => {
          const { inEachStyle } = await import(address);
          return inEachStyle("Oil painting, a red house, night", { oil: "oil painting", clay: "clay" });
        }""",
            f"{STUDIO}/settings/cards.js",
        )
    assert prompts == ["oil painting, a red house, night", "clay, a red house, night"]


def test_what_the_model_knows_is_offered_while_it_is_typed(page: Page) -> None:
    box, names = page.locator(PROMPT), page.locator("#subjects [role=option]")
    box.fill("watercolor painting of ")
    box.press_sequentially("a red ap")
    expect(names).to_have_text(["red apple"])
    expect(box).to_have_attribute("aria-expanded", "true")
    box.press("ArrowDown")
    expect(names.first).to_have_attribute("aria-selected", "true")
    box.press("Enter")
    expect(box).to_have_value("watercolor painting of a red apple")
    expect(page.locator("#subjects")).to_be_hidden()
    page.wait_for_function("window.rearview.settings.prompt === 'watercolor painting of a red apple'")
    box.press_sequentially(" and a sailb")
    names.first.click()
    expect(box).to_have_value("watercolor painting of a red apple and a sailboat")
    box.press_sequentially(", gra")
    expect(names.first).to_be_visible()
    box.press("Escape")
    expect(page.locator("#subjects")).to_be_hidden()
    expect(box).to_have_value("watercolor painting of a red apple and a sailboat, gra")
    box.fill("")
    box.press_sequentially("a fir")
    expect(names.filter(has_text="firecracker")).to_be_visible()
    box.press_sequentially("e")  # a whole word, which other names begin with
    expect(names).to_have_text(["fire truck", "fire engine", "fire extinguisher"])


def test_a_model_that_names_nothing_offers_nothing(quick_page: Page) -> None:
    box = quick_page.locator(PROMPT)
    box.press_sequentially("a red ap")
    expect(box).not_to_have_attribute("role", "combobox")


def test_a_surprise_is_another_prompt_that_can_be_had_again(quick_page: Page) -> None:
    page = quick_page
    prompts = []
    for _ in range(4):
        page.click("#surprise")
        prompts.append(settings(page)["prompt"])
        expect(page.locator(PROMPT)).to_have_value(prompts[-1])
    assert len({chosen(each)[0] for each in prompts}) == 4
    assert len({each.split(", ")[1] for each in prompts}) == 4
    page.locator("#recent").press("ArrowDown")
    entries = page.locator("#recent_menu [role=menuitem]")
    expect(entries).to_have_text([*reversed(prompts), word("looks.forget")])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(PROMPT)).to_have_value(prompts[-2])
    expect(page.locator("#recent_menu")).to_be_hidden()
    page.reload(wait_until="domcontentloaded")
    settled(page)
    page.click("#recent")
    expect(entries.first).to_have_text(prompts[-2])
    entries.last.click()
    page.click("#recent")
    expect(page.locator("#recent_menu")).to_have_text(word("looks.nothing_recent"))
    page.keyboard.press("Escape")


def test_typed_words_are_remembered_when_they_are_left_and_at_most_thirty(quick_page: Page) -> None:
    page = quick_page
    page.fill(PROMPT, "a boat in my bath")
    page.locator(PROMPT).press("Enter")
    page.wait_for_function("localStorage['rearview.prompts']?.includes('a boat in my bath')")
    page.evaluate("for (let at = 0; at < 40; at++) window.rearview.remember(`prompt ${at}`)")
    page.fill(PROMPT, "a whale in my bath")
    page.locator(PROMPT).blur()
    page.wait_for_function("localStorage['rearview.prompts'].includes('a whale in my bath')")
    kept = json.loads(page.evaluate("localStorage['rearview.prompts']"))
    assert kept[0] == "a whale in my bath" and kept[1] == "prompt 39" and len(kept) == 30


def test_an_open_lock_rolls_a_seed_with_every_prompt(quick_page: Page) -> None:
    page = quick_page
    page.click("#surprise")
    assert settings(page)["seed"] == 7
    page.click("#seed_lock")
    expect(page.locator("#seed_lock")).to_have_attribute("aria-pressed", "false")
    # Whichever the surprise has not brought: a card that is chosen already brings no new prompt.
    brought = settings(page)["prompt"].startswith("comic book")
    page.get_by_label("Ink" if brought else "Comic", exact=True).check(force=True)
    page.wait_for_function("window.rearview.settings.seed !== 7")
    rolled = settings(page)["seed"]
    assert settings(page)["prompt"].startswith("ink painting" if brought else "comic book")
    page.click("#seed_lock")
    page.get_by_label("Anime", exact=True).check(force=True)
    page.wait_for_function("window.rearview.settings.prompt.startsWith('anime')")
    assert settings(page)["seed"] == rolled
    page.click("#dice")
    assert settings(page)["seed"] != rolled
    expect(page.locator("#seed_shown")).to_have_text(str(settings(page)["seed"]))
    expect(page.locator("#seed input")).to_have_value(str(settings(page)["seed"]))


def test_a_preset_moves_every_control_to_where_it_stood(quick_page: Page, tmp_path: Path) -> None:
    page = quick_page
    page.evaluate("window.rearview.set({ steps: 3, bank_frames: 2, prompt: 'van gogh, a barn', pipelined: 'on' })")
    page.click("#presets")
    page.fill("#preset_name", "An <b>evening</b>")
    page.keyboard.press("Enter")
    page.evaluate("window.rearview.set({ steps: 1, bank_frames: 0, prompt: 'anime', pipelined: 'off' })")
    page.get_by_role("button", name="Load An <b>evening</b>").click()
    wait_for_value(page, "steps", "3")
    wait_for_value(page, "bank_frames", "2")
    expect(page.locator(PROMPT)).to_have_value("van gogh, a barn")
    expect(page.get_by_label("Van Gogh", exact=True)).to_be_checked()
    expect(page.locator("#pipelined input:checked")).to_have_value("on")
    page.keyboard.press("Escape")
    expect(page.locator("#presets")).to_be_focused()
    page.click("#presets")
    with page.expect_download() as download:
        page.click("#export")
    saved = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert (saved["format"], saved["version"]) == ("rearview-presets", 1)
    page.get_by_role("button", name="Delete An <b>evening</b>").click()
    expect(page.locator("#preset_list li")).to_have_count(0)
    saved["presets"][0]["settings"] |= {"steps": 40, "colour": "red"}
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(saved), encoding="utf-8")
    page.set_input_files("#import_file", changed)
    expect(page.locator("#preset_list li")).to_have_count(1)
    expect(page.locator("#notice")).to_contain_text("a whole number from 1 to 4")
    expect(page.locator("#notice")).to_contain_text("no setting “colour”")
    changed.write_text("{}", encoding="utf-8")
    page.set_input_files("#import_file", changed)
    expect(page.locator("#notice")).to_have_text(word("presets.not_a_file"))


def test_a_link_sets_what_is_right_in_it_and_says_what_is_not(browser: Browser, quick_app: App) -> None:
    with visited(browser, quick_app) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.evaluate("window.rearview.set({ steps: 2, prompt: 'neon lights, 100% & a boat, night' })")
        page.click("#presets")
        page.click("#share")
        wait_until_told(page, word("presets.shared"))
        link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(quick_app.url) and len(link) < 600
    with blank(browser) as page:
        page.goto(f"{link}&steps=9&bank_frames=99&wish=1", wait_until="domcontentloaded")
        page.wait_for_function("window.rearview?.applied?.prompt.startsWith('neon')")
        expect(page).to_have_url(quick_app.url)
        assert settings(page)["steps"] == 1
        expect(page.locator(PROMPT)).to_have_value("neon lights, 100% & a boat, night")
        expect(page.get_by_label("Night", exact=True)).to_be_checked()
        expect(page.locator("#notice")).to_contain_text("Denoising steps cannot be “9”")
        page.evaluate("(link) => { window.location.hash = new URL(link).hash; }", link)
        page.wait_for_function("window.rearview.applied.steps === 2")
        wait_for_value(page, "steps", "2")
        expect(page).to_have_url(quick_app.url)
        page.evaluate("window.location.hash = 'rearview=2&steps=3'")
        expect(page.locator("#notice")).to_contain_text("newer Rearview")
        assert settings(page)["steps"] == 2


def test_without_storage_and_clipboard_the_page_works_and_says_so(browser: Browser, quick_app: App) -> None:
    with visited(browser, quick_app, NOTHING_ALLOWED) as page:
        page.click("#more_tools")
        page.click("#presets")
        page.fill("#preset_name", "here")
        page.keyboard.press("Enter")
        wait_until_told(page, word("presets.not_kept"))
        page.get_by_role("button", name="Copy a link to here").click()
        expect(page.locator("#share_link")).to_have_value(re.compile("rearview=1"))


def test_what_is_drawn_by_lot_comes_once_before_any_comes_again(browser: Browser, quick_app: App) -> None:
    with blank(browser) as page:
        page.goto(f"{quick_app.url}healthz")
        draws = page.evaluate(
            """async (address) => {
          const { drawer } = await import(address);
          const draw = drawer(["a", "b", "c", "d"]);
          return Array.from({ length: 40 }, draw);
        }""",
            f"{STUDIO}/settings/looks.js",
        )
    assert all(set(draws[at : at + 4]) == set("abcd") for at in range(0, 40, 4))
    assert all(one != other for one, other in zip(draws, draws[1:], strict=False))
    assert len(WORDS["surprises"]) >= 20


def test_what_a_drawing_looks_like_is_offered_while_nothing_is_said_and_a_press_says_it(quick_page: Page) -> None:
    page, row = quick_page, quick_page.locator("#guesses")
    expect(row).to_be_hidden()
    stroke(page)
    expect(row).to_be_visible()
    page.get_by_label("Night", exact=True).check(force=True)
    expect(row).to_be_visible()
    guess = row.get_by_role("button").first
    name = guess.text_content()
    guess.click()
    expect(page.locator(PROMPT)).to_have_value(f"watercolor painting, {name}, night")
    expect(row).to_be_hidden()
    stroke(page)
    page.wait_for_selector(AT_REST)
    expect(row).to_be_hidden()


def draw_smiley(page: Page) -> None:
    """A round face, two eyes and a mouth, with the mouse."""
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    arcs = (
        (0.5, 0.5, 0.3, 0.0, 1.0),
        (0.4, 0.42, 0.02, 0.0, 1.0),
        (0.6, 0.42, 0.02, 0.0, 1.0),
        (0.5, 0.5, 0.18, 0.05, 0.45),
    )
    for x, y, radius, first, last in arcs:
        turns = [math.tau * (first + (last - first) * step / 16) for step in range(17)]
        points = [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]
        places = [(box["x"] + across * box["width"], box["y"] + down * box["height"]) for across, down in points]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place)
        page.mouse.up()


def test_a_sure_name_follows_the_drawing_into_the_prompt_and_leaves_it_with_it(quick_page: Page) -> None:
    page, prompt, guess = quick_page, quick_page.locator(PROMPT), quick_page.locator("#guesses .rv-button").first
    draw_smiley(page)
    expect(prompt).to_have_value("watercolor painting, smiley")
    expect(guess).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Oil", exact=True).check(force=True)
    expect(prompt).to_have_value("oil painting, smiley")
    page.click("#clear")
    expect(prompt).to_have_value("oil painting")
    page.click("#undo")
    expect(prompt).to_have_value("oil painting, smiley")
    guess.click()  # now it is the visitor's own word, and stays
    expect(page.locator("#guesses")).to_be_hidden()
    page.click("#clear")
    expect(prompt).to_have_value("oil painting, smiley")


def test_no_name_comes_that_was_taken_out_or_where_nobody_wants_one(quick_page: Page) -> None:
    page, prompt, row = quick_page, quick_page.locator(PROMPT), quick_page.locator("#guesses")
    draw_smiley(page)
    expect(prompt).to_have_value("watercolor painting, smiley")
    prompt.fill("watercolor painting")
    prompt.blur()
    expect(row).to_be_visible()
    stroke(page)
    page.click("#undo")
    page.wait_for_timeout(3000)  # time for two guesses
    expect(row.locator(".rv-button").first).to_have_text("smiley")
    expect(prompt).to_have_value("watercolor painting")
    page.click("#clear")
    page.click("#undo")
    expect(prompt).to_have_value("watercolor painting, smiley")
    page.click("#naming")
    expect(prompt).to_have_value("watercolor painting")
    page.reload(wait_until="domcontentloaded")
    settled(page)
    stroke(page)
    page.click("#undo")
    expect(row).to_be_visible()
    expect(page.locator("#naming")).to_have_attribute("aria-pressed", "false")
    page.wait_for_timeout(3000)
    expect(prompt).to_have_value("watercolor painting")
