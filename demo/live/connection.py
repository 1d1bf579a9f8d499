"""One WebSocket of one page: a one-slot mailbox in front of the frames that are under way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.websockets import WebSocket

from demo.live import wire
from demo.live.limits import HostLimits
from demo.live.metrics import Metrics
from demo.live.outbox import Outbox, Picture
from demo.live.pace import TokenBucket
from demo.live.visitor import Visitor, obey
from demo.live.waiting_line import Ticket
from demo.words import word
from demo.words.engine import told
from pipeline.errors import SessionClosedError

logger = logging.getLogger(__name__)

READER_PATIENCE_S = 5.0
MESSAGES_IN_LINE_A_SECOND = 10
MESSAGES_IN_LINE_AT_ONCE = 50


class Connection:
    """One WebSocket: reads in one task, sends in another, and answers each frame in one of its own."""

    def __init__(self, socket: WebSocket, limits: HostLimits, metrics: Metrics) -> None:
        self._socket = socket
        self._limits = limits
        self._metrics = metrics
        self._outbox = Outbox(socket, READER_PATIENCE_S, metrics)
        self._sender: asyncio.Task[None] | None = None
        self._waiting: tuple[bytes, float] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._finer: asyncio.Task[None] | None = None
        self._stills: asyncio.Task[None] | None = None
        self._finishing = False

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Send what is said meanwhile; at the end, send the rest where it is we who close the socket."""
        sender = self._sender = asyncio.create_task(self._outbox.run())
        try:
            yield
            if self._outbox.closing:
                await asyncio.wait({sender})
        finally:
            await ended(sender)

    def say(self, news: dict[str, Any]) -> None:
        """Send words."""
        self._outbox.say(news)

    def close(self, code: int, sentence: str) -> None:
        """Close the socket with words that the page shows."""
        self._outbox.close(code, sentence)

    async def wait(self, ticket: Ticket) -> Visitor | None:
        """Wait in line: the visitor that the guest has become, or `None` where the page has left or was replaced."""
        reading = asyncio.create_task(self._read_in_line())
        try:
            await self._first_of(reading, ticket.admitted)
            is_here = not reading.done() and not self._outbox.closing
        finally:
            await ended(reading)
        return ticket.admitted.result() if is_here and ticket.admitted.done() else None

    async def serve(self, visitor: Visitor) -> None:
        """Read and answer until either side ends."""
        reading = asyncio.create_task(self._read(visitor))
        try:
            await self._first_of(reading)
        finally:
            await ended(reading, *self._tasks, *filter(None, [self._finer, self._stills]))

    async def finish(self, code: int, sentence: str, within_s: float) -> None:
        """Take no more frames, send the pictures of those under way if they come `within_s` seconds, and close."""
        self._finishing = True
        self._end_rest()
        self._drop_waiting()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        self.close(code, sentence)
        if self._sender is not None:
            await asyncio.wait({self._sender}, timeout=within_s)

    async def _first_of(self, *awaited: asyncio.Future[Any]) -> None:
        """Wait for the first of these, or for the end of the sending."""
        assert self._sender is not None
        await asyncio.wait({*awaited, self._sender}, return_when=asyncio.FIRST_COMPLETED)

    async def _read_in_line(self) -> None:
        """Read until the page leaves; who waits in line has nothing else to say."""
        pace = TokenBucket(MESSAGES_IN_LINE_A_SECOND, MESSAGES_IN_LINE_AT_ONCE, time.monotonic())
        while (message := await self._received()) is not None:
            if not pace.take(time.monotonic()):
                self.close(wire.CLOSE_FLOOD, word("live.flood_reload"))
                return
            if isinstance(message, bytes):
                self.say(wire.dropped_reply(wire.sequence_of(message)))
            elif wire.parsed(message).get("type") == "bye":
                return

    async def _read(self, visitor: Visitor) -> None:
        while not visitor.departed and (message := await self._received()) is not None:
            if visitor.floods():
                self.close(wire.CLOSE_FLOOD, word("live.flood_reload"))
                return
            if isinstance(message, bytes):
                self._take(visitor, message)
            else:
                await self._obey(visitor, message)
            await self._outbox.room()
        if visitor.departed:
            self.close(wire.CLOSE_BYE, "Goodbye.")

    async def _received(self) -> bytes | str | None:
        """The next message, or `None` once the page has left or sent one that is too large."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        data = message.get("bytes")
        content: bytes | str = message.get("text") or "" if data is None else data
        if len(content) > self._limits.message_bytes:
            self.close(wire.CLOSE_TOO_LARGE, wire.too_large_sentence(self._limits.message_bytes))
            return None
        return content

    def _take(self, visitor: Visitor, data: bytes) -> None:
        if not visitor.takes_frame() or self._finishing:
            self.say(wire.dropped_reply(wire.sequence_of(data)))
            return
        self._end_rest()
        self._drop_waiting()
        self._waiting = (data, visitor.frame_at)
        self._start_next(visitor)

    def _drop_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._metrics.frame_dropped("newer")
            self.say(wire.dropped_reply(wire.sequence_of(waiting[0])))

    def _start_next(self, visitor: Visitor) -> None:
        if self._waiting is not None and len(self._tasks) < visitor.frames_at_once:
            (message, arrived_at), self._waiting = self._waiting, None
            task = asyncio.create_task(self._answer(visitor, message, arrived_at))
            self._tasks.add(task)
            task.add_done_callback(lambda task: self._finish(visitor, task))

    def _finish(self, visitor: Visitor, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._start_next(visitor)

    async def _answer(self, visitor: Visitor, message: bytes, arrived_at: float) -> None:
        sequence = wire.sequence_of(message)
        try:
            reply = await visitor.translate(message)
        except SessionClosedError as error:
            visitor.departed = True
            self.close(wire.CLOSE_AGAIN, told(error))
        except Exception:  # the page waits for an answer to each frame, and the log says what went wrong
            logger.exception("a frame of %s was not answered", visitor.guest.name)
            self._metrics.frame_failed("engine")
            self.say(wire.error_reply(word("live.failed"), sequence=sequence))
        else:
            if isinstance(reply, bytes):
                self._outbox.show(Picture(reply, arrived_at), visitor.frames_at_once)
                self._begin_rest(visitor)
                if (notice := visitor.new_notice()) is not None:
                    self.say(wire.notice_reply(notice))
                if (runtime := visitor.new_runtime()) is not None:
                    self.say(wire.runtime_reply(runtime))
            else:
                self.say(reply)

    def _begin_rest(self, visitor: Visitor) -> None:
        self._end_rest()
        if not self._finishing and self._waiting is None:
            self._finer = asyncio.create_task(self._show_finer(visitor))

    def _end_rest(self) -> None:
        for task in filter(None, [self._finer, self._stills]):
            task.cancel()

    def _begin_stills(self, visitor: Visitor, changes: Any) -> None:
        if self._stills is not None:
            self._stills.cancel()
        if not self._finishing:
            self._stills = asyncio.create_task(self._say_stills(visitor, changes))

    async def _say_stills(self, visitor: Visitor, changes: Any) -> None:
        """What is shown under other settings, after its finer picture."""
        if self._finer is not None:
            await asyncio.wait([self._finer])
        try:
            self.say(await visitor.stills(changes))
        except SessionClosedError:
            return
        except Exception:  # they are no more than an offer, and the log says what went wrong
            logger.exception("%s got no stills", visitor.guest.name)

    async def _show_finer(self, visitor: Visitor) -> None:
        """The last picture once more, finer, if nothing comes before; that there is none harms nobody."""
        try:
            picture = await visitor.finer()
        except SessionClosedError:
            return
        except Exception:  # the page has its picture, and the log says what went wrong
            logger.exception("a picture of %s did not get finer", visitor.guest.name)
            return
        if picture is not None:
            self._outbox.show(Picture(picture, None), visitor.frames_at_once)

    async def _obey(self, visitor: Visitor, text: str) -> None:
        message = wire.parsed(text)
        if message.get("type") == "stills":  # apart, or what comes next would wait for them
            self._begin_stills(visitor, message.get("changes"))
            return
        if message.get("type") == "reset":
            self._drop_waiting()
        for reply in await obey(visitor, message):
            self.say(reply)


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel what still runs of `tasks`, wait for all, and raise what one of them raised."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()
