"""Firefox over WebDriver BiDi and WebKitGTK over WebDriver: the few steps that a short visit takes, and nothing more.

Playwright drives its own builds of both alone; these are the browsers that people have.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.support.served import free_port

START_S = 60.0
WIDTH, HEIGHT = 1280, 900
Place = tuple[float, float]
Found = TypeVar("Found")


class Driven(Protocol):
    """A page of a browser."""

    def open(self, address: str) -> None:
        """Go to an address and wait until its document is there."""

    def value(self, script: str) -> Any:
        """What a JavaScript expression, or the promise that it gives, comes to, as JSON has it."""

    def act(self, sources: list[dict[str, Any]]) -> None:
        """Input as WebDriver's actions have it."""


def drag(page: Driven, places: Sequence[Place]) -> None:
    """The mouse goes to the first place, down, through the others, and up."""
    moves = [{"type": "pointerMove", "x": round(x), "y": round(y), "duration": 20} for x, y in places]
    down, up = {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}
    page.act([{"type": "pointer", "id": "mouse", "actions": [moves[0], down, *moves[1:], up]}])


def press(page: Driven, key: str) -> None:
    """A key goes down and up."""
    page.act(
        [{"type": "key", "id": "keys", "actions": [{"type": each, "value": key} for each in ("keyDown", "keyUp")]}]
    )


class Firefox:
    """Over WebDriver BiDi, which Firefox speaks by itself."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._numbers = socket, itertools.count()
        self._call("session.new", capabilities={})
        self._context = self._call("browsingContext.getTree")["contexts"][0]["context"]
        viewport = {"width": WIDTH, "height": HEIGHT}
        self._call("browsingContext.setViewport", context=self._context, viewport=viewport)

    def _call(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv(START_S))).get("id") != number:
            pass
        if answer["type"] == "error":
            raise RuntimeError(f"{method}: {answer['message']}")
        return answer["result"]

    def open(self, address: str) -> None:
        self._call("browsingContext.navigate", context=self._context, url=address, wait="interactive")

    def value(self, script: str) -> Any:
        expression = f"Promise.resolve({script}).then((value) => JSON.stringify(value) ?? 'null')"
        target = {"context": self._context}
        answer = self._call("script.evaluate", expression=expression, target=target, awaitPromise=True)
        if answer["type"] == "exception":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    def act(self, sources: list[dict[str, Any]]) -> None:
        self._call("input.performActions", context=self._context, actions=sources)


class WebKit:
    """Over WebDriver's HTTP, as WebKitWebDriver answers it."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        options = {"webkitgtk:browserOptions": {"args": ["--automation"]}}
        session = self._call("session", capabilities={"alwaysMatch": options})["sessionId"]
        client.base_url = client.base_url.join(f"session/{session}/")
        self._call("window/rect", width=WIDTH, height=HEIGHT)

    def _call(self, path: str, **parameters: Any) -> Any:
        value = self._client.post(path, json=parameters).json()["value"]
        if isinstance(value, dict) and "error" in value:
            raise RuntimeError(f"{path}: {value['message']}")
        return value

    def open(self, address: str) -> None:
        self._call("url", url=address)

    def value(self, script: str) -> Any:
        told = f"Promise.resolve({script}).then(value => done([value]), error => done(String(error)))"
        answer = self._call("execute/async", script=f"const done = arguments[0]; {told}", args=[])
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer[0]

    def act(self, sources: list[dict[str, Any]]) -> None:
        self._call("actions", actions=sources)


@contextmanager
def firefox(folder: Path) -> Iterator[Driven]:
    """Debian's, Mozilla's or Ubuntu's Firefox with a profile of its own; `FileNotFoundError` where there is none."""
    program, port = _program("firefox-esr", "firefox"), free_port()
    command = [program, "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port", str(port)]
    with _running(command, folder / "firefox.log"):
        socket = _soon(lambda: connect(f"ws://127.0.0.1:{port}/session", max_size=None, open_timeout=5))
        with socket:
            yield Firefox(socket)


@contextmanager
def webkit(folder: Path) -> Iterator[Driven]:
    """WebKitGTK's small browser on a screen of its own; `FileNotFoundError` where it or Xvfb is missing."""
    program, port = _program("WebKitWebDriver"), free_port()
    screen = [_program("Xvfb"), "-displayfd", "1", "-screen", "0", f"{WIDTH + 100}x{HEIGHT + 200}x24"]
    log = folder / "webkit.log"
    with _running(screen, log):
        display = _soon(lambda: _first_line(log))
        with (
            _running([program, f"--port={port}"], folder / "driver.log", DISPLAY=f":{display}"),
            httpx.Client(base_url=f"http://127.0.0.1:{port}/", timeout=START_S, trust_env=False) as client,
        ):
            _soon(lambda: client.get("status").raise_for_status())
            yield WebKit(client)
            client.delete("")


def _program(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    raise FileNotFoundError(f"{' or '.join(names)} is not installed")


def _first_line(log: Path) -> str:
    number = log.read_text().partition("\n")[0]
    if not number.isdecimal():
        raise OSError(f"no display yet: {number}")
    return number


def _soon(ask: Callable[[], Found]) -> Found:
    """What `ask` gives as soon as it raises nothing that a start may raise."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            return ask()
        except (OSError, httpx.HTTPError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextmanager
def _running(command: list[str], log: Path, **environment: str) -> Iterator[None]:
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=os.environ | environment, start_new_session=True
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
