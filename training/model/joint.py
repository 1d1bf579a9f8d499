"""Stage "joint": UNet, text encoder and decoder together, judged in latents and on decoded pictures.

What a sample asks of the model:
- `strength` in a channel of its own: the target is the source blended towards the style by `share_of_style(strength)`;
- the first step sees the source under noise; a later step sees the model's own earlier prediction under less noise, and
  its target is sharper (`sharpened`), so that more steps refine;
- paint is uneven where the first step's noise says so (`texture_field`); in a pair of frames the second one's target
  is the first one's, grain and uneven paint moved along with the picture: a style by itself would stay on the screen
  like a dirty pane, and only the feature bank can tell where its grain was;
- there the second frame is also to look as the first one was painted (`unsteadiness_loss`), whatever its own noise and
  that of the camera's sensor: what a first frame had to guess, the bank knows.
"""

from __future__ import annotations

import time
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from pipeline.memory import create_memory
from pipeline.settings import FrameSettings
from training.model.checkpoint import Average, load_checkpoint, save_checkpoint
from training.model.codec import SECONDS_BETWEEN_CHECKPOINTS, cosine_rate
from training.model.data import Batch, Shards
from training.model.losses import picture_loss
from training.model.model import LATENT_CHANNELS, MEMORY_LAYOUT
from training.model.painter import Painter, Parts, self_attention_averaged, without_gradients
from training.model.progress import Progress
from training.model.targets import Draw, draw_steps, moved, painted_target, texture_field
from training.model.tensors import as_tensor, half_precision
from training.styles.styles import GRADES, STYLES

SHARE_OF_LATER_STEPS = 0.3
LATENT_WEIGHT = 0.5
NAMING_WEIGHT = 0.1
CODEC_WEIGHT = 0.1
STEADINESS_WEIGHT = 1.0
NOISIEST_SENSOR = 10 / 127.5
"""Deviation of the noise of a camera in a dark room; half of the samples come without noise."""
RELIANCE_EVERY = 4
"""A picture is also painted without self-attention, for one sample, in one of so many steps."""
RELIANCE_WEIGHT = 0.4


@dataclass(frozen=True)
class Phase:
    """A part of the stage: this many steps of this batch, at this picture size.

    `look_back` is the share of batches of second frames, which look back at first ones; `judged` is how many samples of
    a batch are decoded and judged as pictures (decoding costs more than the UNet; latents are judged in all).
    """

    steps: int
    batch: int
    side: int
    look_back: float
    judged: int


@dataclass(frozen=True)
class Task:
    """What is asked of every frame of a batch beside its picture.

    prompt `[B, 77, 128]`, texture `[B, 3]`, noises two of `[B, 16, h, w]`: of the first step and of a later one.
    """

    prompt: Tensor
    draw: Draw
    texture: Tensor
    noises: tuple[Tensor, Tensor]
    settings: FrameSettings


@dataclass(frozen=True)
class Painted:
    """Earlier pictures `[J, 3, H, W]` of the samples that are judged as pictures, moved to where the present shows the
    same, and where that is: seen `[J, 1, H, W]`, 0 or 1."""

    picture: Tensor
    seen: Tensor


@dataclass(frozen=True)
class Remembered:
    """The rows that a frame left behind, of its first step and of its later one, and how it was painted."""

    first: list[object]
    later: list[object]
    painted: Painted | None = None

    @classmethod
    def nothing(cls, rows: int) -> Remembered:
        """Of a stream that begins."""
        return cls([None] * rows, [None] * rows)


def naming_loss(painter: Painter, prompt: Tensor, batch: Batch) -> Tensor:
    """A scalar that draws the pooled prompt `[B, 4 C]` along a fixed direction for each style and for each grade.

    Styles that look a little alike would else stay one point there for most of a short training.
    """
    pooled = painter.parts.unet.add_embedding(prompt).float()
    generator = torch.Generator().manual_seed(0)
    names = len(STYLES) + len(GRADES)
    directions = torch.randn(names, pooled.shape[1], generator=generator).to(pooled)
    scores = pooled @ normalize(directions, dim=1).T
    styles = torch.tensor([list(STYLES).index(name) for name in batch.styles], device=pooled.device)
    grades = torch.tensor([list(GRADES).index(name) for name in batch.grades], device=pooled.device)
    return cross_entropy(scores[:, : len(STYLES)], styles) + cross_entropy(scores[:, len(STYLES) :], grades)


def reliance_loss(output: Tensor, averaged: Tensor, wanted: float = 9.0) -> Tensor:
    """A scalar from 1 to 0 as averaged self-attention changes the picture by 0 to `wanted` of 255.

    Convolutions alone can learn most styles; then features of the past, which come in through self-attention, would do
    nothing. output and averaged `[B, 3, H, W]` in -1..1.
    """
    change = 127.5 * (averaged - output.detach()).abs().mean()
    return (1 - change / wanted).relu()


