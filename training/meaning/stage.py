"""The training of stage "meaning": sketches become renderings, in latents of 128 px.

A rare word's row in the text encoder's table is touched by few batches, and Adam moves it by about the rate each time:
the table learns at `WORDS_RATE` times the rate of the rest. A head that names the largest thing from the middle of the
UNet helps to tell shapes apart, and is thrown away with the stage.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, cross_entropy

from training.meaning.latents import Latents, colour_map, read_latents
from training.meaning.looking import look, predict, without_memory
from training.meaning.vocabulary import add_words
from training.model.checkpoint import Average, load_checkpoint, save_checkpoint
from training.model.export import export, load_parts
from training.model.fast_copy import FastCopy
from training.model.muon import Muon, body_groups
from training.model.painter import Painter, Parts
from training.model.team import Team
from training.model.tensors import fast_precision, half_precision
from training.things.icons import Icons, load_icons
from training.things.phrases import phrase, vocabulary

WORDS_RATE = 10.0
COLOURS_COUNT = 2.0
"""How much the colours of latents count beside their likeness."""
ANOTHER_COLOUR = 0.25
"""Distance, of -1..1, from which on a colour is another one rather than a shade."""
STANDING_OUT, AROUND = 2.0, 9
"""How much more a latent counts whose colour is another one than that of the square around it, of so many latents."""
SHARE_OF_LATER_STEPS = 0.15
"""Of the samples that begin from the noised rendering at a lower timestep, as a second step does."""
STYLE_WORDS = ("toy", "3d toy render", "cute 3d", "clay toy", "3d render")
SECONDS_BETWEEN_SHEETS = 600
SECONDS_BETWEEN_CHECKPOINTS = 240
SECONDS_BETWEEN_NOTES = 30


@dataclass(frozen=True)
class MeaningPlan:
    """Steps, samples a step in each process, and the rate, which falls after a share `falls_from` of the steps."""

    steps: int = 14_000
    batch: int = 12
    rate: float = 8e-4
    falls_from: float = 0.75

    def rate_at(self, step: int) -> float:
        """A short rise, a plain, then a line down to a twentieth."""
        rise = min(1.0, (step + 1) / 200)
        down = max(0.0, (step / self.steps - self.falls_from) / (1 - self.falls_from))
        return self.rate * rise * (1 - 0.95 * down)


@dataclass(frozen=True)
class Folders:
    """Where a run keeps its things; all below `work`."""

    work: Path

    @property
    def icons(self) -> Path:
        return self.work / "icons"

    @property
    def scenes(self) -> Path:
        return self.work / "scenes_128"

    @property
    def latents(self) -> Path:
        return self.work / "latents_128"

    @property
    def checkpoint(self) -> Path:
        return self.work / "meaning.safetensors"

    @property
    def model(self) -> Path:
        return self.work / "meaning"

    @property
    def sheets(self) -> Path:
        return self.work / "sheets"


@dataclass(frozen=True)
class Batch:
    """sketches, renderings and noises float32 `[B, 16, h, w]`, prompts, and the number of each one's largest thing."""

    sketches: Tensor
    renderings: Tensor
    noises: Tensor
    prompts: list[str]
    things: Tensor


class Middle:
    """What the UNet's middle gave in its last call, `[B, C, h, w]`."""

    def __init__(self, unet: nn.Module) -> None:
        self.features: Tensor | None = None
        unet.mid_block.register_forward_hook(self._keep)

    def _keep(self, _: nn.Module, __: object, output: Tensor) -> None:
        self.features = output

    def taken(self) -> Tensor:
        """The features, which are then forgotten. Raises `RuntimeError` where the UNet was not called."""
        if self.features is None:
            raise RuntimeError("no features of the middle; needed: a call of the UNet first.")
        features, self.features = self.features, None
        return features


def known_parts(start: Path, icons: Icons) -> Parts:
    """The model of `start`, with a token for every word of the phrases."""
    parts = load_parts(start)
    add_words(parts.tokenizer, parts.text_encoder, [*vocabulary(list(icons.rows)), *" ".join(STYLE_WORDS).split()])
    return parts


def drawn_batch(latents: Latents, numbers: dict[str, int], rng: np.random.Generator, size: int) -> Batch:
    """`size` random scenes with a phrase each."""
    at = torch.from_numpy(rng.integers(0, len(latents), size))
    scenes = latents.scenes[at]
    facts = [latents.facts[int(index)] for index in scenes]
    return Batch(
        latents.sketches[scenes].float(),
        latents.renderings[at].float(),
        latents.noises[scenes].float(),
        [phrase(rng, each, STYLE_WORDS) for each in facts],
        torch.tensor([numbers[each.things[0][0]] for each in facts]),
    )


def mean_over_rows(values: Tensor) -> Tensor:
    """`[B, ...]` to `[B]`."""
    return values.flatten(1).mean(1)


def latent_losses(predicted: Tensor, wanted: Tensor, colours: Tensor, plain: float = 1.0) -> Tensor:
    """`[B]`: `plain` times L1 and squares of latents `[B, 16, h, w]`, and how far off the colours are that the linear
    map `colours` reads there.

    Of colours, what is far off counts little more than what is somewhat off (a robust loss, as in Barron, CVPR 2019):
    who does not know where the windows of a red car are paints a red car then, and by L1 a plum one. Chroma counts
    again: grey is what a net says when it does not know. What stands out counts more: roofs and windows are few beside
    walls and sky, and would be the last that is learnt (rebalancing, as in Zhang et al., ECCV 2016).
    """
    difference = predicted - wanted
    shown = conv2d(difference, colours)
    chroma = shown - shown.mean(1, keepdim=True)
    weights = 1 + STANDING_OUT * standing_out(conv2d(wanted, colours))
    weights = weights / weights.mean((1, 2), keepdim=True)
    alike = (difference.abs() + 0.5 * difference.square()).mean(1)
    return mean_over_rows(
        weights * (plain * alike + COLOURS_COUNT * (distance_to_a_colour(shown) + distance_to_a_colour(chroma)))
    )


