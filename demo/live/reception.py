"""Who has a place, who waits for one, and when each has to go."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from demo.live import wire
from demo.live.gate import Guest
from demo.live.limits import HostLimits
from demo.live.metrics import Metrics
from demo.live.output import Outputs
from demo.live.visitor import Visitor
from demo.live.waiting_line import FullError, Ticket, WaitingLine
from demo.words import word
from pipeline.errors import NoRoomError

if TYPE_CHECKING:
    from pipeline import Engine, Session, SketchClassifier

logger = logging.getLogger(__name__)

ASK_WITHIN_S = 10.0
"""How long the place of a guest is kept who holds no socket open, and has to ask again."""

CLAIM_S = 3.0
"""How long a place that came free is kept for the guest who waited for it on an open socket."""

COME_BACK_S = 60.0
"""How long a visitor who holds no socket open may be silent."""

HOUSEKEEPING_S = 1.0
WARNING_S = 30.0
SEEN_STAYS = 50


class Reception:
    """The visitors of one engine and the line in front of it. All but `close` runs on the server's event loop."""

    def __init__(
        self, engine: Engine, limits: HostLimits, metrics: Metrics, sketches: SketchClassifier | None = None
    ) -> None:
        self.visitors: dict[str, Visitor] = {}
        self.line = WaitingLine(limits.queue_length)
        self.outputs = Outputs(limits.watchers)
        self._engine = engine
        self._limits = limits
        self._metrics = metrics
        self._sketches = sketches
        self._stays: deque[float] = deque(maxlen=SEEN_STAYS)
        self._over: dict[str, float] = {}
        self._closing = False
        self._entrance = asyncio.Lock()
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="rearview-codec")
        self._housekeeping: asyncio.TimerHandle | None = None
        self._errands: set[asyncio.Task[None]] = set()

    async def enter(self, ticket: Ticket) -> Visitor | None:
        """The visitor of the ticket's name, known already or given a place; `None` for one who waits in line now.

        Raises `FullError` where there is no place in line either, or the guest's address has its share already, and
        `SessionClosedError` where the engine is closed.
        """
        name = ticket.guest.name
        self._keep_house()
        async with self._entrance:
            if name in self.visitors:
                return self._recognised(self.visitors[name], ticket.guest)
            if self.line.named(name) is None:
                self._refuse_more_of(ticket.guest.address)
                if not self.line and (session := await self._opened()) is not None:
                    return self._seat(ticket.guest, session)
            older = self.line.join(ticket)
        if older is not None:
            older.close(wire.CLOSE_REPLACED, word("live.replaced"))
        self._tell_line()
        return None

    @property
    def is_full(self) -> bool:
        """Whether nobody else may come in now."""
        return len(self.visitors) >= self._limits.visitors

    def leave_line(self, ticket: Ticket) -> None:
        """Free a place in line."""
        if ticket in self.line:
            self.line.leave(ticket)
            self._tell_line()

    def depart(self, page: str) -> None:
        """A page was closed: nobody holds its place open or asks for it again."""
        visitor = self.visitors.get(page)
        if visitor is not None and visitor.connection is None:
            self.let_go(visitor)
        ticket = self.line.named(page)
        if ticket is not None and ticket.asked_at is not None:
            self.leave_line(ticket)

    def stay(self, visitor: Visitor) -> None:
        """Whoever was about to be let go is here again."""
        if visitor.goodbye is not None:
            visitor.goodbye.cancel()
            visitor.goodbye = None

    def leave_in(self, seconds: float, visitor: Visitor) -> None:
        """Let a visitor go after `seconds`, unless they `stay`."""
        self.stay(visitor)
        if seconds > 0:
            visitor.goodbye = asyncio.get_running_loop().call_later(seconds, self.let_go, visitor)
        else:
            self.let_go(visitor)

    def let_go(self, visitor: Visitor) -> None:
        """Free the visitor's place and memory, and give them to whoever is first in line."""
        if self.visitors.get(visitor.guest.name) is visitor:
            del self.visitors[visitor.guest.name]
            self.stay(visitor)
            visitor.hide()
            if self._closing:
                visitor.session.close()
                return
            self._stays.append(time.monotonic() - visitor.arrived_at)
            closed = self._pool.submit(visitor.session.close)
            self._run_errand(self._admit_after(asyncio.wrap_future(closed)))

    def is_over(self, page: str) -> bool:
        """Whether the visit of `page` has ended since it asked last; says so once."""
        return self._over.pop(page, None) is not None

    async def say_goodbye(self, sentence: str, within_s: float) -> None:
        """Let the frames under way finish, and tell all that hold a socket open that the server ends."""
        self._closing = True
        for ticket in self.line:
            ticket.close(wire.CLOSE_AGAIN, sentence)
        connections = [visitor.connection for visitor in self.visitors.values() if visitor.connection is not None]
        await asyncio.gather(*(each.finish(wire.CLOSE_AGAIN, sentence, within_s) for each in connections))

    def close(self) -> None:
        """Close every session and stop the codec threads."""
        self._closing = True
        for visitor in tuple(self.visitors.values()):
            visitor.session.close()
        self.visitors.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def look_after(self, now: float) -> None:
        """What time brings at `now` (`time.monotonic`): visits end, idle visitors are parked, and whoever does not ask
        for their place in line any more has left it."""
        for visitor in tuple(self.visitors.values()):
            self._watch_the_clock(visitor, now)
            if visitor.is_idle(now, self._limits.idle_seconds):
                self._run_errand(visitor.park(self._limits.when_idle == "keep"))
        for ticket in self.line:
            if ticket.asked_at is not None and now - ticket.asked_at > ASK_WITHIN_S:
                self.leave_line(ticket)
        self._over = {page: until for page, until in self._over.items() if until > now}
        if self.line:
            self._run_errand(self._admit())

    def _recognised(self, visitor: Visitor, guest: Guest) -> Visitor:
        """The visitor, come back; raises `FullError` where another user is logged in now."""
        if visitor.guest.user != guest.user:
            raise FullError(word("live.somebody_elses"))
        self.stay(visitor)
        visitor.departed = False
        return visitor

    def _refuse_more_of(self, address: str) -> None:
        share = self._limits.visitors_per_address
        guests = [visitor.guest for visitor in self.visitors.values()] + [ticket.guest for ticket in self.line]
        if sum(guest.address == address for guest in guests) >= share:
            raise FullError(word("live.network_full", most=share))

    async def _opened(self) -> Session | None:
        """A new session, or `None` where there is no place or no memory for one."""
        if self.is_full:
            return None
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._engine.open)
        except NoRoomError as error:
            logger.debug("a guest has to wait: %s", error)
            return None

    def _seat(self, guest: Guest, session: Session) -> Visitor:
        session.party = guest.address
        made = Visitor(guest, session, self._pool, self._limits, self._metrics, self.outputs, self._sketches)
        self.visitors[guest.name] = made
        return made

    async def _admit(self) -> None:
        """Give free places to those who wait, in order."""
        async with self._entrance:
            while self.line and not self._closing and (session := await self._opened()) is not None:
                ticket = self.line.first
                if ticket is None:
                    session.close()
                    break
                self.line.leave(ticket)
                visitor = self._seat(ticket.guest, session)
                # The guest may have left the line this very moment, and takes the place only by coming in.
                self.leave_in(CLAIM_S if ticket.asked_at is None else ASK_WITHIN_S, visitor)
                ticket.admitted.set_result(visitor)
        self._tell_line()

    async def _admit_after(self, closed: asyncio.Future[None]) -> None:
        await closed
        await self._admit()

    def _tell_line(self) -> None:
        self.line.tell(self._limits.visitors, self._stays)

    def _watch_the_clock(self, visitor: Visitor, now: float) -> None:
        left = visitor.arrived_at + self._limits.session_seconds - now
        connection = visitor.connection
        if left <= 0:
            visitor.connection = None
            if connection is not None:
                connection.close(wire.CLOSE_OVER, word("live.over"))
            else:
                self._over[visitor.guest.name] = now + COME_BACK_S
            self.let_go(visitor)
        elif left <= WARNING_S and not visitor.warned and connection is not None:
            visitor.warned = True
            connection.say(wire.notice_reply(word("live.warning")))

    def _keep_house(self) -> None:
        """Look after everybody again and again, as long as there is anybody."""
        if self._housekeeping is None:
            self._housekeeping = asyncio.get_running_loop().call_later(HOUSEKEEPING_S, self._look_after_all)

    def _look_after_all(self) -> None:
        self._housekeeping = None
        self.look_after(time.monotonic())
        if self.visitors or self.line or self._over:
            self._keep_house()

    def _run_errand(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errand_done)

    def _errand_done(self, task: asyncio.Task[None]) -> None:
        self._errands.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("keeping house failed", exc_info=error)
