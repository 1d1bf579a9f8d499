"""What a stranger may try at the wire, and that each of it is refused, closed or survived."""

from __future__ import annotations

import io
import json
import random
import socket as sockets
import struct
import threading
import time
import tracemalloc
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from demo.live import connection, wire
from demo.live.limits import HostLimits
from demo.live.live import POST_PATH, SOCKET_PATH, Live
from tests.support.standin import Post, StandInEngine, encoded, eventually, frame, greet, unpacked

FUZZED_MESSAGES = 10_000
UNHURRIED = HostLimits(frames_per_second=1000, queue_length=0, grace_seconds=0.1)
BROWSER = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"}


@pytest.fixture
def engine() -> StandInEngine:
    return StandInEngine()


@pytest.fixture
def live(engine: StandInEngine) -> Iterator[Live]:
    served = Live(engine, UNHURRIED)  # type: ignore[arg-type]
    yield served
    served.close()


@pytest.fixture
def app(live: Live) -> Starlette:
    served = Starlette(routes=live.routes())
    return served


@pytest.fixture
def client(app: Starlette) -> Iterator[TestClient]:
    with TestClient(app) as connected:
        yield connected


def refusal(client: TestClient, first: dict[str, Any] | None, **headers: str) -> int:
    """The code with which a socket is closed that begins with `first`."""
    with pytest.raises(WebSocketDisconnect) as closed:
        with client.websocket_connect(SOCKET_PATH, headers=headers) as socket:
            if first is not None:
                socket.send_json(first)
            socket.receive_json()
    return int(closed.value.code)


# ---------------------------------------------------------------- who comes in


def test_no_token_no_entrance(client: TestClient, engine: StandInEngine) -> None:
    assert refusal(client, {}) == wire.CLOSE_TOKEN
    assert refusal(client, {"token": None}) == wire.CLOSE_TOKEN
    assert refusal(client, {"token": "\ud800.1.2"}) == wire.CLOSE_TOKEN
    assert client.post(POST_PATH, content="{}").status_code == 401
    assert engine.sessions == []


def test_an_expired_token_is_refused(client: TestClient, live: Live) -> None:
    expired = live._tokens.mint("anna", lifetime_s=-1)
    assert refusal(client, {"token": expired}) == wire.CLOSE_TOKEN
    assert Post(client, expired).say(type="hello").status_code == 401


def test_another_page_s_name_cannot_be_put_into_a_token(client: TestClient, live: Live) -> None:
    forged = live.mint("anna").replace("anna", "bert")
    assert refusal(client, {"token": forged}) == wire.CLOSE_TOKEN


@pytest.fixture
def login(app: Starlette) -> dict[str, dict[str, str]]:
    """The app as Gradio serves it with `auth=`: two people are logged in, by these headers."""
    app.auth = {"anna": "a", "bert": "b"}
    app.cookie_id = "xyz"
    app.tokens = {"anna's": "anna", "bert's": "bert"}
    return {name: {"cookie": f"access-token-unsecure-xyz={name}'s"} for name in ("anna", "bert")}


def test_a_token_holds_for_the_user_who_got_it(
    client: TestClient, live: Live, login: dict[str, dict[str, str]]
) -> None:
    token = live.mint("a-page", "anna")
    assert refusal(client, {"token": token}) == wire.CLOSE_TOKEN
    assert refusal(client, {"token": token}, **login["bert"]) == wire.CLOSE_TOKEN
    assert refusal(client, {"token": token}, cookie="access-token-xyz=guessed") == wire.CLOSE_TOKEN
    assert refusal(client, {"token": live.mint("a-page")}, **login["anna"]) == wire.CLOSE_TOKEN
    with client.websocket_connect(SOCKET_PATH, headers=login["anna"]) as socket:
        socket.send_json({"token": token})
        assert socket.receive_json()["type"] == "hello"
        # Another user's token for the same page is a good one, but the page is taken.
        assert refusal(client, {"token": live.mint("a-page", "bert")}, **login["bert"]) == wire.CLOSE_FULL
    headers = {"x-rearview-token": token, "content-type": "application/json"}
    assert client.post(POST_PATH, content='{"type": "hello"}', headers=headers).status_code == 401
    assert client.post(POST_PATH, content='{"type": "hello"}', headers=headers | login["anna"]).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
        {"origin": "http://testserver.elsewhere.example"},
        {"origin": "http://[half"},
        {"origin": ""},
        BROWSER,
        {"sec-fetch-site": "cross-site", "user-agent": "anything"},
    ],
)
def test_a_foreign_page_is_refused(client: TestClient, live: Live, headers: dict[str, str]) -> None:
    assert refusal(client, None, **headers) == wire.CLOSE_FOREIGN
    headers |= {"x-rearview-token": live.mint("anna")}
    assert client.post(POST_PATH, content="{}", headers=headers).status_code == 403


