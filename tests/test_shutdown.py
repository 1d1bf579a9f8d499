"""The real app: its way in with and without a login, and its end by a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from demo.live import wire
from demo.live.live import SOCKET_PATH
from tests.support.served import ROOT, App, token_of
from tests.support.standin import frame, unpacked

OPEN = ("--visitors", "1")
GUARDED = (*OPEN, "--auth", "anna:secret")
WAITS = """
import threading, time
from app import end_on_signals, wait_until
stopped = threading.Event()
end_on_signals(stopped)
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("waits", flush=True)
wait_until(stopped)
"""
BEHIND_A_DEAD_PROXY = {"http_proxy": "http://127.0.0.1:9", "all_proxy": "socks5://127.0.0.1:9"}
CREDENTIALS = {"username": "anna", "password": "secret"}


@pytest.fixture(scope="module")
def app(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[App]:
    """The last test of each ends it."""
    log = tmp_path_factory.mktemp("app") / "app.log"
    served = App(log, *request.param, model=str(tiny_folder), environment=BEHIND_A_DEAD_PROXY)
    served.start()
    yield served
    served.kill()


@contextmanager
def page_of(app: App, client: httpx.Client, name: str) -> Iterator[ClientConnection]:
    """A socket of the page `name`, connected as its page does it."""
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    headers = {"cookie": cookies} if cookies else {}
    with connect(f"ws://127.0.0.1:{app.port}{SOCKET_PATH}", additional_headers=headers) as socket:
        socket.send(json.dumps({"token": token_of(client, name)}))
        yield socket


def closing(socket: ClientConnection) -> tuple[int, str]:
    """How a socket is closed, after whatever is said before."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            socket.recv(timeout=10)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


@pytest.mark.parametrize("app", [GUARDED], indirect=True)
def test_a_clean_start_prints_our_lines_alone(app: App) -> None:
    lines = app.log().splitlines()
    assert lines and all(line.startswith("Rearview ") for line in lines), lines


@pytest.mark.parametrize("app", [GUARDED], indirect=True)
def test_a_login_covers_the_wire(app: App) -> None:
    with httpx.Client(base_url=app.url) as stranger:
        assert stranger.get("config").status_code == 401
        with httpx.Client(base_url=app.url) as client:
            client.post("login", data=CREDENTIALS).raise_for_status()
            with page_of(app, client, "anna") as anna:
                assert json.loads(anna.recv(timeout=10))["type"] == "hello"
            token = token_of(client, "anna")
        with connect(f"ws://127.0.0.1:{app.port}{SOCKET_PATH}") as socket:
            socket.send(json.dumps({"token": token}))
            assert closing(socket)[0] == wire.CLOSE_TOKEN


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a thread be named that gets a signal")
def test_a_signal_that_reaches_another_thread_ends_the_wait() -> None:
    with subprocess.Popen([sys.executable, "-c", WAITS], cwd=ROOT, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None and program.stdout.readline() == b"waits\n"
        (other,) = {int(each) for each in os.listdir(f"/proc/{program.pid}/task")} - {program.pid}
        os.kill(other, signal.SIGTERM)
        try:
            assert program.wait(10) == 0
        finally:
            program.kill()


@pytest.mark.parametrize(
    ("app", "credentials", "how"),
    [(GUARDED, CREDENTIALS, signal.SIGINT), (OPEN, None, signal.SIGTERM)],
    indirect=["app"],
)
def test_a_signal_ends_the_app_and_tells_the_pages(
    app: App, credentials: dict[str, str] | None, how: signal.Signals
) -> None:
    with httpx.Client(base_url=app.url) as client:
        if credentials is not None:
            client.post("login", data=credentials).raise_for_status()
        with page_of(app, client, "anna") as anna, page_of(app, client, "bert") as bert:
            assert json.loads(anna.recv(timeout=10))["type"] == "hello"
            assert json.loads(bert.recv(timeout=10))["type"] == "queue"
            anna.send(frame(1))
            assert unpacked(bytes(anna.recv(timeout=30)))[3] == 1
            assert client.get("healthz").json() == {"status": "ok"}
            assert "rearview_visitors 1.0" in client.get("metrics").text
            anna.send(frame(2))
            status = app.stop(how)
            code, sentence = closing(anna)
            assert (code, "comes back by itself" in sentence) == (wire.CLOSE_AGAIN, True)
            assert closing(bert)[0] == wire.CLOSE_AGAIN
    assert status == 0
    assert "Traceback" not in app.log()
