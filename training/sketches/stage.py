"""The stage "sketches": drawings get the names of what they show."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pipeline.guides.sketches import SIDE, SKETCHES_FILE, SketchClassifier, SketchNet, ink_of, squared
from training.meaning.outlines import Outline, held_out_outlines, share_known
from training.meaning.stage import Notes
from training.model.tensors import half_precision
from training.sketches.drawn import Drawer
from training.texture.loop import Learner
from training.things.icons import load_icons

WIDTH = 24
"""Channels of the shipped classifier's first layers."""
SEEN_TWICE = 2
"""How often a drawing is learnt from, in the mean: drawing costs as much as learning."""
KEPT = 30_000
"""Drawings that a process keeps."""
SMOOTHING = 0.05
"""Of the labels: a cup is not far from a mug."""


class Sketching(Learner):
    """The learner of the classifier of drawings."""

    def __init__(self, icons: Path, out: Path, batch: int, width: int, device: torch.device) -> None:
        self.name, self.out, self.device = "sketches", out, device
        self.samples, self.batch = batch, batch
        self.icons = load_icons(icons)
        self.drawer = Drawer(self.icons)
        self.network = SketchNet(width, len(self.drawer.names)).to(device, memory_format=torch.channels_last)
        self.shipped = list(self.network.parameters())
        # Not the first, which reads the ink, nor the head, each of whose rows is a name of its own.
        _, *inner = [each.weight for each in self.network.modules() if isinstance(each, nn.Conv2d)]
        matrices = dict.fromkeys(inner)
        self.groups = [
            {"params": inner, "times": 1.0, "matrices": True},
            {"params": [each for each in self.shipped if each not in matrices], "times": 1.0},
        ]
        self.modules: dict[str, nn.Module] = {"network": self.network}
        self._drawings = np.zeros((KEPT, SIDE, SIDE), np.uint8)
        self._numbers = np.zeros(KEPT, np.int64)
        self._drawn = 0

    def loss(self, rng: np.random.Generator, notes: Notes) -> Tensor:
        """Of drawings that were kept, some of which are new."""
        self._draw(rng, self.batch // SEEN_TWICE if self._drawn else self.batch)
        chosen = rng.integers(min(self._drawn, KEPT), size=self.batch)
        ink = torch.from_numpy(self._drawings[chosen]).to(self.device)[:, None].float() / 255
        numbers = torch.from_numpy(self._numbers[chosen]).to(self.device)
        with half_precision(self.device):
            logits = self.network(ink.contiguous(memory_format=torch.channels_last)).float()
        loss = cross_entropy(logits, numbers, label_smoothing=SMOOTHING)
        notes.add(named=float((logits.detach().argmax(1) == numbers).float().mean()), loss=float(loss.detach()))
        return loss

    def _draw(self, rng: np.random.Generator, count: int) -> None:
        for _ in range(count):
            ink, number = self.drawer.drawn(rng)
            at = self._drawn % KEPT
            self._drawings[at], self._numbers[at] = np.rint(255 * ink), number
            self._drawn += 1

    @property
    def classifier(self) -> SketchClassifier:
        """With the weights of this moment."""
        network = copy.deepcopy(self.network).cpu().eval().requires_grad_(False)
        return SketchClassifier(network, self.drawer.names)

    def look(self, step: int) -> None:
        """The held-out outlines, with three guesses each, and how many are right."""
        outlines, classifier = held_out_outlines(self.icons, 256), self.classifier
        guessed = [[each.name for each in classifier.guesses(outline.picture)] for outline in outlines]
        right = [share_known(outlines, guessed, most) for most in (1, 3)]
        print(f"{self.name}: {right[0]:.2f} of {len(outlines)} in another hand named, {right[1]:.2f} among three")
        cells = [_captioned(outline, names) for outline, names in zip(outlines, guessed, strict=True)]
        cells += [np.full_like(cells[0], 255)] * (-len(cells) % 10)
        rows = [np.hstack(cells[start : start + 10]) for start in range(0, len(cells), 10)]
        Image.fromarray(np.vstack(rows)).save(self.out.parent / "sheets" / f"{self.name}_{step:06d}.jpg", quality=90)

    def export(self) -> None:
        """Write the file that `load_sketches` reads."""
        self.out.mkdir(parents=True, exist_ok=True)
        tensors = {name: each.half().cpu().contiguous() for name, each in self.network.state_dict().items()}
        save_file(tensors, self.out / SKETCHES_FILE, {"names": json.dumps(list(self.drawer.names))})


def _captioned(outline: Outline, names: list[str], side: int = 128) -> np.ndarray:
    """What the classifier sees, and what it says: uint8 `[S + 48, S, 3]`."""
    seen = (255 - 255 * squared(ink_of(outline.picture))).astype(np.uint8)
    cell = cv2.cvtColor(cv2.resize(seen, (side, side), interpolation=cv2.INTER_AREA), cv2.COLOR_GRAY2RGB)
    text = np.full((48, side, 3), 255, np.uint8)
    for row, name in enumerate(names):
        colour = (0, 130, 40) if name == outline.word else (90, 90, 90)
        cv2.putText(text, name, (4, 13 + 15 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)
    return np.vstack([cell, text])
