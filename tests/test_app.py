"""The command line: what it takes, what it refuses, and that a refusal is a sentence."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import gradio
import gradio.http_server
import pytest
from starlette.testclient import TestClient

import app
from demo.live import wire
from demo.live.live import HEALTH_PATH, SOCKET_PATH
from demo.page import page
from pipeline.models.catalogue import FewSteps
from pipeline.models.load import Precision
from tests.support.served import free_port

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def garbage_is_looked_for_again() -> Iterator[None]:
    """A start that fails ends its process; here the process goes on."""
    yield
    gc.enable()


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    arguments = app.parse([])
    assert (arguments.model, arguments.offline) == ("auto", False)
    assert (arguments.memory, arguments.memory_weights) == ("feature-bank", None)
    assert (arguments.host, arguments.port) == ("127.0.0.1", 7860)
    assert (arguments.share, arguments.auth) == (False, None)
    assert (arguments.control, arguments.control_picture) == (None, None)
    assert arguments.few_steps == "auto"
    assert [app.parse(["--few-steps", each]).few_steps for each in get_args(FewSteps)] == list(get_args(FewSteps))
    assert arguments.precision == "auto"
    assert [app.parse(["--precision", each]).precision for each in get_args(Precision)] == list(get_args(Precision))
    assert arguments.graphs == "auto" and app.parse(["--graphs", "off"]).graphs == "off"


def test_on_spaces_every_address_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "somebody/rearview")
    assert app.parse([]).host == "0.0.0.0"


def test_credentials_may_hold_a_colon() -> None:
    assert app.parse(["--auth", "anna:a:b"]).auth == ("anna", "a:b")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "http"], "from 1 to 65535"),
        (["--port", "70000"], "from 1 to 65535"),
        (["--auth", "anna"], "USER:PASSWORD"),
        (["--auth", ":secret"], "USER:PASSWORD"),
        (["--colour", "red"], "unrecognized arguments"),
        (["--graphs", "on"], "invalid choice"),
        (["--precision", "int8"], "invalid choice"),
    ],
)
def test_a_wrong_argument_gets_a_sentence(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        app.parse(arguments)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


@pytest.fixture
def lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends the tests, and what they may ask for, stays as it is when the program runs in this process."""
    monkeypatch.setattr(app.signal, "signal", lambda *_: None)
    monkeypatch.setattr(app.atexit, "register", lambda *_: None)
    for name in ("GRADIO_ANALYTICS_ENABLED", "FORWARDED_ALLOW_IPS", "HF_HUB_OFFLINE"):
        # What the program sets is put back, because this was set before.
        monkeypatch.setenv(name, os.environ.get(name, "False"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nobody/nothing", "--offline"], "--offline forbids the net"),
        (["--control", "sketch-sd15", "--offline"], "reads the drawing itself"),
        (["--memory", "no-such-memory"], "one of"),
    ],
)
def test_a_refusal_ends_the_program_with_a_sentence(
    lasting: None, arguments: list[str], words: str, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        app.main(["--model", str(tiny_folder), *arguments])
    assert stopped.value.code == 1
    said = capsys.readouterr().err
    assert "Rearview cannot start" in said
    assert "needed" in said and words in said


def test_the_app_keeps_as_few_closed_pages_as_the_page_says(
    lasting: None, monkeypatch: pytest.MonkeyPatch, tiny_folder: Path
) -> None:
    asked: dict[str, Any] = {}

    def launch(blocks: gradio.Blocks, **options: Any) -> None:
        asked.update(options)
        raise OSError("enough")

    monkeypatch.setattr(gradio.Blocks, "launch", launch)
    with pytest.raises(SystemExit):
        app.main(["--model", str(tiny_folder), "--port", str(free_port())])
    assert asked["state_session_capacity"] == page.KEPT_PAGES


def test_health_and_the_wire_are_there_before_the_server_is(
    lasting: None, monkeypatch: pytest.MonkeyPatch, tiny_folder: Path
) -> None:
    health: list[int] = []
    closed: list[int] = []

    def start_server(app: Any, **options: Any) -> None:
        client = TestClient(app)
        health.append(client.get(HEALTH_PATH).status_code)
        with client.websocket_connect(SOCKET_PATH) as socket:
            socket.send_json({"token": "a guess"})
            closed.append(socket.receive()["code"])
        raise OSError("enough")

    monkeypatch.setattr(gradio.http_server, "start_server", start_server)
    with pytest.raises(SystemExit):
        app.main(["--model", str(tiny_folder), "--port", str(free_port())])
    assert (health, closed) == ([200], [wire.CLOSE_TOKEN])


@pytest.mark.parametrize("stdout", [None, "/dev/full"])
def test_nobody_who_reads_is_no_reason_to_end(stdout: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(stdout, "w") if stdout else contextlib.nullcontext() as place:
        monkeypatch.setattr(sys, "stdout", place)
        app.say("Rearview is open.")
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            place and place.close()


def test_importing_the_door_opens_nothing() -> None:
    code = "import sys, app; assert not {'torch', 'gradio', 'demo', 'pipeline'} & set(sys.modules), sorted(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
