"""The stage that learns to look back: second frames of moving pictures, whose first ones stand in the feature bank.

The target of a second frame is the first one's, moved along with the picture: strokes travel with the thing, so that
only the bank can tell where they were. Every second step is of single frames, lest these be forgotten.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.memory import create_memory
from pipeline.settings import FrameSettings
from training.looks.looks import GRADES, LOOKS
from training.meaning.shards import looks_of
from training.meaning.stage import Notes, latent_losses
from training.model.model import MEMORY_LAYOUT
from training.model.painter import Painter, training_kernel
from training.model.targets import moved
from training.model.tensors import as_tensor, half_precision
from training.texture.features import feature_losses
from training.texture.painting import PLAIN_WHERE_JUDGED, Material, Painting, PaintingPlan, painting_loss
from training.texture.pictures import Pictures
from training.things.phrases import Facts, from_json, phrase

STEADINESS = 1.0
NOISIEST_SENSOR = 10 / 127.5
"""Deviation of the noise of a camera in a dark room; half of the samples come without noise."""


class LookingBack(Painting):
    """The learner of pairs of frames in `pairs`, and of single ones in `data`."""

    def __init__(
        self, plan: PaintingPlan, start: Path, pairs: Path, data: Material, out: Path, device: torch.device
    ) -> None:
        super().__init__(plan, start, data, out, device)
        self.painter = Painter(
            self.painter.parts, create_memory("feature-bank", MEMORY_LAYOUT, training_kernel(device)), device
        )
        self.frames = Pictures(pairs)
        entries = [entry for file in sorted(pairs.glob("*.json")) for entry in json.loads(file.read_text())]
        self.shifts = [entry.pop("shift") for entry in entries]
        self.looks = [looks_of(entry) for entry in entries]
        self.facts: list[Facts] = [from_json(entry) for entry in entries]
        self.noises = np.concatenate([np.load(file) for file in sorted(pairs.glob("*.noises.npy"))])
        self.side = self.frames.sketches[0].shape[1]
        self.steps = 0

    def loss(self, rng: np.random.Generator, notes: Notes) -> Tensor:
        """Of single frames and of pairs in turn."""
        self.steps += 1
        if self.steps % 2:
            return super().loss(rng, notes)
        return self._pairs_loss(rng, notes)

    def _pairs_loss(self, rng: np.random.Generator, notes: Notes) -> Tensor:
        size = max(1, self.plan.batch // 2)
        rows = rng.integers(0, len(self.facts), size)
        chosen = [int(rng.integers(len(self.looks[row]))) for row in rows]
        first, second = (self._frame(rows, chosen, number) for number in range(2))
        prompts = [self._prompt(rng, int(row), number) for row, number in zip(rows, chosen, strict=True)]
        shifts = np.array([self.shifts[row] for row in rows])
        noise = torch.from_numpy(self.noises[rows]).to(self.device, torch.float32)
        again = noise if rng.random() < 0.5 else torch.randn_like(noise)  # a session's noise is fixed
        self.settings = FrameSettings(
            bank_frames=1.0, bank_interval=1, fusion_strength=float(rng.choice([0.0, 0.5, 0.75])), fusion_threshold=0.9
        )
        with torch.no_grad(), half_precision(self.device):
            sketches = [self._encoded(through_sensor(each, rng)) for each, _ in (first, second)]
        with half_precision(self.device):
            prompt = self.painter.prompt_embeddings(prompts)
            with torch.no_grad():
                before, call = self._passed(sketches[0], noise, prompt.detach(), [None] * size)
                remembered = [self.painter.memory.updated(call, index) for index in range(size)]
                earlier = self.painter.decoded(before)
            predicted, _ = self._passed(sketches[1], again, prompt, remembered)
            output = self.painter.decoded(predicted)
        target = moved(first[1], second[1], shifts)
        seen = moved(torch.ones_like(earlier), torch.zeros_like(earlier), shifts)[:, :1]
        unsteady = (seen * (output - moved(earlier, output.detach(), shifts)).abs()).mean()
        with torch.no_grad(), half_precision(self.device):
            wanted = self._encoded(target)
        content, texture = feature_losses(self.features(output), self.features(target))
        notes.add(unsteady=float(unsteady.detach()) * 127.5)
        rows = latent_losses(predicted, wanted, self.scenes[-1].colours, PLAIN_WHERE_JUDGED)
        return painting_loss(output, target, content, texture) + rows.mean() + STEADINESS * unsteady

    def _frame(self, rows: np.ndarray, chosen: list[int], number: int) -> tuple[Tensor, Tensor]:
        """Sketches and renderings `[B, 3, S, S]` of the first frames (0) or the second ones (1)."""
        whole = (0, 0, self.side)
        sketches = [self.frames.sketch(2 * int(row) + number, *whole) for row in rows]
        counts = len(self.looks[0])
        renderings = [
            self.frames.rendering(2 * (int(row) * counts + look) + number, *whole)
            for row, look in zip(rows, chosen, strict=True)
        ]
        return as_tensor(np.stack(sketches), self.device), as_tensor(np.stack(renderings), self.device)

    def _prompt(self, rng: np.random.Generator, row: int, chosen: int) -> str:
        look, grade = self.looks[row][chosen]
        said = f"{LOOKS[look].words[0]}, {phrase(rng, self.facts[row], ())}".removesuffix(", ")
        return f"{said}, {GRADES[grade].words[0]}" if grade else said

    def _encoded(self, pictures: Tensor) -> Tensor:
        return self.parts.codec.encoder(pictures.contiguous(memory_format=torch.channels_last)).float()

    def _passed(
        self, sketches: Tensor, noise: Tensor, prompt: Tensor, remembered: list[object]
    ) -> tuple[Tensor, object]:
        """Predicted latents of a first step at strength 1, and the call that made them."""
        timestep = torch.full((len(sketches),), 999, device=self.device)
        noisy = self.painter.noised(sketches, noise, timestep)
        call = self.painter.opened(remembered, self.settings)
        strength, fast = torch.ones(len(sketches), device=self.device), self.fast.precision
        predicted = self.painter.predicted(noisy.to(fast), sketches.to(fast), strength, timestep, prompt.to(fast), call)
        return predicted, call


def through_sensor(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Pictures `[B, 3, H, W]` with the noise of a camera, of another strength in each; every second has none."""
    deviations = [float(rng.uniform(0, NOISIEST_SENSOR)) * (rng.random() < 0.5) for _ in range(len(pictures))]
    scale = torch.tensor(deviations, device=pictures.device)[:, None, None, None]
    return (pictures + scale * torch.randn_like(pictures)).clamp(-1, 1)
