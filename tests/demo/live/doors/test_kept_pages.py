"""The page is made once, and is for each visitor what Gradio would have made for them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import gradio as gr
import httpx
import pytest
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.live.doors.kept_pages import KEPT, KeptPages
from demo.page.opening import opened
from tests.support.served import free_port

VISITS: dict[str, dict[str, str]] = {
    "as they come": {},
    "by another name": {"host": "draw.example:8080"},
    "through a proxy": {"x-forwarded-host": "draw.example", "x-forwarded-proto": "https"},
    "with a name that would leave its string": {"x-forwarded-host": 'a"</script><script>'},
}


class Counted:
    """Middleware that counts what comes through."""

    asked: int = 0

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        Counted.asked += scope["type"] == "http" and scope["path"] in KEPT
        await self._app(scope, receive, send)


class Either:
    """Middleware that lets Gradio itself answer whoever says so in a header, and keeps the page for all others."""

    def __init__(self, app: ASGIApp) -> None:
        self._plain, self._kept = app, KeptPages(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        plain = scope["type"] == "http" and (b"x-plain", b"1") in scope["headers"]
        await (self._plain if plain else self._kept)(scope, receive, send)


def served(*middleware: Middleware, auth: tuple[str, str] | None = None) -> Iterator[str]:
    with gr.Blocks(analytics_enabled=False) as blocks:
        gr.Textbox("a word")
    try:
        yield opened(blocks, [], host="127.0.0.1", port=free_port(), middleware=middleware, auth=auth).rstrip("/")
    finally:
        blocks.close()


@pytest.fixture(scope="module")
def app() -> Iterator[str]:
    yield from served(Middleware(Either), Middleware(Counted))


def described(app: str, path: str, headers: dict[str, str]) -> object:
    """The page's description as `path` gives it."""
    text = httpx.get(app + path, headers=headers).raise_for_status().text
    return json.loads(text.partition("window.gradio_config = ")[2].partition(";</script>")[0] if path == "/" else text)


@pytest.mark.parametrize("path", KEPT)
@pytest.mark.parametrize("headers", [pytest.param(each, id=name) for name, each in VISITS.items()])
def test_each_visitor_is_told_what_gradio_would_tell_them(app: str, path: str, headers: dict[str, str]) -> None:
    assert described(app, path, headers) == described(app, path, headers | {"x-plain": "1"})


def test_however_many_ask_and_whatever_they_add_it_is_made_once(app: str) -> None:
    httpx.get(app)
    before = Counted.asked
    for query in ("", "?page=", "?deep_link=abc", "?page=other", "?x=1"):
        assert httpx.get(f"{app}/{query}").status_code == 200
    assert httpx.head(app).content == b""
    assert Counted.asked == before


def test_where_visitors_sign_in_nobody_gets_another_ones_page() -> None:
    for address in served(Middleware(KeptPages), auth=("anna", "secret")):
        with httpx.Client(base_url=address) as anna:
            anna.post("/login", data={"username": "anna", "password": "secret"})
            assert anna.get("/config").json()["username"] == "anna"
        assert httpx.get(f"{address}/config").status_code == 401


def test_where_visitors_sign_in_a_page_is_told_in_their_language_all_the_same() -> None:
    loud = Middleware(KeptPages, translations={"de": bytes.upper})
    for address in served(loud, auth=("anna", "secret")):
        with httpx.Client(base_url=address, headers={"accept-language": "de"}) as anna:
            anna.post("/login", data={"username": "anna", "password": "secret"})
            assert "A WORD" in anna.get("/config").text
            assert "a word" in anna.get("/config", headers={"accept-language": "en"}).text
        refused = httpx.get(f"{address}/config", headers={"accept-language": "de"})
        assert refused.status_code == 401 and refused.json()
