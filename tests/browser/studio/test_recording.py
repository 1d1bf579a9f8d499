"""A visit is recorded on the page, plays there, and is replayed bit for bit; an example is drawn stroke by stroke."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, WebSocket, expect

from demo.live import wire
from pipeline import Engine, load_model, read_recording, replayed
from pipeline.recording.recording import Drawn, Forgotten, FrameSent, Recording
from tests.browser.conftest import AT_REST

pytestmark = pytest.mark.browser

WHITE, SKY = 255, 0xA9
# The red of a place in the house, at every change of the drawing.
WATCH_THE_DRAWING = """() => {
  const context = document.getElementById("canvas").getContext("2d");
  window.seen = [];
  window.rearview.on("changed", () => window.seen.push(context.getImageData(256, 330, 1, 1).data[0]));
}"""


def listened(page: Page) -> list[tuple[int, bytes]]:
    """The frame numbers and the pictures that the page gets from now on, by a new connection."""
    got: list[tuple[int, bytes]] = []

    def hear(message: bytes | str) -> None:
        if isinstance(message, bytes):
            got.append((wire.PICTURE_HEADER.unpack_from(message)[7], message[wire.PICTURE_HEADER.size :]))

    def meet(socket: WebSocket) -> None:
        socket.on("framereceived", hear)

    page.on("websocket", meet)
    page.reload(wait_until="domcontentloaded")
    page.wait_for_selector(AT_REST)
    return got


def draw(page: Page, share: float) -> None:
    """A stroke from left to right, that far down the canvas."""
    page.locator("#canvas").scroll_into_view_if_needed()
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 40, box["y"] + share * box["height"])
    page.mouse.down()
    for step in range(8):
        page.mouse.move(box["x"] + 60 + 30 * step, box["y"] + share * box["height"] + 10 * (step % 3))
    page.mouse.up()


def recorded(page: Page, file: Path, visit: Callable[[], None]) -> Recording:
    """What the page keeps of a visit."""
    page.locator("#record").click()
    page.wait_for_selector("#recorded", state="visible")
    visit()
    page.wait_for_selector(AT_REST)
    with page.expect_download() as download:
        page.locator("#record").click()
    download.value.save_as(file)
    page.wait_for_selector("#recorded", state="hidden")
    return read_recording(file)


def test_a_recorded_visit_comes_again_bit_for_bit(quick_page: Page, tiny_folder: Path, tmp_path: Path) -> None:
    page = quick_page
    got = listened(page)
    draw(page, 0.2)

    def visit() -> None:
        draw(page, 0.4)
        page.evaluate("window.rearview.set({ steps: 2, prompt: 'neon house', bank_interval: 1 })")
        draw(page, 0.6)
        page.locator("#undo").click()
        draw(page, 0.8)

    recording = recorded(page, tmp_path / "visit.rearview", visit)
    kinds = [type(event) for event in recording.events]
    assert kinds.count(FrameSent) >= 5 and Forgotten in kinds
    assert sum(isinstance(event, Drawn) for event in recording.events) >= 6

    with Engine(load_model(tiny_folder)) as engine:
        again = [wire.encode_picture(each.translation.picture) for each in replayed(engine, recording)]
    live = [jpeg for _, jpeg in sorted(got)]
    assert again == live[-len(again) :]

    got.clear()
    page.locator("#recording_file").set_input_files(tmp_path / "visit.rearview")
    page.wait_for_function("document.getElementById('replay_progress').value === 1")
    page.wait_for_selector(AT_REST)
    assert again == [jpeg for _, jpeg in sorted(got)][-len(again) :]
    page.locator("#replay_stop").click()
    page.wait_for_selector("#replay", state="hidden")


def test_an_example_is_drawn_before_the_visitors_eyes(quick_page: Page) -> None:
    page = quick_page
    page.evaluate(WATCH_THE_DRAWING)
    page.locator('.rv-example[data-name="house"]').click()
    expect(page.locator("#replay_title")).to_have_text("House under a sun")
    page.locator("#speed_all").click()
    page.wait_for_selector("#replay", state="hidden")
    page.wait_for_function("window.rearview.settings.prompt.includes('a house with a tree')")
    # Paper first, then at least a change for each stroke and each fill that comes before the house's wall.
    seen = page.evaluate("window.seen")
    assert seen[0] == WHITE and seen.count(SKY) > 10
    assert seen[-1] not in (WHITE, SKY)


def test_what_is_no_recording_gets_a_sentence(quick_page: Page, tmp_path: Path) -> None:
    (tmp_path / "no.rearview").write_bytes(b"no zip")
    quick_page.locator("#recording_file").set_input_files(tmp_path / "no.rearview")
    quick_page.wait_for_function("document.getElementById('notice').textContent.includes('no recording')")
