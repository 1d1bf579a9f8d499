"""The live wire against a small stand-in for the engine: messages, checks, visitors, and the POST fallback."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from demo.live import wire
from demo.live.limits import HostLimits
from demo.live.live import POST_PATH, SOCKET_PATH, Live
from pipeline.settings import FrameSettings, resting
from tests.support.standin import Post, StandInEngine, encoded, eventually, frame, greet, unpacked

LIMITS = HostLimits(visitors=2, grace_seconds=0.2, queue_length=0)


@pytest.fixture
def engine() -> StandInEngine:
    return StandInEngine()


@pytest.fixture
def live(engine: StandInEngine) -> Iterator[Live]:
    served = Live(engine, LIMITS)  # type: ignore[arg-type]
    yield served
    served.close()


@pytest.fixture
def client(live: Live) -> Iterator[TestClient]:
    app = Starlette(routes=live.routes())
    with TestClient(app) as connected:
        yield connected


def test_a_frame_comes_back_as_a_picture(client: TestClient, live: Live) -> None:
    with client.websocket_connect(SOCKET_PATH) as socket:
        hello = greet(socket, live)
        assert hello == {
            "type": "hello",
            "size": 256,
            "model": "stand-in",
            "model_title": "A stand-in",
            "model_credit": "A stand-in (MIT)",
            "model_reason": "nothing else is here.",
            "memory": "none",
            "kernel": "sdpa",
            "runtime": "PyTorch",
            "control": None,
            "adapter": None,
            "decoder": None,
            "seed": 7,
            "welcomes": True,
        }
        socket.send_bytes(frame(41))
        reply = socket.receive_bytes()
    version, kind, revision, sequence, client_time, engine_ms, fill, count, resets = unpacked(reply)
    assert (version, kind, revision, sequence, client_time) == (wire.VERSION, wire.KIND_PICTURE, 0, 41, 12.5)
    assert (engine_ms, fill, count, resets) == (25.0, 0.5, 1, 0)
    picture = wire.decode_picture(reply[wire.PICTURE_HEADER.size :])
    assert abs(int(picture[8, 8, 0]) - 55) < 4


def test_settings_act_on_the_next_frame_and_name_their_revision(
    client: TestClient, live: Live, engine: StandInEngine
) -> None:
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        socket.send_json({"type": "set", "settings": {"steps": 3, "prompt": "oil"}})
        news = socket.receive_json()
        assert (news["type"], news["revision"], news["settings"]["steps"]) == ("applied", 1, 3)
        assert news["resting"] == resting(FrameSettings(steps=3), "none")
        socket.send_bytes(frame(1))
        assert unpacked(socket.receive_bytes())[2] == 1
    assert engine.sessions[0].settings[-1] == FrameSettings(steps=3, prompt="oil")


def test_a_picture_to_be_like_is_read_as_a_frame_is_and_taken_back(
    client: TestClient, live: Live, engine: StandInEngine
) -> None:
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)

        def told(picture: Any) -> Any:
            socket.send_json({"type": "like", "picture": picture})
            return socket.receive_json()

        def applied() -> Any:
            return socket.receive_json()["revision"]

        picture = base64.b64encode(encoded((30, 20), "PNG")).decode()
        assert told(picture) == {"type": "liked", "on": True, "revision": 1} and applied() == 1
        assert told(None) == {"type": "liked", "on": False, "revision": 2} and applied() == 2
        unread = told(base64.b64encode(b"none").decode())
        assert "whole JPEG or PNG" in unread["message"] and unread["like"]
        assert "base64" in told(["no"])["message"]
        assert "too fast" in told(picture)["message"]
        first, second = engine.sessions[0].likes
    assert first.shape[2] == 3 and second is None


def test_a_bad_setting_gets_a_sentence_and_the_good_ones_act(client: TestClient, live: Live) -> None:
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        socket.send_json({"type": "set", "settings": {"steps": 9, "strength": 0.5, "colour": "red"}})
        assert socket.receive_json()["settings"]["strength"] == 0.5
        refused = [socket.receive_json(), socket.receive_json()]
        assert [each["setting"] for each in refused] == ["steps", "colour"]
        assert "needed: a whole number from 1 to 4" in refused[0]["message"]
        socket.send_json({"type": "set", "settings": [1]})
        assert "names and values" in socket.receive_json()["message"]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"", "header"),
        (frame(7, b"not a picture"), "whole JPEG or PNG"),
        (frame(7, encoded(kind="GIF")), "whole JPEG or PNG"),
        (frame(7, encoded((400, 400))[:300]), "whole JPEG or PNG"),
        (frame(7, encoded((8, 4200), "PNG")), "at most 4096"),
        (frame(7, version=9), "version 9"),
    ],
)
def test_a_bad_frame_gets_a_sentence_and_the_connection_lives(
    client: TestClient, live: Live, message: bytes, words: str
) -> None:
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        socket.send_bytes(message)
        news = socket.receive_json()
        assert news["type"] == "error"
        assert words in news["message"]
        socket.send_bytes(frame(8))
        assert unpacked(socket.receive_bytes())[3] == 8


def test_any_size_and_png_are_taken(client: TestClient, live: Live) -> None:
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        for sequence, data in enumerate([encoded((1, 1)), encoded((3, 70), "PNG"), encoded((4096, 2), "PNG")]):
            socket.send_bytes(frame(sequence, data))
            assert unpacked(socket.receive_bytes())[3] == sequence


@pytest.mark.parametrize(
    ("prompt", "words"), [("bad (", "open bracket"), ("surprise", "log says why"), ("dropped", None)]
)
def test_what_becomes_of_a_frame_is_told(client: TestClient, live: Live, prompt: str, words: str | None) -> None:
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        socket.send_json({"type": "set", "settings": {"prompt": prompt}})
        socket.receive_json()
        socket.send_bytes(frame(5))
        news = socket.receive_json()
        assert news["sequence"] == 5
        assert news["type"] == ("dropped" if words is None else "error")
        assert words is None or words in news["message"]


def test_the_newest_frame_waits_and_older_ones_drop(client: TestClient, live: Live, engine: StandInEngine) -> None:
    engine.held = threading.Event()
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        for sequence in range(1, 7):
            socket.send_bytes(frame(sequence))
        assert [socket.receive_json()["sequence"] for _ in range(3)] == [3, 4, 5]
        engine.held.set()
        assert sorted(unpacked(socket.receive_bytes())[3] for _ in range(3)) == [1, 2, 6]


def test_pipelined_frames_may_all_be_under_way(client: TestClient, live: Live, engine: StandInEngine) -> None:
    engine.held = threading.Event()
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        socket.send_json({"type": "set", "settings": {"steps": 4, "pipelined": "on"}})
        socket.receive_json()
        for sequence in range(1, 6):
            socket.send_bytes(frame(sequence))
        assert eventually(lambda: len(engine.sessions[0].settings) == 5)
        engine.held.set()
        assert sorted(unpacked(socket.receive_bytes())[3] for _ in range(5)) == [1, 2, 3, 4, 5]


def test_what_paints_is_told_when_it_is_another(client: TestClient, live: Live, engine: StandInEngine) -> None:
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        engine.sessions[0].runtime = "OpenVINO"
        came = []
        for number in range(2):
            socket.send_bytes(frame(number))
            came += [socket.receive() for _ in range(2 - number)]
        assert [json.loads(each["text"]) for each in came if each.get("text")] == [
            {"type": "runtime", "runtime": "OpenVINO"}
        ]


def test_what_the_engine_has_to_say_is_told_once_and_when_it_is_over(
    client: TestClient, live: Live, engine: StandInEngine
) -> None:
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        engine.sessions[0].notice = "the device's memory is full"
        for number in range(3):
            socket.send_bytes(frame(number))
        came = [socket.receive() for _ in range(4)]
        engine.sessions[0].notice = ""
        for number in range(3, 6):
            socket.send_bytes(frame(number))
        came += [socket.receive() for _ in range(4)]
    told = [json.loads(each["text"]) for each in came if each.get("text")]
    assert [each["message"] for each in told] == ["the device's memory is full", ""]
    assert {each["type"] for each in told} == {"notice"}


def test_reset_reaches_the_session(client: TestClient, live: Live, engine: StandInEngine) -> None:
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        socket.send_json({"type": "reset"})
        assert socket.receive_json() == {"type": "reset", "resets": 1}
        socket.send_bytes(frame(1))
        assert unpacked(socket.receive_bytes())[8] == 1
    assert engine.sessions[0].resets == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"type": "dance"}', '{"type": []}'])
def test_senseless_words_get_a_sentence(client: TestClient, live: Live, text: str) -> None:
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        socket.send_text(text)
        assert "needed: set, reset" in socket.receive_json()["message"]


@pytest.mark.parametrize("first", ['{"token": "forged.99999999999.00"}', '{"token": 3}', "[]", "no json", "{}"])
def test_nobody_comes_in_without_a_token(client: TestClient, engine: StandInEngine, first: str) -> None:
    with client.websocket_connect(SOCKET_PATH) as socket:
        socket.send_text(first)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == wire.CLOSE_TOKEN
    assert engine.sessions == []


def test_tokens_end_and_belong_to_one_server() -> None:
    tokens = wire.Tokens()
    assert tokens.visitor(tokens.mint("a.b.c")) == "a.b.c"
    assert tokens.visitor(tokens.mint("anna", lifetime_s=-1)) is None
    assert wire.Tokens().visitor(tokens.mint("anna")) is None
    assert tokens.visitor(tokens.mint("anna").replace("anna", "bert")) is None
    assert tokens.visitor("anna.soon.ä") is None


def test_a_foreign_page_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = {"origin": "https://elsewhere.example"}
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect(SOCKET_PATH, headers=foreign):
        pass
    assert closed.value.code == wire.CLOSE_FOREIGN
    assert client.post(POST_PATH, headers=foreign).status_code == 403
    monkeypatch.setenv("SPACE_HOST", "elsewhere.example")
    assert client.post(POST_PATH, headers=foreign).status_code == 401


def test_an_oversized_message_closes_the_socket(client: TestClient, live: Live) -> None:
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        socket.send_bytes(bytes(wire.MAXIMUM_MESSAGE_BYTES + 1))
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_bytes()
    assert closed.value.code == wire.CLOSE_TOO_LARGE


def test_a_newer_socket_takes_the_place_of_the_older(client: TestClient, live: Live, engine: StandInEngine) -> None:
    with client.websocket_connect(SOCKET_PATH) as older:
        greet(older, live)
        with client.websocket_connect(SOCKET_PATH) as newer:
            greet(newer, live)
            with pytest.raises(WebSocketDisconnect) as closed:
                older.receive_json()
            assert closed.value.code == wire.CLOSE_REPLACED
            newer.send_bytes(frame(1))
            newer.receive_bytes()
    assert len(engine.sessions) == 1


def test_places_are_limited_and_come_free(client: TestClient, live: Live) -> None:
    with client.websocket_connect(SOCKET_PATH) as first, client.websocket_connect(SOCKET_PATH) as second:
        greet(first, live, "anna")
        greet(second, live, "bert")
        with client.websocket_connect(SOCKET_PATH) as third:
            third.send_json({"token": live.mint("cleo")})
            with pytest.raises(WebSocketDisconnect) as closed:
                third.receive_json()
        assert closed.value.code == wire.CLOSE_FULL
        assert "places are taken" in closed.value.reason
        first.send_json({"type": "bye"})
        assert eventually(lambda: live.visitors == 1)


def test_a_lost_socket_keeps_its_session_for_a_moment(client: TestClient, live: Live, engine: StandInEngine) -> None:
    for _ in range(2):
        with client.websocket_connect(SOCKET_PATH) as socket:
            greet(socket, live)
    assert len(engine.sessions) == 1
    assert not engine.sessions[0].closed
    assert eventually(lambda: engine.sessions[0].closed)
    assert live.visitors == 0


def test_a_page_that_was_left_is_let_go_at_once(client: TestClient, live: Live, engine: StandInEngine) -> None:
    live.limits = HostLimits(grace_seconds=5)
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
    live.leave("anna")
    assert eventually(lambda: engine.sessions[0].closed)


def test_a_closed_session_ends_the_socket_so_that_the_page_comes_anew(
    client: TestClient, live: Live, engine: StandInEngine
) -> None:
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        engine.sessions[0].close()
        socket.send_bytes(frame(1))
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_bytes()
    assert closed.value.code == wire.CLOSE_AGAIN
    assert eventually(lambda: live.visitors == 0)


def test_the_same_messages_work_over_post(client: TestClient, live: Live, engine: StandInEngine) -> None:
    post = Post(client, live.mint("anna"))
    assert post.send(frame(1)).status_code == 410
    assert post.say(type="hello").json()[0]["size"] == 256
    assert post.say(type="set", settings={"steps": 2}).json()[0]["settings"]["steps"] == 2
    reply = post.send(frame(2))
    assert reply.headers["content-type"] == "application/octet-stream"
    assert unpacked(reply.content)[2:4] == (1, 2)
    assert post.say(type="reset").json() == [{"type": "reset", "resets": 1}]
    assert "whole JPEG" in post.send(frame(3, b"?")).json()["message"]
    assert post.say(type="bye").json() == []
    assert eventually(lambda: engine.sessions[0].closed)


def test_post_has_the_same_limits(client: TestClient, live: Live) -> None:
    assert Post(client, "forged").say(type="hello").status_code == 401
    assert Post(client, live.mint("anna")).send(bytes(wire.MAXIMUM_MESSAGE_BYTES + 1)).status_code == 413
    Post(client, live.mint("anna")).say(type="hello")
    Post(client, live.mint("bert")).say(type="hello")
    assert Post(client, live.mint("cleo")).say(type="hello").status_code == 429


def test_the_event_loop_stays_free_while_a_frame_is_made(client: TestClient, live: Live, engine: StandInEngine) -> None:
    engine.held = threading.Event()
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        socket.send_bytes(frame(1))
        socket.send_json({"type": "ping"})
        assert socket.receive_json() == {"type": "ping"}
        engine.held.set()
        assert unpacked(socket.receive_bytes())[3] == 1
