"""The canvas as a painter uses it: tools, layers, undo, zoom, pens and fingers, keys, dropped files, and a reload."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, CDPSession, Page, expect

from demo.words import word
from tests.browser.conftest import visited, wait_until_told

if TYPE_CHECKING:
    from tests.browser.conftest import App

pytestmark = pytest.mark.browser

SIDE = 512
RED, BLUE, WHITE = "#d63a34", "#2458c9", "#ffffff"
COLOUR_AT = """([x, y]) => {
  const pixel = document.getElementById("canvas").getContext("2d").getImageData(x, y, 1, 1).data;
  return "#" + [...pixel].slice(0, 3).map((value) => value.toString(16).padStart(2, "0")).join("");
}"""
DIGEST = """async () => {
  const pixels = document.getElementById("canvas").getContext("2d").getImageData(0, 0, 512, 512).data;
  return [...new Uint8Array(await crypto.subtle.digest("SHA-256", pixels))].join();
}"""
# Squares of one colour, as files that fall onto the page or are pasted; an SVG brings its own text.
BRING = """async ([way, ...names]) => {
  const square = document.createElement("canvas");
  square.width = 60;
  square.height = 40;
  const context = square.getContext("2d");
  context.fillStyle = "#2458c9";
  context.fillRect(0, 0, 60, 40);
  const data = new DataTransfer();
  for (const [name, type, text] of names) {
    const encoded = type.startsWith("image") && (await new Promise((resolve) => square.toBlob(resolve, type)));
    data.items.add(new File([text ?? (encoded || "no picture")], name, { type }));
  }
  const event = way === "paste"
    ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
    : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
  document.getElementById("canvas").dispatchEvent(event);
}"""
LISTEN = "() => { window.told = []; window.rearview.on('drawn', (op) => window.told.push(op)); }"
APPLY = "async (operations) => { for (const each of operations) await window.rearview.drawing.apply(each); }"


@contextmanager
def opened(browser: Browser, app: App, script: str = "", **options: Any) -> Iterator[Page]:
    """The page of an app, at rest, that keeps in `told` what is done by hand."""
    with visited(browser, app, script, **options) as page:
        page.evaluate(LISTEN)
        yield page


@pytest.fixture(scope="module")
def shared(browser: Browser, quick_app: App) -> Iterator[Page]:
    """One page for all tests of the drawing alone; it is paused, so that nothing is painted meanwhile."""
    with opened(browser, quick_app) as page:
        page.click("#pause")
        for name in ("layers", "pen_options"):
            page.click(f"#{name}")
        yield page


@pytest.fixture
def canvas(shared: Page) -> Page:
    """The shared page with an empty drawing, the brush, and nothing told yet."""
    shared.evaluate("""() => {
      const { drawing } = window.rearview;
      drawing.setBackdrop(null);
      drawing.showInk(false);
      drawing.begin();
      drawing.toolbox.set({ tool: "brush", colour: "#d63a34", size: 14, stabiliser: 0, filled: false, layer: "ink" });
      document.getElementById("zoom_fit").click();
      document.getElementById("canvas").focus({ preventScroll: true });
      document.scrollingElement.scrollTo(0, 0);
      window.told.length = 0;
    }""")
    return shared


def at(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a point of the drawing, in its units, is on the screen."""
    box = page.locator("#canvas").bounding_box()
    return box["x"] + x * box["width"] / SIDE, box["y"] + y * box["height"] / SIDE


def drag(page: Page, *points: tuple[float, float]) -> None:
    places = [at(page, *point) for point in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=3)
    page.mouse.up()


def click(page: Page, x: float, y: float) -> None:
    page.mouse.click(*at(page, x, y))


def colour(page: Page, x: float, y: float) -> str:
    return page.evaluate(COLOUR_AT, [x, y])


def told(page: Page) -> list[dict[str, Any]]:
    """The operations that were done by hand since the test began."""
    return page.evaluate("window.told")


