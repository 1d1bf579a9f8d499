"""In which language a visitor is answered: `?lang=` of the page's address, else what their browser asks for."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.words import language_of, spoken


class Languages:
    """ASGI middleware: what is said while a request or a socket is answered is said in its visitor's language."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        with spoken(language_in(scope)):
            await self._app(scope, receive, send)


def language_in(scope: Scope) -> str:
    """The language of whoever sends a request: of its own address, of the page's that sent it, of the browser."""
    asked = HTTPConnection(scope)
    try:
        of_page = parse_qs(urlsplit(asked.headers.get("referer", "")).query).get("lang", [""])[0]
    except ValueError:
        of_page = ""
    return language_of(asked.query_params.get("lang", of_page), asked.headers.get("accept-language", ""))
