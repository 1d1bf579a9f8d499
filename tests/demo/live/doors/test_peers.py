"""Connections are bounded before a request is read, and end where none comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from demo.live.doors import peers
from demo.live.doors.peers import Peers, bound_connections
from demo.live.limits import HostLimits
from demo.words import word

HEAD = b"GET / HTTP/1.1\r\nhost: a\r\n"


async def answer(_: Any) -> PlainTextResponse:
    return PlainTextResponse("Hello.")


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


@asynccontextmanager
async def served(limits: HostLimits, behind_proxy: bool = False) -> AsyncIterator[tuple[int, Peers]]:
    """A small app at a port, whose connections are bounded as the app's are: after it has started."""
    app = Starlette(routes=[Route("/", answer), WebSocketRoute("/live", echo)])
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    inside = bound_connections(config, limits, behind_proxy)
    try:
        yield server.servers[0].sockets[0].getsockname()[1], inside
    finally:
        await server.shutdown()


def run(test: Callable[[int, Peers], Any], limits: HostLimits | None = None, behind_proxy: bool = False) -> None:
    async def running() -> None:
        async with served(limits or HostLimits(), behind_proxy) as (port, inside):
            await test(port, inside)

    asyncio.run(running())


async def said_to(port: int, *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """All that is said to a peer that sends these pieces, until it is hung up on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = asyncio.create_task(all_of(reader))
    for each in pieces:
        if not said.done():
            writer.write(each)
            await asyncio.sleep(pause_s)
    try:
        return await asyncio.wait_for(said, 5)
    finally:
        writer.close()


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side ends, whether it says goodbye or not."""
    said = b""
    with suppress(ConnectionError):
        while piece := await reader.read(4096):
            said += piece
    return said


@pytest.mark.parametrize("pieces", [(), (HEAD,), tuple(bytes([each]) for each in HEAD[:20])])
def test_a_head_that_never_ends_is_ended(pieces: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "REQUEST_WITHIN_S", 0.1)

    async def ask(port: int, inside: Peers) -> None:
        assert await said_to(port, *pieces, pause_s=0.01) == b""
        await left(inside)

    run(ask)


def test_slow_words_after_an_answer_are_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "REQUEST_WITHIN_S", 0.1)

    async def ask(port: int, inside: Peers) -> None:
        said = await said_to(port, HEAD + b"\r\n", *(20 * [b"G"]), pause_s=0.01)
        assert said.count(b"HTTP/1.1") == 1
        assert said.endswith(b"Hello.")

    run(ask)


def test_a_head_without_bound_is_refused() -> None:
    async def ask(port: int, inside: Peers) -> None:
        said = await said_to(port, HEAD, *(40 * [b"x: " + 1000 * b"y" + b"\r\n"]), pause_s=0.001)
        assert said == b"" or said.startswith(b"HTTP/1.1 400")

    run(ask)


def test_an_address_has_its_share_of_connections() -> None:
    async def ask(port: int, inside: Peers) -> None:
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        assert word("doors.connections", most=4) in (await said_to(port)).decode()
        opened[0][1].close()
        await left(inside, 3)
        assert b"Hello." in await said_to(port, HEAD + b"connection: close\r\n\r\n")
        for _, writer in opened:
            writer.close()

    run(ask, HostLimits(connections_per_address=4))


def test_behind_a_proxy_only_the_sum_of_connections_is_bounded() -> None:
    async def ask(port: int, inside: Peers) -> None:
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
        assert b"429" in await said_to(port)
        for _, writer in opened:
            writer.close()

    run(ask, HostLimits(connections=8, connections_per_address=4), behind_proxy=True)


def test_all_have_their_sum_and_a_home_its_share() -> None:
    inside = Peers(most=3, most_of_address=2)
    assert [inside.come(each, "a") for each in (1, 2)] == [None, None]
    assert inside.come(3, "a") == word("doors.connections", most=2)
    assert inside.come(4, "b") is None
    assert inside.come(5, "c") == word("doors.full")
    inside.leave(1)
    inside.leave(3)
    assert inside.come(6, "c") is None
    assert len(inside) == 3


def test_a_socket_counts_as_long_as_it_is_open_and_is_not_hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "REQUEST_WITHIN_S", 0.05)

    async def ask(port: int, inside: Peers) -> None:
        async with connect(f"ws://127.0.0.1:{port}/live") as socket:
            await asyncio.sleep(0.15)
            await socket.send("still here")
            assert await socket.recv() == "still here"
            assert len(inside) == 1
        await left(inside)

    run(ask)


async def left(inside: Peers, count: int = 0) -> None:
    """Wait until so many are connected."""
    until = time.monotonic() + 5
    while len(inside) != count and time.monotonic() < until:
        await asyncio.sleep(0.005)
    assert len(inside) == count
