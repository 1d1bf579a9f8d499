"""The stage of looks: a sketch becomes what it should become, in every look, judged in latents and as a picture.

What a sample asks of the model:
- the look and the grade in words; all chance of the look stands in the noise, so every stroke can be known;
- `strength` in a channel of its own: the target is the sketch blended towards the look by `share_of_style(strength)`;
- the first step sees the sketch under noise; a later step sees the model's own earlier prediction under less noise, and
  its target is the same picture, so that more steps mend what the first one missed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from pipeline.memory import create_memory
from pipeline.settings import FrameSettings
from training.looks.looks import GRADES, LOOKS
from training.meaning.latents import Latents, colour_map, read_latents
from training.meaning.stage import WORDS_RATE, Notes, latent_losses
from training.meaning.vocabulary import add_words
from training.model.export import export, load_parts
from training.model.fast_copy import FastCopy
from training.model.losses import edge_loss
from training.model.model import MEMORY_LAYOUT
from training.model.muon import body_groups
from training.model.painter import Painter, Parts, training_kernel
from training.model.targets import Draw, draw_steps, share_of_style
from training.model.tensors import as_tensor, fast_precision, half_precision
from training.texture.features import Features, feature_losses, load_features
from training.texture.judges import Judge, fooling_loss, held, judging_loss, matching_loss
from training.texture.pictures import Pictures
from training.texture.sheets import held_out, looks_sheet
from training.things.icons import load_icons
from training.things.phrases import phrase, vocabulary

CROP = 16
"""Latents of a crop that is judged as a picture: decoding costs more than the UNet."""
NAMING = 0.3
HEARD, MATCHING = 0.25, 3.0
"""How loud judges are beside what is measured, and in that how much the likeness of a judge's features counts."""
JUDGES_FROM = 0.05
"""Share of the stage before judges are listened to: they have to learn first."""


@dataclass(frozen=True)
class PaintingPlan:
    """How a stage of looks trains: samples a step, how many are judged as pictures (0: in latents alone), and the share
    that are later steps."""

    name: str
    batch: int
    judged: int
    later: float = 0.15


@dataclass(frozen=True)
class Sample:
    """A batch: rows of the renderings and of their scenes; sketches and targets `[B, 16, h, w]` with noises of the same
    shape; prompts and the number of each one's look; and what is drawn of strength and steps."""

    rows: Tensor
    scenes: Tensor
    sketches: Tensor
    targets: Tensor
    noises: Tensor
    prompts: list[str]
    looks: Tensor
    draw: Draw


