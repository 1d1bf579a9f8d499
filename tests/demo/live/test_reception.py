"""The house rules as visitors meet them: the line, the share of an address, parking, pace, the end of a visit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from demo.live import wire
from demo.live.limits import HostLimits
from demo.live.live import SOCKET_PATH, Live
from demo.live.reception import ASK_WITHIN_S, WARNING_S
from tests.support.standin import Post, StandInEngine, eventually, frame, greet, unpacked

House = Callable[..., "Host"]


class Host:
    """A served `Live`, and clients of it that come from wherever they say."""

    def __init__(self, limits: HostLimits, stack: ExitStack, behind_proxy: bool) -> None:
        self.engine = StandInEngine()
        self.live = Live(self.engine, limits, behind_proxy=behind_proxy)  # type: ignore[arg-type]
        stack.callback(self.live.close)
        app = Starlette(routes=self.live.routes())
        self.client = stack.enter_context(TestClient(app))
        self._stack = stack

    def connect(self, name: str, **headers: str) -> tuple[WebSocketTestSession, dict[str, Any]]:
        """A socket of the page `name`, and the first words that it hears."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        socket = self._stack.enter_context(self.client.websocket_connect(SOCKET_PATH, headers=named))
        return socket, greet(socket, self.live, name)

    def post(self, name: str) -> Post:
        return Post(self.client, self.live.mint(name))

    def look_after(self, seconds_later: float) -> None:
        """Keep house as if it were so much later."""
        self.client.portal.call(self.live.reception.look_after, time.monotonic() + seconds_later)


@pytest.fixture
def house() -> Iterator[House]:
    with ExitStack() as stack:

        def build(behind_proxy: bool = False, **limits: Any) -> Host:
            return Host(HostLimits(**{"grace_seconds": 0.0, **limits}), stack, behind_proxy)

        yield build


def place(number: int, of: int, seconds: int | None = None) -> dict[str, Any]:
    return {"type": "queue", "place": number, "of": of, "seconds": seconds}


def closing(socket: WebSocketTestSession) -> tuple[int, str]:
    """How the socket is closed, whatever is said before."""
    with pytest.raises(WebSocketDisconnect) as closed:
        while True:
            socket.receive_json()
    return closed.value.code, closed.value.reason


def test_a_newcomer_waits_in_line_and_gets_in_when_somebody_leaves(house: House) -> None:
    host = house(visitors=1)
    anna, _ = host.connect("anna")
    bert, told = host.connect("bert")
    assert told == place(1, 1)
    cleo, told = host.connect("cleo")
    assert told == place(2, 2)
    assert bert.receive_json() == place(1, 2)
    anna.send_json({"type": "bye"})
    assert bert.receive_json()["type"] == "hello"
    bert.send_bytes(frame(1))
    assert unpacked(bert.receive_bytes())[3] == 1
    news = cleo.receive_json()
    # Anna's stay has been seen now, and it was short.
    assert news == place(1, 1, seconds=news["seconds"])
    assert 0 <= news["seconds"] <= 5
    assert (host.live.visitors, host.live.waiting) == (1, 1)


@pytest.mark.parametrize("how", ["close", "bye"])
def test_who_leaves_the_line_frees_their_place(house: House, how: str) -> None:
    host = house(visitors=1)
    host.connect("anna")
    bert, _ = host.connect("bert")
    cleo, told = host.connect("cleo")
    assert told == place(2, 2)
    if how == "close":
        bert.close()
    else:
        bert.send_json({"type": "bye"})
    assert cleo.receive_json() == place(1, 1)


def test_memory_is_a_reason_to_wait_too(house: House) -> None:
    host = house(visitors=8)
    host.engine.room = 1
    anna, _ = host.connect("anna")
    bert, told = host.connect("bert")
    assert told == place(1, 1)
    host.engine.room = 2
    host.look_after(0)
    assert bert.receive_json()["type"] == "hello"
    assert anna is not bert


