"""The well of a picture to be like, on the real page with a tiny adapter."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from demo.live import wire
from pipeline import Engine, Model, load_adapter, load_model, replayed
from pipeline.recording.recording import Liked
from pipeline.recording.replay_files import encoded
from tests.browser.conftest import AT_REST, eventually, lent
from tests.browser.studio.test_recording import draw, listened, recorded
from tests.support.served import App
from tests.support.weights.adapter_files import save_adapter

pytestmark = pytest.mark.browser

PATCHES = encoded(Image.radial_gradient("L").resize((90, 60)).convert("RGB"), "PNG")
DROP = """(data) => {
  const files = new DataTransfer();
  files.items.add(new File([Uint8Array.from(atob(data), (one) => one.charCodeAt(0))], "a.png", { type: "image/png" }));
  document.querySelector("#like [data-like=pick]").dispatchEvent(
    new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: files }));
}"""


@pytest.fixture(scope="module")
def adapter_file(plain_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_adapter(tmp_path_factory.mktemp("adapter"), plain_model.unet)


@pytest.fixture(scope="module")
def liking_app(
    is_there: None, plain_folder: Path, adapter_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[App]:
    log = tmp_path_factory.mktemp("liking") / "app.log"
    served = App(log, "--adapter", str(adapter_file), "--graphs", "off", model=str(plain_folder))
    served.start()
    yield served
    served.stop()


@pytest.fixture
def liking_page(empty_page: Page, liking_app: App) -> Iterator[Page]:
    with lent(empty_page, liking_app) as fresh:
        yield fresh


def painted(page: Page) -> str:
    """The painted picture, at rest."""
    page.wait_for_selector(AT_REST)
    return str(page.evaluate("document.getElementById('picture').toDataURL()"))


def changes_to(page: Page, before: str, act: str) -> str:
    """The picture that a press of the well's button leads to, which is another than `before`."""
    page.click(f"#like [data-like={act}]")
    assert eventually(page, lambda: painted(page) != before)
    return painted(page)


def test_a_picture_is_picked_let_go_and_dropped(liking_page: Page, tmp_path: Path) -> None:
    page = liking_page
    page.evaluate("window.rearview.set({ steadiness: 0, bank_frames: 0, like_strength: 1.5 })")
    page.evaluate("window.rearview.again()")
    plain = painted(page)
    (tmp_path / "a.png").write_bytes(PATCHES)
    page.set_input_files("#like [data-like=file]", tmp_path / "a.png")
    assert eventually(page, lambda: painted(page) != plain)
    picked = painted(page)
    assert page.evaluate("window.rearview.liked.length") > 0
    expect(page.locator("#like canvas")).to_be_visible()
    changes_to(page, picked, "off")
    assert eventually(page, lambda: painted(page) == plain)
    expect(page.locator("#like canvas")).to_be_hidden()
    assert page.evaluate("window.rearview.liked") == ""
    page.evaluate(DROP, base64.b64encode(PATCHES).decode())
    assert eventually(page, lambda: painted(page) == picked)


def test_a_recorded_visit_comes_again_like_its_pictures_bit_for_bit(
    liking_page: Page, plain_folder: Path, adapter_file: Path, tmp_path: Path
) -> None:
    page = liking_page
    got = listened(page)
    page.click("#like [data-like=canvas]")
    page.wait_for_selector(AT_REST)

    def visit() -> None:
        draw(page, 0.4)
        page.evaluate("window.rearview.set({ like_strength: 1.5 })")
        changes_to(page, painted(page), "picture")
        draw(page, 0.6)
        changes_to(page, painted(page), "off")

    recording = recorded(page, tmp_path / "visit.rearview", visit)
    likes = [event.image for event in recording.events if isinstance(event, Liked)]
    assert likes == ["frames/like-1.jpg", "frames/like-2.jpg", ""] and recording.adapter
    model = load_model(plain_folder)
    with Engine(model, adapter=load_adapter(str(adapter_file), model), compiled="off") as engine:
        again = [wire.encode_picture(each.translation.picture) for each in replayed(engine, recording)]
    assert again == [jpeg for _, jpeg in sorted(got)][-len(again) :]

    got.clear()
    page.locator("#recording_file").set_input_files(tmp_path / "visit.rearview")
    page.wait_for_function("document.getElementById('replay_progress').value === 1")
    page.wait_for_selector(AT_REST)
    assert again == [jpeg for _, jpeg in sorted(got)][-len(again) :]


def test_what_is_no_picture_changes_nothing_and_is_said(liking_page: Page) -> None:
    before = painted(liking_page)
    liking_page.evaluate(DROP, base64.b64encode(b"none").decode())
    expect(liking_page.get_by_text("no picture that your browser can read")).to_be_visible()
    assert painted(liking_page) == before


def test_a_model_that_cannot_says_what_it_needs(quick_page: Page) -> None:
    expect(quick_page.get_by_text("Painting like another picture needs a model of the hub")).to_be_visible()
