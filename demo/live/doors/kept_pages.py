"""The page and its description, made once: Gradio makes them anew for each who asks, by deep copies that hold up every
thread, the painting one too. For all visitors they are the same but for the address at the top."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

from gradio.route_utils import get_root_url
from jinja2.utils import htmlsafe_json_dumps
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.live.doors.languages import language_in

KEPT = ("/", "/config", "/config/")
"""What Gradio answers from the page's description. A query is about parts of it that this app has not: other pages, and
states that were left there."""

STAND_IN = b"the-visitor-comes-by.invalid"
"""The host in the place of everybody's own."""


@dataclass(frozen=True)
class Kept:
    """An answer for the host `STAND_IN`, and the page's address in it."""

    content: bytes
    media_type: str
    root: bytes


class KeptPages:
    """ASGI middleware around Gradio's app, innermost. Where visitors sign in, each has a page of their own, which is
    translated, and nothing is kept."""

    def __init__(self, app: ASGIApp, translations: Mapping[str, Callable[[bytes], bytes]] | None = None) -> None:
        """`translations` make an answer in another language of one in the first."""
        self._app = app
        self._translations = translations or {}
        self._kept: dict[tuple[str, str], Kept] = {}
        self._making = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = path_of(scope)
        if path not in KEPT:
            await self._app(scope, receive, send)
            return
        language = language_in(scope)
        if scope["app"].auth is not None or scope["app"].auth_dependency is not None:
            await self._told_in(language, scope, receive, send)
            return
        kept = self._kept.get((path, language)) or await self._made_once(scope, path, language)
        if kept is None:
            await self._app(scope, receive, send)
            return
        content = kept.content.replace(kept.root, root_in(scope, path))
        headers = {"vary": "accept-language"} if self._translations else None
        await Response(content, media_type=kept.media_type, headers=headers)(scope, receive, send)

    async def _told_in(self, language: str, scope: Scope, receive: Receive, send: Send) -> None:
        """What Gradio answers to this visitor, in their language."""
        translated = self._translations.get(language)
        if translated is None:
            await self._app(scope, receive, send)
            return
        begun, content = await self._heard(scope, receive)
        if begun["status"] == HTTPStatus.OK and content:
            content = translated(content)
        own = [(name, value) for name, value in begun["headers"] if name != b"content-length"]
        length = (b"content-length", str(len(content)).encode())
        await send({**begun, "headers": [*own, length, (b"vary", b"accept-language")]})
        await send({"type": "http.response.body", "body": content})

    async def _made_once(self, scope: Scope, path: str, language: str) -> Kept | None:
        async with self._making:
            if (path, language) not in self._kept and (made := await self._made(scope, path)) is not None:
                translated = self._translations.get(language)
                self._kept[path, language] = (
                    replace(made, content=translated(made.content)) if translated is not None else made
                )
            return self._kept.get((path, language))

    async def _made(self, scope: Scope, path: str) -> Kept | None:
        """What Gradio answers to a visitor of `STAND_IN`; `None` where that is no page."""

        async def nothing() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        asked = scope | {"method": "GET", "query_string": b"", "headers": [(b"host", STAND_IN)], "scheme": "http"}
        begun, content = await self._heard(asked, nothing)
        if begun["status"] != HTTPStatus.OK:
            return None
        return Kept(content, dict(begun["headers"])[b"content-type"].decode("latin-1"), root_in(asked, path))

    async def _heard(self, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
        """What Gradio answers: how that begins, and its content."""
        said: list[Message] = []

        async def hear(message: Message) -> None:
            said.append(message)

        await self._app(scope, receive, hear)
        return said[0], b"".join(each.get("body", b"") for each in said[1:])


def path_of(scope: Scope) -> str:
    """What is asked for by a page that reads; empty for all else."""
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return ""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def root_in(scope: Scope, path: str) -> bytes:
    """The app's address as the sender of a request sees it, as it stands within a JSON string."""
    app = scope["app"]
    named = app.root_path or scope.get("root_path") or app.get_blocks().custom_mount_path
    root = get_root_url(Request(scope), route_path=path.rstrip("/"), root_path=named)
    return str(htmlsafe_json_dumps(root))[1:-1].encode()
