"""What a drawing looks like: names of things, guessed from its lines.

A convolutional network on the ink alone, moved and scaled into a square, so that it does not matter where and how large
somebody draws; sketch recognition goes so since Sketch-a-Net (Yu et al., BMVC 2015, arXiv 1501.07873). What it says are
words for a prompt, and any model takes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pipeline.compute.host import in_passing_thread
from pipeline.errors import ModelError
from pipeline.frames.codec import Frame, Picture, as_frame

SKETCHES_FILE = "sketches.safetensors"
"""In a model's folder: the weights, float16, and the names as JSON in the metadata."""
EMBEDDED = Path(__file__).parent.parent / "embedded"

SIDE = 64
"""Pixels of the square that the network sees."""
MARGIN = 1.1
"""Of the square, in sides of the ink's box."""
INKED = 0.15
"""Difference from the paper, of 1, from which on a pixel is ink."""
LEAST_INK = 0.003
"""Share of the picture below which nothing is drawn."""
LIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)
"""Of red, green and blue (ITU-R BT.601)."""
WIDTHS = (1, 2, 4, 8)
"""Channels of the four resolutions, 32 to 4 px, in those of the first."""
GROUPS = 4
SURE = 0.6
"""Probability from which on a guess may be taken unasked: of the drawings in `examples/drawings` none is wrong then."""
DROPPED = 0.2
"""Of the features, while it learns: without that ever fewer outlines of another pack were named as training went on
(0.49, then 0.37)."""

Ink = NDArray[np.float32]
"""float32 `[H, W]` in 0..1, 1 where the pen was."""


@dataclass(frozen=True)
class Guess:
    """The name of a thing, and how sure it is, 0..1; over all names it sums to 1."""

    name: str
    probability: float


class SketchNet(nn.Module):
    """Ink `[B, 1, 64, 64]` to a logit for each name `[B, N]`: two convolutions at each of four resolutions, then what
    is there on the whole and what is there anywhere."""

    def __init__(self, width: int, names: int) -> None:
        super().__init__()
        layers, before = list[nn.Module](), 1
        for times in WIDTHS:
            for stride in (2, 1):
                layers.append(nn.Conv2d(before, width * times, 3, stride, 1, bias=False))
                layers += [nn.GroupNorm(GROUPS, width * times), nn.ReLU(inplace=True)]
                before = width * times
        self.body = nn.Sequential(*layers)
        self.dropout = nn.Dropout(DROPPED)
        self.head = nn.Linear(before, names)

    def forward(self, ink: Tensor) -> Tensor:
        """`[B, 1, 64, 64]` to `[B, N]`."""
        features = self.body(ink)
        pooled = torch.maximum(features.mean((2, 3)), 0.5 * features.amax((2, 3)))
        return self.head(self.dropout(pooled))  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class SketchClassifier:
    """Guesses what is drawn. It computes on the CPU, whatever paints, and may be called from any thread."""

    network: SketchNet
    names: tuple[str, ...]
    sure: ClassVar[float] = SURE

    def guesses(self, picture: Picture, most: int = 3) -> tuple[Guess, ...]:
        """What a drawing looks like, the likeliest first; nothing where next to nothing is drawn. Raises
        `PictureError`."""
        ink = ink_of(as_frame(picture))
        if (ink > INKED).mean() < LEAST_INK:
            return ()
        return in_passing_thread(self._guessed, squared(ink), most)

    def _guessed(self, ink: Ink, most: int) -> tuple[Guess, ...]:
        with torch.inference_mode():
            shares = self.network(torch.from_numpy(ink)[None, None]).softmax(1)[0]
        best = shares.topk(min(most, len(self.names)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return tuple(Guess(self.names[index], share) for index, share in pairs)


def ink_of(picture: Frame) -> Ink:
    """How far each pixel of a picture `[H, W, 3]` is from the paper, which is what most of its rim is: the mean of how
    far its channels and its lightness are, so that a line stands out of what it was filled with."""
    rim = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    paper = np.median(rim, axis=0)
    away = np.abs(picture.astype(np.float32) - paper.astype(np.float32))
    lightness = np.abs(picture @ LIGHTNESS - paper @ LIGHTNESS)
    ink: Ink = ((away.max(axis=2) + lightness) / (2 * 255)).astype(np.float32)
    return ink


def squared(ink: Ink) -> Ink:
    """The ink's box in the middle of a square `[64, 64]`, as large as fits, its darkest line at 1."""
    rows, columns = np.nonzero(ink > INKED)
    if len(rows) == 0:
        return np.zeros((SIDE, SIDE), np.float32)
    (top, bottom), (left, right) = (rows.min(), rows.max() + 1), (columns.min(), columns.max() + 1)
    scale = SIDE / (MARGIN * max(bottom - top, right - left))
    if scale < 0.8:  # lines thinner than a pixel would come and go
        ink = cv2.GaussianBlur(ink, (0, 0), 0.45 / scale).astype(np.float32)
    x, y = SIDE / 2 - scale * (left + right) / 2, SIDE / 2 - scale * (top + bottom) / 2
    matrix = np.array([[scale, 0, x], [0, scale, y]], np.float32)
    square = cv2.warpAffine(ink, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    darkest: Ink = (square / max(float(square.max()), 1e-3)).astype(np.float32)
    return darkest


def load_sketches(folder: Path = EMBEDDED) -> SketchClassifier:
    """The classifier whose weights lie in `folder`; raises `ModelError`."""
    file = folder / SKETCHES_FILE
    try:
        with safe_open(file, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name).float() for name in opened.keys()}
            names = tuple(json.loads((opened.metadata() or {})["names"]))
        network = SketchNet(tensors["body.0.weight"].shape[0], len(names))
        network.load_state_dict(tensors)
    except (OSError, SafetensorError, LookupError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"the classifier of drawings in {file} cannot be loaded ({error}); needed: weights and names that "
            "`python -m training.sketches` wrote. Fetch the file again."
        ) from error
    return SketchClassifier(network.eval().requires_grad_(False), names)
