"""Streams of events that end because nobody has asked for any: Gradio tells their caller, and then raises."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send


class EndedStreams:
    """ASGI middleware: an answer that Gradio breaks off with a status, after it has begun, ends. Left alone it would be
    a traceback in the log for each stranger who asks for events of a page that has none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except RuntimeError as error:
            # Starlette's words for a status that comes too late to be sent.
            if not isinstance(error.__cause__, HTTPException):
                raise
            await send({"type": "http.response.body", "body": b"", "more_body": False})