def digest(page: Page) -> str:
    """Of all pixels of the drawing."""
    return page.evaluate(DIGEST)


def ink(page: Page, **choices: Any) -> None:
    """Take something into the hand."""
    page.evaluate("(choices) => window.rearview.drawing.toolbox.set(choices)", choices)


def near(first: list[float], second: tuple[float, float]) -> bool:
    return all(abs(a - b) <= 1.5 for a, b in zip(first, second, strict=True))


def test_a_line_with_shift_is_straight(canvas: Page) -> None:
    canvas.click("#draw_line")
    canvas.keyboard.down("Shift")
    drag(canvas, (100, 100), (400, 120))
    canvas.keyboard.up("Shift")
    [line] = told(canvas)
    assert (line["op"], line["layer"], line["colour"], line["size"]) == ("line", "ink", RED, 14)
    assert line["to"][1] == line["from"][1] and line["to"][0] > 390
    assert colour(canvas, 250, 100) == RED


@pytest.mark.parametrize(("button", "name"), [("draw_rectangle", "rectangle"), ("draw_ellipse", "ellipse")])
@pytest.mark.parametrize("filled", [True, False])
def test_shapes_are_filled_or_an_outline(canvas: Page, button: str, name: str, filled: bool) -> None:
    canvas.click(f"#{button}")
    canvas.set_checked("#filled", filled)
    canvas.keyboard.down("Shift")
    drag(canvas, (300, 300), (100, 250))
    canvas.keyboard.up("Shift")
    [shape] = told(canvas)
    assert shape["op"] == name and shape["filled"] is filled
    assert shape["from"][0] - shape["to"][0] == shape["from"][1] - shape["to"][1]
    assert colour(canvas, 200, 200) == (RED if filled else WHITE)
    assert colour(canvas, 200, 101) == RED


def test_a_fill_is_on_the_chosen_layer_and_sees_all(canvas: Page) -> None:
    ink(canvas, tool="ellipse", size=8)
    drag(canvas, (100, 100), (400, 400))
    canvas.get_by_label("Draw on: Picture").click()
    ink(canvas, tool="fill", colour=BLUE)
    click(canvas, 250, 250)
    assert told(canvas)[-1]["layer"] == "picture"
    assert (colour(canvas, 250, 250), colour(canvas, 20, 20)) == (BLUE, WHITE)
    canvas.get_by_label("Hide: Ink").click()
    assert (colour(canvas, 250, 250), colour(canvas, 100, 250)) == (BLUE, WHITE)


def test_layers_are_added_moved_hidden_and_removed(canvas: Page) -> None:
    drag(canvas, (100, 256), (400, 256))
    canvas.click("#layer_add")
    ink(canvas, colour=BLUE)
    drag(canvas, (256, 100), (256, 400))
    assert colour(canvas, 256, 256) == BLUE
    canvas.click("#layer_down")
    assert colour(canvas, 256, 256) == RED
    canvas.get_by_label("Hide: Ink", exact=True).click()
    assert colour(canvas, 256, 256) == BLUE
    canvas.click("#layer_remove")
    assert colour(canvas, 256, 256) == WHITE
    canvas.click("#undo")
    assert colour(canvas, 256, 256) == BLUE
    assert [each["op"] for each in told(canvas)] == ["stroke", "layers", "stroke", "layers", "layer", "layers", "undo"]


def test_a_hidden_layer_takes_no_ink_and_says_so(canvas: Page) -> None:
    canvas.get_by_label("Hide: Ink", exact=True).click()
    drag(canvas, (100, 100), (200, 200))
    expect(canvas.locator("#notice")).to_contain_text("Layers")
    assert [each["op"] for each in told(canvas)] == ["layer"]


def test_a_layer_may_be_half_seen(canvas: Page) -> None:
    drag(canvas, (100, 100), (400, 100))
    canvas.locator("#layer_opacity").fill("50")
    assert colour(canvas, 250, 100) not in (RED, WHITE)


