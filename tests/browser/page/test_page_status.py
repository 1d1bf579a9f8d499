"""The status line in a real browser: how steady the picture is, what the bank holds, and that nothing moves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, WebSocket, WebSocketRoute, expect

from demo import assets
from tests.browser.conftest import AT_REST, blank, stroke
from tests.support.served import App

pytestmark = pytest.mark.browser

VIRIDIS_ENDS = [68, 1, 84], [253, 231, 37]
MIDDLE = [33, 145, 140]
FIRST_PICTURE = f'{AT_REST}:not([data-frames="0"])'


@pytest.fixture(scope="module")
def bare(browser: Browser, quick_app: App) -> Iterator[Page]:
    """A page of the same server with nothing on it: for functions that need no studio."""
    with blank(browser) as page:
        page.goto(f"{quick_app.url}healthz")
        yield page


def of_module(page: Page, name: str, script: str) -> Any:
    """What `script`, the body of a function of `module`, gives in the browser."""
    address = f"{assets.SCRIPTS_PATH}/{assets.scripts_version(assets.served())}/{name}"
    return page.evaluate(f"import('{address}').then((module) => {{ {script} }})")


SQUARE = """
  const side = 8;
  const of = (value) => new Float32Array(side * side).fill(value);
  const at = (base, places, value) => { for (const place of places) base[place] = value; return base; };
