"""How much of the server one address may ask for at once."""

from __future__ import annotations

import re
from collections import Counter

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.live import gate, wire
from demo.live.limits import HostLimits
from demo.words import word

STREAM = re.compile(r"/gradio_api/(queue/data|heartbeat/|call/[^/]+/[^/]|upload_progress)")
"""Answers that last as long as whoever asked stays."""

DOWNLOAD = re.compile(r"/gradio_api/(file|stream)[=/]")
COME_BACK_S = 2


class BoundedCrowd:
    """ASGI middleware: requests and sockets under way are counted by address, streams and downloads among them too.
    Whoever has their share already is refused before anything is done for them."""

    def __init__(self, app: ASGIApp, limits: HostLimits, behind_proxy: bool) -> None:
        self._app = app
        self._behind_proxy = behind_proxy
        self._most = {
            "connections": limits.connections_per_address,
            "streams": limits.streams_per_address,
            "downloads": limits.downloads_per_address,
        }
        self._under_way: Counter[tuple[str, str]] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        address = gate.address_of(HTTPConnection(scope), self._behind_proxy)
        taken = [(kind, address) for kind in kinds_of(scope)]
        full = next((kind for kind, _ in taken if self._under_way[kind, address] >= self._most[kind]), None)
        if full is not None:
            await refuse(scope, receive, send, word(f"doors.{full}", most=self._most[full]))
            return
        self._under_way.update(taken)
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= Counter(taken)


def kinds_of(scope: Scope) -> list[str]:
    """As what a request counts."""
    kinds = ["connections"]
    if scope["type"] == "http" and scope["method"] == "GET":
        if STREAM.search(scope["path"]):
            kinds.append("streams")
        elif DOWNLOAD.search(scope["path"]):
            kinds.append("downloads")
    return kinds


async def refuse(scope: Scope, receive: Receive, send: Send, sentence: str) -> None:
    """Say that there is no room; a socket is closed before it is open."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": wire.CLOSE_AGAIN, "reason": wire.close_reason(sentence)})
        return
    await PlainTextResponse(sentence, 429, {"retry-after": str(COME_BACK_S)})(scope, receive, send)