def test_there_are_eight_layers_at_most(canvas: Page) -> None:
    for _ in range(6):
        canvas.click("#layer_add")
    expect(canvas.locator("#layer_add")).to_be_disabled()
    assert canvas.locator(".rv-layer").count() == 8


def test_alt_picks_a_colour_and_own_colours_are_kept_when_drawn_with(canvas: Page) -> None:
    ink(canvas, colour="#123456", size=30)
    drag(canvas, (100, 100), (200, 100))
    expect(canvas.locator(".rv-own").first).to_have_attribute("data-colour", "#123456")
    ink(canvas, colour=BLUE)
    canvas.keyboard.down("Alt")
    click(canvas, 150, 100)
    canvas.keyboard.up("Alt")
    assert canvas.input_value("#colour") == "#123456"
    assert len(told(canvas)) == 1
    canvas.keyboard.press("i")
    click(canvas, 400, 400)
    assert canvas.input_value("#colour") == WHITE
    expect(canvas.locator("#brush")).to_have_attribute("aria-pressed", "true")


def test_zoomed_in_the_pen_draws_where_it_is(canvas: Page) -> None:
    canvas.mouse.move(*at(canvas, 128, 128))
    canvas.keyboard.down("Control")
    for _ in range(5):
        canvas.mouse.wheel(0, -100)
    canvas.keyboard.up("Control")
    # A wheel's turns arrive some time later; this is what all five of them make.
    canvas.wait_for_function("""() => {
      const [drawing, square] = ["canvas", "input"].map((id) => document.getElementById(id).getBoundingClientRect());
      return drawing.width > 3 * square.width;
    }""")
    expect(canvas.locator("#zoom_level")).to_be_visible()
    drag(canvas, (120, 130), (140, 130))
    [stroke] = told(canvas)
    assert near(stroke["points"][0][:2], (120, 130)) and near(stroke["points"][-1][:2], (140, 130))
    before = canvas.locator("#canvas").bounding_box()["x"]
    canvas.keyboard.down(" ")
    drag(canvas, (125, 125), (135, 125))
    canvas.keyboard.up(" ")
    assert canvas.locator("#canvas").bounding_box()["x"] > before
    assert len(told(canvas)) == 1
    canvas.locator("#canvas").press("Control+0")
    expect(canvas.locator("#zoom_level")).to_be_hidden()


def test_without_zoom_the_wheel_stays_the_pages(canvas: Page) -> None:
    canvas.mouse.move(*at(canvas, 256, 256))
    canvas.mouse.wheel(0, 200)
    canvas.wait_for_function("document.scrollingElement.scrollTop > 0")
    canvas.evaluate("document.scrollingElement.scrollTo(0, 0)")


def touches(session: CDPSession, page: Page, kind: str, *points: tuple[float, float]) -> None:
    places = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(at(page, *point) for point in points)]
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})


