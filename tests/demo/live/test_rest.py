"""A picture at rest comes once more, finer: to its page and its output, and never in anybody's way."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient, WebSocketTestSession

from demo.live import wire
from demo.live.limits import HostLimits
from demo.live.live import SOCKET_PATH, Live
from demo.live.output import OUTPUT_PATH, PICTURE_NUMBER_HEADER
from demo.live.rest import Shown
from pipeline.settings import FrameSettings
from tests.support.standin import StandInEngine, StandInSession, frame, greet, unpacked

A_MOMENT_S = 0.1


@pytest.fixture
def engine() -> StandInEngine:
    return StandInEngine()


@pytest.fixture
def limits() -> HostLimits:
    return HostLimits(grace_seconds=0.0)


@pytest.fixture
def client(engine: StandInEngine, limits: HostLimits, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A served page whose pictures rest after a moment."""
    monkeypatch.setattr("demo.live.visitor.REST_S", A_MOMENT_S)
    live = Live(engine, limits)  # type: ignore[arg-type]
    with TestClient(Starlette(routes=live.routes())) as client:
        client.live = live  # type: ignore[attr-defined]
        yield client
    live.close()


@pytest.fixture
def socket(client: Any) -> Iterator[WebSocketTestSession]:
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, client.live)
        yield socket


def said_after(socket: WebSocketTestSession, seconds: float = 4 * A_MOMENT_S) -> dict[str, Any]:
    """The first thing that is said after so long: the answer to a ping, unless a picture has come by itself."""
    time.sleep(seconds)
    socket.send_json({"type": "ping"})
    news: dict[str, Any] = json.loads(socket.receive_text())
    return news


def test_a_picture_at_rest_comes_once_more_and_finer(socket: WebSocketTestSession, engine: StandInEngine) -> None:
    socket.send_bytes(frame(41))
    first, finer = socket.receive_bytes(), socket.receive_bytes()
    assert (unpacked(first)[1], unpacked(finer)[1]) == (wire.KIND_PICTURE, wire.KIND_FINER)
    # All but the kind says of which frame, of which settings and of which past it is.
    assert unpacked(first)[2:] == unpacked(finer)[2:] and unpacked(finer)[3] == 41
    shapes = [wire.decode_picture(each[wire.PICTURE_HEADER.size :]).shape for each in (first, finer)]
    assert shapes == [(16, 16, 3), (32, 32, 3)]
    assert said_after(socket) == {"type": "ping"} and len(engine.sessions[0].finer) == 1


def test_what_comes_next_is_answered_as_ever(socket: WebSocketTestSession, engine: StandInEngine) -> None:
    for sequence in range(1, 4):
        socket.send_bytes(frame(sequence))
        assert unpacked(socket.receive_bytes())[1:4:2] == (wire.KIND_PICTURE, sequence)
    # The pen was never at rest.
    assert engine.sessions[0].finer == []
    assert unpacked(socket.receive_bytes())[1:4:2] == (wire.KIND_FINER, 3)


@pytest.mark.parametrize("change", [{"finer": "off"}, {"pipelined": "on"}])
def test_who_does_not_want_it_gets_none(socket: WebSocketTestSession, change: dict[str, str]) -> None:
    socket.send_json({"type": "set", "settings": change})
    assert socket.receive_json()["type"] == "applied"
    socket.send_bytes(frame(1))
    assert unpacked(socket.receive_bytes())[1] == wire.KIND_PICTURE
    assert said_after(socket) == {"type": "ping"}


@pytest.mark.parametrize("limits", [HostLimits(grace_seconds=0.0, finer_seconds=0.0)])
def test_a_host_may_grant_none(socket: WebSocketTestSession) -> None:
    socket.send_bytes(frame(1))
    socket.receive_bytes()
    assert said_after(socket) == {"type": "ping"}


@pytest.mark.parametrize("limits", [HostLimits(grace_seconds=0.0, finer_seconds=0.5)])
def test_what_has_taken_too_long_is_not_tried_again(
    socket: WebSocketTestSession, engine: StandInEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = StandInSession.submit_finer

    def slow(*asked: Any) -> Any:
        time.sleep(0.6)
        return at_once(*asked)

    monkeypatch.setattr(StandInSession, "submit_finer", slow)
    socket.send_bytes(frame(1))
    assert [unpacked(socket.receive_bytes())[1] for _ in range(2)] == [wire.KIND_PICTURE, wire.KIND_FINER]
    socket.send_bytes(frame(2))
    assert unpacked(socket.receive_bytes())[1] == wire.KIND_PICTURE
    assert said_after(socket) == {"type": "ping"} and len(engine.sessions[0].finer) == 1


def test_a_change_of_settings_ends_the_rest(socket: WebSocketTestSession, engine: StandInEngine) -> None:
    socket.send_bytes(frame(1))
    socket.receive_bytes()
    socket.send_json({"type": "set", "settings": {"prompt": "oil"}})
    assert socket.receive_json()["type"] == "applied"
    assert said_after(socket) == {"type": "ping"} and engine.sessions[0].finer == []


def test_who_watches_sees_it_too(client: Any, socket: WebSocketTestSession) -> None:
    socket.send_json({"type": "output"})
    path = f"{OUTPUT_PATH}/{socket.receive_json()['key']}/picture"
    socket.send_bytes(frame(1))
    socket.receive_bytes()
    first = client.get(path)
    while socket.receive().get("bytes") is None:
        pass
    finer = client.get(path)
    assert int(finer.headers[PICTURE_NUMBER_HEADER]) > int(first.headers[PICTURE_NUMBER_HEADER])
    assert wire.decode_picture(finer.content).shape == (32, 32, 3)


def shown(seconds: float, flagged: bool = False, finer_steps: int = 4, **settings: Any) -> Shown:
    translation: Any = SimpleNamespace(seconds=seconds, flagged=flagged)
    picture = np.zeros((8, 8, 3), np.uint8)
    return Shown(wire.Frame(1, 0.0, b""), picture, translation, FrameSettings(**settings), 0, finer_steps)


@pytest.mark.parametrize(
    ("picture", "wanted"),
    [
        # Four times the pixels and, of one step, four times the steps.
        (shown(0.12), True),
        (shown(0.13), False),
        (shown(0.45, steps=4), True),
        (shown(0.45, finer_steps=1), True),
        (shown(0.55, finer_steps=1), False),
        (shown(0.01, flagged=True), False),
    ],
)
def test_it_is_tried_where_it_should_take_two_seconds(picture: Shown, wanted: bool) -> None:
    assert picture.wants_finer(2.0) is wanted
