"""A visitor who records what they send and get, by the rule that the page's recorder follows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.testclient import WebSocketTestSession

from demo.live import wire
from pipeline.recording.recording import Event, Forgotten, FrameSent, Recording, SettingsChanged


@dataclass(frozen=True)
class Taken:
    """A frame that the engine took: its number, how often the session had forgotten everything, the revision of the
    settings, and the number under which it was sent."""

    number: int
    resets: int
    revision: int
    sequence: int


@dataclass
class Recorder:
    """What was sent and what came back. The order in which the engine took the frames is that of their numbers; where
    the number of resets changes, the past was forgotten; the revision says with which settings."""

    hello: dict[str, Any]
    sent: dict[int, bytes] = field(default_factory=dict)
    revisions: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    pictures: dict[int, bytes] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)

    def take(self, message: Mapping[str, Any] | bytes) -> None:
        """One message of the server."""
        if isinstance(message, bytes):
            _, _, revision, sequence, _, _, _, number, resets = wire.PICTURE_HEADER.unpack_from(message)
            self.taken.append(Taken(number, resets, revision, sequence))
            self.pictures[number] = message[wire.PICTURE_HEADER.size :]
            self.answered.add(sequence)
        elif message["type"] == "applied":
            self.revisions[message["revision"]] = message["settings"]
        elif message["type"] == "dropped":
            self.answered.add(message["sequence"])
            if "frame" in message:
                self.taken.append(Taken(message["frame"], message["resets"], message["revision"], message["sequence"]))

    def recording(self, first_reset: int) -> Recording:
        """What happened from the reset of that number on."""
        kept = sorted((each for each in self.taken if each.resets >= first_reset), key=lambda each: each.number)
        assert [each.number for each in kept] == list(range(kept[0].number, kept[0].number + len(kept)))
        events: list[Event] = []
        last = kept[0]
        for ms, each in enumerate(kept):
            if each.resets != last.resets:
                events.append(Forgotten(ms))
            if each.revision != last.revision:
                events.append(SettingsChanged(ms, self.revisions[each.revision]))
            events.append(FrameSent(ms, f"frames/{each.sequence}.jpg"))
            last = each
        return Recording(
            model=self.hello["model"],
            memory=self.hello["memory"],
            size=(self.hello["size"], self.hello["size"]),
            seed=self.hello["seed"],
            settings=self.revisions[kept[0].revision],
            events=tuple(events),
            files={f"frames/{each.sequence}.jpg": self.sent[each.sequence] for each in kept},
        )


class Player:
    """Sends frames and words over a socket, as many under way as the page has, and lets a recorder listen."""

    def __init__(self, socket: WebSocketTestSession, recorder: Recorder, under_way: int = 2) -> None:
        self._socket = socket
        self._recorder = recorder
        self._under_way = under_way
        self._waiting: set[int] = set()

    def show(self, jpeg: bytes) -> None:
        """Send a frame as soon as there is room for it."""
        self._wait(lambda: len(self._waiting) < self._under_way)
        sequence = len(self._recorder.sent) + 1
        self._recorder.sent[sequence] = jpeg
        self._waiting.add(sequence)
        self._socket.send_bytes(wire.FRAME_HEADER.pack(wire.VERSION, wire.KIND_FRAME, 0, sequence, 0.0) + jpeg)

    def say(self, **words: Any) -> None:
        """Send words, whatever is under way."""
        self._socket.send_json(words)

    def reset(self) -> int:
        """Let the past be forgotten, and wait for the number of that reset."""
        self.say(type="reset")
        news = self._wait(lambda: False, until="reset")
        return int(news["resets"])

    def finish(self) -> None:
        """Wait for whatever is under way."""
        self._wait(lambda: not self._waiting)

    def _wait(self, is_so: Callable[[], bool], until: str = "") -> Any:
        while not is_so():
            message = self._socket.receive()
            came: Any = message.get("bytes") or json.loads(message["text"])
            self._recorder.take(came)
            self._waiting -= self._recorder.answered
            if isinstance(came, dict) and came["type"] == until:
                return came
        return None