def test_a_full_line_sends_newcomers_away(house: House) -> None:
    host = house(visitors=1, queue_length=1)
    host.connect("anna")
    host.connect("bert")
    with host.client.websocket_connect(SOCKET_PATH) as cleo:
        cleo.send_json({"token": host.live.mint("cleo")})
        code, reason = closing(cleo)
    assert code == wire.CLOSE_FULL
    assert "(1 waiting)" in reason


def test_a_newer_socket_of_a_page_in_line_keeps_its_place(house: House) -> None:
    host = house(visitors=1)
    host.connect("anna")
    older, _ = host.connect("bert")
    host.connect("cleo")
    assert older.receive_json() == place(1, 2)
    _, told = host.connect("bert")
    assert told == place(1, 2)
    assert closing(older)[0] == wire.CLOSE_REPLACED
    assert host.live.waiting == 2


def test_who_posts_waits_too_and_keeps_the_place_while_asking(house: House) -> None:
    host = house(visitors=1)
    anna, _ = host.connect("anna")
    bert = host.post("bert")
    answer = bert.say(type="hello")
    assert (answer.status_code, answer.json()) == (429, place(1, 1))
    assert int(answer.headers["retry-after"]) < ASK_WITHIN_S
    _, told = host.connect("cleo")
    assert told == place(2, 2)
    assert bert.say(type="hello").json() == place(1, 2)
    anna.send_json({"type": "bye"})
    assert eventually(lambda: bert.say(type="hello").status_code == 200)
    assert bert.send(frame(1)).headers["content-type"] == "application/octet-stream"


def test_who_asks_no_more_has_left_the_line(house: House) -> None:
    host = house(visitors=1)
    host.connect("anna")
    host.post("bert").say(type="hello")
    host.look_after(ASK_WITHIN_S - 1)
    assert host.live.waiting == 1
    host.look_after(ASK_WITHIN_S + 1)
    assert host.live.waiting == 0


def test_one_address_has_no_more_than_its_share_in_and_in_line(house: House) -> None:
    host = house(behind_proxy=True, visitors=1, visitors_per_address=2)
    host.connect("anna", x_forwarded_for="8.8.8.8, 1.2.3.4")
    host.connect("bert", x_forwarded_for="9.9.9.9, 1.2.3.4")
    with host.client.websocket_connect(SOCKET_PATH, headers={"x-forwarded-for": "7.7.7.7,1.2.3.4"}) as cleo:
        cleo.send_json({"token": host.live.mint("cleo")})
        code, reason = closing(cleo)
    assert (code, "2 pages" in reason) == (wire.CLOSE_FULL, True)
    assert host.connect("dora", x_forwarded_for="1.2.3.4, 5.6.7.8")[1] == place(2, 2)


def test_one_home_s_ipv6_addresses_have_one_share(house: House) -> None:
    host = house(behind_proxy=True, visitors_per_address=1)
    host.connect("anna", x_forwarded_for="2001:db8:1:2::1")
    with host.client.websocket_connect(SOCKET_PATH, headers={"x-forwarded-for": "2001:db8:1:2::2"}) as bert:
        bert.send_json({"token": host.live.mint("bert")})
        assert closing(bert)[0] == wire.CLOSE_FULL
    assert host.connect("cleo", x_forwarded_for="2001:db8:1:3::1")[1]["type"] == "hello"


def test_without_a_proxy_nobody_chooses_their_address(house: House) -> None:
    host = house(visitors_per_address=1)
    host.connect("anna", x_forwarded_for="1.1.1.1")
    answer = host.client.post(
        "/gradio_api/rearview/frame",
        content='{"type": "hello"}',
        headers={
            "x-rearview-token": host.live.mint("bert"),
            "content-type": "application/json",
            "x-forwarded-for": "2.2.2.2",
        },
    )
    assert answer.status_code == 429
    assert "Your network" in answer.json()["message"]


