"""Processes of the app: a Python of its own, or one that has imported everything already and becomes an app.

To import PyTorch, diffusers and Gradio takes six seconds of a core, each time; a server of forks does it once.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

PRELOADED = "tests.support.preloaded"


class Started(Protocol):
    """An app that runs, or has run."""

    def ended(self, within_s: float) -> int | None:
        """Its exit status, once it has ended, or `None` where it has not by then; a signal's number, negative."""

    def send(self, how: signal.Signals) -> None:
        """Send it a signal."""


class Program:
    """`python app.py`, as a person starts it."""

    def __init__(self, arguments: Sequence[str], log: Path, folder: Path, environment: Mapping[str, str]) -> None:
        command = [sys.executable, "app.py", *arguments]
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT
            )

    def ended(self, within_s: float) -> int | None:
        try:
            return self._process.wait(timeout=within_s)
        except subprocess.TimeoutExpired:
            return None

    def send(self, how: signal.Signals) -> None:
        self._process.send_signal(how)


class Fork:
    """The same `main`, in a fork of a process that has imported what it imports."""

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        forks = multiprocessing.get_context("forkserver")
        forks.set_forkserver_preload([PRELOADED])
        self._process = forks.Process(target=become_the_app, args=(list(arguments), log, dict(environment)))
        self._process.start()

    def ended(self, within_s: float) -> int | None:
        self._process.join(within_s)
        return self._process.exitcode

    def send(self, how: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, how)


def become_the_app(arguments: list[str], log: Path, environment: dict[str, str]) -> None:
    """What a fork does: the app, whose words go to `log`."""
    import app

    with log.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    faulthandler.enable(2)
    os.environ.clear()
    os.environ.update(environment)
    app.main(arguments)


def has_forks() -> bool:
    """Whether a process that has imported PyTorch may be forked: on Linux."""
    return sys.platform == "linux"
