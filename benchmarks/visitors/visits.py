"""Visitors as a browser brings them: a page that is open, a socket, and a drawing that moves while a person draws."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.measuring.drawing import encoded_drawing
from benchmarks.measuring.paces import Stay
from benchmarks.visitors.serving import LoadError, token_of
from demo.live import wire
from demo.live.live import SOCKET_PATH

FRAMES_UNDER_WAY = 2
CLOSE_FULL = 4429
"""As in the page's wire/transports.js."""
DRAWN_FRAMES = 64
DRAWINGS_A_SECOND = 60
"""How often what is drawn changes: once a refresh of a usual screen."""
ANSWER_SECONDS = 60
MAXIMUM_ANSWER_BYTES = 2**22
PROMPTS = (
    "watercolor painting of a house",
    "oil painting, sunset",
    "anime, night",
    "pencil drawing of a house",
    "woodblock print, winter",
)


class TurnedAwayError(LoadError):
    """The app has no place for this visitor now."""


@dataclass
class Visit:
    """What happened to one visitor so far; moments are seconds of `time.perf_counter`. `cut_short` says what ended the
    visit before its time."""

    since: float | None = None
    until: float | None = None
    sent: list[float] = field(default_factory=list)
    received: list[float] = field(default_factory=list)
    dropped: list[float] = field(default_factory=list)
    failed: list[float] = field(default_factory=list)
    turned_away: int = 0
    cut_short: str = ""

    @property
    def stay(self) -> Stay:
        """The pictures until now; without length for a visitor who was never let in."""
        if self.since is None:
            return Stay(0.0, 0.0, (), ())
        until = time.perf_counter() if self.until is None else self.until
        return Stay(self.since, until, tuple(self.sent), tuple(self.received))


def settings_of(number: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the visitor of that number asks for: their own prompt and seed, and what all have in common."""
    return {"prompt": PROMPTS[number % len(PROMPTS)], "seed": number, **settings}


async def visited(
    client: httpx.AsyncClient,
    address: str,
    page: str,
    settings: Mapping[str, Any],
    leaving: asyncio.Event,
    visit: Visit,
    *,
    abruptly: bool = False,
    source: str | None = None,
) -> None:
    """Let the visitor whose page has that name come to the app at `address` (host:port), draw until `leaving` is set,
    and go: with a goodbye, or `abruptly`, as a browser that crashes. Writes what happens into `visit`. Their socket
    comes from the address `source`, by default from any of this machine.

    Raises `TurnedAwayError`, or `LoadError` where the app does something else than serve.
    """
    try:
        async with (
            _open_page(client, address, page) as token,
            connect(
                f"ws://{address}{SOCKET_PATH}",
                compression=None,
                max_size=MAXIMUM_ANSWER_BYTES,
                local_addr=None if source is None else (source, 0),
            ) as connection,
        ):
            size = await _greeted(connection, token, settings)
            await _Drawing(connection, visit, size).drawn(leaving)
            if abruptly:
                connection.transport.abort()
            else:
                await connection.send(json.dumps({"type": "bye"}))
    except ConnectionClosed as error:
        kind = TurnedAwayError if error.rcvd is not None and error.rcvd.code == CLOSE_FULL else LoadError
        raise kind(
            f"the app closed the socket of {page} ({error}); needed: an open one. Look into its log, or raise its "
            "limits."
        ) from error
    except httpx.HTTPError as error:
        raise LoadError(f"the app did not give {page} its page ({error!r}). Look into its log.") from error


@asynccontextmanager
async def _open_page(client: httpx.AsyncClient, address: str, page: str) -> AsyncIterator[str]:
    """The token of a page that is open for as long as this is entered: by its heartbeat Gradio knows."""
    async with client.stream("GET", f"http://{address}/gradio_api/heartbeat/{page}") as heartbeat:
        heartbeat.raise_for_status()
        yield await token_of(client, address, page)


async def _greeted(connection: ClientConnection, token: str, settings: Mapping[str, Any]) -> int:
    """The side in pixels that the app works at, once it has let the visitor in and has taken the settings."""
    await connection.send(json.dumps({"token": token}))
    hello = await _news(connection, "hello")
    await connection.send(json.dumps({"type": "set", "settings": dict(settings)}))
    await _news(connection, "applied")
    return int(hello["size"])


async def _news(connection: ClientConnection, wanted: str) -> dict[str, Any]:
    """The next news of that type. What else is told meanwhile is passed over; an error raises `LoadError`."""
    while True:
        answer = await _answer(connection)
        news = {} if isinstance(answer, bytes) else dict(json.loads(answer))
        if news.get("type") == "error":
            raise LoadError(f"the app refused: {news['message']}")
        if news.get("type") == wanted:
            return news


async def _answer(connection: ClientConnection) -> bytes | str:
    try:
        return await asyncio.wait_for(connection.recv(), ANSWER_SECONDS)
    except asyncio.TimeoutError as error:
        raise LoadError(
            f"the app said nothing for {ANSWER_SECONDS} s; needed: an answer. Look into its log."
        ) from error


class _Drawing:
    """Sends what is drawn at the moment, and never the same twice, while fewer frames are under way than the page
    has at most; so the newest drawing wins."""

    def __init__(self, connection: ClientConnection, visit: Visit, size: int) -> None:
        self._connection = connection
        self._visit = visit
        self._pictures = encoded_drawing(size, DRAWN_FRAMES, wire.JPEG_QUALITY)
        self._room = asyncio.Semaphore(FRAMES_UNDER_WAY)

    async def drawn(self, leaving: asyncio.Event) -> None:
        """Draw until `leaving` is set, and at least until the first frame is answered."""
        self._visit.since = time.perf_counter()
        sending = asyncio.create_task(self._send())
        try:
            while not (leaving.is_set() and (self._visit.received or self._visit.failed)):
                self._take(await _answer(self._connection))
        finally:
            self._visit.until = time.perf_counter()
            sending.cancel()
            # A socket that is closed is found closed by the answers too, which say it.
            with suppress(asyncio.CancelledError, ConnectionClosed):
                await sending

    async def _send(self) -> None:
        begun, last = time.perf_counter(), -1
        for sequence in itertools.count(1):
            await self._room.acquire()
            elapsed = time.perf_counter() - begun
            last = max(last + 1, int(elapsed * DRAWINGS_A_SECOND))
            await asyncio.sleep(last / DRAWINGS_A_SECOND - elapsed)
            header = wire.FRAME_HEADER.pack(wire.VERSION, wire.KIND_FRAME, 0, sequence, time.perf_counter() * 1000)
            await self._connection.send(header + self._pictures[last % len(self._pictures)])

    def _take(self, answer: bytes | str) -> None:
        now = time.perf_counter()
        if isinstance(answer, bytes):
            sent = wire.PICTURE_HEADER.unpack_from(answer)[4]
            self._visit.sent.append(sent / 1000)
            self._visit.received.append(now)
        else:
            news = json.loads(answer)
            if "sequence" not in news:
                return
            (self._visit.dropped if news["type"] == "dropped" else self._visit.failed).append(now)
        self._room.release()
