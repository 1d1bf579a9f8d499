"""The example sketches: recordings of a hand that draws them, and the pictures on their cards."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from demo.page.presets import EXAMPLES, SKETCH_FOLDER, Example
from examples.draw_sketches import drawn, recording_of
from pipeline.recording.drawing import Drawing
from pipeline.recording.operations import CANVAS_SIDE
from pipeline.recording.recording import Drawn, packed, read_recording

each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)


@each_example
def test_a_card_shows_what_its_recording_draws(example: Example) -> None:
    recording = read_recording(example.recording)
    drawing = Drawing(CANVAS_SIDE)
    for event in recording.events:
        assert isinstance(event, Drawn)
        drawing.do(event.operation)
    with Image.open(example.picture) as picture:
        assert np.array_equal(np.asarray(picture), drawing.picture())


@each_example
def test_a_recording_is_small_short_and_has_the_words_of_its_example(example: Example) -> None:
    recording = read_recording(example.recording)
    assert example.recording.stat().st_size < 10_000
    assert 5_000 < recording.events[-1].ms < 20_000
    assert (recording.title, recording.settings) == (example.title, {"prompt": example.prompt})


def test_a_sketch_is_drawn_the_same_again() -> None:
    example = next(each for each in EXAMPLES if each.name == "sailboat")
    sketch = json.loads((SKETCH_FOLDER / "sailboat.json").read_text(encoding="utf-8"))
    again = packed(recording_of(example, drawn(sketch)))
    assert read_recording(again).events == read_recording(example.recording).events
