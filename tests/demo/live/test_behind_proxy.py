"""The app behind a reverse proxy with a prefix, as a Space, and with what Spaces set from outside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from demo.live.live import POST_PATH, SOCKET_PATH, TOKEN_HEADER
from tests.support.proxy import Proxy, proxied
from tests.support.served import App, token_of
from tests.support.standin import frame, unpacked

PREFIX = "/paint"
OUTSIDE = {
    "SYSTEM": "spaces",
    "SPACE_ID": "anna/rearview",
    "SPACE_HOST": "anna-rearview.hf.space",
    "GRADIO_SSR_MODE": "True",
    "GRADIO_ROOT_PATH": PREFIX,
}


@pytest.fixture(scope="module")
def app(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    log = tmp_path_factory.mktemp("proxied") / "app.log"
    served = App(log, "--visitors", "3", environment={**OUTSIDE, "REARVIEW_MODEL": str(tiny_folder)})
    served.start()
    yield served
    served.stop()


@pytest.fixture
def proxy(app: App) -> Iterator[Proxy]:
    with proxied(app.port, PREFIX) as listening:
        yield listening


def test_the_page_finds_its_parts_under_the_prefix(proxy: Proxy) -> None:
    with httpx.Client(base_url=proxy.url, timeout=30) as client:
        page = client.get("")
        assert page.status_code == 200 and f"127.0.0.1:{proxy.port}{PREFIX}" in page.text
        assert client.get("config").json()["root"] == proxy.url.rstrip("/")
        assert client.get("healthz").json() == {"status": "ok"}


def test_a_frame_is_painted_over_a_socket(proxy: Proxy) -> None:
    address = proxy.url.rstrip("/").replace("http", "ws") + SOCKET_PATH
    # As a browser says it, on the page itself and on the Space's own host.
    for origin in (f"http://127.0.0.1:{proxy.port}", "https://anna-rearview.hf.space"):
        with httpx.Client(base_url=proxy.url, timeout=30) as client, connect(address, origin=origin) as socket:
            socket.send(json.dumps({"token": token_of(client, "anna")}))
            assert json.loads(socket.recv(timeout=20))["type"] == "hello"
            socket.send(frame(1))
            assert unpacked(bytes(socket.recv(timeout=60)))[3] == 1


def test_a_frame_is_painted_over_post(proxy: Proxy) -> None:
    with httpx.Client(base_url=proxy.url, timeout=60) as client:
        headers = {TOKEN_HEADER: token_of(client, "bert")}
        said = client.post(POST_PATH.lstrip("/"), json={"type": "hello"}, headers=headers)
        assert said.json()[0]["type"] == "hello"
        painted = client.post(POST_PATH.lstrip("/"), content=frame(1), headers=headers)
        assert unpacked(painted.content)[3] == 1


def test_pages_of_other_hosts_are_still_refused(proxy: Proxy) -> None:
    with httpx.Client(base_url=proxy.url, timeout=30) as client:
        answer = client.post(POST_PATH.lstrip("/"), json={}, headers={"origin": "https://elsewhere.example"})
    assert answer.status_code == 403
