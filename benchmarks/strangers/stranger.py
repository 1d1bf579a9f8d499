"""One stranger: an address of their own, what they know of the app, and how often they tried."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from benchmarks.visitors.serving import token_of
from demo.live.live import SOCKET_PATH

PATIENCE_S = 30.0
REFUSALS = (httpx.HTTPError, WebSocketException, OSError, asyncio.TimeoutError, ValueError, KeyError, IndexError)
"""What a stranger meets who is refused, cut off or answered otherwise than they hoped."""


@dataclass
class Stranger:
    """Somebody at the address `source` who harms the app at `app` (host:port) until `stop` is set."""

    app: str
    source: str
    generator: random.Random
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    tries: int = 0

    def page(self) -> str:
        """A name for one more page."""
        return f"stranger{self.generator.randrange(2**32)}"

    def client(self) -> httpx.AsyncClient:
        """A client whose connections come from this stranger's address."""
        transport = httpx.AsyncHTTPTransport(
            local_address=self.source, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0)
        )
        return httpx.AsyncClient(transport=transport, timeout=PATIENCE_S, base_url=f"http://{self.app}")

    async def rest(self, seconds: float) -> None:
        """Wait so long, or until it is time to stop."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.stop.wait(), seconds)

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[ClientConnection]:
        """A socket of the live wire over which nothing has been said yet."""
        async with connect(
            f"ws://{self.app}{SOCKET_PATH}",
            compression=None,
            max_size=None,
            ping_interval=None,
            open_timeout=PATIENCE_S,
            close_timeout=1,
            local_addr=(self.source, 0),
        ) as socket:
            yield socket

    @asynccontextmanager
    async def place(self, client: httpx.AsyncClient) -> AsyncIterator[ClientConnection]:
        """A socket of a page that was let in; raises one of `REFUSALS`."""
        token = await token_of(client, self.app, self.page())
        async with self.socket() as socket:
            await socket.send(json.dumps({"token": token}))
            told = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE_S))
            if told.get("type") != "hello":
                raise ValueError(f"not let in: {told}")
            yield socket


@asynccontextmanager
async def heard(socket: ClientConnection) -> AsyncIterator[None]:
    """While entered, whatever is answered is taken and passed over."""

    async def until_closed() -> None:
        with suppress(*REFUSALS):
            async for _ in socket:
                pass

    hearing = asyncio.create_task(until_closed())
    try:
        yield
    finally:
        hearing.cancel()


@dataclass(frozen=True)
class Button:
    """A button of the page: its event, and what its inputs hold before anybody has touched them."""

    event: int
    values: tuple[Any, ...]


async def button_of(client: httpx.AsyncClient, name: str) -> Button:
    """What runs when the component of that `elem_id` is used."""
    page = (await client.get("/config")).raise_for_status().json()
    components = {each["id"]: each["props"] for each in page["components"]}
    names = {number: properties.get("elem_id") for number, properties in components.items()}
    event = next(each for each in page["dependencies"] if any(names.get(at) == name for at, _ in each["targets"]))
    return Button(event["id"], tuple(components[at].get("value") for at in event["inputs"]))


async def uploaded(client: httpx.AsyncClient, name: str, content: bytes) -> dict[str, Any]:
    """A file that lies at the app now, as its events name it."""
    answer = await client.post("/gradio_api/upload", files=[("files", (name, content))])
    return named_file(answer.raise_for_status().json()[0], name)


def named_file(path: str, name: str) -> dict[str, Any]:
    """A file as Gradio's events name it."""
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


async def pressed(client: httpx.AsyncClient, event: int, values: Sequence[Any], page: str) -> str:
    """Use a button; returns the event's own name in the app's queue."""
    request: Mapping[str, Any] = {"fn_index": event, "data": list(values), "session_hash": page}
    answer = await client.post("/gradio_api/queue/join", json=request)
    return str(answer.raise_for_status().json()["event_id"])


async def followed(client: httpx.AsyncClient, page: str, seconds: float) -> None:
    """Listen to what becomes of a page's events, until one ends or for so long, and hang up."""

    async def until_one_ends() -> None:
        async with client.stream("GET", f"/gradio_api/queue/data?session_hash={page}") as told:
            async for line in told.aiter_lines():
                if line.startswith("data:") and json.loads(line[5:]).get("msg") == "process_completed":
                    return

    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(until_one_ends(), seconds)