@pytest.mark.parametrize("when_idle", ["keep", "forget"])
def test_an_idle_visitor_is_parked_and_the_next_frame_brings_them_back(house: House, when_idle: str) -> None:
    host = house(idle_seconds=60, when_idle=when_idle)
    anna, _ = host.connect("anna")
    anna.send_bytes(frame(1))
    anna.receive_bytes()
    session = host.engine.sessions[0]
    host.look_after(59)
    assert not session.parked
    host.look_after(61)
    assert eventually(lambda: session.parked)
    assert session.kept == (when_idle == "keep")
    anna.send_bytes(frame(2))
    assert unpacked(anna.receive_bytes())[3] == 2
    assert not session.parked


def test_a_visit_ends_with_a_warning_and_a_sentence(house: House) -> None:
    host = house(visitors=1, session_seconds=100)
    anna, _ = host.connect("anna")
    bert, _ = host.connect("bert")
    host.look_after(100 - WARNING_S + 1)
    host.look_after(100 - WARNING_S + 2)
    assert anna.receive_json()["type"] == "notice"
    host.look_after(101)
    assert closing(anna) == (wire.CLOSE_OVER, "This visit has had its time. You are welcome to come again.")
    assert bert.receive_json()["type"] == "hello"
    assert eventually(lambda: host.engine.sessions[0].closed)


def test_a_visit_by_post_ends_too(house: House) -> None:
    host = house(session_seconds=100)
    anna = host.post("anna")
    anna.say(type="hello")
    host.look_after(101)
    answer = anna.send(frame(1))
    assert (answer.status_code, answer.json()["type"]) == (410, "over")
    assert anna.say(type="hello").status_code == 200


def test_too_many_frames_are_dropped_and_the_socket_lives(house: House) -> None:
    host = house(frames_per_second=4)
    anna, _ = host.connect("anna")
    kinds = []
    for sequence in range(30):
        anna.send_bytes(frame(sequence))
        message = anna.receive()
        kinds.append("picture" if message.get("bytes") else "dropped")
    assert kinds[:4] == ["picture"] * 4
    assert kinds.count("dropped") > 0
    anna.send_json({"type": "ping"})
    assert anna.receive_json() == {"type": "ping"}


def test_frames_over_post_have_the_same_pace(house: House) -> None:
    host = house(frames_per_second=1)
    anna = host.post("anna")
    anna.say(type="hello")
    kinds = [anna.send(frame(sequence)).headers["content-type"] for sequence in range(8)]
    assert kinds[0] == "application/octet-stream"
    assert kinds[-1] == "application/json"
    assert anna.send(frame(9)).status_code in (200, 429)


def test_a_flood_is_closed_with_a_sentence(house: House) -> None:
    host = house(frames_per_second=1)
    anna, _ = host.connect("anna")
    for _ in range(200):
        anna.send_json({"type": "ping"})
    code, reason = closing(anna)
    assert code == wire.CLOSE_FLOOD
    assert "too many messages" in reason


def test_a_flood_in_line_is_closed_too(house: House) -> None:
    host = house(visitors=1)
    host.connect("anna")
    bert, _ = host.connect("bert")
    for _ in range(500):
        bert.send_json({"type": "ping"})
    assert closing(bert)[0] == wire.CLOSE_FLOOD
    assert eventually(lambda: host.live.waiting == 0)


def test_the_end_waits_for_the_frames_under_way_and_tells_everybody(house: House) -> None:
    host = house(visitors=1)
    host.engine.held = threading.Event()
    anna, _ = host.connect("anna")
    bert, _ = host.connect("bert")
    anna.send_bytes(frame(7))
    assert eventually(lambda: bool(host.engine.sessions[0].settings))
    ending = threading.Thread(target=host.live.close)
    ending.start()
    assert closing(bert)[0] == wire.CLOSE_AGAIN
    host.engine.held.set()
    assert unpacked(anna.receive_bytes())[3] == 7
    code, reason = closing(anna)
    assert (code, "comes back by itself" in reason) == (wire.CLOSE_AGAIN, True)
    ending.join(10)
    assert not ending.is_alive()
    assert host.engine.sessions[0].closed