def pen(session: CDPSession, page: Page, kind: str, point: tuple[float, float], force: float) -> None:
    x, y = at(page, *point)
    pressed = {"button": "left", "buttons": 1, "clickCount": 1, "pointerType": "pen", "force": force}
    session.send("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **pressed})


def test_two_fingers_zoom_and_what_one_had_begun_is_no_stroke(canvas: Page) -> None:
    session = canvas.context.new_cdp_session(canvas)
    before = digest(canvas)
    touches(session, canvas, "touchStart", (200, 250))
    touches(session, canvas, "touchMove", (210, 250))
    touches(session, canvas, "touchStart", (210, 250), (300, 250))
    touches(session, canvas, "touchMove", (150, 250), (360, 250))
    touches(session, canvas, "touchEnd")
    assert told(canvas) == [] and digest(canvas) == before
    expect(canvas.locator("#input")).to_have_attribute("data-zoom", "near")
    canvas.click("#zoom_level")


def test_a_long_stroke_of_a_finger_stays_when_a_palm_comes(canvas: Page) -> None:
    session = canvas.context.new_cdp_session(canvas)
    blank = digest(canvas)
    touches(session, canvas, "touchStart", (100, 250))
    touches(session, canvas, "touchMove", (200, 250))
    canvas.wait_for_timeout(300)
    touches(session, canvas, "touchMove", (300, 250))
    touches(session, canvas, "touchStart", (300, 250), (400, 450))
    touches(session, canvas, "touchEnd")
    assert [each["op"] for each in told(canvas)] == ["stroke"] and colour(canvas, 250, 250) == RED
    canvas.click("#undo")
    assert digest(canvas) == blank


@pytest.mark.parametrize("ends", ["menu", "release", "capture"])
def test_a_stroke_ends_where_its_button_is_let_go_or_the_right_one_is_pressed(canvas: Page, ends: str) -> None:
    """A menu of the system swallows the release."""
    session = canvas.context.new_cdp_session(canvas)

    def mouse(kind: str, point: tuple[float, float], button: str = "none", buttons: int = 0) -> None:
        x, y = at(canvas, *point)
        parameters = {"type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "clickCount": 1}
        session.send("Input.dispatchMouseEvent", parameters)

    mouse("mousePressed", (100, 100), "left", 1)
    mouse("mouseMoved", (300, 100), "left", 1)
    if ends == "menu":
        mouse("mousePressed", (300, 100), "right", 3)
    if ends == "capture":
        canvas.evaluate(
            "document.getElementById('canvas').dispatchEvent(new PointerEvent('lostpointercapture', "
            "{ pointerId: 1, pointerType: 'mouse' }))"
        )
    mouse("mouseMoved", (300, 400), buttons=1 if ends == "menu" else 0)
    mouse("mouseMoved", (350, 400))
    [stroke] = told(canvas)
    assert colour(canvas, 200, 100) == RED and colour(canvas, 300, 250) == WHITE
    drag(canvas, (100, 450), (250, 450))
    assert len(told(canvas)) == 2 and near(told(canvas)[1]["points"][0][:2], (100, 450))
    mouse("mouseReleased", (300, 400), "right")


@pytest.mark.parametrize("zoom", [0.8, 1.5])
def test_the_brushs_ring_is_at_the_pointer_in_a_page_that_is_zoomed(canvas: Page, zoom: float) -> None:
    canvas.evaluate("(zoom) => { document.body.style.zoom = zoom; }", zoom)
    canvas.locator("#canvas").scroll_into_view_if_needed()
    place = at(canvas, 300, 150)
    canvas.mouse.move(*place)
    ring = canvas.locator(".rv-cursor").bounding_box()
    board = canvas.locator("#canvas").bounding_box()
    canvas.evaluate("() => { document.body.style.zoom = ''; }")
    assert abs(ring["x"] + ring["width"] / 2 - place[0]) < 2 and abs(ring["y"] + ring["height"] / 2 - place[1]) < 2
    # The ring is as large as what the brush draws, and its rim.
    assert abs(ring["width"] - 14 * board["width"] / SIDE) < 6


@pytest.mark.parametrize(("zone", "hours"), [("Pacific/Kiritimati", 14), ("America/Lima", -5)])
def test_a_files_name_has_the_visitors_own_time(canvas: Page, zone: str, hours: int) -> None:
    session = canvas.context.new_cdp_session(canvas)
    session.send("Emulation.setTimezoneOverride", {"timezoneId": zone})
    name, now = canvas.evaluate("""async () => {
      const loaded = performance.getEntriesByType("resource").map((each) => each.name);
      const { fileName } = await import(loaded.find((each) => each.endsWith("/shared/dom.js")));
      return [fileName("png"), Date.now() / 1000];
    }""")
    session.detach()
    written = datetime.strptime(name, "rearview-%Y-%m-%dT%H-%M-%S.png").replace(tzinfo=UTC).timestamp()
    assert abs(written - now - 3600 * hours) < 2


@pytest.mark.parametrize("pressure", [True, False])
def test_a_pens_pressure_makes_the_line_wide(canvas: Page, pressure: bool) -> None:
    session = canvas.context.new_cdp_session(canvas)
    canvas.set_checked("#pressure", pressure)
    pen(session, canvas, "mousePressed", (100, 100), 0.1)
    for step in range(1, 6):
        pen(session, canvas, "mouseMoved", (100 + 40 * step, 100), 0.2 * step)
    touches(session, canvas, "touchStart", (400, 400))
    touches(session, canvas, "touchMove", (300, 400))
    touches(session, canvas, "touchEnd")
    pen(session, canvas, "mouseReleased", (300, 100), 0)
    canvas.set_checked("#pressure", True)
    [stroke] = told(canvas)
    widths = [point[2] for point in stroke["points"]]
    assert all(y < 200 for _, y, *_ in stroke["points"])
    assert (max(widths) > 2 * min(widths)) is pressure
    assert pressure or set(widths) == {14}


@pytest.mark.parametrize(("share", "trembles"), [(0, True), (1, False)])
def test_the_stabiliser_takes_the_tremble_and_ends_where_the_hand_does(
    canvas: Page, share: float, trembles: bool
) -> None:
    ink(canvas, stabiliser=share)
    drag(canvas, *[(60 + 12 * step, 250 + (12 if step % 2 else -12)) for step in range(31)])
    [stroke] = told(canvas)
    heights = [y for _, y, *_ in stroke["points"][:-1]]
    assert (max(heights) - min(heights) > 20) is trembles
    assert near(stroke["points"][-1][:2], (420, 238))


def test_what_was_told_makes_the_same_drawing_again(canvas: Page) -> None:
    ink(canvas, stabiliser=0.5)
    drag(canvas, (50, 60), (300, 90), (200, 300), (60, 200))
    ink(canvas, tool="ellipse", colour=BLUE, stabiliser=0)
    drag(canvas, (200, 200), (450, 420))
    ink(canvas, tool="fill")
    click(canvas, 320, 300)
    click(canvas, 20, 500)
    ink(canvas, tool="eraser", size=40)
    drag(canvas, (20, 20), (480, 480))
    canvas.locator("#canvas").press("Control+z")
    canvas.locator("#canvas").press("Control+z")
    canvas.locator("#canvas").press("Control+Shift+Z")
    canvas.locator("#background").evaluate(
        "(input) => { input.value = '#ffeecc'; input.dispatchEvent(new Event('change')); }"
    )
    operations, seen = told(canvas), digest(canvas)
    assert [each["op"] for each in operations[-4:]] == ["undo", "undo", "redo", "paper"]
    canvas.evaluate("() => window.rearview.drawing.begin()")
    assert digest(canvas) != seen
    canvas.evaluate(APPLY, operations)
    assert digest(canvas) == seen
    canvas.evaluate("() => window.rearview.drawing.begin()")
    canvas.evaluate(
        """async (operations) => {
      for (const each of operations) await window.rearview.drawing.play(each, { speed: 4 });
    }""",
        operations,
    )
    assert digest(canvas) == seen
    assert told(canvas) == operations


def test_a_play_that_is_stopped_has_the_rest_at_once(canvas: Page) -> None:
    points = [[100 + step, 100, 14, 100_000 * step] for step in range(100)]
    canvas.evaluate(
        """async (points) => {
      const stopped = new AbortController();
      const playing = window.rearview.drawing.play(
        { op: "stroke", layer: "ink", tool: "brush", colour: "#d63a34", points }, { signal: stopped.signal });
      stopped.abort();
      await playing;
    }""",
        points,
    )
    assert colour(canvas, 190, 100) != WHITE


def test_a_described_drawing_is_made_anew(canvas: Page) -> None:
    drag(canvas, (100, 100), (400, 300))
    canvas.click("#layer_add")
    ink(canvas, colour=BLUE)
    drag(canvas, (100, 300), (400, 100))
    canvas.locator("#layer_opacity").fill("60")
    seen = digest(canvas)
    canvas.evaluate("""async () => {
      const { drawing } = window.rearview;
      const operations = await drawing.described();
      drawing.begin();
      for (const each of operations) await drawing.apply(each);
    }""")
    assert digest(canvas) == seen


def test_an_unknown_operation_or_layer_is_refused(canvas: Page) -> None:
    for operation in (
        {"op": "smudge"},
        {"op": "clear", "layer": "ink9"},
        {"op": "layers", "order": ["ink", "picture"]},
    ):
        refused = canvas.evaluate(
            "(operation) => window.rearview.drawing.apply(operation).then(() => '', (error) => error.message)",
            operation,
        )
        assert "layer" in refused or "operation" in refused


def test_a_hundred_strokes_and_a_picture_can_be_undone_and_redone(canvas: Page) -> None:
    blank = digest(canvas)
    canvas.evaluate(BRING, ["drop", ["blue.png", "image/png"]])
    canvas.wait_for_function("window.told.length === 1")
    canvas.evaluate("""async () => {
      for (let y = 2; y < 512; y += 5) {
        const points = [[20, y, 6, 0], [490, y, 6, 10]];
        await window.rearview.drawing.apply({ op: "stroke", layer: "ink", tool: "brush", colour: "#d63a34", points });
      }
    }""")
    full = digest(canvas)
    steps = "async ([op, times]) => { for (; times > 0; times--) await window.rearview.drawing.apply({ op }); }"
    canvas.evaluate(steps, ["undo", 103])
    assert digest(canvas) == blank
    canvas.evaluate(steps, ["redo", 103])
    assert digest(canvas) == full


@pytest.mark.parametrize(("way", "kind"), [("drop", "image/webp"), ("drop", "image/jpeg"), ("paste", "image/png")])
def test_a_picture_that_is_brought_lies_under_the_ink(canvas: Page, way: str, kind: str) -> None:
    drag(canvas, (100, 100), (400, 100))
    canvas.evaluate(BRING, [way, ["picture", kind]])
    canvas.wait_for_function("window.told.length === 2")
    assert colour(canvas, 250, 100) == RED
    assert colour(canvas, 250, 400)[-2:] in ("c8", "c9", "ca")
    canvas.click("#undo")
    assert (colour(canvas, 250, 100), colour(canvas, 250, 400)) == (RED, WHITE)


def test_what_is_no_picture_gets_a_sentence(canvas: Page) -> None:
    canvas.evaluate(BRING, ["drop", ["notes.txt", "text/plain"]])
    expect(canvas.locator("#notice")).to_contain_text("PNG")


SVG_SHAPE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 12"><path d="M0 0h24v12H0z" fill="#2458c9"/></svg>'
SVG_HTML = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="90"><foreignObject width="90" height="90">'
    '<div xmlns="http://www.w3.org/1999/xhtml" style="background:#2458c9;height:90px"></div></foreignObject></svg>'
)


@pytest.mark.parametrize("text", [SVG_SHAPE, SVG_HTML], ids=["no size", "html inside"])
def test_an_svg_fills_the_sheet(canvas: Page, text: str) -> None:
    canvas.evaluate(BRING, ["drop", ["a.svg", "image/svg+xml", text]])
    canvas.wait_for_function("window.told.length === 1")
    assert {colour(canvas, x, y) for x in (3, 508) for y in (3, 508)} == {BLUE}
    # What a browser counts on to know how large it is: of 24 x 12, so that the shorter side is the sheet's.
    address = canvas.evaluate(
        """async (text) => (await import(performance.getEntriesByType("resource")
          .map((each) => each.name).find((each) => each.endsWith("/drawing/decoding.js"))))
          .decoded(new Blob([text], { type: "image/svg+xml" })).then((image) => [image.width, image.height])""",
        text,
    )
    assert address == ([1024, 512] if text is SVG_SHAPE else [90, 90])


def test_a_picture_that_a_browser_keeps_to_itself_is_refused_and_the_source_stays(canvas: Page) -> None:
    canvas.evaluate("""() => {
      window.toBlob = HTMLCanvasElement.prototype.toBlob;
      HTMLCanvasElement.prototype.toBlob = () => { throw new DOMException("tainted", "SecurityError"); };
    }""")
    canvas.evaluate("""() => {
      const text = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>';
      return window.rearview.drawing.openImage(new Blob([text], { type: "image/svg+xml" }));
    }""")
    canvas.evaluate("() => { HTMLCanvasElement.prototype.toBlob = window.toBlob; }")
    expect(canvas.locator("#notice")).to_have_text(word("drawing.not_drawable"))
    assert told(canvas) == []


def test_of_several_files_the_first_that_can_be_opened_is(canvas: Page) -> None:
    files = [["a.heic", "text/plain"], ["b.png", "image/png"], ["c.png", "image/png"]]
    canvas.evaluate(BRING, ["drop", *files])
    wait_until_told(canvas, word("drawing.one_of_many", name="b.png", count=2))
    assert [each["op"] for each in told(canvas)] == ["picture"]
    expect(canvas.locator("#notice")).to_be_empty()
    canvas.evaluate(BRING, ["paste", ["a.heic", "text/plain"], ["b.heic", "text/plain"]])
    expect(canvas.locator("#notice")).to_have_text(word("drawing.not_an_image"))


def test_who_knows_a_file_opens_it_before_it_is_a_picture(canvas: Page) -> None:
    canvas.evaluate("""() => {
      window.brought = [];
      const accepts = async (file) => file.name.endsWith(".mine");
      window.rearview.dropping.register(accepts, (file) => window.brought.push(file.name));
    }""")
    canvas.evaluate(BRING, ["drop", ["a.mine", "image/png"]])
    canvas.wait_for_function("window.brought[0] === 'a.mine'")
    assert told(canvas) == []


@pytest.mark.parametrize(
    ("key", "code", "modifiers", "tells"),
    [
        ("я", "KeyZ", 2, "undo"),
        ("ζ", "KeyZ", 2, "undo"),
        ("ז", "KeyZ", 2, "undo"),
        ("Я", "KeyZ", 10, "redo"),
        ("z", "KeyW", 2, "undo"),
        ("z", "KeyY", 2, "undo"),
    ],
    ids=["russian", "greek", "hebrew", "russian, shift", "french", "german"],
)
def test_undo_is_where_it_is_on_any_keyboard(canvas: Page, key: str, code: str, modifiers: int, tells: str) -> None:
    drag(canvas, (100, 100), (400, 100))
    if tells == "redo":
        canvas.click("#undo")
    press(canvas, key, code, modifiers)
    assert told(canvas)[-1]["op"] == tells


@pytest.mark.parametrize(
    ("key", "code", "button"),
    [("у", "KeyE", "eraser"), ("لا", "KeyB", "brush"), ("д", "KeyL", "draw_line")],
    ids=["russian", "arabic", "russian, line"],
)
def test_a_letter_takes_a_tool_on_any_keyboard(canvas: Page, key: str, code: str, button: str) -> None:
    ink(canvas, tool="fill")
    press(canvas, key, code)
    expect(canvas.locator(f"#{button}")).to_have_attribute("aria-pressed", "true")


def test_brackets_change_the_brush_where_the_keyboard_has_none(canvas: Page) -> None:
    press(canvas, "ъ", "BracketRight")
    assert canvas.evaluate("window.rearview.drawing.toolbox.box.size") > 14


def press(page: Page, key: str, code: str, modifiers: int = 0) -> None:
    """A key as a keyboard of another language sends it."""
    session = page.context.new_cdp_session(page)
    for kind in ("rawKeyDown", "keyUp"):
        session.send("Input.dispatchKeyEvent", {"type": kind, "key": key, "code": code, "modifiers": modifiers})
    session.detach()


def test_keys_draw_without_a_pointer(canvas: Page) -> None:
    board = canvas.locator("#canvas")
    board.press("Enter")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        board.press(key)
    board.press(" ")
    [stroke] = told(canvas)
    ends = stroke["points"][0][:2], stroke["points"][-1][:2]
    assert [end - start for start, end in zip(*ends, strict=True)] == [16, 8]
    board.press("Enter")
    board.press("ArrowRight")
    board.press("Escape")
    assert len(told(canvas)) == 1


@pytest.mark.parametrize(
    ("key", "button"),
    {"b": "brush", "e": "eraser", "l": "draw_line", "r": "draw_rectangle", "o": "draw_ellipse", "f": "fill"}.items(),
)
def test_a_letter_takes_a_tool(canvas: Page, key: str, button: str) -> None:
    canvas.keyboard.press(key)
    expect(canvas.locator(f"#{button}")).to_have_attribute("aria-pressed", "true")


def test_keys_rest_while_somebody_writes_and_all_have_a_sentence(canvas: Page) -> None:
    canvas.locator("#prompt textarea").press("e")
    expect(canvas.locator("#brush")).to_have_attribute("aria-pressed", "true")
    table = canvas.evaluate("window.rearview.keys.table")
    assert {"B", "Ctrl+Z", "Enter", "["} <= {key for entry in table for key in entry["keys"]}
    assert all(word(entry["word"]) for entry in table)


@pytest.mark.parametrize(("repeats", "times"), [(True, 3), (False, 1)])
def test_a_held_key_repeats_only_where_it_should(canvas: Page, repeats: bool, times: int) -> None:
    canvas.evaluate(
        """([keys, repeats]) => {
          window.acted = 0;
          window.rearview.keys.add({ keys, word: "drawing.undo", act: () => window.acted++, repeats });
        }""",
        ["F8" if repeats else "F9", repeats],
    )
    for _ in range(3):
        canvas.keyboard.down("F8" if repeats else "F9")
    canvas.keyboard.up("F8" if repeats else "F9")
    assert canvas.evaluate("window.acted") == times


def test_ink_lies_on_a_live_source_when_it_is_to(canvas: Page) -> None:
    drag(canvas, (100, 100), (400, 100))
    seen = digest(canvas)
    canvas.evaluate("""() => window.rearview.drawing.setBackdrop((context) => {
      context.fillStyle = "#2458c9";
      context.fillRect(0, 0, 512, 512);
    })""")
    assert colour(canvas, 250, 100) == BLUE
    drag(canvas, (100, 300), (400, 300))
    assert len(told(canvas)) == 1
    canvas.evaluate("() => window.rearview.drawing.showInk(true)")
    assert (colour(canvas, 250, 100), colour(canvas, 250, 300)) == (RED, BLUE)
    drag(canvas, (100, 300), (400, 300))
    assert colour(canvas, 250, 300) == RED
    canvas.click("#undo")
    canvas.evaluate("() => window.rearview.drawing.setBackdrop(null)")
    assert digest(canvas) == seen


def test_on_a_phone_the_panels_fit_and_a_finger_draws(browser: Browser, quick_app: App) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with opened(browser, quick_app, **phone) as page:
        page.click("#layers")
        page.click("#pen_options")
        edges = "[...document.querySelectorAll('.rv-row *')].map((each) => each.getBoundingClientRect().right)"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert max(page.evaluate(edges)) <= 390
        session = page.context.new_cdp_session(page)
        page.locator("#canvas").scroll_into_view_if_needed()
        touches(session, page, "touchStart", (100, 100))
        touches(session, page, "touchMove", (300, 100))
        touches(session, page, "touchEnd")
        assert [each["op"] for each in told(page)] == ["stroke"]