def unsteadiness_loss(output: Tensor, painted: Painted) -> Tensor:
    """Mean |output - earlier picture| over what both show, a scalar; output `[J, 3, H, W]`.

    The short-term temporal loss of Lai et al., "Learning Blind Video Temporal Consistency" (ECCV 2018), eq. 5, with a
    known motion in the place of an estimated one.
    """
    return (painted.seen * (output - painted.picture).abs()).mean()


def through_sensor(sources: Tensor, rng: np.random.Generator) -> Tensor:
    """Sources `[B, 3, H, W]` with the noise of a camera, of another strength in each; every second has none."""
    deviations = [float(rng.uniform(0, NOISIEST_SENSOR)) * (rng.random() < 0.5) for _ in range(len(sources))]
    scale = torch.tensor(deviations, device=sources.device)[:, None, None, None]
    return (sources + scale * torch.randn_like(sources)).clamp(-1, 1)


@without_gradients
def encoded(painter: Painter, pictures: Tensor) -> Tensor:
    """Latents `[B, 16, h, w]` of pictures `[B, 3, H, W]`."""
    return painter.parts.codec.encoder(pictures.contiguous(memory_format=torch.channels_last)).float()


def frame_loss(
    painter: Painter,
    task: Task,
    seen: Tensor,
    source: Tensor,
    style: Tensor,
    field: Tensor,
    remembered: Remembered,
    judged: int,
    relies: bool,
) -> Tensor:
    """The loss of one frame of each sample, given what earlier frames left behind; `relies` adds `reliance_loss`.

    `seen` is `source` as the camera sends it.
    """
    draw = task.draw
    latents = encoded(painter, seen)
    target = painted_target(source, style, task.texture, field, draw)
    wanted = encoded(painter, target)
    later = draw.later[:, None, None, None]
    base = torch.where(later, first_prediction(painter, task, latents, remembered), latents)
    noisy = painter.noised(base, torch.where(later, task.noises[1], task.noises[0]), draw.present)
    call = painter.opened(remembered.later, task.settings)
    predicted = painter.predicted(noisy, latents, draw.strength, draw.present, task.prompt, call)
    output = painter.decoded(torch.cat([predicted[:judged], wanted[-1:]]))
    losses = picture_loss(output, torch.cat([target[:judged], target[-1:]]))
    loss = losses[:-1].mean() + CODEC_WEIGHT * losses[-1] + LATENT_WEIGHT * (predicted - wanted).square().mean()
    if remembered.painted is not None:
        loss = loss + STEADINESS_WEIGHT * unsteadiness_loss(output[:judged], remembered.painted)
    if not relies:
        return loss
    with self_attention_averaged(painter.parts.unet):
        call = painter.opened(remembered.later[:1], task.settings)
        averaged = painter.predicted(noisy[:1], latents[:1], draw.strength[:1], draw.present[:1], task.prompt[:1], call)
    return loss + RELIANCE_WEIGHT * reliance_loss(output[:1], painter.decoded(averaged))


@without_gradients
def first_prediction(painter: Painter, task: Task, latents: Tensor, remembered: Remembered) -> Tensor:
    """What later steps start from: the model's own prediction at the first step, for the samples that are later ones.

    `[B, 16, h, w]`; the other samples' rows are the source latents.
    """
    draw, rows = task.draw, task.draw.later.nonzero().flatten()
    predictions = latents.clone()
    if len(rows):
        call = painter.opened([remembered.first[int(row)] for row in rows], task.settings)
        noisy = painter.noised(latents[rows], task.noises[0][rows], draw.first[rows])
        predictions[rows] = painter.predicted(
            noisy, latents[rows], draw.strength[rows], draw.first[rows], task.prompt[rows], call
        )
    return predictions


@without_gradients
def remember(painter: Painter, task: Task, source: Tensor, shifts: np.ndarray, judged: int) -> Remembered:
    """Let a frame of each sample pass and keep what it leaves behind, seen from `shifts [B, 2]` (dy, dx) further; the
    first `judged` are decoded."""
    draw = task.draw
    latents = encoded(painter, source)
    nothing: list[object] = [None] * len(source)

    def passed(base: Tensor, noise: Tensor, timestep: Tensor) -> tuple[Tensor, list[object]]:
        call = painter.opened(nothing, task.settings)
        noisy = painter.noised(base, noise, timestep)
        predicted = painter.predicted(noisy, latents, draw.strength, timestep, task.prompt, call)
        return predicted, [painter.memory.updated(call, index) for index in range(len(base))]

    def painted(latents: Tensor) -> Painted:
        picture = painter.decoded(latents[:judged])
        nowhere = torch.zeros_like(picture)
        seen = torch.ones_like(picture)
        return Painted(moved(picture, nowhere, shifts[:judged]), moved(seen, nowhere, shifts[:judged])[:, :1])

    predicted, first = passed(latents, task.noises[0], draw.first)
    if not bool(draw.later.any()):
        return Remembered(first, first, painted(predicted))
    repainted, later = passed(predicted, task.noises[1], draw.present)
    mixed = [later[index] if draw.later[index] else first[index] for index in range(len(source))]
    return Remembered(first, mixed, painted(torch.where(draw.later[:, None, None, None], repainted, predicted)))