def test_our_own_page_and_programs_come_in(client: TestClient, live: Live) -> None:
    for headers in ({"origin": "http://testserver", **BROWSER}, {"user-agent": "python"}):
        with client.websocket_connect(SOCKET_PATH, headers=headers) as socket:
            assert greet(socket, live)["type"] == "hello"


# ---------------------------------------------------------------- what comes in


def bomb(width: int, height: int) -> bytes:
    """A PNG that says that it has so many pixels, in a few bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (4000, 4000), (9000, 9000), (30_000, 30_000)])
def test_a_bomb_is_refused_by_its_header(
    client: TestClient, live: Live, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def decoded(*_: Any) -> None:
        raise AssertionError("the picture was decoded")

    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        monkeypatch.setattr(Image.Image, "convert", decoded)
        socket.send_bytes(frame(3, bomb(*size)))
        news = socket.receive_json()
    assert (news["type"], news["sequence"]) == ("error", 3)
    assert "needed" in news["message"]


def test_a_long_text_in_a_picture_is_never_unpacked() -> None:
    body = b"Comment\0\0" + zlib.compress(bytes(80_000_000))
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    whole = encoded((16, 16), "PNG")
    at = whole.index(b"IDAT") - 4
    tracemalloc.start()
    assert np.array_equal(wire.decode_picture(whole[:at] + chunk + whole[at:]), wire.decode_picture(whole))
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


MALFORMED_WORDS = [
    "",
    "{",
    "[" * 100_000,
    '{"a":' * 10_000,
    '{"type": "set"}',
    '{"type": "set", "settings": null}',
    '{"type": "set", "settings": {"prompt": "\\ud800"}}',
    '{"type": "set", "settings": {"\\ud800": 1}}',
    '{"type": "set", "settings": {"steps": NaN, "seed": 1e999, "strength": "1"}}',
    '{"type": "set", "settings": {"prompt": ' + json.dumps("a" * 300_000) + "}}",
    json.dumps({"type": "set", "settings": {f"name{number}": 1 for number in range(10_000)}}),
    json.dumps({"type": "a" * 100_000}),
    '{"type": {"type": "set"}}',
    '{"type": 1' + "0" * 5000 + "}",
    "\x00",
]


@pytest.mark.parametrize("text", MALFORMED_WORDS, ids=range(len(MALFORMED_WORDS)))
def test_words_that_nobody_says_get_an_answer_of_a_few_words(client: TestClient, live: Live, text: str) -> None:
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        socket.send_text(text)
        socket.send_json({"type": "ping"})
        replies = []
        while not replies or replies[-1] != {"type": "ping"}:
            replies.append(socket.receive_json())
        assert len(replies) > 1
        assert len(json.dumps(replies)) < 6000
    post = Post(client, live.mint("bert"))
    post.say(type="hello")
    headers = {"x-rearview-token": live.mint("bert"), "content-type": "application/json"}
    answer = client.post(POST_PATH, content=text.encode(), headers=headers)
    assert answer.status_code == 200
    assert answer.json()


class Fuzzer:
    """Messages that were whole once: cut, changed, joined and made up, the same ones for a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        pictures = [encoded((9, 7)), encoded((9, 7), "PNG"), encoded((5, 5), "GIF"), bomb(1, 60_000)]
        self._frames = [frame(number, data) for number, data in enumerate(pictures)]
        self._words = [
            json.dumps({"type": "set", "settings": {"steps": 2, "prompt": "oil"}}),
            json.dumps({"type": "reset"}),
            json.dumps({"type": "ping"}),
        ]

    def message(self) -> bytes | str:
        if self._random.random() < 0.7:
            return self._spoilt(self._random.choice(self._frames))
        spoilt = self._spoilt(self._random.choice(self._words).encode())
        return spoilt.decode("utf-8", "replace").replace("bye", "")

    def _spoilt(self, message: bytes) -> bytes:
        spoilt = bytearray(message)
        kind = self._random.randrange(4)
        if kind == 0:
            return bytes(spoilt[: self._random.randrange(len(spoilt))])
        if kind == 1:
            return self._random.randbytes(self._random.randrange(80))
        for _ in range(self._random.randrange(1, 6)):
            spoilt[self._random.randrange(len(spoilt))] = self._random.randrange(256)
        return bytes(spoilt) if kind == 2 else bytes(spoilt) + self._random.randbytes(20)


