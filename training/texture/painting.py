"""The stage of looks: a sketch becomes what it should become, in every look, judged in latents and as a picture.

What a sample asks of the model:
- the look and the grade in words; all chance of the look stands in the noise, so every stroke can be known;
- `strength` in a channel of its own: the target is the sketch blended towards the look by `share_of_style(strength)`;
- the first step sees the sketch under noise; a later step sees the model's own earlier prediction under less of that
  noise, and its target is the same picture, so that more steps mend what the first one missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from pipeline.memory import create_memory
from pipeline.settings import FrameSettings
from training.looks.looks import GRADES, LOOKS
from training.meaning.stage import WORDS_RATE, Notes, latent_losses
from training.meaning.vocabulary import add_words
from training.model.export import export, load_parts
from training.model.fast_copy import FastCopy
from training.model.losses import contrast_loss, edge_loss, edge_strength
from training.model.model import MEMORY_LAYOUT
from training.model.muon import body_groups
from training.model.painter import Painter, Parts, training_kernel
from training.model.targets import share_of_style
from training.model.tensors import as_tensor, fast_precision, half_precision
from training.texture.features import Features, feature_losses, load_features
from training.texture.judges import AnyJudge, Judge, LatentJudge, balanced_gradient, go_on, heard, save_judges, verdict
from training.texture.pictures import Pictures
from training.texture.samples import Sample, read_scenes, sample_of, window_of
from training.texture.sheets import held_out, looks_sheet
from training.things.icons import load_icons
from training.things.phrases import vocabulary

NAMING = 0.3
PLAIN, PLAIN_WHERE_JUDGED = 0.4, 0.25
"""How much the likeness of latents counts beside that of their colours, and where judges see to the rest: it makes weak
whatever is not quite known."""


@dataclass(frozen=True)
class PaintingPlan:
    """How a stage of looks trains: samples a step, how many are judged as pictures, the share that are later steps, and
    whether a judge sees the latents of all of them."""

    name: str
    batch: int
    judged: int
    later: float = 0.15
    latents_judged: bool = False


@dataclass(frozen=True)
class Material:
    """What a stage of looks learns from: folders of scenes, in the order of their turns, the folder of the icons, and
    the file of the features that judge."""

    scenes: Sequence[Path]
    icons: Path
    features: Path


class Painting:
    """The learner of a stage of looks."""

    def __init__(self, plan: PaintingPlan, start: Path, data: Material, out: Path, device: torch.device) -> None:
        self.plan, self.name, self.start, self.out, self.device = plan, plan.name, start, out, device
        self.settings = FrameSettings()
        self.icons = load_icons(data.icons)
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
        self.scenes = read_scenes(data.scenes, plan.batch, device)
        self.turns = cycle(self.scenes)
        self.samples = sum(each.batch for each in self.scenes) / len(self.scenes)
        body = [*self.parts.unet.parameters(), *self.parts.text_encoder.parameters()]
        self.shipped = body
        self.groups = body_groups(self.parts, WORDS_RATE / 2 if plan.judged else WORDS_RATE)
        self.modules: dict[str, nn.Module] = {"unet": self.parts.unet, "text_encoder": self.parts.text_encoder}
        self.directions = _directions(self.parts.unet.add_embedding.proj.out_features, len(LOOKS)).to(device)
        self.judges: list[AnyJudge] = []
        if plan.latents_judged:
            self.latent_judge = LatentJudge(len(LOOKS))
            self._add("latent_judge", self.latent_judge, start, times=1.5)
        if plan.judged:
            self.features: Features = load_features(data.features, self.device)
            self.judge = Judge(self.features.widths[1:], len(LOOKS))
            self._add("judge", self.judge, start, times=5.0)

    def _add(self, name: str, judge: AnyJudge, start: Path, times: float) -> None:
        judge.to(self.device)
        go_on(judge, start)
        self.groups.append({"params": list(judge.parameters()), "times": times, "judge": True, "weight_decay": 0.0})
        self.modules[name] = judge
        self.judges.append(judge)

    def open(self) -> AbstractContextManager[object]:
        """The UNet takes calls with a memory, here one of nothing."""
        return self.painter.memory.installed(self.fast.copy)

    def before_step(self) -> None:
        self.fast.refresh()

    def before_update(self) -> None:
        self.fast.collect()

    def look(self, step: int) -> None:
        """Held-out drawings, photographs and a blank sheet in all looks."""
        side = 8 * self.scenes[-1].latents.sketches.shape[-1]
        sheet = looks_sheet(self.parts, self.device, held_out(self.icons, side))
        sheet.save(self.out.parent / "sheets" / f"{self.name}_{step:06d}.jpg", quality=90)

    def export(self) -> None:
        export(self.parts, self.out)
        save_judges(self.judges, self.start, self.out)

    def loss(self, rng: np.random.Generator, notes: Notes) -> Tensor:
        """In latents for all samples, as pictures for the first few."""
        scenes = next(self.turns)
        sample = sample_of(rng, scenes, self.plan.later, self.device)
        with half_precision(self.device):
            prompt = self.painter.prompt_embeddings(sample.prompts)
            naming = self._naming(prompt, sample)
            predicted = self._predicted(self.painter, self._noisy(sample, prompt), sample, prompt)
        blended = share_of_style(sample.draw.strength)[:, None, None, None]
        wanted = torch.lerp(sample.sketches, sample.targets, blended)
        loss = NAMING * naming + self._in_latents(scenes.colours, sample, predicted, wanted, notes)
        notes.add(naming=float(naming.detach()))
        if self.plan.judged:
            loss = loss + self._as_pictures(rng, scenes.pictures, sample, predicted, wanted, notes)
        return loss

    def _in_latents(self, colours: Tensor, sample: Sample, predicted: Tensor, wanted: Tensor, notes: Notes) -> Tensor:
        """All latents, measured and judged."""
        plain = PLAIN_WHERE_JUDGED if self.judges else PLAIN
        shown = predicted.detach().requires_grad_() if self.plan.latents_judged else predicted
        painted = latent_losses(shown, wanted, colours, plain).mean()
        notes.add(latents=float(painted.detach()))
        if not self.plan.latents_judged:
            return painted
        judged, judging = verdict(self.latent_judge, (shown,), (wanted,), sample.sketches, sample.looks)
        notes.add(judging_latents=float(judging.detach()), told_latents=float(self.latent_judge.told))
        gradient = balanced_gradient(shown, painted, judged, heard(self.latent_judge))
        return (predicted * gradient).sum() + judging

    def _noisy(self, sample: Sample, prompt: Tensor) -> Tensor:
        """What a step begins with `[B, 16, h, w]`: a sketch under noise, or the model's own picture under less."""
        draw = sample.draw
        rows = draw.later.nonzero().flatten()
        noisy = self.painter.noised(sample.sketches, sample.noises, draw.present)
        if len(rows):
            with torch.no_grad(), half_precision(self.device, cache_enabled=False):
                before = self.painter.noised(sample.sketches[rows], sample.noises[rows], draw.first[rows])
                base = self._called(
                    self.painter, before, sample.sketches[rows], draw.strength[rows], draw.first[rows], prompt[rows]
                )
            noisy[rows] = self.painter.noised(base, sample.noises[rows], draw.present[rows])
        return noisy

    def _predicted(self, painter: Painter, noisy: Tensor, sample: Sample, prompt: Tensor) -> Tensor:
        return self._called(painter, noisy, sample.sketches, sample.draw.strength, sample.draw.present, prompt)

    def _called(
        self, painter: Painter, noisy: Tensor, sketches: Tensor, strength: Tensor, timestep: Tensor, prompt: Tensor
    ) -> Tensor:
        call = painter.opened([None] * len(noisy), self.settings)
        fast = self.fast.precision
        return painter.predicted(noisy.to(fast), sketches.to(fast), strength, timestep, prompt.to(fast), call)

    def _naming(self, prompt: Tensor, sample: Sample) -> Tensor:
        """A scalar that draws the pooled prompt along a direction of its own for each look."""
        pooled = self.fast.copy.add_embedding(prompt.to(self.fast.precision)).float()
        return cross_entropy(pooled @ self.directions.T, sample.looks)

    def _as_pictures(
        self,
        rng: np.random.Generator,
        pictures: Pictures,
        sample: Sample,
        predicted: Tensor,
        latents: Tensor,
        notes: Notes,
    ) -> Tensor:
        """Crops of the first samples, decoded, against features, textures and judges; `latents` are the wanted ones."""
        count = self.plan.judged
        window = window_of(rng, predicted.shape[-1])
        source, target = (
            as_tensor(np.stack([of(row, *window.place) for row in rows[:count].tolist()]), self.device)
            for of, rows in ((pictures.sketch, sample.scenes), (pictures.rendering, sample.rows))
        )
        wanted = torch.lerp(source, target, share_of_style(sample.draw.strength[:count])[:, None, None, None])
        with half_precision(self.device):
            output = self.painter.decoded(predicted[:count][(..., *window.decoded)])[(..., *window.seen)]
            with torch.no_grad():
                # The best that the decoder can show: by what only it cannot, a judge would always tell.
                best = self.painter.decoded(latents[:count][(..., *window.decoded)])[(..., *window.seen)]
        shown = output.detach().requires_grad_()
        ours = self.features(shown)
        with torch.no_grad():
            theirs = self.features(best)
        content, texture = feature_losses(ours, theirs)
        judged, judging = verdict(self.judge, (ours, shown), (theirs, best), source, sample.looks[:count])
        sharpness = edge_strength(shown.detach()) / (edge_strength(wanted) + 1e-6)
        notes.add(
            plain=float((shown.detach() - wanted).abs().mean()) * 127.5,
            content=float(content.detach()),
            texture=float(texture.detach()),
            judging=float(judging.detach()),
            told=float(self.judge.told),
            sharpness=float(sharpness),
        )
        painted = painting_loss(shown, wanted, content, texture)
        gradient = balanced_gradient(shown, painted, judged, heard(self.judge))
        return (output * gradient).sum() + judging


def painting_loss(output: Tensor, target: Tensor, content: Tensor, texture: Tensor) -> Tensor:
    """What is measured of pictures `[B, 3, H, W]` in -1..1 beside their `feature_losses`, and these; a scalar."""
    alike = 0.6 * (output - target).abs().mean() + 0.3 * edge_loss(output, target)
    return alike + contrast_loss(output, target) + 0.4 * content + 0.15 * texture


def known_parts(start: Path, things: list[str]) -> Parts:
    """The model of `start`, with a token for every word of the phrases, looks and grades."""
    parts = load_parts(start)
    spoken = [word for each in (*LOOKS.values(), *GRADES.values()) for word in each.words]
    words = dict.fromkeys([*vocabulary(things), *(word for each in spoken for word in each.split())])
    add_words(parts.tokenizer, parts.text_encoder, list(words))
    return parts


def _directions(width: int, count: int) -> Tensor:
    return normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(0)), dim=1)
