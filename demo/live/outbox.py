"""What is still to be sent over one WebSocket. Nobody who works for a visitor ever waits for what they read."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from demo.live import wire
from demo.live.metrics import Metrics

logger = logging.getLogger(__name__)

UNSENT_WORDS = 64


@dataclass(frozen=True)
class Picture:
    """A packed picture, and when its frame came (`time.monotonic`); `None` for one that answers none."""

    message: bytes
    arrived_at: float | None


@dataclass(frozen=True)
class Close:
    """The last thing that is sent."""

    code: int
    reason: str


class Outbox:
    """Words in the order in which they were said, and the newest pictures: a newer one replaces an unsent one.

    `run` sends them, and ends when the socket was closed from either side, or when its reader has read nothing for
    `patience_s` seconds.
    """

    def __init__(self, socket: WebSocket, patience_s: float, metrics: Metrics) -> None:
        self._socket = socket
        self._patience_s = patience_s
        self._metrics = metrics
        self._words: deque[dict[str, Any]] = deque()
        self._pictures: deque[Picture] = deque()
        self._close: Close | None = None
        self._changed = asyncio.Event()
        self._drained = asyncio.Event()

    @property
    def closing(self) -> bool:
        """Whether nothing more is taken."""
        return self._close is not None

    def say(self, news: dict[str, Any]) -> None:
        """Send words, in their turn."""
        if not self.closing:
            self._words.append(news)
            self._changed.set()

    def show(self, picture: Picture, at_most: int) -> None:
        """Send a picture as soon as there is room for it. No more than `at_most` wait: as many as may be ready at once
        for a reader who is not slow."""
        if self.closing:
            return
        while len(self._pictures) >= at_most:
            self._metrics.frame_dropped("unsent")
            self.say(wire.unsent_reply(self._pictures.popleft().message))
        self._pictures.append(picture)
        self._changed.set()

    def close(self, code: int, sentence: str) -> None:
        """Close the socket with words that the page shows, after what waits already; the first call counts."""
        if not self.closing:
            self._close = Close(code, wire.close_reason(sentence))
            self._changed.set()

    async def room(self) -> None:
        """Wait until there is room for more words, so that nobody piles up answers which they do not read."""
        while len(self._words) >= UNSENT_WORDS:
            self._drained.clear()
            await self._drained.wait()

    async def run(self) -> None:
        """Send until the end."""
        while True:
            item = self._next()
            if item is None:
                self._changed.clear()
                await self._changed.wait()
                continue
            try:
                await asyncio.wait_for(self._send(item), self._patience_s)
            except asyncio.TimeoutError:
                logger.info("a page read nothing for %g s and is let go", self._patience_s)
                return
            except (WebSocketDisconnect, RuntimeError) as error:
                # A server says RuntimeError where it has closed the socket itself and its reader does not know yet.
                logger.debug("a page left before all was sent: %r", error)
                return
            if isinstance(item, Close):
                return

    def _next(self) -> dict[str, Any] | Picture | Close | None:
        if self._words:
            self._drained.set()
            return self._words.popleft()
        return self._pictures.popleft() if self._pictures else self._close

    async def _send(self, item: dict[str, Any] | Picture | Close) -> None:
        if isinstance(item, Picture):
            await self._socket.send_bytes(item.message)
            if item.arrived_at is not None:
                self._metrics.picture_sent(time.monotonic() - item.arrived_at)
        elif isinstance(item, Close):
            await self._socket.close(item.code, item.reason)
        else:
            # In ASCII: a setting may hold half a surrogate pair, which no encoding takes.
            await self._socket.send_text(json.dumps(item))