def test_a_frame_is_decoded_or_refused_with_a_sentence() -> None:
    fuzzer = Fuzzer(seed=10)
    refused = 0
    for message in (fuzzer.message() for _ in range(FUZZED_MESSAGES)):
        try:
            picture = wire.decode_picture(wire.unpack_frame(message if isinstance(message, bytes) else b"").data)
        except wire.WireError as error:
            assert "needed" in str(error)
            refused += 1
        else:
            assert (picture.dtype, picture.ndim) == (np.uint8, 3)
    assert FUZZED_MESSAGES // 2 < refused < FUZZED_MESSAGES


# ---------------------------------------------------------------- on a real server


class RawClient:
    """A WebSocket over a plain TCP socket: it reads when it is told to, and may say half a message."""

    def __init__(self, port: int, receive_buffer: int = 4096) -> None:
        self._socket = sockets.socket()
        self._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(10)
        self._socket.connect(("127.0.0.1", port))
        self._protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}{SOCKET_PATH}"))
        self._events: deque[Any] = deque()
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    def _flush(self) -> None:
        self._socket.sendall(b"".join(self._protocol.data_to_send()))

        while self._protocol.state is not State.OPEN:
            self._protocol.receive_data(self._socket.recv(65536))

    def say(self, text: str) -> None:
        self._protocol.send_text(text.encode())
        self._flush()

    def show(self, message: bytes) -> None:
        self._protocol.send_binary(message)
        self._flush()

    def show_half(self, message: bytes) -> None:
        self._protocol.send_binary(message)
        whole = b"".join(self._protocol.data_to_send())
        self._socket.sendall(whole[: len(whole) // 2])

    def pour(self, messages: list[bytes | str]) -> threading.Thread:
        """Send all of them as fast as they are taken, in a thread of its own; meanwhile nobody else may send."""
        for message in messages:
            if isinstance(message, bytes):
                self._protocol.send_binary(message)
            else:
                self._protocol.send_text(message.encode())
        thread = threading.Thread(target=self._socket.sendall, args=(b"".join(self._protocol.data_to_send()),))
        thread.start()
        return thread

    def read(self) -> Frame:
        """The next message."""
        while True:
            self._events += self._protocol.events_received()
            while self._events:
                event = self._events.popleft()
                if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY):
                    return event
            data = self._socket.recv(65536)
            assert data, "the server closed the connection"
            self._protocol.receive_data(data)

    def greet(self, live: Live, name: str) -> None:
        self.say(json.dumps({"token": live.mint(name)}))
        assert b'"hello"' in bytes(self.read().data)

    def close(self) -> None:
        self._socket.close()


@contextmanager
def serving(live: Live) -> Iterator[int]:
    """A real server at a free port."""
    app = Starlette(routes=live.routes())
    config = uvicorn.Config(app, port=0, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert eventually(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)


def large_picture() -> bytes:
    """A picture whose reply is much larger than itself."""
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=15)
    return buffer.getvalue()


def test_ten_thousand_malformed_messages_are_survived(
    live: Live, engine: StandInEngine, caplog: pytest.LogCaptureFixture
) -> None:
    fuzzer = Fuzzer(seed=20)
    messages = [fuzzer.message() for _ in range(FUZZED_MESSAGES)]
    frames = sum(isinstance(message, bytes) for message in messages)
    answers = 0
    with serving(live) as port, ExitStack() as stack:
        client = RawClient(port, 1 << 20)
        stack.callback(client.close)
        client.greet(live, "fuzzer")
        pouring = client.pour([*messages, frame(123_456_789)])
        last = False
        # Every frame has one answer, be it a picture, a sentence, or that it was dropped.
        while not last or answers <= frames:
            reply = client.read()
            is_picture = reply.opcode is Opcode.BINARY
            news = {"sequence": unpacked(bytes(reply.data))[3]} if is_picture else json.loads(bytes(reply.data))
            answers += "sequence" in news
            last = last or news.get("sequence") == 123_456_789
        pouring.join()
        assert live.visitors == 1
    assert answers == frames + 1
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []
    assert len(engine.sessions) == 1


def test_a_reader_that_never_reads_holds_up_nobody_and_is_let_go(
    live: Live, engine: StandInEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "READER_PATIENCE_S", 0.3)
    with serving(live) as port, ExitStack() as stack:
        silent, lively = RawClient(port), RawClient(port, 1 << 20)
        stack.callback(silent.close)
        stack.callback(lively.close)
        silent.greet(live, "silent")
        lively.greet(live, "lively")
        picture = large_picture()
        for sequence in range(200):
            try:
                silent.show(frame(sequence, picture))
            except OSError:
                break
            lively.show(frame(sequence))
            assert unpacked(bytes(lively.read().data))[3] == sequence
            if "silent" not in live.reception.visitors:
                break
            time.sleep(0.01)
        assert eventually(lambda: "silent" not in live.reception.visitors)
        assert engine.sessions[0].closed
        lively.show(frame(1000))
        assert unpacked(bytes(lively.read().data))[3] == 1000


def test_half_a_message_is_nobody_s_trouble(live: Live, engine: StandInEngine) -> None:
    with serving(live) as port, ExitStack() as stack:
        half, whole = RawClient(port), RawClient(port)
        stack.callback(half.close)
        stack.callback(whole.close)
        half.greet(live, "half")
        whole.greet(live, "whole")
        half.show_half(frame(1, large_picture()))
        whole.show(frame(2))
        assert unpacked(bytes(whole.read().data))[3] == 2
        half.close()
        assert eventually(lambda: engine.sessions[0].closed)
        assert engine.sessions[0].settings == []


def silent_crowd(stack: ExitStack, client: TestClient, *addresses: str) -> list[Any]:
    """Sockets of these addresses that are open and say nothing, in their order."""
    return [
        stack.enter_context(client.websocket_connect(SOCKET_PATH, headers={"x-forwarded-for": address}))
        for address in addresses
    ]


@pytest.fixture
def narrow(engine: StandInEngine) -> Iterator[tuple[TestClient, Live]]:
    """An app behind a proxy with room for three greetings, for two of one address."""
    limits = HostLimits(queue_length=0, grace_seconds=0.1, greetings=3, greetings_per_address=2)
    live = Live(engine, limits, behind_proxy=True)  # type: ignore[arg-type]
    with TestClient(Starlette(routes=live.routes())) as client:
        yield client, live
    live.close()


def closed_with(socket: Any) -> int:
    return int(socket.receive()["code"])


def test_a_crowd_that_says_nothing_keeps_nobody_out(narrow: tuple[TestClient, Live]) -> None:
    client, live = narrow
    with ExitStack() as stack:
        crowd = silent_crowd(stack, client, "1.1.1.1", "1.1.1.1", "1.1.1.2")
        honest = stack.enter_context(client.websocket_connect(SOCKET_PATH, headers={"x-forwarded-for": "9.9.9.9"}))
        assert greet(honest, live)["type"] == "hello"
        assert closed_with(crowd[0]) == wire.CLOSE_AGAIN
        assert len(live._greetings) == 2
    assert eventually(lambda: len(live._greetings) == 0)


def test_an_address_with_its_share_of_greetings_makes_room_for_itself(narrow: tuple[TestClient, Live]) -> None:
    client, live = narrow
    with ExitStack() as stack:
        crowd = silent_crowd(stack, client, "2001:db8::1", "2001:db8::2", "2001:db8::3")
        assert closed_with(crowd[0]) == wire.CLOSE_AGAIN
        assert greet(crowd[1], live)["type"] == "hello"
        assert greet(crowd[2], live)["type"] == "hello"


def test_who_says_nothing_is_sent_away_in_time(
    narrow: tuple[TestClient, Live], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, live = narrow
    monkeypatch.setattr("demo.live.greetings.FIRST_MESSAGE_S", 0.05)
    with ExitStack() as stack:
        assert closed_with(silent_crowd(stack, client, "1.1.1.1")[0]) == wire.CLOSE_TOKEN
        assert len(live._greetings) == 0
