"""What a page shows, small, under other settings: while nobody waits, and never in anybody's way."""

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

CHANGES = [{"prompt": "oil painting, a house"}, {"prompt": "clay, a house", "steps": 3}]


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


def asked(socket: WebSocketTestSession, changes: Any) -> dict[str, Any]:
    socket.send_json({"type": "stills", "changes": changes})
    reply: dict[str, Any] = socket.receive_json()
    return reply


def test_each_change_is_painted_over_what_is_shown(socket: WebSocketTestSession, engine: StandInEngine) -> None:
    socket.send_json({"type": "set", "settings": {"strength": 0.9, "steps": 2}})
    socket.receive_json()
    socket.send_bytes(frame(1))
    socket.receive_bytes()
    stills = asked(socket, CHANGES)["pictures"]
    assert [wire.decode_picture(base64.b64decode(each)).shape for each in stills] == 2 * [(16, 16, 3)]
    asked_for = [(each.prompt, each.steps, each.strength) for each in engine.sessions[0].stills]
    assert asked_for == [("oil painting, a house", 2, 0.9), ("clay, a house", 3, 0.9)]


def test_there_are_none_before_there_is_a_picture(socket: WebSocketTestSession) -> None:
    assert asked(socket, CHANGES) == {"type": "stills", "pictures": []}


def test_there_are_none_where_somebody_waits(socket: WebSocketTestSession, engine: StandInEngine) -> None:
    socket.send_bytes(frame(1))
    socket.receive_bytes()
    engine.sessions[0].held = threading.Event()
    assert asked(socket, CHANGES) == {"type": "stills", "pictures": []}


def test_who_asks_too_often_gets_none(socket: WebSocketTestSession) -> None:
    socket.send_bytes(frame(1))
    socket.receive_bytes()
    assert [len(asked(socket, CHANGES)["pictures"]) for _ in range(3)] == [2, 2, 0]


@pytest.mark.parametrize(
    "changes", [None, "oil", ["oil"], 33 * [{"prompt": "oil"}], [{"prompt": "x" * 1001}], [{"colour": 3}]]
)
def test_what_are_no_settings_is_refused_in_words(socket: WebSocketTestSession, changes: Any) -> None:
    socket.send_bytes(frame(1))
    socket.receive_bytes()
    reply = asked(socket, changes)
    assert reply["type"] == "error" and "needed" in reply["message"]


def test_the_next_frame_is_answered_at_once(socket: WebSocketTestSession) -> None:
    socket.send_bytes(frame(1))
    socket.receive_bytes()
    socket.send_json({"type": "stills", "changes": CHANGES})
    socket.send_bytes(frame(2))
    while isinstance(message := socket.receive().get("bytes"), type(None)):
        pass
    assert unpacked(message)[1:4:2] == (wire.KIND_PICTURE, 2)


def test_a_still_is_small() -> None:
    picture = wire.decode_picture(wire.encode_still(np.full((256, 512, 3), 90, np.uint8)))
    assert picture.shape == (80, 160, 3)
