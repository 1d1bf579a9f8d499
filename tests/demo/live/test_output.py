"""The clean output page: whose pictures stand at which address, for how long, and that a slow watcher stops nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from demo.live import output, wire
from demo.live.limits import HostLimits
from demo.live.live import SOCKET_PATH, Live
from demo.live.output import OUTPUT_PATH, PICTURE_NUMBER_HEADER, Output, key_of
from demo.words import word
from tests.support.standin import Post, StandInEngine, encoded, eventually, frame, greet

MAGIC = b"\xff\xd8"
SECRET = "A" * 43


class Host:
    """A served `Live`, its visitors, and who watches them."""

    def __init__(self, stack: ExitStack, **limits: Any) -> None:
        self.live = Live(StandInEngine(), HostLimits(**{"grace_seconds": 0.0, **limits}))  # type: ignore[arg-type]
        stack.callback(self.live.close)
        app = Starlette(routes=self.live.routes())
        self.client = stack.enter_context(TestClient(app))
        self._stack = stack

    def visitor(self, name: str) -> WebSocketTestSession:
        socket = self._stack.enter_context(self.client.websocket_connect(SOCKET_PATH))
        assert greet(socket, self.live, name)["type"] == "hello"
        return socket

    def watcher(self, key: str, **headers: str) -> WebSocketTestSession:
        address = f"{OUTPUT_PATH}/{key}/live"
        return self._stack.enter_context(self.client.websocket_connect(address, headers=headers))

    def get(self, key: str, rest: str = "") -> Any:
        return self.client.get(f"{OUTPUT_PATH}/{key}{rest}")


@pytest.fixture
def house() -> Iterator[Callable[..., Host]]:
    with ExitStack() as stack:
        yield lambda **limits: Host(stack, **limits)


def asked(socket: WebSocketTestSession, **more: Any) -> dict[str, Any]:
    """The address that a visitor gets who asks for one."""
    socket.send_json({"type": "output", **more})
    while (news := socket.receive_json())["type"] != "output":
        pass
    return news


def painted(socket: WebSocketTestSession, sequence: int, value: int) -> bytes:
    """The JPEG that the visitor gets for a grey frame."""
    socket.send_bytes(frame(sequence, encoded(value=value)))
    while (message := socket.receive()).get("bytes") is None:
        pass
    return bytes(message["bytes"][wire.PICTURE_HEADER.size :])


def closing(socket: WebSocketTestSession) -> tuple[int, str]:
    with pytest.raises(WebSocketDisconnect) as closed:
        while True:
            socket.receive_bytes()
    return closed.value.code, closed.value.reason


def test_who_watches_gets_the_very_jpeg_of_the_visitor(house: Callable[..., Host]) -> None:
    host = house()
    anna = host.visitor("anna")
    watcher = host.watcher(asked(anna)["key"])
    for sequence in (1, 2, 3):
        assert painted(anna, sequence, 40 * sequence) == watcher.receive_bytes()


def test_nobody_ever_sees_the_pictures_of_another_visitor(house: Callable[..., Host]) -> None:
    host = house()
    anna, bert = host.visitor("anna"), host.visitor("bert")
    of_anna, of_bert = asked(anna)["key"], asked(bert)["key"]
    assert of_anna != of_bert
    watchers = {"anna": host.watcher(of_anna), "bert": host.watcher(of_bert)}
    for sequence in range(1, 6):
        mine, theirs = painted(anna, sequence, 10), painted(bert, sequence, 250)
        assert mine != theirs
        assert watchers["anna"].receive_bytes() == mine
        assert watchers["bert"].receive_bytes() == theirs


def test_who_comes_later_sees_the_newest_picture_at_once(house: Callable[..., Host]) -> None:
    host = house()
    anna = host.visitor("anna")
    key = asked(anna)["key"]
    painted(anna, 1, 10)
    newest = painted(anna, 2, 200)
    assert host.watcher(key).receive_bytes() == newest


def test_the_visitor_hears_how_many_watch(house: Callable[..., Host]) -> None:
    host = house()
    anna = host.visitor("anna")
    key = asked(anna)["key"]
    watcher = host.watcher(key)
    assert anna.receive_json() == {"type": "watched", "by": 1}
    assert asked(anna)["by"] == 1
    watcher.close()
    assert anna.receive_json() == {"type": "watched", "by": 0}


def test_no_more_watch_than_may(house: Callable[..., Host]) -> None:
    host = house(watchers=1)
    anna = host.visitor("anna")
    key = asked(anna)["key"]
    host.watcher(key)
    assert anna.receive_json()["by"] == 1
    assert closing(host.watcher(key)) == (wire.CLOSE_FULL, word("output.full"))
    assert host.get(key, "/picture").status_code == 429
    assert painted(anna, 1, 10).startswith(MAGIC)


def test_a_host_may_have_no_output_pages(house: Callable[..., Host]) -> None:
    news = asked(house(watchers=0).visitor("anna"))
    assert (news["key"], news["message"]) == (None, word("output.none"))


def test_a_visit_that_ends_ends_its_output(house: Callable[..., Host]) -> None:
    host = house()
    anna = host.visitor("anna")
    key = asked(anna)["key"]
    watcher = host.watcher(key)
    anna.send_json({"type": "bye"})
    assert closing(watcher) == (wire.CLOSE_OVER, word("output.ended"))
    assert host.get(key).status_code == 404
    assert closing(host.watcher(key)) == (wire.CLOSE_GONE, word("output.gone"))


def test_a_link_can_be_taken_back(house: Callable[..., Host]) -> None:
    host = house()
    anna = host.visitor("anna")
    first = asked(anna)["key"]
    watcher = host.watcher(first)
    assert asked(anna, on=False)["key"] is None
    assert closing(watcher)[0] == wire.CLOSE_OVER
    assert asked(anna)["key"] != first
    assert host.get(first, "/picture").text == word("output.gone")


def test_a_page_that_was_reloaded_shows_at_its_old_address(house: Callable[..., Host]) -> None:
    host = house()
    anna = host.visitor("anna")
    before = asked(anna)
    anna.send_json({"type": "bye"})
    assert eventually(lambda: host.live.visitors == 0)
    again = host.visitor("anna, reloaded")
    assert asked(again, secret=before["secret"])["key"] == before["key"]
    assert asked(again)["key"] == before["key"]
    watcher = host.watcher(before["key"])
    assert painted(again, 1, 90) == watcher.receive_bytes()


def test_the_newest_page_of_a_secret_has_the_address(house: Callable[..., Host]) -> None:
    host = house()
    anna = host.visitor("anna")
    first = asked(anna, secret=SECRET)
    watcher = host.watcher(first["key"])
    second_window = host.visitor("anna, second window")
    assert asked(second_window, secret=SECRET)["key"] == first["key"]
    assert closing(watcher) == (wire.CLOSE_OVER, word("output.newer"))
    watcher = host.watcher(first["key"])
    painted(anna, 1, 10)
    assert painted(second_window, 1, 250) == watcher.receive_bytes()


@pytest.mark.parametrize("secret", [None, 7, "", "short", "A" * 44, "é" * 43, ["A" * 43]])
def test_a_secret_of_another_form_is_not_taken(house: Callable[..., Host], secret: object) -> None:
    news = asked(house().visitor("anna"), secret=secret)
    assert news["secret"] != secret
    assert len(news["secret"]) == 43
    assert news["key"] == key_of(news["secret"])


def test_the_address_does_not_tell_the_secret(house: Callable[..., Host]) -> None:
    news = asked(house().visitor("anna"), secret=SECRET)
    assert news["secret"] == SECRET
    assert SECRET[:8] not in news["key"]
    assert len(news["key"]) == 32


def test_another_site_cannot_watch(house: Callable[..., Host]) -> None:
    host = house()
    key = asked(host.visitor("anna"))["key"]
    with pytest.raises(WebSocketDisconnect) as refused:
        host.watcher(key, origin="https://elsewhere.example")
    assert refused.value.code == wire.CLOSE_FOREIGN


def test_a_watcher_has_nothing_to_say(house: Callable[..., Host]) -> None:
    host = house()
    anna = host.visitor("anna")
    watcher = host.watcher(asked(anna)["key"])
    assert anna.receive_json()["by"] == 1
    watcher.send_text("hello")
    assert anna.receive_json() == {"type": "watched", "by": 0}


def test_pictures_come_one_by_one_where_no_socket_gets_through(house: Callable[..., Host]) -> None:
    host = house()
    anna = host.visitor("anna")
    key = asked(anna)["key"]
    picture = painted(anna, 1, 30)
    answer = host.get(key, "/picture")
    assert (answer.content, answer.headers["content-type"]) == (picture, "image/jpeg")
    assert answer.headers["cache-control"] == "no-store"
    newer = painted(anna, 2, 220)
    answer = host.get(key, f"/picture?after={answer.headers[PICTURE_NUMBER_HEADER]}")
    assert answer.content == newer


def test_nothing_new_is_an_answer_too(house: Callable[..., Host], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "POLL_S", 0.05)
    host = house()
    anna = host.visitor("anna")
    key = asked(anna)["key"]
    assert host.get(key, "/picture").status_code == 204
    painted(anna, 1, 30)
    assert host.get(key, "/picture?after=1").status_code == 204
    assert host.get(key, "/picture?after=nonsense").status_code == 200


def test_a_visitor_who_posts_has_an_output_too(house: Callable[..., Host]) -> None:
    host = house()
    anna = Post(host.client, host.live.mint("anna"))
    anna.say(type="hello")
    [news] = anna.say(type="output").json()
    assert news["by"] is None
    watcher = host.watcher(news["key"])
    reply = anna.send(frame(1)).content
    assert watcher.receive_bytes() == reply[wire.PICTURE_HEADER.size :]


def test_the_page_is_bare_and_keeps_its_address_to_itself(house: Callable[..., Host]) -> None:
    host = house()
    key = asked(host.visitor("anna"))["key"]
    answer = host.get(key)
    assert answer.status_code == 200
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "<button" not in answer.text and "<a " not in answer.text
    assert key not in answer.text
    script = answer.text.split('src="../../')[1].split('"')[0]
    assert host.client.get(f"/{script}").status_code == 200
    assert host.get("x" * 32).text == answer.text


def test_a_slow_watcher_keeps_the_newest_picture_alone() -> None:
    counts: list[int] = []
    kept = Output(SECRET, 4, counts.append)
    for number in (1, 2, 4, 3):
        kept.show(number, bytes([number]))
    waiting = kept.other_than(0)
    with pytest.raises(StopIteration) as newest:
        waiting.send(None)
    assert (newest.value.value.number, newest.value.value.jpeg) == (4, b"\x04")
    with kept.watching():
        assert counts == [1]
    assert counts == [1, 0]
