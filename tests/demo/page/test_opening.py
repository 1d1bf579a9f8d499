"""Whatever surrounds the app when it opens its page: it opens, or a sentence names what stands in the way."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from demo.page import opening
from demo.page.opening import StartError, check_address, check_folder, opened, sheltered
from tests.support.served import free_port


@pytest.fixture
def taken() -> Any:
    """A port of the loopback that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "nonsense", "foo://x:y"])
@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_no_proxy_stands_between_the_app_and_itself(name: str, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("no_proxy", "example.org")

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with sheltered():
            assert httpx.get(f"http://127.0.0.1:{server.server_port}/").status_code == 204
    assert os.environ["no_proxy"] == "example.org" and "NO_PROXY" not in os.environ


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_that_are_not_there_are_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "/nonexistent")
    with pytest.raises(StartError, match=f"{name} names /nonexistent"), sheltered():
        pass


@pytest.mark.parametrize(
    "error", [ValueError("invalid 'abc'"), PermissionError(13, "no"), httpx.ConnectError("no"), Exception("code 502")]
)
def test_what_gradio_reads_of_the_environment_is_named(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_NUM_WORKERS", "abc")
    with pytest.raises(StartError, match=r"It reads .*GRADIO_NUM_WORKERS"), sheltered():
        raise error


def test_a_fault_of_our_own_stays_one() -> None:
    with pytest.raises(ZeroDivisionError), sheltered():
        raise ZeroDivisionError


def test_a_folder_that_cannot_be_written_to_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "file" / "x"))
    with pytest.raises(StartError, match=r"GRADIO_TEMP_DIR names .*file/x.* cannot be written to"):
        check_folder()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "fresh" / "x"))
    check_folder()


def test_somebody_elses_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gradio").touch()
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    monkeypatch.setattr(opening.tempfile, "gettempdir", lambda: str(tmp_path))
    with pytest.raises(StartError, match=f"{tmp_path}/gradio, where Gradio keeps files.*variable GRADIO_TEMP_DIR"):
        check_folder()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", "::1", "[::1]"])
def test_a_taken_port_gets_our_own_advice(host: str, taken: int) -> None:
    with pytest.raises(StartError, match=rf"port {taken} on .* is taken by another program.*another --port") as raised:
        check_address(host, taken)
    assert "launch()" not in str(raised.value) and "server_port" not in str(raised.value)


@pytest.mark.parametrize("host", ["192.0.2.1", "nobody.invalid", "999.1.1.1", "2001:db8::1", "a" * 70])
def test_an_address_that_is_not_ours_is_named(host: str) -> None:
    with pytest.raises(StartError, match=f"--host {host} is no address of this machine"):
        check_address(host, free_port())


@pytest.mark.parametrize(
    ("host", "name"), [("::1", "[::1]"), ("[::1]", "[::1]"), ("::", "[::]"), ("127.0.0.1", "127.0.0.1")]
)
def test_gradio_is_told_an_ipv6_address_in_brackets(host: str, name: str) -> None:
    asked: dict[str, Any] = {}
    free = free_port()

    def launch(**options: Any) -> tuple[None, str, None]:
        asked.update(options)
        return None, f"http://{name}:{free}/", None

    address = opened(SimpleNamespace(launch=launch), [], host=host, port=free, middleware=[])
    assert (asked["server_name"], address) == (name, f"http://{name}:{free}/")


def test_looking_at_the_surroundings_imports_no_gradio() -> None:
    code = "import sys, demo.page.opening; assert not {'torch', 'gradio', 'httpx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
