"""The live wire: frames in, pictures out, over a WebSocket, or over POST on hosts that have no WebSockets."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from demo import wire
from pipeline.errors import FrameError, PictureError, PromptError, SessionClosedError
from pipeline.settings import FrameSettings, SettingsError

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from pipeline import Engine, Session, Translation

logger = logging.getLogger(__name__)

SOCKET_PATH = "/rearview/live"
POST_PATH = "/gradio_api/rearview/frame"
TOKEN_HEADER = "x-rearview-token"

MAXIMUM_VISITORS = 8
FRAMES_UNDER_WAY = 2
GRACE_S = 5.0
POST_IDLE_S = 60.0
FIRST_MESSAGE_S = 10.0

CLOSE_TOO_LARGE = 1009
CLOSE_AGAIN = 1012
CLOSE_TOKEN = 4401
CLOSE_FOREIGN = 4403
CLOSE_REPLACED = 4409
CLOSE_FULL = 4429

TOKEN_SENTENCE = "This page's pass is not valid any more. A new one is being fetched."
FAILED_SENTENCE = "The engine failed on this frame; the server's log says why. Change a setting, or reset the memory."
READABLE = (wire.WireError, PictureError, PromptError, SettingsError, FrameError)
Reply = bytes | dict[str, Any]


class FullError(RuntimeError):
    """No place is free for another visitor."""


class Visitor:
    """One visitor: a session of the engine, the settings of the next frame, and how many frames are under way."""

    def __init__(self, name: str, session: Session, pool: ThreadPoolExecutor) -> None:
        self.name = name
        self.session = session
        self.settings = FrameSettings()
        self.revision = 0
        self.under_way = 0
        self.connection: Connection | None = None
        self.departed = False
        self.goodbye: asyncio.TimerHandle | None = None
        self._pool = pool
        self._order = asyncio.Lock()

    def change(self, changes: Any) -> list[dict[str, Any]]:
        """Take each setting that is in order; the replies name what is used now and what was refused."""
        if not isinstance(changes, dict):
            came = type(changes).__name__
            return [error_reply(f"settings came as {came}; needed: names and values. Send an object.")]
        refused = []
        for name, value in changes.items():
            try:
                self.settings = self.settings.changed(**{str(name): value})
            except SettingsError as error:
                refused.append(error_reply(str(error), setting=name))
        self.revision += 1
        return [{"type": "applied", "revision": self.revision, "settings": asdict(self.settings)}, *refused]

    async def translate(self, message: bytes) -> Reply:
        """Answer one binary message: a picture, or what became of the frame instead."""
        self.under_way += 1
        try:
            return await self._translate(wire.unpack_frame(message))
        except wire.WireError as error:
            return error_reply(str(error), sequence=sequence_of(message))
        finally:
            self.under_way -= 1

    async def _translate(self, frame: wire.Frame) -> Reply:
        async with self._order:
            submitted, revision = await self._apart(self._submit, frame)
        future = asyncio.wrap_future(submitted)
        await asyncio.wait([future])
        if future.cancelled():
            return dropped_reply(frame.sequence)
        error = future.exception()
        if isinstance(error, SessionClosedError):
            raise error
        if isinstance(error, READABLE):
            return error_reply(str(error), sequence=frame.sequence)
        if error is not None:
            logger.error("a frame of %s failed", self.name, exc_info=error)
            return error_reply(FAILED_SENTENCE, sequence=frame.sequence)
        translation = future.result()
        return wire.pack_picture(
            frame,
            await self._apart(wire.encode_picture, translation.picture),
            revision=revision,
            seconds=translation.seconds,
            bank_fill=translation.bank_fill,
            count=translation.frame,
        )

    def _submit(self, frame: wire.Frame) -> tuple[Future[Translation], int]:
        """Decode a frame and put it into the engine's mailbox, with the newest settings; runs in a codec thread."""
        picture = wire.decode_picture(frame.data)
        revision = self.revision
        return self.session.submit(picture, self.settings), revision

    async def reset(self) -> None:
        """Forget the past, in order with the frames before and after."""
        async with self._order:
            await self._apart(self.session.reset)

    async def _apart(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)


