"""What a page shows, small, under other prompts: while nobody waits, and never in anybody's way."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient, WebSocketTestSession

from demo.live import wire
from demo.live.limits import HostLimits
from demo.live.live import SOCKET_PATH, Live
from tests.support.standin import StandInEngine, frame, greet, unpacked

PROMPTS = ["oil painting, a house", "clay, a house"]


@pytest.fixture
def engine() -> StandInEngine:
    return StandInEngine()


@pytest.fixture
def socket(engine: StandInEngine) -> Iterator[WebSocketTestSession]:
    """The socket of a page whose picture is never painted finer."""
    live = Live(engine, HostLimits(grace_seconds=0.0, finer_seconds=0.0))  # type: ignore[arg-type]
    with TestClient(Starlette(routes=live.routes())) as client, client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        yield socket
    live.close()


def asked(socket: WebSocketTestSession, prompts: Any) -> dict[str, Any]:
    socket.send_json({"type": "stills", "prompts": prompts})
    reply: dict[str, Any] = socket.receive_json()
    return reply


def test_each_prompt_is_painted_over_what_is_shown(socket: WebSocketTestSession, engine: StandInEngine) -> None:
    socket.send_json({"type": "set", "settings": {"strength": 0.9}})
    socket.receive_json()
    socket.send_bytes(frame(1))
    socket.receive_bytes()
    stills = asked(socket, PROMPTS)["pictures"]
    assert [wire.decode_picture(base64.b64decode(each)).shape for each in stills] == 2 * [(16, 16, 3)]
    assert [(each.prompt, each.strength) for each in engine.sessions[0].stills] == [(each, 0.9) for each in PROMPTS]


def test_there_are_none_before_there_is_a_picture(socket: WebSocketTestSession) -> None:
    assert asked(socket, PROMPTS) == {"type": "stills", "pictures": []}


def test_there_are_none_where_somebody_waits(socket: WebSocketTestSession, engine: StandInEngine) -> None:
    socket.send_bytes(frame(1))
    socket.receive_bytes()
    engine.sessions[0].held = threading.Event()
    assert asked(socket, PROMPTS) == {"type": "stills", "pictures": []}


def test_who_asks_too_often_gets_none(socket: WebSocketTestSession) -> None:
    socket.send_bytes(frame(1))
    socket.receive_bytes()
    assert [len(asked(socket, PROMPTS)["pictures"]) for _ in range(3)] == [2, 2, 0]


@pytest.mark.parametrize("prompts", [None, "oil", ["oil"] * 33, ["x" * 1001], [3]])
def test_what_are_no_prompts_is_refused_in_words(socket: WebSocketTestSession, prompts: Any) -> None:
    socket.send_bytes(frame(1))
    socket.receive_bytes()
    reply = asked(socket, prompts)
    assert reply["type"] == "error" and "needed" in reply["message"]


def test_the_next_frame_is_answered_at_once(socket: WebSocketTestSession) -> None:
    socket.send_bytes(frame(1))
    socket.receive_bytes()
    socket.send_json({"type": "stills", "prompts": PROMPTS})
    socket.send_bytes(frame(2))
    while isinstance(message := socket.receive().get("bytes"), type(None)):
        pass
    assert unpacked(message)[1:4:2] == (wire.KIND_PICTURE, 2)


def test_a_still_is_small() -> None:
    picture = wire.decode_picture(wire.encode_still(np.full((256, 512, 3), 90, np.uint8)))
    assert picture.shape == (80, 160, 3)