def batch_loss(painter: Painter, batch: Batch, rng: np.random.Generator, phase: Phase, relies: bool) -> Tensor:
    """The loss of a batch: of single frames, or of second frames that look back at the first ones."""
    device = painter.device
    task = drawn_task(painter, batch, rng)
    naming = NAMING_WEIGHT * naming_loss(painter, task.prompt, batch)
    frames = [
        (as_tensor(batch.sources[:, number], device), as_tensor(batch.targets[:, number], device))
        for number in range(2)
    ]
    seen = [through_sensor(source, rng) for source, _ in frames]
    field = texture_field(task.noises[0])
    if rng.random() >= phase.look_back:
        nothing = Remembered.nothing(len(field))
        return naming + frame_loss(painter, task, seen[0], *frames[0], field, nothing, phase.judged, relies)
    remembered = remember(painter, task, seen[0], batch.shifts, phase.judged)
    if rng.random() < 0.5:  # else the noise is fixed, as a session's is
        fresh = (torch.randn_like(task.noises[0]), torch.randn_like(task.noises[1]))
        task = replace(task, noises=fresh)
    carried = moved(field, texture_field(task.noises[0]), batch.shifts)
    source, style = frames[1][0], moved(frames[0][1], frames[1][1], batch.shifts)
    return naming + frame_loss(painter, task, seen[1], source, style, carried, remembered, phase.judged, relies)


def drawn_task(painter: Painter, batch: Batch, rng: np.random.Generator) -> Task:
    """Strengths, steps, noise and memory settings, drawn at random, for a batch."""
    size, side = len(batch.captions), batch.sources.shape[2] // 8
    shape = (size, LATENT_CHANNELS, side, side)
    return Task(
        painter.prompt_embeddings(batch.captions),
        draw_steps(rng, size, SHARE_OF_LATER_STEPS, painter.device),
        torch.tensor([STYLES[name].texture for name in batch.styles], device=painter.device),
        (torch.randn(shape, device=painter.device), torch.randn(shape, device=painter.device)),
        FrameSettings(
            bank_frames=1.0, bank_interval=1, fusion_strength=float(rng.choice([0.0, 0.5, 0.75])), fusion_threshold=0.9
        ),
    )


def train_joint(
    parts: Parts,
    shards: Shards,
    checkpoint: Path,
    phases: list[Phase],
    device: torch.device,
    seed: int,
    rate: float,
    phase_done: Callable[[int], None],
) -> list[float]:
    """Train in place through all phases; resumes from `checkpoint`.

    `phase_done` is called with the number of each phase that ends, while the averaged weights are in place.
    The encoder stays as the codec stage left it, so that latents mean the same from the first step to the last.
    Returns the loss of each step that this call took.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    for module in parts.modules.values():
        module.to(device=device)
    parts.unet.to(memory_format=torch.channels_last)
    parts.codec.to(memory_format=torch.channels_last)
    groups = [
        {"params": [*parts.unet.parameters(), *parts.text_encoder.parameters()], "share": 1.0},
        {"params": list(parts.codec.decoder.parameters()), "share": 0.5},
    ]
    parameters = [each for group in groups for each in group["params"]]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), weight_decay=1e-3)
    average = Average(parameters)
    first = load_checkpoint(checkpoint, parts.modules, optimizer, average, rng)
    painter = Painter(parts, create_memory("feature-bank", MEMORY_LAYOUT, "sdpa"), device)
    ends = list(accumulate(phase.steps for phase in phases))
    steps = ends[-1]
    progress, saved = Progress("joint", steps, first), time.monotonic()
    losses: list[float] = []
    with painter.memory.installed(parts.unet):
        for step in range(first, steps):
            phase = phases[bisect(ends, step)]
            for group in optimizer.param_groups:
                group["lr"] = rate * group["share"] * cosine_rate(step, steps)
            batch = shards.batch(rng, phase.batch, phase.side)
            with half_precision(device):
                loss = batch_loss(painter, batch, rng, phase, relies=step % RELIANCE_EVERY == 0)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            average.update()
            losses.append(float(loss.detach()))
            progress.show(step + 1, f"loss {np.mean(losses[-100:]):.4f}, {phase.side} px")
            if step + 1 in ends:
                with average.in_place():
                    phase_done(ends.index(step + 1))
            if time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS or step + 1 == steps:
                save_checkpoint(checkpoint, step + 1, parts.modules, optimizer, average, rng)
                saved = time.monotonic()
    return losses