class Connection:
    """One WebSocket of one visitor: a one-slot mailbox in front of the frames that are under way."""

    def __init__(self, socket: WebSocket, visitor: Visitor) -> None:
        self._socket = socket
        self._visitor = visitor
        self._waiting: bytes | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Read until the socket closes."""
        try:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                data, text = message.get("bytes"), message.get("text")
                if len(data or text or "") > wire.MAXIMUM_MESSAGE_BYTES:
                    await self.close(CLOSE_TOO_LARGE, "A message was larger than 512 KB. Send smaller pictures.")
                    return
                if data is not None:
                    await self._take(data)
                elif text is not None:
                    await self._obey(text)
                if self._visitor.departed:
                    await self.close(1000, "Goodbye.")
                    return
        finally:
            for task in tuple(self._tasks):
                task.cancel()

    async def close(self, code: int, reason: str) -> None:
        """Close the socket with words that the page shows."""
        if self._is_open():
            await self._socket.close(code, reason)

    async def _take(self, data: bytes) -> None:
        await self._drop_waiting()
        self._waiting = data
        self._start_next()

    async def _drop_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            await self._send(dropped_reply(sequence_of(waiting)))

    def _start_next(self) -> None:
        if self._waiting is not None and len(self._tasks) < FRAMES_UNDER_WAY:
            message, self._waiting = self._waiting, None
            task = asyncio.create_task(self._answer(message))
            self._tasks.add(task)
            task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._start_next()

    async def _answer(self, message: bytes) -> None:
        try:
            await self._send(await self._visitor.translate(message))
        except SessionClosedError as error:
            self._visitor.departed = True
            await self.close(CLOSE_AGAIN, str(error)[:120])
        except WebSocketDisconnect:
            logger.debug("%s left before its picture was ready", self._visitor.name)

    async def _obey(self, text: str) -> None:
        message = parsed(text)
        if message.get("type") == "reset":
            await self._drop_waiting()
        for reply in await obey(self._visitor, message):
            await self._send(reply)

    async def _send(self, reply: Reply) -> None:
        if not self._is_open():
            return
        if isinstance(reply, bytes):
            await self._socket.send_bytes(reply)
        else:
            await self._socket.send_json(reply)

    def _is_open(self) -> bool:
        states = (self._socket.application_state, self._socket.client_state)
        return states == (WebSocketState.CONNECTED, WebSocketState.CONNECTED)


class Live:
    """Every visitor of one engine, and the two routes by which they come."""

    def __init__(
        self,
        engine: Engine,
        *,
        maximum_visitors: int = MAXIMUM_VISITORS,
        grace_s: float = GRACE_S,
        secret: bytes | None = None,
    ) -> None:
        self.engine = engine
        self._maximum_visitors = maximum_visitors
        self._grace_s = grace_s
        self._tokens = wire.Tokens(secret)
        self._visitors: dict[str, Visitor] = {}
        self._entrance = asyncio.Lock()
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="rearview-codec")
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def visitors(self) -> int:
        """How many visitors hold a place."""
        return len(self._visitors)

    def attach(self, app: Starlette) -> None:
        """Add the routes in front of those of the page, whose last one takes every address."""
        app.router.routes[:0] = [
            WebSocketRoute(SOCKET_PATH, self.socket, name="rearview-live"),
            Route(POST_PATH, self.post, methods=["POST"], name="rearview-frame"),
        ]

    def mint(self, visitor: str) -> str:
        """A token with which the page of `visitor` may connect."""
        return self._tokens.mint(visitor)

    def leave(self, visitor: str) -> None:
        """The page of `visitor` was closed: give its place back at once. May be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._depart, visitor)

    def close(self) -> None:
        """Close every session and stop the codec threads."""
        for visitor in tuple(self._visitors.values()):
            visitor.session.close()
        self._visitors.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def socket(self, socket: WebSocket) -> None:
        """The WebSocket route."""
        if not is_ours(socket):
            await socket.close(CLOSE_FOREIGN, "This address serves its own page only.")
            return
        await socket.accept()
        name = self._tokens.visitor(await first_token(socket))
        if name is None:
            if socket.client_state is WebSocketState.CONNECTED:
                await socket.close(CLOSE_TOKEN, TOKEN_SENTENCE)
            return
        try:
            visitor = await self._enter(name)
        except FullError as error:
            await socket.close(CLOSE_FULL, str(error))
            return
        connection = Connection(socket, visitor)
        older, visitor.connection = visitor.connection, connection
        if older is not None:
            await older.close(CLOSE_REPLACED, "This drawing is connected from another window now.")
        try:
            await socket.send_json(self._hello())
            await connection.serve()
        except WebSocketDisconnect:
            logger.debug("%s left", name)
        finally:
            if visitor.connection is connection:
                visitor.connection = None
                self._leave_in(0.0 if visitor.departed else self._grace_s, visitor)

    async def post(self, request: Request) -> Response:
        """The POST route: one message a request, the same messages as on the socket."""
        if not is_ours(request):
            return JSONResponse(error_reply("This address serves its own page only."), 403)
        name = self._tokens.visitor(request.headers.get(TOKEN_HEADER))
        if name is None:
            return JSONResponse(error_reply(TOKEN_SENTENCE), 401)
        body = await limited_body(request)
        if body is None:
            return JSONResponse(error_reply("A message was larger than 512 KB. Send smaller pictures."), 413)
        is_frame = not request.headers.get("content-type", "").startswith("application/json")
        if name not in self._visitors and is_frame:
            return JSONResponse(error_reply("Nothing is known of this page any more. It says hello again."), 410)
        try:
            visitor = await self._enter(name)
        except FullError as error:
            return JSONResponse(error_reply(str(error)), 429)
        try:
            return await self._answer_post(visitor, body, is_frame)
        except SessionClosedError as error:
            self._let_go(visitor)
            return JSONResponse(error_reply(str(error)), 410)
        finally:
            if visitor.connection is None:
                self._leave_in(0.0 if visitor.departed else POST_IDLE_S, visitor)

    async def _answer_post(self, visitor: Visitor, body: bytes, is_frame: bool) -> Response:
        if not is_frame:
            replies = await obey(visitor, parsed(body))
            return JSONResponse([self._hello() if reply["type"] == "hello" else reply for reply in replies])
        if visitor.under_way >= FRAMES_UNDER_WAY:
            return JSONResponse(dropped_reply(sequence_of(body)))
        reply = await visitor.translate(body)
        if isinstance(reply, bytes):
            return Response(reply, media_type="application/octet-stream")
        return JSONResponse(reply)

    async def _enter(self, name: str) -> Visitor:
        """The visitor of that name, known already or given a place; raises `FullError` where none is free."""
        self._loop = asyncio.get_running_loop()
        async with self._entrance:
            visitor = self._visitors.get(name)
            if visitor is None:
                if len(self._visitors) >= self._maximum_visitors:
                    raise FullError(f"All {self._maximum_visitors} places are taken. Try again in a minute.")
                session = await self._loop.run_in_executor(self._pool, self.engine.open)
                visitor = self._visitors[name] = Visitor(name, session, self._pool)
            if visitor.goodbye is not None:
                visitor.goodbye.cancel()
            visitor.departed = False
            return visitor

    def _hello(self) -> dict[str, Any]:
        engine = self.engine
        return {
            "type": "hello",
            "size": max(engine.size),
            "model": engine.model.name,
            "memory": engine.memory_name,
            "kernel": engine.kernel,
        }

    def _depart(self, name: str) -> None:
        visitor = self._visitors.get(name)
        if visitor is not None and visitor.connection is None:
            self._let_go(visitor)

    def _leave_in(self, seconds: float, visitor: Visitor) -> None:
        if visitor.goodbye is not None:
            visitor.goodbye.cancel()
        if seconds > 0:
            visitor.goodbye = asyncio.get_running_loop().call_later(seconds, self._let_go, visitor)
        else:
            self._let_go(visitor)

    def _let_go(self, visitor: Visitor) -> None:
        if self._visitors.get(visitor.name) is visitor:
            del self._visitors[visitor.name]
            self._pool.submit(visitor.session.close)


