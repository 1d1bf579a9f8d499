"""A page asks what its drawing looks like: of the picture that is shown, and not too often."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from starlette.applications import Starlette
from starlette.testclient import TestClient, WebSocketTestSession

from demo.live.limits import HostLimits
from demo.live.live import SOCKET_PATH, Live
from pipeline.guides.sketches import Guess
from tests.support.standin import StandInEngine, frame, greet


class Seeing:
    """Stands for the classifier, and keeps what it was shown."""

    sure = 0.5

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def guesses(self, picture: np.ndarray) -> tuple[Guess, ...]:
        self.seen.append(picture)
        return Guess("cat", 0.61234), Guess("dog", 0.2)


@contextmanager
def served(sketches: Seeing | None) -> Iterator[WebSocketTestSession]:
    limits = HostLimits(grace_seconds=0.0, finer_seconds=0.0)
    live = Live(StandInEngine(), limits, sketches=sketches)  # type: ignore[arg-type]
    assert live.sure_guess == (None if sketches is None else 0.5)
    with TestClient(Starlette(routes=live.routes())) as client, client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        yield socket
    live.close()


def replies(socket: WebSocketTestSession, times: int = 1) -> list[dict]:
    """What comes before the answer to a ping that is sent after the questions."""
    for _ in range(times):
        socket.send_json({"type": "guess"})
    socket.send_json({"type": "ping"})
    came = []
    while (reply := socket.receive_json())["type"] != "ping":
        came.append(reply)
    return came


def test_the_shown_drawing_is_named_with_how_sure_that_is() -> None:
    sketches = Seeing()
    with served(sketches) as socket:
        assert replies(socket) == []  # nothing is shown yet
        socket.send_bytes(frame(1))
        socket.receive_bytes()
        assert replies(socket) == [{"type": "guesses", "guesses": [["cat", 0.612], ["dog", 0.2]]}]
    assert [each.shape for each in sketches.seen] == [(16, 16, 3)]


def test_who_asks_too_often_is_not_answered() -> None:
    sketches = Seeing()
    with served(sketches) as socket:
        socket.send_bytes(frame(1))
        socket.receive_bytes()
        assert len(replies(socket, times=8)) == len(sketches.seen) < 8


def test_a_host_without_a_classifier_says_nothing() -> None:
    with served(None) as socket:
        socket.send_bytes(frame(1))
        socket.receive_bytes()
        assert replies(socket) == []
