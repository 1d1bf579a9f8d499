"""What strangers do: each attack is one pair of hands, which try and try again until they are told to stop."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import cache, partial
from typing import Any

from benchmarks.strangers import payloads
from benchmarks.strangers.stranger import (
    REFUSALS,
    Stranger,
    button_of,
    followed,
    heard,
    named_file,
    pressed,
    uploaded,
)
from demo.live import wire

HANDS = 4
"""How many of one stranger's hands are at work at once."""
BREATH_S = 0.05
LISTEN_S = 8.0
MANY_SOCKETS = 64
FRAMES = 200
"""Of one stay, if it is not cut short."""
LARGE_SIDE = 2048
LARGE_VIDEO_SIDE = 8000
UPLOAD_BYTES = 8 * 2**20
ANNOUNCED_BYTES = 10**9
NOBODY = "http://127.0.0.1:9/nothing.png"
"""An address where nobody listens."""

Attack = Callable[[Stranger], Awaitable[None]]


async def let_loose(attack: Attack, stranger: Stranger, seconds: float) -> None:
    """All hands of a stranger at one attack, for so long."""
    hands = [asyncio.create_task(_again_and_again(attack, stranger)) for _ in range(HANDS)]
    await asyncio.sleep(seconds)
    stranger.stop.set()
    for hand in hands:
        hand.cancel()
    for ended in await asyncio.gather(*hands, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended


async def _again_and_again(attack: Attack, stranger: Stranger) -> None:
    while not stranger.stop.is_set():
        stranger.tries += 1
        with suppress(*REFUSALS):
            await attack(stranger)
        await stranger.rest(BREATH_S)


async def silent_sockets(stranger: Stranger) -> None:
    """Open many sockets and say nothing."""
    async with AsyncExitStack() as opened:
        for _ in range(MANY_SOCKETS):
            await opened.enter_async_context(stranger.socket())
        await stranger.rest(LISTEN_S)


async def nonsense(stranger: Stranger) -> None:
    """Take a place and say what fits no schema."""
    async with stranger.client() as client, stranger.place(client) as socket, heard(socket):
        for _ in range(FRAMES):
            await socket.send(payloads.nonsense(stranger.generator))
            await stranger.rest(BREATH_S)


async def many_scans(stranger: Stranger) -> None:
    """Take a place and send JPEGs of 30,000 scans."""
    async with stranger.client() as client, stranger.place(client) as socket, heard(socket):
        for number in range(FRAMES):
            await socket.send(_frame(number, _many_scans()))
            await stranger.rest(2 * BREATH_S)


async def leaving_midway(stranger: Stranger) -> None:
    """Take a place with settings that hold much, send a large frame, and be gone at some moment of its way in."""
    greedy = {"steps": 4, "guidance": 2.0, "bank_frames": 4.0}
    async with stranger.client() as client, stranger.place(client) as socket:
        await socket.send(json.dumps({"type": "set", "settings": greedy}))
        await socket.send(_frame(1, _large_picture()))
        await stranger.rest(stranger.generator.uniform(0.0, 0.2))
        if stranger.generator.random() < 0.5:
            await socket.send(json.dumps({"type": "bye"}))
        else:
            socket.transport.abort()


async def new_prompts(stranger: Stranger) -> None:
    """Take a place and ask for three costly new prompts with each frame."""
    async with stranger.client() as client, stranger.place(client) as socket, heard(socket):
        for number in range(FRAMES):
            prompts = payloads.costly_prompts(stranger.generator.randrange(10**6))
            asked = {"prompt_blend": 0.5, "guidance": 1.1, **prompts}
            await socket.send(json.dumps({"type": "set", "settings": asked}))
            await socket.send(_frame(number, _small_picture()))
            await stranger.rest(2 * BREATH_S)


def _frame(sequence: int, picture: bytes) -> bytes:
    return wire.FRAME_HEADER.pack(wire.VERSION, wire.KIND_FRAME, 0, sequence, 0.0) + picture


async def recordings(stranger: Stranger) -> None:
    """Have a recording painted again that unfolds to gigabytes, pastes sixty pictures or draws for minutes."""
    await _file_event(stranger, "render_start", "x.rearview", stranger.generator.choice(_recordings()))


async def videos(stranger: Stranger) -> None:
    """Have a video painted whose frames grow to 64 megapixels after the first."""
    await _file_event(stranger, "video_start", "x.avi", _growing_video())


async def _file_event(stranger: Stranger, button: str, name: str, content: bytes) -> None:
    async with stranger.client() as client:
        wanted, page = await button_of(client, button), stranger.page()
        file = await uploaded(client, name, content)
        await pressed(client, wanted.event, [file, *wanted.values[1:]], page)
        await followed(client, page, LISTEN_S)


async def pictures(stranger: Stranger) -> None:
    """Have pictures painted by the endpoint for scripts: large ones, and JPEGs of many scans."""
    content = stranger.generator.choice([_large_picture(), _many_scans()])
    async with stranger.client() as client:
        file = await uploaded(client, "x.jpg", content)
        await _endpoint(stranger, client, "translate_picture", file)


async def addresses(stranger: Stranger) -> None:
    """Name an address in the place of a file, in every way that a file is named."""
    async with stranger.client() as client:
        named = named_file(NOBODY, "x.png") | {"url": NOBODY}
        await _endpoint(stranger, client, "translate_picture", named)
        await client.get(f"/gradio_api/file={NOBODY}")
        await client.get(f"/gradio_api/proxy={NOBODY}")


async def _endpoint(stranger: Stranger, client: Any, name: str, first: Any) -> None:
    page = (await client.get("/config")).raise_for_status().json()
    event = next(each for each in page["dependencies"] if each["api_name"] == name)
    components = {each["id"]: each["props"] for each in page["components"]}
    values = [components[at].get("value") for at in event["inputs"]]
    session = stranger.page()
    await pressed(client, event["id"], [first, *values[1:]], session)
    await followed(client, session, LISTEN_S)


async def uploads(stranger: Stranger) -> None:
    """Upload much, break off, or send so slowly that it never ends."""
    ways = [_whole_upload, partial(_broken_upload, pause=0.0), partial(_broken_upload, pause=1.0)]
    await stranger.generator.choice(ways)(stranger)


async def _whole_upload(stranger: Stranger) -> None:
    async with stranger.client() as client:
        await uploaded(client, "x.bin", stranger.generator.randbytes(UPLOAD_BYTES))


async def _broken_upload(stranger: Stranger, pause: float) -> None:
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {stranger.app}\r\nContent-Type: multipart/form-data; boundary=X\r\n"
        f"Content-Length: {ANNOUNCED_BYTES}\r\n\r\n"
        '--X\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
    )
    piece = stranger.generator.randbytes(1 if pause else 2**18)
    await _sent_raw(stranger, head.encode(), [piece] * 16, pause)


