"""The real app in a process of its own, at a free port, and the way in that its page takes."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from demo.live.limits import variable_of
from tests.support.started import Fork, Program, Started, has_forks

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 240.0


class App:
    """The app as a person starts it: `python app.py`. It can be stopped and started again at the same port."""

    def __init__(
        self,
        log: Path,
        *options: str,
        model: str | None = None,
        folder: Path = ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`folder` holds the app, `environment` is added to ours; a model that it names is taken. Calls are compiled
        only where `options` say so: each app would do it beside the test. With a folder or an environment of its own it
        is a Python of its own, as a person starts it."""
        # A picture that comes by itself is one too many for who counts them: a test that wants it says so.
        still = {variable_of("finer_seconds"): "0"}
        self._folder, self._environment = folder, {**still, **os.environ, **(environment or {})}
        self._is_forked = has_forks() and folder == ROOT and environment is None
        self._arguments = [*([] if "--graphs" in options else ["--graphs", "off"]), *options]
        if "REARVIEW_MODEL" not in self._environment:
            self._arguments += ["--model", model or os.environ.get("REARVIEW_TEST_MODEL", "embedded")]
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._log = log
        self._process: Started | None = None

    def start(self) -> None:
        """Start the app and wait until its page and its wire answer."""
        arguments = [*self._arguments, "--port", str(self.port)]
        self._process = (
            Fork(arguments, self._log, self._environment)
            if self._is_forked
            else Program(arguments, self._log, self._folder, self._environment)
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(f"{self.url}healthz"):
            if self._process.ended(0.1) is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail(f"the app did not start: {self.log()[-2000:]}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop the app as a service manager does; its exit status."""
        assert self._process is not None
        status = self._process.ended(0)
        if status is None:
            self._process.send(how)
            status = self._process.ended(20)
        if status is None:
            # Its threads say in the log where they are.
            self._process.send(signal.SIGABRT)
            self._process.ended(10)
            pytest.fail(f"the app did not stop: {self.log()[-6000:]}")
        return status

    def log(self) -> str:
        """What the app has written."""
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """End the app without any goodbye, as a crash does."""
        self.stop(signal.SIGKILL)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Whether somebody answers at `url` that all is well."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def token_of(client: httpx.Client, page: str) -> str:
    """The token that the app gives to the Gradio session `page`, asked for as the page does when it loads."""
    config = client.get("config").raise_for_status().json()
    names = {each["id"]: each["props"].get("elem_id") for each in config["components"]}
    mint = next(
        each
        for each in config["dependencies"]
        if any(event == "load" for _, event in each["targets"]) and [names[out] for out in each["outputs"]] == ["token"]
    )
    asked = {"data": [], "fn_index": mint["id"], "session_hash": page}
    answer = client.post(
        "gradio_api/run/predict", content=json.dumps(asked), headers={"content-type": "application/json"}
    )
    return str(answer.raise_for_status().json()["data"][0])
