"""The clean output page: one visitor's pictures and nothing else, at an address that they alone were told.

The address holds a key that nobody can guess. Whoever has it sees the pictures, without a login even where the app asks
visitors for one: a browser source of OBS and a projector have no cookie. Visitors hand the address out themselves, and
may take it back. A page may ask for the address that it had before with the secret from which the key is made: the key
does not tell the secret, so that whoever watches can never show pictures of their own there.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from demo import assets
from demo.live import gate, wire
from demo.words import word

logger = logging.getLogger(__name__)

OUTPUT_PATH = "/rearview/output"
PICTURE_NUMBER_HEADER = "x-rearview-picture"
KEY_BYTES = 24
SECRET_BYTES = 32
SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
READER_PATIENCE_S = 5.0
POLL_S = 10.0

PRIVATE = {"cache-control": "no-store", "referrer-policy": "no-referrer", "x-robots-tag": "noindex"}
"""The address is a key: nobody keeps it, and nobody is told where a visitor came from."""


class CrowdError(Exception):
    """As many watch as may."""


@dataclass(frozen=True)
class Shown:
    """A JPEG and its number among those of its visitor."""

    number: int
    jpeg: bytes


class Output:
    """The newest picture of one visitor, and those who wait for the next. Watchers read when they can: there is one
    slot, so that whoever is slow misses pictures and keeps nobody waiting."""

    def __init__(self, secret: str, at_most: int, tell: Callable[[int], None]) -> None:
        """`tell` hears how many watch, whenever that changes; no more than `at_most` do."""
        self.secret = secret
        self.key = key_of(secret)
        self.watchers = 0
        self.ended_because: str | None = None
        self._at_most = at_most
        self._tell = tell
        self._newest: Shown | None = None
        self._changed = asyncio.Event()

    def show(self, number: int, jpeg: bytes) -> None:
        """Take a picture for all who watch, unless a later one was shown already."""
        if self._newest is None or number > self._newest.number:
            self._newest = Shown(number, jpeg)
            self._wake()

    def end(self, sentence: str) -> None:
        """Show nothing any more; watchers are told `sentence`."""
        if self.ended_because is None:
            self.ended_because = sentence
            self._wake()

    async def other_than(self, number: int) -> Shown | None:
        """The newest picture as soon as it has another number, or `None` as soon as the output has ended."""
        while self.ended_because is None:
            if self._newest is not None and self._newest.number != number:
                return self._newest
            await self._changed.wait()
        return None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count one who watches meanwhile; raises `CrowdError` where as many do as may."""
        if self.watchers >= self._at_most:
            raise CrowdError
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        self.watchers += more
        self._tell(self.watchers)

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Outputs:
    """Whose pictures stand at which address. An output lasts as long as its visitor, who holds it."""

    def __init__(self, watchers: int) -> None:
        """At most `watchers` watch one visitor; with 0 nobody gets an address."""
        self._watchers = watchers
        self._outputs: dict[str, Output] = {}

    def opened(self, secret: object, tell: Callable[[int], None]) -> Output | None:
        """A new output, at its old address where `secret` is that of an earlier one; `None` where this host has none.

        Who showed pictures there until now does so no more.
        """
        if self._watchers == 0:
            return None
        is_known = isinstance(secret, str) and SECRET.fullmatch(secret)
        output = Output(str(secret) if is_known else secrets.token_urlsafe(SECRET_BYTES), self._watchers, tell)
        if output.key in self._outputs:
            self._outputs[output.key].end(word("output.newer"))
        self._outputs[output.key] = output
        return output

    def at(self, key: str) -> Output | None:
        """The output at an address, or `None` where there is none now."""
        return self._outputs.get(key)

    def close(self, output: Output) -> None:
        """Show nothing at this address any more."""
        output.end(word("output.ended"))
        if self._outputs.get(output.key) is output:
            del self._outputs[output.key]