class Painting:
    """The learner of a stage of looks."""

    def __init__(
        self, plan: PaintingPlan, start: Path, data: Path, icons: Path, features: Path, out: Path, device: torch.device
    ) -> None:
        self.plan, self.name, self.out, self.device = plan, plan.name, out, device
        self.settings = FrameSettings()
        self.icons = load_icons(icons)
        self.parts = known_parts(start, list(self.icons.rows))
        for module in self.parts.modules.values():
            module.to(device)
        self.parts.unet.to(memory_format=torch.channels_last)
        self.parts.codec.to(memory_format=torch.channels_last)
        # A decoder that learned along would exaggerate what latents predicted in one step show too weakly: it would
        # draw a weave where nothing is.
        self.parts.codec.requires_grad_(False)
        self.fast = FastCopy(self.parts.unet, fast_precision(device))
        fast = Parts(self.fast.copy, self.parts.codec, self.parts.text_encoder, self.parts.tokenizer)
        self.painter = Painter(fast, create_memory("none", MEMORY_LAYOUT, training_kernel(device)), device)
        self.latents = read_latents(data, data.with_name(f"{data.name}_latents"))
        self.colours = colour_map(self.latents).to(device)
        self.numbers = {name: number for number, name in enumerate(LOOKS)}
        body = [*self.parts.unet.parameters(), *self.parts.text_encoder.parameters()]
        self.shipped = body
        self.groups = body_groups(self.parts, WORDS_RATE / 4 if plan.judged else WORDS_RATE)
        self.modules: dict[str, nn.Module] = {"unet": self.parts.unet, "text_encoder": self.parts.text_encoder}
        self.directions = _directions(self.parts.unet.add_embedding.proj.out_features, len(LOOKS)).to(device)
        if plan.judged:
            self._add_judges(data, features)

    def _add_judges(self, data: Path, features: Path) -> None:
        self.pictures = Pictures(data)
        self.features: Features = load_features(features, self.device)
        self.judge = Judge(self.features.widths[1:], len(LOOKS)).to(self.device)
        self.groups.append({"params": list(self.judge.parameters()), "times": 1.0, "judge": True, "weight_decay": 0.0})
        self.modules["judge"] = self.judge

    def open(self) -> AbstractContextManager[object]:
        """The UNet takes calls with a memory, here one of nothing."""
        return self.painter.memory.installed(self.fast.copy)

    def before_step(self) -> None:
        self.fast.refresh()

    def before_update(self) -> None:
        self.fast.collect()

    def look(self, step: int) -> None:
        """Held-out drawings, photographs and a blank sheet in all looks."""
        sheet = looks_sheet(self.parts, self.device, held_out(self.icons, self.latents.sketches.shape[-1] * 8))
        sheet.save(self.out.parent / "sheets" / f"{self.name}_{step:06d}.jpg", quality=90)

    def export(self) -> None:
        export(self.parts, self.out)

    def loss(self, rng: np.random.Generator, share: float, notes: Notes) -> Tensor:
        """In latents for all samples, as pictures for the first few."""
        sample = self._drawn(rng)
        with half_precision(self.device):
            prompt = self.painter.prompt_embeddings(sample.prompts)
            naming = self._naming(prompt, sample)
            predicted = self._predicted(sample, prompt)
        blended = share_of_style(sample.draw.strength)[:, None, None, None]
        wanted = torch.lerp(sample.sketches, sample.targets, blended)
        rows = latent_losses(predicted, wanted, self.colours)
        notes.add(latents=float(rows.detach().mean()), naming=float(naming.detach()))
        if not self.plan.judged:
            return rows.mean() + NAMING * naming
        return 0.25 * rows.mean() + NAMING * naming + self._as_pictures(rng, sample, predicted, share, notes)

    def _drawn(self, rng: np.random.Generator) -> Sample:
        latents, size = self.latents, self.plan.batch
        rows = torch.from_numpy(rng.integers(0, len(latents), size))
        scenes = latents.scenes[rows]
        looks = [latents.looks[int(row)] for row in rows]
        sketches, targets, noises = (
            each.to(self.device, torch.float32)
            for each in (latents.sketches[scenes], latents.renderings[rows], latents.noises[scenes])
        )
        prompts = [prompt_of(rng, latents, int(scene), *look) for scene, look in zip(scenes, looks, strict=True)]
        numbers = torch.tensor([self.numbers[look] for look, _ in looks], device=self.device)
        draw = draw_steps(rng, size, self.plan.later, self.device)
        return Sample(rows, scenes, sketches, targets, noises, prompts, numbers, draw)

    def _predicted(self, sample: Sample, prompt: Tensor) -> Tensor:
        draw = sample.draw
        rows = draw.later.nonzero().flatten()
        noisy = self.painter.noised(sample.sketches, sample.noises, draw.present)
        if len(rows):
            with torch.no_grad(), half_precision(self.device, cache_enabled=False):
                before = self.painter.noised(sample.sketches[rows], sample.noises[rows], draw.first[rows])
                base = self._called(
                    before, sample.sketches[rows], draw.strength[rows], draw.first[rows], prompt[rows].detach()
                )
            noisy[rows] = self.painter.noised(base, torch.randn_like(base), draw.present[rows])
        return self._called(noisy, sample.sketches, draw.strength, draw.present, prompt)

    def _called(self, noisy: Tensor, sketches: Tensor, strength: Tensor, timestep: Tensor, prompt: Tensor) -> Tensor:
        call = self.painter.opened([None] * len(noisy), self.settings)
        fast = self.fast.precision
        return self.painter.predicted(noisy.to(fast), sketches.to(fast), strength, timestep, prompt.to(fast), call)

    def _naming(self, prompt: Tensor, sample: Sample) -> Tensor:
        """A scalar that draws the pooled prompt along a direction of its own for each look."""
        pooled = self.fast.copy.add_embedding(prompt.to(self.fast.precision)).float()
        return cross_entropy(pooled @ self.directions.T, sample.looks)

    def _as_pictures(
        self, rng: np.random.Generator, sample: Sample, predicted: Tensor, share: float, notes: Notes
    ) -> Tensor:
        """Crops of the first samples, decoded, against features, textures and judges."""
        count = self.plan.judged
        height, width = predicted.shape[-2:]
        crop = min(CROP, height)
        y, x = (int(rng.integers(0, extent - crop + 1)) for extent in (height, width))
        window = (..., slice(y, y + crop), slice(x, x + crop))
        rows, scenes = sample.rows.tolist(), sample.scenes.tolist()
        places = (8 * y, 8 * x, 8 * crop)
        source = as_tensor(np.stack([self.pictures.sketch(row, *places) for row in scenes[:count]]), self.device)
        target = as_tensor(np.stack([self.pictures.rendering(row, *places) for row in rows[:count]]), self.device)
        wanted = torch.lerp(source, target, share_of_style(sample.draw.strength[:count])[:, None, None, None])
        with half_precision(self.device):
            output = self.painter.decoded(predicted[:count][window])
        looks = sample.looks[:count]
        shown = output.detach().requires_grad_()
        ours = self.features(shown)
        with torch.no_grad():
            theirs = self.features(wanted)
        content, texture = feature_losses(ours, theirs)
        with half_precision(self.device):
            with held(self.judge):
                fooled, matched = self.judge(ours, shown, source, looks)
            true, goal = self.judge(theirs, wanted, source, looks)
            seen, _ = self.judge([each.detach() for each in ours], shown.detach(), source, looks)
        judging = judging_loss(true, seen)
        plain = (shown - wanted).abs().mean()
        sharpness = edge_strength(shown.detach()) / (edge_strength(wanted) + 1e-6)
        notes.add(
            plain=float(plain.detach()) * 127.5,
            content=float(content.detach()),
            texture=float(texture.detach()),
            judging=float(judging.detach()),
            sharpness=float(sharpness),
        )
        painted = 0.6 * plain + 0.3 * edge_loss(shown, wanted) + 0.4 * content + 0.15 * texture
        heard = HEARD * min(1.0, share / JUDGES_FROM)
        judged = fooling_loss(fooled) + MATCHING * matching_loss(matched, goal)
        return (output * balanced_gradient(shown, painted, judged, heard)).sum() + judging


