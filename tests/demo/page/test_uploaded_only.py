"""No route and no event of the page makes the server fetch what a caller names."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from demo.live.doors.closed_routes import closed_routes
from demo.page import page
from demo.page.uploaded_only import file_paths
from demo.words import word
from pipeline.engine.sizes import Sizes
from pipeline.settings import FrameSettings

pytestmark = [
    # Gradio's queue counts with options of pandas that this pandas calls deprecated.
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
    # It leaves the socket with which it looks for a free port to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning"),
]

SENTENCE = word("doors.no_address")


class Outside:
    """A stranger's server, and what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        outside = self

        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outside.asked.append(self.path)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.address = f"http://127.0.0.1:{self._server.server_port}/a.png"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    """Where every address counts as public, as a stranger's would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("safehttpx.is_public_ip", lambda ip: True)
        server = Outside()
        yield server
        server.close()


@dataclass
class Served:
    """A page that listens, and what it says of itself."""

    client: httpx.Client
    config: dict[str, Any]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    entry = SimpleNamespace(defaults=FrameSettings(), guides=True, distillation="lcm", subjects=())
    model = SimpleNamespace(entry=entry, title="A model")
    engine = SimpleNamespace(
        model=model, control_name=None, adapter_name=None, memory_name="none", memory_names=("none",), sizes=Sizes(8)
    )
    blocks = page.build(SimpleNamespace(mint=lambda *_: "", leave=str, address_of=str, engine=engine, sure_guess=None))  # type: ignore[arg-type]
    _, url, _ = blocks.launch(
        prevent_thread_lock=True,
        quiet=True,
        server_name="127.0.0.1",
        ssr_mode=False,
        run_history=False,
        app_kwargs={"routes": closed_routes()},
    )
    with httpx.Client(base_url=url, timeout=20) as client:
        yield Served(client, client.get("config").json())
    blocks.close(verbose=False)


def named(address: str) -> dict[str, Any]:
    """A file as a client names one, whose path is an address."""
    return {"path": address, "url": address, "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}}


def ending(served: Served, session: str) -> str:
    """The error with which the queued event of a session ends."""
    with served.client.stream("GET", "gradio_api/queue/data", params={"session_hash": session}) as lines:
        messages = [json.loads(line[5:]) for line in lines.iter_lines() if line.startswith("data:")]
    return next(str(each["output"]["error"]) for each in messages if each["msg"] == "process_completed")


def error_of(served: Served, event: dict[str, Any], value: Any) -> str:
    """The error that an event ends with that gets `value` for each of its inputs, by the way that it is open to."""
    session = f"event {event['id']}"
    asked = {"fn_index": event["id"], "data": [value for _ in event["inputs"]], "session_hash": session}
    if not event["queue"] and event["queue"] is not None:
        return str(served.client.post("gradio_api/run/predict", json=asked).json()["error"])
    assert served.client.post("gradio_api/queue/join", json=asked).status_code == 200
    return ending(served, session)


def test_no_event_of_the_page_fetches_an_address(served: Served, outside: Outside) -> None:
    events = [each for each in served.config["dependencies"] if each["inputs"]]
    assert len(events) > 40
    for value in (named(outside.address), [{"value": named(outside.address.replace("http", " HTTP"))}]):
        assert {error_of(served, event, value) for event in events} == {SENTENCE}
    assert outside.asked == []


@pytest.mark.parametrize("route", ["call", "call/v2"])
@pytest.mark.parametrize("name", ["picture", "frames", "video"])
def test_a_script_s_call_with_an_address_ends_with_the_sentence(
    served: Served, outside: Outside, route: str, name: str
) -> None:
    path = f"gradio_api/{route}/translate_{name}"
    file = [named(outside.address)] if name == "frames" else named(outside.address)
    begun = served.client.post(path, json={name: file} if route == "call/v2" else {"data": [file]}).json()
    assert SENTENCE in served.client.get(f"{path}/{begun['event_id']}").text
    assert outside.asked == []


def test_nobody_has_a_recording_cut(served: Served) -> None:
    answer = served.client.post("gradio_api/process_recording", files={"video": ("a.webm", b"none")})
    assert (answer.status_code, answer.text) == (403, word("doors.recordings"))


@pytest.mark.parametrize("kind", ["file", "proxy"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_route_passes_on_what_lies_at_an_address(served: Served, outside: Outside, kind: str, method: str) -> None:
    answer = served.client.request(method, f"gradio_api/{kind}={outside.address}")
    assert answer.status_code == 403
    assert outside.asked == []
    assert answer.text == (SENTENCE if method == "GET" else "")


def test_files_are_found_at_any_depth() -> None:
    deep: Any = {"path": "x"}
    for _ in range(10_000):
        deep = [deep]
    assert list(file_paths([deep, {"value": [{"path": "y"}], "path": 3}, "http://a"])) == ["y", "x"]