class OutputPages:
    """The routes of those who watch."""

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs
        self._page = assets.page("output/page.html", "output/page.js")

    def routes(self) -> list[BaseRoute]:
        """The page, its pictures over a WebSocket, and one by one for hosts that let none through."""
        here = OUTPUT_PATH + "/{key}"
        return [
            Route(here, self.page, name="rearview-output"),
            WebSocketRoute(here + "/live", self.socket, name="rearview-output-live"),
            Route(here + "/picture", self.picture, name="rearview-output-picture"),
        ]

    async def page(self, request: Request) -> Response:
        """The page, also where nobody shows anything now: it says so, and waits."""
        status = 200 if self._output_of(request) else 404
        return Response(self._page, status, PRIVATE, media_type="text/html")

    async def picture(self, request: Request) -> Response:
        """The newest JPEG with another number than `after`, as soon as there is one; 204 for none in `POLL_S` s."""
        output = self._output_of(request)
        after = request.query_params.get("after", "")
        if output is None:
            return _sentence(word("output.gone"), 404)
        try:
            with output.watching():
                number = int(after) if after.isdecimal() else 0
                shown = await asyncio.wait_for(output.other_than(number), POLL_S)
        except CrowdError:
            return _sentence(word("output.full"), 429)
        except asyncio.TimeoutError:
            return Response(status_code=204, headers=PRIVATE)
        if shown is None:
            return _sentence(output.ended_because or word("output.ended"), 404)
        headers = PRIVATE | {PICTURE_NUMBER_HEADER: str(shown.number)}
        return Response(shown.jpeg, media_type="image/jpeg", headers=headers)

    async def socket(self, socket: WebSocket) -> None:
        """One JPEG a message, the newest whenever there is room for one."""
        if not gate.is_ours(socket):
            await socket.close(wire.CLOSE_FOREIGN, word("output.foreign"))
            return
        await socket.accept()
        output = self._output_of(socket)
        if output is None:
            await socket.close(wire.CLOSE_GONE, word("output.gone"))
            return
        try:
            with output.watching():
                await _watch(output, socket)
        except CrowdError:
            await socket.close(wire.CLOSE_FULL, word("output.full"))

    def _output_of(self, connection: Request | WebSocket) -> Output | None:
        return self._outputs.at(connection.path_params["key"])


def key_of(secret: str) -> str:
    """What stands in the address, made from the secret so that it does not tell it."""
    digest = hashlib.sha256(f"rearview output {secret}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:KEY_BYTES]).decode("ascii")


def hidden_reply(sentence: str = "") -> dict[str, Any]:
    """What the visitor's page is told that has no address, and why."""
    return {"type": "output", "key": None, "secret": None, "by": 0, "message": sentence}


def output_reply(output: Output | None, *, counted: bool) -> dict[str, Any]:
    """What the visitor's page is told of its address; `by` is null where its watchers will not be `counted` for it."""
    if output is None:
        return hidden_reply(word("output.none"))
    return {"type": "output", "key": output.key, "secret": output.secret, "by": output.watchers if counted else None}


def watched_reply(watchers: int) -> dict[str, Any]:
    """How many watch now."""
    return {"type": "watched", "by": watchers}


async def _watch(output: Output, socket: WebSocket) -> None:
    """Send pictures until either side ends. Who watches has nothing to say: their first word is the last."""
    sending = asyncio.create_task(_send(output, socket))
    reading = asyncio.create_task(socket.receive())
    try:
        await asyncio.wait({sending, reading}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, reading):
            task.cancel()
        await asyncio.wait({sending, reading})


async def _send(output: Output, socket: WebSocket) -> None:
    number = 0
    try:
        while (shown := await output.other_than(number)) is not None:
            number = shown.number
            await asyncio.wait_for(socket.send_bytes(shown.jpeg), READER_PATIENCE_S)
        await socket.close(wire.CLOSE_OVER, wire.close_reason(output.ended_because or word("output.ended")))
    except asyncio.TimeoutError:
        logger.info("a watcher read nothing for %g s and is let go", READER_PATIENCE_S)
    except (WebSocketDisconnect, RuntimeError) as error:
        # A server says RuntimeError where the socket was closed and its reader does not know yet.
        logger.debug("a watcher left: %r", error)


def _sentence(sentence: str, status: int) -> Response:
    return Response(sentence, status, PRIVATE, media_type="text/plain")
