"""The real app in a process of its own, at a free port, and the way in that its page takes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from demo.live.limits import variable_of

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
        only where `options` say so: each app would do it beside the test."""
        # A picture that comes by itself is one too many for who counts them: a test that wants it says so.
        still = {variable_of("finer_seconds"): "0"}
        self._folder, self._environment = folder, {**still, **os.environ, **(environment or {})}
        self._command = [sys.executable, "app.py", *([] if "--graphs" in options else ["--graphs", "off"]), *options]
        if "REARVIEW_MODEL" not in self._environment:
            self._command += ["--model", model or os.environ.get("REARVIEW_TEST_MODEL", "embedded")]
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the app and wait until its page and its wire answer."""
        command = [*self._command, "--port", str(self.port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(f"{self.url}healthz"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail(f"the app did not start: {self.log()[-2000:]}")
            time.sleep(0.2)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop the app as a service manager does; its exit status."""
        assert self._process is not None
        self._process.send_signal(how)
        return self._process.wait(timeout=20)

    def log(self) -> str:
        """What the app has written."""
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """End the app without any goodbye, as a crash does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=20)


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