async def obey(visitor: Visitor, message: dict[str, Any]) -> list[dict[str, Any]]:
    """Do what a JSON message asks; the replies to it."""
    kind = message.get("type")
    if kind == "set":
        return visitor.change(message.get("settings"))
    if kind == "reset":
        await visitor.reset()
        return [{"type": "reset"}]
    if kind in ("hello", "ping"):
        return [{"type": kind}]
    if kind == "bye":
        visitor.departed = True
        return []
    return [error_reply(f"A message came with type {kind!r}; needed: set, reset, hello, ping or bye. Reload the page.")]


def parsed(text: str | bytes) -> dict[str, Any]:
    """A JSON message, or an empty one where it is no JSON object."""
    try:
        message = json.loads(text)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


async def first_token(socket: WebSocket) -> object:
    """The token of the first message, or `None` where none comes in time or in form."""
    try:
        message = await asyncio.wait_for(socket.receive(), FIRST_MESSAGE_S)
    except asyncio.TimeoutError:
        return None
    return parsed(message.get("text") or "").get("token")


async def limited_body(request: Request) -> bytes | None:
    """The body of a request, or `None` as soon as it is larger than a message may be."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > wire.MAXIMUM_MESSAGE_BYTES:
            return None
    return bytes(body)


def is_ours(connection: HTTPConnection) -> bool:
    """Whether the connection comes from our own page."""
    headers = connection.headers
    return wire.origin_is_ours(headers.get("origin"), (headers.get("host"), os.environ.get("SPACE_HOST")))


def sequence_of(message: bytes) -> int | None:
    """The sequence number in a frame's header, or `None` for a message too short to have one."""
    if len(message) < wire.FRAME_HEADER.size:
        return None
    return int(wire.FRAME_HEADER.unpack_from(message)[3])


def error_reply(message: str, **more: Any) -> dict[str, Any]:
    """A sentence for the person, as JSON."""
    return {"type": "error", "message": message, **more}


def dropped_reply(sequence: int | None) -> dict[str, Any]:
    """The news that a newer frame took the place of this one."""
    return {"type": "dropped", "sequence": sequence}