async def slow_headers(stranger: Stranger) -> None:
    """Open many connections and send a header that never ends, a byte a second."""
    lines = [b"X", b"-", b"A", b":", b" "] + [b"a"] * 60
    await asyncio.gather(
        *[_sent_raw(stranger, b"GET / HTTP/1.1\r\nHost: x\r\n", lines, 1.0) for _ in range(MANY_SOCKETS)],
        return_exceptions=True,
    )


async def _sent_raw(stranger: Stranger, head: bytes, pieces: list[bytes], pause: float) -> None:
    host, port = stranger.app.split(":")
    reader, writer = await asyncio.open_connection(host, int(port), local_addr=(stranger.source, 0))
    try:
        writer.write(head)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await stranger.rest(pause)
            if stranger.stop.is_set() or reader.at_eof():
                return
    finally:
        writer.transport.abort()


async def event_streams(stranger: Stranger) -> None:
    """Listen to many pages' events and heartbeats, and to nobody's output page."""
    async with stranger.client() as client, AsyncExitStack() as opened:
        for _ in range(MANY_SOCKETS):
            page = stranger.page()
            for address in (f"/gradio_api/heartbeat/{page}", f"/gradio_api/queue/data?session_hash={page}"):
                with suppress(*REFUSALS):
                    await opened.enter_async_context(client.stream("GET", address))
            if stranger.stop.is_set():
                break
        await client.get(f"/rearview/output/{page}")
        await stranger.rest(LISTEN_S)


@cache
def _many_scans() -> bytes:
    return payloads.many_scans(LARGE_SIDE, wire.MAXIMUM_MESSAGE_BYTES - 100)


@cache
def _small_picture() -> bytes:
    return payloads.picture(64)


@cache
def _large_picture() -> bytes:
    return payloads.picture(LARGE_SIDE)


@cache
def _growing_video() -> bytes:
    return payloads.growing_video(LARGE_VIDEO_SIDE, frames=2)


@cache
def _recordings() -> tuple[bytes, ...]:
    return (
        payloads.unfolding(2**31),
        payloads.pasted_pictures(60),
        payloads.long_strokes(50_000),
        payloads.undo_steps(1000),
        payloads.recording([_one_frame()], {"frames/a.jpg": payloads.picture(64)}, side=2048),
    )


def _one_frame() -> dict[str, Any]:
    return {"t": 0, "type": "frame", "image": "frames/a.jpg"}


def prepared() -> None:
    """Make all files beforehand: attackers of another machine would not take the app's cores for it."""
    for make in (_many_scans, _small_picture, _large_picture, _growing_video, _recordings):
        make()


ATTACKS: Mapping[str, Attack] = {
    "sockets that say nothing": silent_sockets,
    "messages that fit no schema": nonsense,
    "JPEGs of 30,000 scans": many_scans,
    "gone while a frame is on its way": leaving_midway,
    "three new prompts a frame": new_prompts,
    "recordings that unfold": recordings,
    "videos that grow": videos,
    "large pictures by the API": pictures,
    "addresses for files": addresses,
    "uploads: much, broken, slow": uploads,
    "headers, a byte a second": slow_headers,
    "event streams": event_streams,
}


def stranger_at(app: str, source: str, seed: int) -> Stranger:
    """A stranger whose choices come from `seed`."""
    return Stranger(app, source, random.Random(seed))
