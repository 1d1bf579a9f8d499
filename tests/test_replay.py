"""Replays give the pictures of the visit, bit for bit, and go wherever they are sent."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from demo import wire
from demo.limits import HostLimits
from demo.live import SOCKET_PATH, Live
from pipeline import Engine
from pipeline.codec import Frame
from pipeline.recording import Forgotten, packed, read_recording
from pipeline.replay import replayed
from tests.recorder import Player, Recorder
from tests.standin import greet


def jpeg_of(frame: Frame) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def png_of(frame: Frame) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def live(engine: Engine) -> Iterator[Live]:
    served = Live(engine, HostLimits(frames_per_second=1000.0))
    yield served
    served.close()


def visited(live: Live, frames: list[Frame], settings: dict[str, Any], under_way: int = 2) -> tuple[Recorder, int]:
    """A visit that is recorded from its middle on: frames without a break, settings and resets between them."""
    app = Starlette()
    live.attach(app)
    with TestClient(app) as client, client.websocket_connect(SOCKET_PATH) as socket:
        recorder = Recorder(greet(socket, live))
        player = Player(socket, recorder, under_way)
        player.say(type="set", settings=settings)
        for frame in frames[:3]:
            player.show(jpeg_of(frame))
        first = player.reset()
        for number, frame in enumerate(frames):
            if number == 4:
                player.say(type="set", settings={"prompt": "(oil)1.2 painting", "steps": 2, "seed": 3})
            if number == 6:
                player.say(type="reset")
            if number == 7:
                player.say(type="set", settings={"guidance": 2.0, "guidance_kind": "self", "steadiness": 0.5})
            if number == 9:
                player.say(type="reset")
                player.say(type="reset")
            player.show(jpeg_of(frame))
        player.finish()
    return recorder, first


LIVELY = {"prompt": "watercolor house", "bank_frames": 1.0, "bank_interval": 1, "fusion_threshold": 0.1, "seed": 9}


@pytest.mark.parametrize("under_way", [1, 2, 4])
def test_a_visit_over_the_wire_is_replayed_bit_for_bit(
    under_way: int, live: Live, engine: Engine, frames: list[Frame]
) -> None:
    recorder, first = visited(live, frames, LIVELY, under_way)
    recording = read_recording(packed(recorder.recording(first)))
    if under_way <= 2:
        # More than the server takes at once push each other out, also all that were sent between two resets.
        assert sum(isinstance(event, Forgotten) for event in recording.events) == 2
    again = [wire.encode_picture(each.translation.picture) for each in replayed(engine, recording)]
    numbers = sorted(each.number for each in recorder.taken if each.resets >= first)
    assert len(again) == len(numbers) >= 1
    assert all(recorder.pictures[number] == jpeg for number, jpeg in zip(numbers, again, strict=True))


def test_frames_of_a_pipelined_visit_are_replayed_to_the_rounding_of_a_shared_call(
    live: Live, engine: Engine, frames: list[Frame]
) -> None:
    recorder, first = visited(live, frames, LIVELY | {"steps": 2, "pipelined": "on"}, 3)
    recording = recorder.recording(first)
    numbers = sorted(each.number for each in recorder.taken if each.resets >= first)
    for number, each in zip(numbers, replayed(engine, recording), strict=True):
        known = wire.decode_picture(recorder.pictures[number]).astype(int)
        assert np.abs(known - wire.decode_picture(wire.encode_picture(each.translation.picture))).max() <= 4
