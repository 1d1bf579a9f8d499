"""A small stand-in for the engine behind the live wire, and clients that speak with it."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image
from starlette.testclient import TestClient, WebSocketTestSession

from demo.live import wire
from demo.live.live import POST_PATH, TOKEN_HEADER, Live
from pipeline.errors import NoRoomError, PromptError, SessionClosedError
from pipeline.settings import FrameSettings


@dataclass
class StandInSession:
    """Inverts frames; keeps what it was asked."""

    settings: list[FrameSettings] = field(default_factory=list)
    resets: int = 0
    closed: bool = False
    held: threading.Event | None = None
    parked: bool = False
    kept: bool | None = None
    notice: str = ""
    runtime: str = "PyTorch"
    seed: int = 7
    memory_name: str = "none"
    has_map: bool = True
    finer_steps: int = 4
    maps: list[bool] = field(default_factory=list)
    finer: list[FrameSettings] = field(default_factory=list)
    stills: list[FrameSettings] = field(default_factory=list)
    likes: list[Any] = field(default_factory=list)

    def be_like(self, picture: Any) -> None:
        self.likes.append(picture)

    def submit(self, picture: np.ndarray, settings: FrameSettings, with_map: bool = False) -> Future[Any]:
        if self.closed:
            raise SessionClosedError("the session is closed; needed: an open one. Open a new one.")
        self.settings.append(settings)
        self.maps.append(with_map)
        self.parked = False
        future: Future[Any] = Future()
        if settings.prompt == "bad (":
            future.set_exception(PromptError("the prompt came with an open bracket; needed: pairs. Close it."))
        elif settings.prompt == "surprise":
            future.set_exception(ZeroDivisionError())
        elif settings.prompt == "dropped":
            future.cancel()
        elif self.held is not None:
            threading.Thread(target=self._finish_when_let, args=(future, picture)).start()
        else:
            self._finish(future, picture)
        return future

    def submit_finer(self, picture: np.ndarray, shown: np.ndarray, settings: FrameSettings) -> Future[Any]:
        """Twice as large, the picture that is shown, or nothing where somebody waits."""
        self.finer.append(settings)
        future: Future[Any] = Future()
        future.set_result(None if self.held is not None else shown.repeat(2, 0).repeat(2, 1))
        return future

    def submit_still(self, picture: np.ndarray, settings: FrameSettings) -> Future[Any]:
        """The picture as it came, or nothing where somebody waits."""
        self.stills.append(settings)
        future: Future[Any] = Future()
        future.set_result(None if self.held is not None else picture)
        return future

    def _finish_when_let(self, future: Future[Any], picture: np.ndarray) -> None:
        assert self.held is not None
        self.held.wait(10)
        self._finish(future, picture)

    def _finish(self, future: Future[Any], picture: np.ndarray) -> None:
        count = len(self.settings)
        bank_map = np.array([[1.0, 0.9, 0.5], [0.2, 0.95, 0.0]], np.float32) if self.maps[count - 1] else None
        answer = SimpleNamespace(
            picture=255 - picture,
            seconds=0.025,
            bank_fill=0.5,
            frame=count,
            notice=self.notice,
            runtime=self.runtime,
            flagged=False,
            resets=self.resets,
            bank_map=bank_map,
        )
        future.set_result(answer)

    def reset(self) -> int:
        self.resets += 1
        return self.resets

    def park(self, keep: bool) -> None:
        self.parked, self.kept = True, keep

    def close(self) -> None:
        self.closed = True


class StandInEngine:
    def __init__(self) -> None:
        self.model = SimpleNamespace(
            name="stand-in", title="A stand-in", credit="A stand-in (MIT)", reason="nothing else is here."
        )
        self.size = (256, 256)
        self.memory_names = ("none",)
        self.memory_name, self.kernel = "none", "sdpa"
        self.control_name = self.adapter_name = self.decoder_name = None
        self.sessions: list[StandInSession] = []
        self.held: threading.Event | None = None
        self.room = 1000
        self.alive = True
        self.observers: list[Callable[[Any], None]] = []

    @property
    def nbytes(self) -> int:
        return 1000 * sum(not session.closed for session in self.sessions)

    def watch(self, observer: Callable[[Any], None]) -> None:
        self.observers.append(observer)

    def open(self) -> StandInSession:
        if sum(not session.closed for session in self.sessions) >= self.room:
            raise NoRoomError("all sessions together would take too much; needed: room for one more. Close one.")
        self.sessions.append(StandInSession(held=self.held))
        return self.sessions[-1]


def encoded(shape: tuple[int, int] = (16, 16), kind: str = "JPEG", value: int = 200) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((*shape, 3), value, np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def frame(sequence: int, data: bytes | None = None, version: int = wire.VERSION) -> bytes:
    header = wire.FRAME_HEADER.pack(version, wire.KIND_FRAME, 0, sequence, 12.5)
    return header + (encoded() if data is None else data)


def greet(socket: WebSocketTestSession, live: Live, name: str = "anna") -> dict[str, Any]:
    socket.send_json({"token": live.mint(name)})
    return socket.receive_json()


def unpacked(reply: bytes) -> tuple[Any, ...]:
    return wire.PICTURE_HEADER.unpack_from(reply)


def eventually(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.01)
    return is_so()


class Post:
    """The POST fallback as the page uses it."""

    def __init__(self, client: TestClient, token: str) -> None:
        self._client = client
        self._token = token

    def say(self, **message: Any) -> Any:
        headers = {TOKEN_HEADER: self._token, "content-type": "application/json"}
        return self._client.post(POST_PATH, content=json.dumps(message), headers=headers)

    def send(self, message: bytes) -> Any:
        headers = {TOKEN_HEADER: self._token, "content-type": "application/octet-stream"}
        return self._client.post(POST_PATH, content=message, headers=headers)