def standing_out(shown: Tensor) -> Tensor:
    """How much each colour of `[B, 3, h, w]` is another one than the mean around it, `[B, h, w]` in 0..1."""
    around = avg_pool2d(shown, AROUND, stride=1, padding=AROUND // 2, count_include_pad=False)
    return ((shown - around).square().sum(1).sqrt() / ANOTHER_COLOUR).clamp(max=1.0)


def distance_to_a_colour(difference: Tensor) -> Tensor:
    """`[B, 3, h, w]` to `[B, h, w]`, concave from about `ANOTHER_COLOUR` on."""
    distance = (difference.square().sum(1) / ANOTHER_COLOUR**2 + 1e-4).sqrt() - 1e-2
    return ANOTHER_COLOUR * distance.log1p()


def train_meaning(team: Team, plan: MeaningPlan, folders: Folders, start: Path, seed: int) -> None:
    """Train from the checkpoint, or from `start`; the averaged model is exported beside each checkpoint."""
    cv2.setNumThreads(1)
    torch.manual_seed(seed)
    icons = load_icons(folders.icons)
    parts = known_parts(start, icons)
    latents = read_latents(folders.scenes, folders.latents)
    numbers = {name: number for number, name in enumerate(icons.rows)}
    parts.unet.to(memory_format=torch.channels_last)
    parts.codec.requires_grad_(False)
    width = parts.unet.config.block_out_channels[-1]
    head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(numbers)))
    fast = FastCopy(parts.unet, fast_precision(torch.device("cpu")))
    middle = Middle(fast.copy)
    shipped = [*parts.unet.parameters(), *parts.text_encoder.parameters()]
    body = [*shipped, *head.parameters()]
    groups = [*body_groups(parts, WORDS_RATE), {"params": list(head.parameters()), "times": 1.0}]
    optimizer = Muon(groups, plan.rate, team)
    average = Average(shipped, decay=0.999)
    rng = np.random.default_rng(seed)
    modules = {"unet": parts.unet, "text_encoder": parts.text_encoder, "head": head}
    first = load_checkpoint(folders.checkpoint, modules, optimizer, average, rng)
    rng = np.random.default_rng((seed, first, team.rank))
    torch.manual_seed(hash((seed, first, team.rank)) % 2**31)
    painter = without_memory(Parts(fast.copy, parts.codec, parts.text_encoder, parts.tokenizer))
    looking = without_memory(parts)
    colours = colour_map(latents)
    notes, began = Notes(), time.monotonic()
    looked, saved, noted = began - SECONDS_BETWEEN_SHEETS, began, began
    with painter.memory.installed(fast.copy), looking.memory.installed(parts.unet):
        for step in range(first, plan.steps):
            fast.refresh()
            for group in optimizer.param_groups:
                group["lr"] = plan.rate_at(step) * group["times"]
            loss = batch_loss(
                painter, middle, head, drawn_batch(latents, numbers, rng, plan.batch), colours, rng, notes
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            fast.collect()
            team.average(body)
            torch.nn.utils.clip_grad_norm_(body, 1.0)
            optimizer.step()
            average.update()
            now = time.monotonic()
            if not team.leads:
                continue
            if now - noted > SECONDS_BETWEEN_NOTES:
                samples = team.size * plan.batch * (step + 1 - first) / (now - began)
                print(f"meaning: step {step + 1}, {samples:.1f} samples a second, {notes}", flush=True)
                noted = now
            if now - looked > SECONDS_BETWEEN_SHEETS:
                with average.in_place():
                    look(looking, icons, folders.sheets, STYLE_WORDS[0], step + 1)
                looked = time.monotonic()
            if now - saved > SECONDS_BETWEEN_CHECKPOINTS or step + 1 == plan.steps:
                save_checkpoint(folders.checkpoint, step + 1, modules, optimizer, average, rng)
                with average.in_place():
                    export(parts, folders.model)
                saved = time.monotonic()


class Notes:
    """Running means of figures by name."""

    def __init__(self) -> None:
        self.means: dict[str, float] = {}

    def add(self, **figures: float) -> None:
        for name, figure in figures.items():
            self.means[name] = 0.99 * self.means.get(name, figure) + 0.01 * figure

    def __str__(self) -> str:
        return ", ".join(f"{name} {mean:.4f}" for name, mean in self.means.items())


def batch_loss(
    painter: Painter,
    middle: Middle,
    head: nn.Module,
    batch: Batch,
    colours: Tensor,
    rng: np.random.Generator,
    notes: Notes,
) -> Tensor:
    """The loss of a batch at strength 1: most samples at the first step, some at a later one."""
    size = len(batch.prompts)
    later = torch.from_numpy(rng.random(size) < SHARE_OF_LATER_STEPS)
    timesteps = torch.where(later, torch.from_numpy(rng.integers(200, 900, size)), torch.full((size,), 999))
    base = torch.where(later[:, None, None, None], batch.renderings, batch.sketches)
    with half_precision(painter.device):
        prompts = painter.prompt_embeddings(batch.prompts)
    predicted = predict(painter, painter.noised(base, batch.noises, timesteps), batch.sketches, timesteps, prompts)
    named = cross_entropy(head(middle.taken().float().mean((2, 3))), batch.things)
    rows = latent_losses(predicted, batch.renderings, colours)
    notes.add(latents=float(rows.detach().mean()), naming=float(named.detach()))
    return rows.mean() + 0.05 * named
