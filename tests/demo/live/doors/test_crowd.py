"""One address has its share of requests, streams and downloads, and others have theirs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from demo.live.doors.crowd import BoundedCrowd
from demo.live.limits import HostLimits
from demo.words import word

LIMITS = HostLimits(connections_per_address=4, streams_per_address=2, downloads_per_address=1)


class Crowd:
    """Requests of addresses behind a proxy to an app that answers each when `ended` is set."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.served: list[str] = []
        self.bounded = BoundedCrowd(self._app, LIMITS, behind_proxy=True)
        self._tasks: list[asyncio.Task[None]] = []

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.served.append(scope["path"])
        await self.ended.wait()

    async def asked(self, path: str, address: str = "192.0.2.1", kind: str = "http") -> list[dict[str, Any]]:
        """What is said at once to a request that goes on."""
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            said.append(message)

        headers = [(b"x-forwarded-for", address.encode())]
        scope = {"type": kind, "method": "GET", "path": path, "headers": headers, "client": ("127.0.0.1", 1)}
        self._tasks.append(asyncio.create_task(self.bounded(scope, receive, send)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return said

    async def end(self) -> None:
        self.ended.set()
        await asyncio.gather(*self._tasks)


@pytest.mark.parametrize(
    ("path", "kind", "most"),
    [
        ("/gradio_api/heartbeat/abc", "streams", 2),
        ("/gradio_api/queue/data", "streams", 2),
        ("/gradio_api/call/translate/abc", "streams", 2),
        ("/gradio_api/upload_progress", "streams", 2),
        ("/gradio_api/file=/a/b.mp4", "downloads", 1),
        ("/", "connections", 4),
    ],
)
def test_more_than_a_share_is_refused_before_anything_is_done(path: str, kind: str, most: int) -> None:
    async def ask() -> None:
        crowd = Crowd()
        assert [await crowd.asked(path) for _ in range(most)] == most * [[]]
        start, body = await crowd.asked(path)
        assert start["status"] == 429
        assert body["body"].decode() == word(f"doors.{kind}", most=most)
        assert await crowd.asked(path, "198.51.100.7") == []
        assert len(crowd.served) == most + 1
        await crowd.end()

    asyncio.run(ask())


def test_a_network_of_ipv6_is_one_address_and_a_wrapped_ipv4_is_itself() -> None:
    async def ask() -> None:
        crowd = Crowd()
        path = "/gradio_api/file=/a"
        assert await crowd.asked(path, "2001:db8::1") == []
        assert await crowd.asked(path, "2001:db8::2") != []
        assert await crowd.asked(path, "192.0.2.1") == []
        assert await crowd.asked(path, "::ffff:192.0.2.1") != []
        await crowd.end()

    asyncio.run(ask())


def test_what_has_ended_makes_room_and_is_forgotten() -> None:
    async def ask() -> None:
        crowd = Crowd()
        await crowd.asked("/gradio_api/file=/a")
        await crowd.end()
        assert not crowd.bounded._under_way
        assert await crowd.asked("/gradio_api/file=/a") == []

    asyncio.run(ask())


def test_sockets_count_and_are_closed_before_they_open() -> None:
    async def ask() -> None:
        crowd = Crowd()
        for _ in range(LIMITS.connections_per_address):
            assert await crowd.asked("/rearview/live", kind="websocket") == []
        (closed,) = await crowd.asked("/rearview/live", kind="websocket")
        assert closed["type"] == "websocket.close"
        await crowd.end()

    asyncio.run(ask())
