"""The studio on a host that lends its GPU for a call at a time: the real `spaces` package, and no device."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from demo.words import word
from tests.browser.conftest import blank, eventually
from tests.browser.studio.test_drawing import drag
from tests.support.lent_gpu import Service, lending
from tests.support.served import App

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform != "linux", reason="hosts that lend a GPU fork, as Linux does"),
]

PAINTED_S = 6.0
LAST = "() => window.rearview.last?.sequence ?? 0"


@pytest.fixture(scope="module")
def host(is_there: None, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, Service]]:
    folder = tmp_path_factory.mktemp("lent")
    with lending(folder, PAINTED_S) as (service, environment):
        app = App(folder / "app.log", environment={**environment, "REARVIEW_MODEL": str(tiny_folder)})
        app.start()
        yield app, service
        assert app.stop() == 0
        assert "Traceback" not in app.log()


def opened(page: Page, app: App) -> None:
    page.goto(app.url, wait_until="domcontentloaded")
    page.wait_for_selector('#status[data-state="idle"]')


def said(page: Page, sentence: str) -> None:
    expect(page.locator("#lent_status")).to_contain_text(sentence)


def last(page: Page) -> int:
    return int(page.evaluate(LAST))


def test_a_visitor_is_painted_live_for_a_while_and_goes_on(browser: Browser, host: tuple[App, Service]) -> None:
    app, service = host
    with blank(browser) as page:
        opened(page, app)
        drag(page, (100, 100), (300, 200))
        expect(page.locator("#notice")).to_contain_text(word("lent.press"))
        assert last(page) == 0
        service.granted.clear()
        page.click("#lent_start")
        said(page, word("lent.waiting"))
        assert page.locator("#lent_start").is_disabled() and last(page) == 0
        service.granted.set()
        # What was drawn before is painted as soon as somebody does.
        assert eventually(page, lambda: last(page) > 0)
        before = last(page)
        drag(page, (100, 300), (300, 300))
        assert eventually(page, lambda: last(page) > before)
        page.evaluate("() => window.rearview.set({ steps: 3 })")
        assert eventually(page, lambda: page.evaluate("() => window.rearview.applied?.steps") == 3)
        said(page, word("lent.over"))
        ended = last(page)
        drag(page, (100, 400), (300, 400))
        page.wait_for_timeout(300)
        assert last(page) == ended
        page.click("#lent_start")
        assert eventually(page, lambda: last(page) > ended)
        page.click("#lent_stop")
        said(page, word("lent.over"))
        assert service.asked.count("/schedule") == service.asked.count("/release") == 2


def test_pictures_and_videos_are_painted_beside_and_the_space_can_be_duplicated(host: tuple[App, Service]) -> None:
    app, _ = host
    page = httpx.get(f"{app.url}config", timeout=20).json()
    assert {"paint_picture", "paint_video"} <= {each["api_name"] for each in page["dependencies"]}
    links = [each["props"]["link"] for each in page["components"] if each["props"].get("link")]
    assert links == ["https://huggingface.co/spaces/anna/rearview?duplicate=true"]
    assert "a call at a time" in app.log()


def test_two_visitors_are_painted_at_once_and_a_closed_tab_gives_its_gpu_back(
    browser: Browser, host: tuple[App, Service]
) -> None:
    app, service = host
    with blank(browser) as one, blank(browser) as other:
        for page in (one, other):
            opened(page, app)
            page.click("#lent_start")
        drag(one, (100, 100), (300, 200))
        drag(other, (100, 300), (300, 200))
        assert eventually(one, lambda: last(one) > 0 and last(other) > 0)
        given_back, closed_at = service.asked.count("/release"), time.monotonic()
        one.goto("about:blank")
        assert eventually(other, lambda: service.asked.count("/release") > given_back)
        assert time.monotonic() - closed_at < 2.0