def balanced_gradient(pictures: Tensor, painted: Tensor, judged: Tensor, heard: float) -> Tensor:
    """The gradient of `painted` at the pictures, and that of `judged` at `heard` of its norm, as in VQGAN (Esser et
    al., CVPR 2021, equation 7): a judge's grows and shrinks with what it has learnt."""
    (first,) = torch.autograd.grad(painted, pictures, retain_graph=True)
    (second,) = torch.autograd.grad(judged, pictures)
    return first + second * (heard * first.norm() / (second.norm() + 1e-12))


def known_parts(start: Path, things: list[str]) -> Parts:
    """The model of `start`, with a token for every word of the phrases, looks and grades."""
    parts = load_parts(start)
    spoken = [word for each in (*LOOKS.values(), *GRADES.values()) for word in each.words]
    words = dict.fromkeys([*vocabulary(things), *(word for each in spoken for word in each.split())])
    add_words(parts.tokenizer, parts.text_encoder, list(words))
    return parts


def prompt_of(rng: np.random.Generator, latents: Latents, scene: int, look: str, grade: str) -> str:
    """A scene in words, in a look, under a grade that is always said."""
    said = phrase(rng, latents.facts[scene], LOOKS[look].words)
    if not any(word in said for word in LOOKS[look].words):
        said = f"{LOOKS[look].words[0]}, {said}" if said else LOOKS[look].words[0]
    words = GRADES[grade].words
    return f"{said}, {words[int(rng.integers(len(words)))]}" if words else said


def edge_strength(pictures: Tensor) -> Tensor:
    """Mean step from a pixel to its right neighbour, a scalar."""
    return (pictures[..., 1:] - pictures[..., :-1]).abs().mean()


def _directions(width: int, count: int) -> Tensor:
    return normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(0)), dim=1)
