"""The command line: what it takes, what it refuses, and that a refusal is a sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import app

ROOT = Path(__file__).resolve().parent.parent


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    arguments = app.parse([])
    assert (arguments.model, arguments.memory, arguments.memory_weights) == ("embedded", "feature-bank", None)
    assert (arguments.host, arguments.port) == ("127.0.0.1", 7860)
    assert (arguments.share, arguments.auth) == (False, None)


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
    ],
)
def test_a_wrong_argument_gets_a_sentence(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        app.parse(arguments)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--model", "no-such-model"], ["--memory", "no-such-memory"]])
def test_what_is_not_there_gets_a_sentence(arguments: list[str], tiny_folder: Path) -> None:
    command = [sys.executable, "app.py", "--model", str(tiny_folder), *arguments]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 1
    assert "Rearview cannot start" in finished.stderr
    assert "needed" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_importing_the_door_opens_nothing() -> None:
    code = "import sys, app; assert not {'torch', 'gradio', 'demo', 'pipeline'} & set(sys.modules), sorted(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
