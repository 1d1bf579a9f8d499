"""The live wire: frames in, pictures out, over a WebSocket, or over POST on hosts that have no WebSockets."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from demo import assets
from demo.live import gate, wire
from demo.live.connection import Connection
from demo.live.doors.closed_routes import closed_routes
from demo.live.gate import Guest
from demo.live.greetings import Greetings, SentAwayError
from demo.live.limits import HostLimits
from demo.live.metrics import CONTENT_TYPE, Metrics
from demo.live.output import OutputPages
from demo.live.reception import COME_BACK_S, Reception
from demo.live.visitor import Visitor, obey
from demo.live.waiting_line import FullError, Ticket
from demo.words import word
from demo.words.engine import told
from pipeline.errors import SessionClosedError

if TYPE_CHECKING:
    from pipeline import Engine, SketchClassifier

logger = logging.getLogger(__name__)

SOCKET_PATH = "/rearview/live"
POST_PATH = "/gradio_api/rearview/frame"
METRICS_PATH = "/metrics"
HEALTH_PATH = "/healthz"
TOKEN_HEADER = "x-rearview-token"

ASK_EVERY_S = 2
STUCK_S = 60.0
FAREWELL_S = 1.5


class Live:
    """The routes by which visitors of one engine come, and those that tell how it does.

    All but `mint`, `leave` and `close` runs on the server's event loop.
    """

    def __init__(
        self,
        engine: Engine,
        limits: HostLimits | None = None,
        *,
        behind_proxy: bool = False,
        secret: bytes | None = None,
        welcomes: bool = True,
        sketches: SketchClassifier | None = None,
    ) -> None:
        """`behind_proxy`: a proxy in front of us says where visitors come from. Servers with the same `secret` take
        each other's tokens. `welcomes`: whether a page may begin by itself, where there is room. `sketches` says
        what drawings look like, where a page asks."""
        self.engine = engine
        self.limits = limits or HostLimits()
        self.metrics = Metrics()
        self.sure_guess = None if sketches is None else sketches.sure
        self.reception = Reception(engine, self.limits, self.metrics, sketches)
        self._behind_proxy = behind_proxy
        self._welcomes = welcomes
        self._tokens = wire.Tokens(secret)
        self._greetings = Greetings(self.limits.greetings, self.limits.greetings_per_address)
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.metrics.watch(
            visitors=lambda: self.visitors,
            parked=lambda: sum(visitor.session.parked for visitor in tuple(self.reception.visitors.values())),
            queue=lambda: self.waiting,
            session_bytes=lambda: engine.nbytes,
        )
        engine.watch(self.metrics.tick)

    @property
    def visitors(self) -> int:
        """How many visitors hold a place."""
        return len(self.reception.visitors)

    @property
    def waiting(self) -> int:
        """How many guests wait in line."""
        return len(self.reception.line)

    def address_of(self, request: HTTPConnection) -> str:
        """The address that a request counts for."""
        return gate.address_of(request, self._behind_proxy)

    def routes(self) -> list[BaseRoute]:
        """What comes in front of the routes of the page, whose last one takes every address."""
        return [
            WebSocketRoute(SOCKET_PATH, self.socket, name="rearview-live"),
            Route(POST_PATH, self.post, methods=["POST"], name="rearview-frame"),
            Route(METRICS_PATH, self.read_metrics, name="rearview-metrics"),
            Route(HEALTH_PATH, self.health, name="rearview-health"),
            *closed_routes(),
            *assets.routes(),
            *OutputPages(self.reception.outputs).routes(),
        ]

    def mint(self, page: str, user: str | None = None) -> str:
        """A token with which `page` may connect as long as `user` is logged in on it."""
        return self._tokens.mint(page, user=user)

    def leave(self, page: str) -> None:
        """A page was closed: give its place back at once. May be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.reception.depart, page)

    def tell(self, news: dict[str, Any]) -> None:
        """Send words to every page that is connected by a socket. May be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, news)

    def _tell(self, news: dict[str, Any]) -> None:
        for visitor in tuple(self.reception.visitors.values()):
            if visitor.connection is not None:
                visitor.connection.say(news)

    def close(self) -> None:
        """Let the frames under way finish, tell the pages, close every session, and stop the codec threads.

        Called from another thread than the event loop's; takes little more than twice `FAREWELL_S` at most.
        """
        self._closing = True
        if self._loop is not None and self._loop.is_running():
            goodbye = self.reception.say_goodbye(word("live.closing"), FAREWELL_S)
            try:
                asyncio.run_coroutine_threadsafe(goodbye, self._loop).result(2 * FAREWELL_S + 0.2)
            except FutureTimeoutError:
                logger.warning("some pages were not told that the server ends")
        self.reception.close()

    async def read_metrics(self, request: Request) -> Response:
        """What Prometheus reads."""
        return Response(self.metrics.exposition(), media_type=CONTENT_TYPE)

    async def health(self, request: Request) -> Response:
        """200 while the engine lives and answers, else 503."""
        problem = self.problem(time.monotonic())
        if problem is None:
            return json_response({"status": "ok"})
        return json_response({"status": "failing", "problem": problem}, 503)

    def problem(self, now: float) -> str | None:
        """What keeps pictures from being made at `now` (`time.monotonic`), as a sentence; `None` for nothing."""
        if not self.engine.alive:
            return "The engine's thread has ended."
        waiting_since = [each.answered_at for each in self.reception.visitors.values() if each.under_way]
        if waiting_since and now - min(waiting_since) > STUCK_S:
            return f"A visitor's frames have not been answered for {STUCK_S:g} seconds."
        return None

    async def socket(self, socket: WebSocket) -> None:
        """The WebSocket route."""
        if not gate.is_ours(socket):
            await socket.close(wire.CLOSE_FOREIGN, word("live.foreign"))
            return
        await socket.accept()
        try:
            guest = await self._greeted(socket)
        except WebSocketDisconnect:
            return
        if guest is not None:
            connection = Connection(socket, self.limits, self.metrics)
            async with connection.sending():
                await self._host(guest, connection)

    async def _greeted(self, socket: WebSocket) -> Guest | None:
        """Who says hello, or `None` where the socket was closed instead."""
        if self._closing:
            await socket.close(wire.CLOSE_AGAIN, word("live.closing"))
            return None
        try:
            token = await self._greetings.first_token(socket, self.address_of(socket))
        except SentAwayError:
            await socket.close(wire.CLOSE_AGAIN, word("live.crowd"))
            return None
        guest = gate.guest_of(socket, self._tokens, token, self._behind_proxy)
        if guest is None and socket.client_state is WebSocketState.CONNECTED:
            await socket.close(wire.CLOSE_TOKEN, word("live.token"))
        return guest

    async def _host(self, guest: Guest, connection: Connection) -> None:
        try:
            visitor = await self._come_in(guest, connection)
        except FullError as error:
            connection.close(wire.CLOSE_FULL, str(error))
            return
        except SessionClosedError:
            connection.close(wire.CLOSE_AGAIN, word("live.closing"))
            return
        if visitor is None:
            return
        older, visitor.connection = visitor.connection, connection
        if older is not None:
            older.close(wire.CLOSE_REPLACED, word("live.replaced"))
        self.reception.stay(visitor)
        connection.say(self._hello(visitor))
        try:
            await connection.serve(visitor)
        finally:
            if visitor.connection is connection:
                visitor.connection = None
                self.reception.leave_in(0.0 if visitor.departed else self.limits.grace_seconds, visitor)

    async def _come_in(self, guest: Guest, connection: Connection) -> Visitor | None:
        """The visitor that the guest is or becomes, at once or after waiting in line; `None` where the page left."""
        self._loop = asyncio.get_running_loop()
        ticket = Ticket(guest, self._loop.create_future(), connection.say, connection.close)
        try:
            return await self.reception.enter(ticket) or await connection.wait(ticket)
        finally:
            self.reception.leave_line(ticket)

    async def post(self, request: Request) -> Response:
        """The POST route: one message a request, the same messages as on the socket."""
        if not gate.is_ours(request):
            return json_response(wire.error_reply(word("live.foreign")), 403)
        guest = gate.guest_of(request, self._tokens, request.headers.get(TOKEN_HEADER), self._behind_proxy)
        if guest is None:
            return json_response(wire.error_reply(word("live.token")), 401)
        body = await gate.limited_body(request, self.limits.message_bytes)
        if body is None:
            return json_response(wire.error_reply(wire.too_large_sentence(self.limits.message_bytes)), 413)
        if self._closing:
            return json_response(wire.error_reply(word("live.closing")), 503)
        if self.reception.is_over(guest.name):
            return json_response({"type": "over", "message": word("live.over")}, 410)
        is_frame = not request.headers.get("content-type", "").startswith("application/json")
        if is_frame and guest.name not in self.reception.visitors:
            return json_response(wire.error_reply(word("live.unknown")), 410)
        return await self._post_in(guest, body, is_frame)

    async def _post_in(self, guest: Guest, body: bytes, is_frame: bool) -> Response:
        self._loop = asyncio.get_running_loop()
        ticket = Ticket(guest, self._loop.create_future(), lambda news: None, lambda code, why: None, time.monotonic())
        try:
            visitor = await self.reception.enter(ticket)
        except FullError as error:
            return json_response(wire.error_reply(str(error)), 429, {"retry-after": str(ASK_EVERY_S)})
        except SessionClosedError:
            return json_response(wire.error_reply(word("live.closing")), 503)
        if visitor is None:
            return json_response(ticket.news, 429, {"retry-after": str(ASK_EVERY_S)})
        try:
            return await self._answer_post(visitor, body, is_frame)
        except SessionClosedError as error:
            self.reception.let_go(visitor)
            return json_response(wire.error_reply(told(error)), 410)
        finally:
            if visitor.connection is None:
                self.reception.leave_in(0.0 if visitor.departed else COME_BACK_S, visitor)

    async def _answer_post(self, visitor: Visitor, body: bytes, is_frame: bool) -> Response:
        if visitor.floods():
            return json_response(wire.error_reply(word("live.flood")), 429, {"retry-after": str(ASK_EVERY_S)})
        if not is_frame:
            replies = await obey(visitor, wire.parsed(body))
            return json_response([self._hello(visitor) if reply["type"] == "hello" else reply for reply in replies])
        if not visitor.takes_frame():
            return json_response(wire.dropped_reply(wire.sequence_of(body)))
        if visitor.under_way >= visitor.frames_at_once:
            self.metrics.frame_dropped("newer")
            return json_response(wire.dropped_reply(wire.sequence_of(body)))
        arrived_at = visitor.frame_at
        reply = await visitor.translate(body)
        if not isinstance(reply, bytes):
            return json_response(reply)
        self.metrics.picture_sent(time.monotonic() - arrived_at)
        return Response(reply, media_type="application/octet-stream")

    def _hello(self, visitor: Visitor) -> dict[str, Any]:
        engine = self.engine
        return {
            "type": "hello",
            "size": max(engine.size),
            "model": engine.model.name,
            "model_title": engine.model.title,
            "model_credit": engine.model.credit,
            "model_reason": engine.model.reason,
            "memory": engine.memory_name,
            "kernel": engine.kernel,
            "runtime": visitor.runtime,
            "control": engine.control_name,
            "adapter": engine.adapter_name,
            "decoder": engine.decoder_name,
            "seed": visitor.session.seed,
            "welcomes": self._welcomes and not self.reception.is_full,
        }


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`content` as JSON in ASCII: a setting may hold half a surrogate pair, which no encoding takes."""
    return Response(json.dumps(content), status, headers, media_type="application/json")
