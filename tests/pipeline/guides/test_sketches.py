"""What a drawing looks like: the same wherever and how large it is drawn. The shipped classifier, and tiny ones."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from pipeline import ModelError, SketchClassifier, load_sketches
from pipeline.frames.codec import Frame
from pipeline.guides.sketches import SIDE, SKETCHES_FILE, SketchNet, ink_of, squared

DRAWINGS = Path(__file__).resolve().parents[3] / "examples" / "drawings"


@pytest.fixture(scope="module")
def shipped() -> SketchClassifier:
    return load_sketches()


def house(x: int, y: int, size: int, paper: int = 255) -> Frame:
    """An outline in black; `paper` is grey."""
    picture = np.full((256, 256, 3), paper, np.uint8)
    walls = np.array([[x, y], [x + size, y], [x + size, y + size], [x, y + size], [x, y]])
    roof = np.array([[x, y], [x + size // 2, y - size // 2], [x + size, y]])
    cv2.polylines(picture, [walls, roof], False, (10, 10, 10), max(1, size // 28), cv2.LINE_AA)
    return picture


def test_names_come_with_probabilities_the_likeliest_first(shipped: SketchClassifier) -> None:
    guesses = shipped.guesses(house(60, 110, 110), most=5)
    shares = [each.probability for each in guesses]
    assert len(guesses) == 5 and {each.name for each in guesses} < set(shipped.names)
    assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1.001


def test_most_drawings_of_the_page_are_surely_known_and_what_is_sure_is_right(shipped: SketchClassifier) -> None:
    words = dict(line.split("\t") for line in (DRAWINGS / "words.txt").read_text().splitlines())
    known = {"stick_figure": "person", "smiley": "smiley", "mountains": "mountain"}
    firsts = {file: shipped.guesses(Image.open(DRAWINGS / f"{file}.png").convert("RGB"))[0] for file in words}
    sure = {file: each.name for file, each in firsts.items() if each.probability >= shipped.sure}
    assert len(sure) >= 18
    assert {file: name for file, name in sure.items() if name not in words[file] and name != known.get(file)} == {}


def test_a_blank_sheet_of_any_colour_looks_like_nothing(shipped: SketchClassifier) -> None:
    for paper in (255, 30):
        assert shipped.guesses(np.full((256, 256, 3), paper, np.uint8)) == ()


def test_a_dot_is_not_enough(shipped: SketchClassifier) -> None:
    dot = np.full((256, 256, 3), 255, np.uint8)
    dot[100:106, 100:106] = 0
    assert shipped.guesses(dot) == ()


def test_it_does_not_matter_where_and_how_large_it_is_drawn_nor_on_which_paper() -> None:
    whole = squared(ink_of(house(60, 110, 110)))
    assert whole.shape == (SIDE, SIDE) and whole.max() == pytest.approx(1)
    for other in (house(20, 190, 55), house(130, 100, 110), house(60, 110, 110, paper=200)):
        assert np.abs(squared(ink_of(other)) - whole).mean() < 0.06
    light = 255 - house(60, 110, 110)
    assert np.abs(squared(ink_of(light)) - whole).mean() < 0.02


def test_weights_with_a_hole_or_none_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_sketches(tmp_path)
    weights = SketchNet(4, 2).state_dict()
    for names, tensors in ((["a", "b"], {**weights, "head.bias": torch.zeros(3)}), (["a"], weights), (None, weights)):
        save_file(tensors, tmp_path / SKETCHES_FILE, {"names": json.dumps(names)} if names else None)
        with pytest.raises(ModelError, match=r"training\.sketches"):
            load_sketches(tmp_path)
