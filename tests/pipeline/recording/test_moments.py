"""A recording is drawn again little by little: whoever waits can turn away, and only what is seen is in memory."""

from __future__ import annotations

import time
import tracemalloc
from io import BytesIO

import numpy as np
from PIL import Image

from pipeline.recording.moments import moments_of
from pipeline.recording.operations import LAYERS, Operation, Paper, Pasted, Restack
from pipeline.recording.recording import Drawn, Recording


def saved(image: Image.Image, kind: str) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def drawn_at_once(operations: list[Operation], files: dict[str, bytes]) -> Recording:
    events = tuple(Drawn(0.0, each) for each in operations)
    return Recording(model="embedded", size=(64, 64), seed=7, events=events, files=files)


def test_pictures_are_read_when_they_are_pasted_and_not_kept() -> None:
    large = saved(Image.new("1", (1024, 1024)), "PNG")
    files = {f"images/{number}.png": large for number in range(15)}
    recording = drawn_at_once([Pasted("picture", name) for name in files], files)
    tracemalloc.start()
    frames = [each for each in moments_of(recording, 64, strokes=False, fps=12) if each is not None]
    assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    tracemalloc.stop()
    assert (frames[-1].frame == 0).all()


def test_there_is_a_moment_to_turn_away_between_operations() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (512, 512, 3)).astype(np.uint8))
    pastes = [Pasted(layer, "images/n.png") for layer in LAYERS]
    steps = [Restack(LAYERS), *pastes, *(Paper((number % 256, 0, 0)) for number in range(1000))]
    moments = moments_of(drawn_at_once(steps, {"images/n.png": saved(noise, "PNG")}), 512, strokes=False, fps=12)
    for _ in range(5):
        began = time.perf_counter()
        assert next(moments) is None
        assert time.perf_counter() - began < 0.5
