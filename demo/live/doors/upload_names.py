"""The names under which a page follows its uploads: Gradio keeps each that it hears, for ever and however long."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

from gradio.routes import file_upload_statuses
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.words import word

FOLLOWED = ("/gradio_api/upload", "/gradio_api/upload_progress")
LONGEST_NAME = 64
"""Gradio's own have eleven letters."""

KEPT_FOR_S = 60.0
"""After an upload, or a question about one: its page asks at once."""


class BoundedUploadNames:
    """ASGI middleware around Gradio's app: a long name is refused, and each is forgotten after its time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        names = names_in(scope)
        if any(len(each) > LONGEST_NAME for each in names):
            await PlainTextResponse(word("doors.upload_name", most=LONGEST_NAME), 400)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            for each in names:
                asyncio.get_running_loop().call_later(KEPT_FOR_S, forget, each)


def names_in(scope: Scope) -> list[str]:
    """The names of uploads that a request is about."""
    if scope["type"] != "http" or not scope["path"].rstrip("/").endswith(FOLLOWED):
        return []
    return parse_qs(scope["query_string"].decode("latin-1")).get("upload_id", [])


def forget(name: str) -> None:
    """Nobody follows the upload of this name any more."""
    file_upload_statuses.stop_tracking(name)
    file_upload_statuses._signals.pop(name, None)