"""


def share(page: Page, before: str, after: str) -> Any:
    """The steady share between two frames of 8 x 8 places, each given as an expression."""
    return of_module(page, "status/steadiness.js", f"{SQUARE} return module.steadyShare({before}, {after}, side);")


def test_steadiness_counts_what_stays_where_the_input_stays(bare: Page) -> None:
    still = "{ input: of(50), picture: of(90) }"
    assert share(bare, still, still) == 1
    assert share(bare, still, "{ input: of(53), picture: of(94) }") == 1
    assert share(bare, still, "{ input: of(50), picture: of(99) }") == 0
    assert share(bare, still, "{ input: of(50), picture: at(of(90), [0, 1, 2, 3], 200) }") == 60 / 64


def test_what_is_drawn_and_what_lies_beside_it_does_not_count(bare: Page) -> None:
    still = "{ input: of(50), picture: of(90) }"
    drawn = "at(of(50), [0], 255)"
    beside = "[0, 1, 2, 8, 9, 10, 16, 17, 18]"
    assert share(bare, still, f"{{ input: {drawn}, picture: at(of(90), {beside}, 10) }}") == 1
    assert share(bare, still, f"{{ input: {drawn}, picture: at(of(90), [3], 10) }}") == 54 / 55
    assert share(bare, still, "{ input: of(255), picture: of(90) }") is None


def test_brightness_is_that_of_the_eye(bare: Page) -> None:
    script = "return [...module.brightnessOf([255, 255, 255, 255, 0, 255, 0, 255, 0, 0, 0, 255])];"
    assert of_module(bare, "status/steadiness.js", script) == pytest.approx([255, 149.685, 0], abs=1e-3)


@pytest.mark.parametrize(
    ("cosine", "threshold", "colour"),
    [
        (0.0, 0.9, VIRIDIS_ENDS[0]),
        (0.65, 0.9, VIRIDIS_ENDS[0]),
        (0.9, 0.9, MIDDLE),
        (1.0, 0.9, VIRIDIS_ENDS[1]),
        (1.0, 1.0, MIDDLE),
        (0.0, 0.0, MIDDLE),
    ],
)
def test_the_threshold_is_in_the_middle_of_the_scale(
    bare: Page, cosine: float, threshold: float, colour: list[int]
) -> None:
    assert of_module(bare, "status/bank_map.js", f"return module.colourOf({cosine}, {threshold});") == colour


def painted_after(page: Page, act: Any) -> None:
    """Do something, and wait until the pictures that follow have come."""
    before = int(page.locator("#status").get_attribute("data-frames") or 0)
    act()
    page.wait_for_function(f"Number(document.querySelector('#status').dataset.frames) >= {before + 5}")
    page.wait_for_selector(AT_REST)


def test_the_line_says_how_steady_the_picture_is(quick_page: Page) -> None:
    painted_after(quick_page, lambda: stroke(quick_page))
    steadiness = float(quick_page.locator("#status").get_attribute("data-steadiness") or "nan")
    assert 0 <= steadiness <= 1
    fact = quick_page.locator('[data-fact="steadiness"]')
    assert f"{round(100 * steadiness)} %" in fact.inner_text()
    assert "do not count" in (fact.get_attribute("title") or "")


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_below_moves_when_pictures_come(browser: Browser, quick_app: App, width: int) -> None:
    with blank(browser, viewport={"width": width, "height": 900}) as page:
        page.goto(quick_app.url, wait_until="domcontentloaded")
        facts = page.locator(".rv-facts")
        before = facts.evaluate("place => place.offsetHeight")
        page.wait_for_selector(FIRST_PICTURE)
        assert facts.evaluate("place => place.offsetHeight") == before
        assert facts.evaluate("place => place.scrollWidth <= place.clientWidth")


@pytest.fixture
def asked(browser: Browser, quick_app: App) -> Iterator[tuple[Page, list[str]]]:
    """A page, and the types of all words that it sends."""
    sent: list[str] = []

    def keep(data: str | bytes) -> None:
        if isinstance(data, str):
            sent.append(json.loads(data).get("type"))

    def listen(socket: WebSocket) -> None:
        socket.on("framesent", keep)

    with blank(browser) as page:
        page.on("websocket", listen)
        page.goto(quick_app.url, wait_until="domcontentloaded")
        page.wait_for_selector(FIRST_PICTURE)
        yield page, sent


def test_the_bank_is_shown_when_somebody_wants_to_see_it(asked: tuple[Page, list[str]]) -> None:
    page, sent = asked
    assert page.locator(".rv-map").is_hidden()
    assert "set" in sent and "map" not in sent
    page.locator("#bank_map").focus()
    painted_after(page, lambda: page.keyboard.press("Enter"))
    page.wait_for_selector(".rv-map:visible")
    assert page.locator("#bank_map").get_attribute("aria-pressed") == "true"
    expect(page.locator('[data-fact="bank"]')).to_have_text(re.compile("^bank holds"))
    assert page.locator(".rv-map").evaluate("map => [map.width, map.height]") == [4, 4]
    page.locator("#bank_map").click()
    assert page.locator(".rv-map").is_hidden()
    count = sent.count("map")
    painted_after(page, lambda: stroke(page))
    assert sent.count("map") == count > 1


def test_a_memory_without_a_map_says_what_to_do(browser: Browser, quick_app: App) -> None:
    def without_map(data: str | bytes) -> str | bytes:
        is_map = isinstance(data, str) and json.loads(data)["type"] == "map"
        return json.dumps({"type": "map", "exists": False}) if is_map else data

    def between(route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        server.on_message(lambda data: route.send(without_map(data)))

    with blank(browser) as page:
        page.route_web_socket("**/rearview/live", between)
        page.goto(quick_app.url, wait_until="domcontentloaded")
        page.wait_for_selector(FIRST_PICTURE)
        page.locator("#bank_map").click()
        page.get_by_text("This memory keeps no map").wait_for()
        expect(page.locator("#bank_map")).to_have_attribute("aria-pressed", "false")
        assert page.locator(".rv-map").is_hidden()


def test_a_picture_that_does_not_come_gets_a_sentence(browser: Browser, quick_app: App) -> None:
    def words_alone(route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        server.on_message(lambda data: route.send(data) if isinstance(data, str) else None)

    with blank(browser) as page:
        page.clock.install()
        page.route_web_socket("**/rearview/live", words_alone)
        page.goto(quick_app.url, wait_until="domcontentloaded")
        page.wait_for_selector('#status[data-state="busy"]')
        page.evaluate("new Promise((sent) => { window.rearview.on('sent', sent); window.rearview.again(); })")
        assert page.locator("#notice").inner_text() == ""
        page.clock.fast_forward(16_000)
        page.get_by_text("The picture is late").wait_for()


@pytest.mark.parametrize("width", [390, 1100, 1366, 1920])
def test_what_paints_is_read_whole(quick_page: Page, width: int) -> None:
    quick_page.set_viewport_size({"width": width, "height": 900})
    engine = quick_page.locator('[data-fact="engine"]')
    expect(engine).to_contain_text("feature-bank")
    engine.evaluate("(fact) => { fact.textContent = 'embedded · feature-bank · matmul'; }")
    assert engine.evaluate("(fact) => fact.scrollWidth <= fact.clientWidth")


def test_the_button_after_a_visit_looks_like_one(quick_page: Page) -> None:
    button = quick_page.locator("#again")
    expect(button).to_be_hidden()
    button.evaluate("(button) => { button.hidden = false; }")
    look = "(button) => getComputedStyle(button).backgroundColor"
    assert button.evaluate(look) == quick_page.locator("#preset_form .rv-main").evaluate(look)
