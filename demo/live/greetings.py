"""Those who stand in the door: sockets that are open and have not said yet who they are."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.websockets import WebSocket

from demo.live import wire

FIRST_MESSAGE_S = 10.0


class SentAwayError(Exception):
    """Whoever said nothing had to make room for a newcomer."""


@dataclass(frozen=True, eq=False)
class Greeting:
    """One socket in the door, and the address that it counts for; `sent_away` is set once its room is somebody's."""

    address: str
    sent_away: asyncio.Event


class Greetings:
    """The door has room for `most` at once, for `most_of_address` of one address. Nobody finds it shut: a page says its
    first word at once, so that whoever has been silent for longest goes, first of the newcomer's own address where that
    has its share, else of the address that takes the most room."""

    def __init__(self, most: int, most_of_address: int) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._standing: dict[Greeting, None] = {}

    def __len__(self) -> int:
        return len(self._standing)

    async def first_token(self, socket: WebSocket, address: str) -> object:
        """The token of the first message, or `None` where none comes in time or in form; raises `SentAwayError` where
        others needed the room."""
        with self._standing_in_the_door(address) as greeting:
            listening = asyncio.create_task(socket.receive())
            leaving = asyncio.create_task(greeting.sent_away.wait())
            try:
                await asyncio.wait({listening, leaving}, timeout=FIRST_MESSAGE_S, return_when=asyncio.FIRST_COMPLETED)
            finally:
                leaving.cancel()
                listening.cancel()
        if listening.done():
            return wire.parsed(listening.result().get("text") or "").get("token")
        if greeting.sent_away.is_set():
            raise SentAwayError
        return None

    @contextmanager
    def _standing_in_the_door(self, address: str) -> Iterator[Greeting]:
        greeting = Greeting(address, asyncio.Event())
        self._make_room_for(address)
        self._standing[greeting] = None
        try:
            yield greeting
        finally:
            self._standing.pop(greeting, None)

    def _make_room_for(self, address: str) -> None:
        counts = Counter(each.address for each in self._standing)
        if counts[address] >= self._most_of_address:
            self._send_away_longest_silent(address)
        elif len(self._standing) >= self._most:
            self._send_away_longest_silent(counts.most_common(1)[0][0])

    def _send_away_longest_silent(self, address: str) -> None:
        greeting = next(each for each in self._standing if each.address == address)
        del self._standing[greeting]
        greeting.sent_away.set()
