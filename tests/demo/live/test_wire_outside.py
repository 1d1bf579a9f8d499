"""Whatever comes over the wire gets one sentence, the visit goes on, and the log stays empty."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient, WebSocketTestSession

from demo.live import wire
from demo.live.limits import HostLimits
from demo.live.live import POST_PATH, SOCKET_PATH, TOKEN_HEADER, Live
from tests.support.outside import JSON, SAME_EACH_RUN, changed_bytes, changed_json
from tests.support.standin import StandInEngine, encoded, frame, greet

LIMITS = HostLimits(frames_per_second=1000, grace_seconds=0, message_kb=16)
SET = {"type": "set", "settings": {"steps": 2, "prompt": "oil", "seed": 3, "prompt_curve": "linear"}}
MESSAGES = st.one_of(
    changed_json(SET),
    changed_json({"type": "output", "on": True, "secret": "A" * 43}),
    st.fixed_dictionaries({"type": st.sampled_from(["set", "reset", "map", "hello", "output", "like"]) | JSON}),
    JSON,
).map(json.dumps)
FRAMES = st.one_of(
    st.binary(max_size=40),
    changed_bytes(frame(7)),
    changed_bytes(frame(7, encoded(kind="PNG"))),
    changed_bytes(frame(7, encoded(kind="GIF"))),
)
KINDS = {"applied", "error", "reset", "map", "hello", "output", "dropped", "ping", "watched", "notice", "liked"}


@pytest.fixture
def live(caplog: pytest.LogCaptureFixture) -> Iterator[Live]:
    served = Live(StandInEngine(), LIMITS)  # type: ignore[arg-type]
    yield served
    served.close()
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


@pytest.fixture
def client(live: Live) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=live.routes())) as connected:
        yield connected


def replies_until_ping(socket: WebSocketTestSession) -> list[dict[str, Any]]:
    """What is said until the answer to a ping comes, pictures left out."""
    socket.send_text('{"type": "ping"}')
    replies: list[dict[str, Any]] = []
    while {"type": "ping"} not in replies:
        message = socket.receive()
        assert message["type"] == "websocket.send", message
        if message.get("text") is not None:
            replies.append(json.loads(message["text"]))
    return replies


def test_any_words_get_words_and_the_visit_goes_on(client: TestClient, live: Live) -> None:
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)

        @SAME_EACH_RUN
        @given(MESSAGES | st.text(max_size=60))
        @example('{"type":"set","settings":{"steps":1' + "0" * 400 + "}}")
        @example('{"type":"set","settings":{"prompt":"\\ud800"}}')
        @example("[" * 5000)
        def say(text: str) -> None:
            socket.send_text(text)
            replies = replies_until_ping(socket)
            assert {each["type"] for each in replies} <= KINDS
            for each in replies:
                assert len(each.get("message") or "") <= wire.MAXIMUM_SENTENCE

        say()


def test_any_bytes_get_an_answer_and_the_visit_goes_on(client: TestClient, live: Live) -> None:
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)

        @SAME_EACH_RUN
        @given(FRAMES)
        def send(data: bytes) -> None:
            socket.send_bytes(data)
            message = socket.receive()
            if message.get("bytes") is None:
                said = json.loads(message["text"])
                assert said["type"] in ("error", "dropped")
                assert "needed" in said.get("message", "needed")

        send()
        assert replies_until_ping(socket) == [{"type": "ping"}]


def test_any_post_gets_an_answer(client: TestClient, live: Live) -> None:
    token = live.mint("anna")
    client.post(POST_PATH, content='{"type": "hello"}', headers=headers(token, "application/json"))

    @SAME_EACH_RUN
    @given(MESSAGES.map(lambda text: text.encode("utf-8", "surrogatepass")) | FRAMES, st.booleans())
    def post(body: bytes, is_json: bool) -> None:
        kind = "application/json" if is_json else "application/octet-stream"
        answer = client.post(POST_PATH, content=body, headers=headers(token, kind))
        assert answer.status_code == 200, answer.text
        if answer.headers["content-type"] == "application/json":
            said = answer.json()
            assert {each["type"] for each in (said if isinstance(said, list) else [said])} <= KINDS

    post()


def headers(token: str, kind: str) -> dict[str, str]:
    return {TOKEN_HEADER: token, "content-type": kind}


TOKENS = wire.Tokens(b"a secret")
TOKEN = TOKENS.mint("anna")


@SAME_EACH_RUN
@given(JSON | st.text() | changed_bytes(TOKEN.encode()).map(lambda data: data.decode("latin-1")))
@example("a.²." + "0" * 64)
@example(f"{TOKEN}.")
@example(TOKEN.replace("anna", "bert"))
def test_no_made_up_token_lets_anybody_in_and_none_is_worse_than_refused(token: Any) -> None:
    assert TOKENS.visitor(token) == ("anna" if token == TOKEN else None)


def test_any_first_word_is_refused_with_a_reason(client: TestClient) -> None:
    @SAME_EACH_RUN
    @given(JSON.map(lambda token: json.dumps({"token": token})) | st.text(max_size=30) | st.binary(max_size=30))
    def greeted(word: str | bytes) -> None:
        with client.websocket_connect(SOCKET_PATH) as socket:
            socket.send_text(word) if isinstance(word, str) else socket.send_bytes(word)
            closed = socket.receive()
            assert (closed["type"], closed["code"]) == ("websocket.close", wire.CLOSE_TOKEN)

    greeted()
