"""Stage "joint": UNet, text encoder and codec together, judged on the decoded picture.

What a sample asks of the model:
- `strength` in a channel of its own: the target is the source blended towards the style by `share_of_style(strength)`;
- the first step sees the source under noise; a later step sees the model's own earlier prediction under less noise, and
  its target is sharper (`sharpened`), so that more steps refine;
- paint is uneven where the first step's noise says so (`texture_field`); in a pair of frames the second one's target
  carries the texture of the first one, moved along with the picture, and only the feature bank can tell where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy, interpolate, normalize
from transformers import CLIPTextModel, CLIPTokenizer

from pipeline.conditioning import phase_channels
from pipeline.memory import Memory, create_memory
from pipeline.memory.hooks import attention_layers, is_self_attention
from pipeline.schedule import timestep_indices
from pipeline.settings import FrameSettings
from training.checkpoint import Average, load_checkpoint, save_checkpoint
from training.codec import SECONDS_BETWEEN_CHECKPOINTS, cosine_rate
from training.data import Batch, Shards
from training.losses import latent_spread_loss, picture_loss
from training.model import MEMORY_LAYOUT, PROMPT_TOKENS, new_scheduler
from training.progress import Progress
from training.styles import GRADES, STYLES
from training.tensors import as_tensor

GRID = 50
RELIANCE_ROWS = 1
"""Samples of a batch for which the picture is also painted without self-attention."""
T = TypeVar("T")


@dataclass(frozen=True)
class Parts:
    """The models that learn together."""

    unet: UNet2DConditionModel
    codec: AutoencoderTiny
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {"unet": self.unet, "codec": self.codec, "text_encoder": self.text_encoder}


@dataclass(frozen=True)
class Phase:
    """A part of the stage: this many steps of this batch, at this picture size, with this share of pairs of frames."""

    steps: int
    batch: int
    side: int
    look_back: float


@dataclass(frozen=True)
class Draw:
    """What is drawn for each sample: strength, timesteps of the first and of the present step, and which are later.

    strength `[B]` in 0.1..1, first and present `[B]` timesteps, later `[B]` bool, refinement `[B]` in 0..1.
    """

    strength: Tensor
    first: Tensor
    present: Tensor
    later: Tensor

    @property
    def refinement(self) -> Tensor:
        return 1 - self.present.float() / self.first.float()


def share_of_style(strength: Tensor) -> Tensor:
    """How far the target is from the source to the style: 0 at a strength of 0.1, 1 at 1, even in between."""
    return ((strength - 0.1) / 0.9).clamp(0, 1)


def draw_steps(rng: np.random.Generator, size: int, later: float, device: torch.device) -> Draw:
    """Strengths (most of them 0.9 and more), numbers of steps, the present step; a share `later` is not the first."""
    strengths, firsts, presents, laters = [], [], [], []
    for _ in range(size):
        strength = float(rng.uniform(0.9, 1.0) if rng.random() < 0.7 else rng.uniform(0.1, 1.0))
        is_later = bool(rng.random() < later) and strength >= 0.2
        steps = int(rng.integers(2, 5)) if is_later else int(rng.integers(1, 5))
        grid = [(GRID - index) * (1000 // GRID) - 1 for index in timestep_indices(strength, steps)]
        step = int(rng.integers(1, steps)) if is_later else 0
        strengths.append(strength)
        firsts.append(grid[0])
        presents.append(grid[step])
        laters.append(is_later)
    return Draw(
        torch.tensor(strengths, device=device),
        torch.tensor(firsts, device=device),
        torch.tensor(presents, device=device),
        torch.tensor(laters, device=device),
    )


def texture_field(noise: Tensor) -> Tensor:
    """Where the paint is thick: a smooth field `[B, 1, 8h, 8w]` of unit deviation, from noise `[B, C, h, w]`."""
    coarse = noise[:, :2].mean(1, keepdim=True) * 2**0.5
    return interpolate(coarse, scale_factor=8, mode="bicubic", align_corners=False)


def moved(field: Tensor, fallback: Tensor, shifts: np.ndarray) -> Tensor:
    """`field` as seen from a place `shifts [B, 2]` (dy, dx) further; `fallback` where it shows nothing."""
    out = fallback.clone()
    height, width = field.shape[-2:]
    for row, (dy, dx) in enumerate(shifts):
        dy, dx = int(dy), int(dx)
        to_y, to_x = slice(max(0, -dy), height - max(0, dy)), slice(max(0, -dx), width - max(0, dx))
        from_y, from_x = slice(max(0, dy), height + min(0, dy)), slice(max(0, dx), width + min(0, dx))
        out[row, :, to_y, to_x] = field[row, :, from_y, from_x]
    return out


def sharpened(picture: Tensor, amount: Tensor) -> Tensor:
    """Unsharp masking by `amount [B]` in 0..1."""
    blurred = avg_pool2d(picture, 5, stride=1, padding=2, count_include_pad=False)
    return (picture + amount[:, None, None, None] * (picture - blurred)).clamp(-1, 1)


def painted_target(source: Tensor, style: Tensor, texture: Tensor, field: Tensor, draw: Draw) -> Tensor:
    """What the model should paint: source and style `[B, 3, H, W]`, texture `[B, 3]`, field `[B, 1, H, W]`."""
    uneven = ((style + 1) * (1 + texture[:, :, None, None] * field) - 1).clamp(-1, 1)
    finished = sharpened(uneven, 0.8 * draw.refinement)
    share = share_of_style(draw.strength)[:, None, None, None]
    return torch.lerp(source, finished, share)


class Painter:
    """Runs the UNet as the engine does, over a batch, with gradients where they are asked for."""

    def __init__(self, parts: Parts, memory: Memory, device: torch.device) -> None:
        self.parts, self.memory, self.device = parts, memory, device
        self.alphas = new_scheduler().alphas_cumprod.to(device).float()
        self.generator = torch.Generator().manual_seed(0)

    def prompt_embeddings(self, captions: list[str]) -> Tensor:
        """`[B, 77, 128]`."""
        tokens = self.parts.tokenizer(
            captions, padding="max_length", truncation=True, max_length=PROMPT_TOKENS, return_tensors="pt"
        )
        return self.parts.text_encoder(tokens.input_ids.to(self.device))[0]

    def noised(self, latents: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """`sqrt(a_t) x + sqrt(1 - a_t) noise` for timesteps `[B]`."""
        alpha = self.alphas[timestep][:, None, None, None]
        return alpha.sqrt() * latents + (1 - alpha).sqrt() * noise

    def predicted(
        self, noisy: Tensor, source: Tensor, strength: Tensor, timestep: Tensor, prompt: Tensor, call: object
    ) -> Tensor:
        """Clean latents `[B, 16, h, w]` predicted from noisy ones."""
        rows, _, height, width = noisy.shape
        phase = phase_channels(height, width).to(noisy)[None].expand(rows, -1, -1, -1)
        channel = strength[:, None, None, None].expand(-1, 1, height, width).to(noisy)
        sample = torch.cat([noisy, source, phase, channel], 1).contiguous(memory_format=torch.channels_last)
        kwargs = {"memory": call}
        return self.parts.unet(sample, timestep, prompt, cross_attention_kwargs=kwargs).sample.float()

    def decoded(self, latents: Tensor) -> Tensor:
        """`[B, 3, H, W]`."""
        return self.parts.codec.decoder(latents.contiguous(memory_format=torch.channels_last)).float()


def without_gradients(function: Callable[..., T]) -> Callable[..., T]:
    """No graph, and no trace in autocast's cache: weights cast here would come without a graph to the next pass."""

    @wraps(function)
    def wrapped(painter: Painter, *args: object) -> T:
        with torch.no_grad(), torch.autocast(painter.device.type, dtype=torch.bfloat16, cache_enabled=False):
            return function(painter, *args)

    return wrapped


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


@contextmanager
def self_attention_averaged(unet: UNet2DConditionModel) -> Iterator[None]:
    """While entered, every self-attention gives each token the mean over all tokens."""

    def averaged(_: nn.Module, __: object, output: Tensor) -> Tensor:
        return output.mean(1, keepdim=True).expand_as(output)

    layers = [layer for name, layer in attention_layers(unet).items() if is_self_attention(name)]
    hooks = [layer.register_forward_hook(averaged) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def reliance_loss(output: Tensor, averaged: Tensor, wanted: float = 9.0) -> Tensor:
    """A scalar from 1 to 0 as averaged self-attention changes the picture by 0 to `wanted` of 255.

    Convolutions alone can learn most styles; then features of the past, which come in through self-attention, would do
    nothing. output and averaged `[B, 3, H, W]` in -1..1.
    """
    change = 127.5 * (averaged - output.detach()).abs().mean()
    return (1 - change / wanted).relu()


@dataclass(frozen=True)
class Remembered:
    """The rows that a frame left behind, of its first step and of its later one."""

    first: list[object]
    later: list[object]


def frame_loss(
    painter: Painter,
    source: Tensor,
    style: Tensor,
    field: Tensor,
    texture: Tensor,
    prompt: Tensor,
    draw: Draw,
    noises: tuple[Tensor, Tensor],
    remembered: Remembered | None,
    settings: FrameSettings,
    latent_weight: float,
) -> Tensor:
    """The loss of one frame of each sample, given what earlier frames left behind."""
    codec = painter.parts.codec
    latents = codec.encoder(source).float()
    target = painted_target(source, style, texture, field, draw)
    with torch.no_grad():  # after the pass above, so that autocast's cache holds weights with a graph
        target_latents = codec.encoder(target.contiguous(memory_format=torch.channels_last)).float()
    base = _step_input(painter, latents.detach(), prompt, draw, noises, remembered, settings)
    base = torch.where(draw.later[:, None, None, None], base, latents)
    noise = torch.where(draw.later[:, None, None, None], noises[1], noises[0])
    rows = [None] * len(source) if remembered is None else remembered.later
    call = painter.memory.open(rows, settings, painter.generator)
    noisy = painter.noised(base, noise, draw.present)
    predicted = painter.predicted(noisy, latents, draw.strength, draw.present, prompt, call)
    kept = max(1, len(source) // 5)
    output = painter.decoded(torch.cat([predicted, latents[:kept], target_latents[-kept:]]))
    wanted = torch.cat([target, source[:kept], target[-kept:]])
    losses = picture_loss(output, wanted)
    few = slice(0, RELIANCE_ROWS)
    with self_attention_averaged(painter.parts.unet):
        call = painter.memory.open(rows[few], settings, painter.generator)
        averaged = painter.predicted(
            noisy[few], latents[few], draw.strength[few], draw.present[few], prompt[few], call
        )
    reliance = reliance_loss(output[: len(averaged)], painter.decoded(averaged))
    painted, codec_alone = losses[: len(source)].mean(), losses[len(source) :].mean()
    latent = (predicted - target_latents).square().mean()
    spread = latent_spread_loss(latents)
    return painted + 0.25 * codec_alone + latent_weight * latent + 0.02 * spread + 0.1 * reliance


@without_gradients
def _step_input(
    painter: Painter,
    latents: Tensor,
    prompt: Tensor,
    draw: Draw,
    noises: tuple[Tensor, Tensor],
    remembered: Remembered | None,
    settings: FrameSettings,
) -> Tensor:
    """What a later step starts from: the model's own first prediction (where a sample's step is a later one)."""
    base = latents.clone()
    later = draw.later.nonzero().flatten()
    if len(later):
        all_rows = [None] * len(latents) if remembered is None else remembered.first
        call = painter.memory.open([all_rows[int(index)] for index in later], settings, painter.generator)
        noisy = painter.noised(latents[later], noises[0][later], draw.first[later])
        base[later] = painter.predicted(
            noisy, latents[later], draw.strength[later], draw.first[later], prompt[later], call
        )
    return base


@without_gradients
def remember(
    painter: Painter,
    source: Tensor,
    prompt: Tensor,
    draw: Draw,
    noises: tuple[Tensor, Tensor],
    settings: FrameSettings,
) -> Remembered:
    """Let a frame of each sample pass and keep what it leaves behind."""
    latents = painter.parts.codec.encoder(source).float()
    nothing: list[object] = [None] * len(source)

    def passed(base: Tensor, noise: Tensor, timestep: Tensor) -> tuple[Tensor, list[object]]:
        call = painter.memory.open(nothing, settings, painter.generator)
        noisy = painter.noised(base, noise, timestep)
        predicted = painter.predicted(noisy, latents, draw.strength, timestep, prompt, call)
        return predicted, painter.memory.updated(call, settings, painter.generator)

    predicted, first = passed(latents, noises[0], draw.first)
    if not bool(draw.later.any()):
        return Remembered(first, first)
    _, later = passed(predicted, noises[1], draw.present)
    mixed = [later[index] if draw.later[index] else first[index] for index in range(len(source))]
    return Remembered(first, mixed)


def batch_loss(
    painter: Painter, batch: Batch, rng: np.random.Generator, looks_back: bool, latent_weight: float
) -> Tensor:
    """The loss of a batch: of single frames, or of second frames that look back at the first ones."""
    device = painter.device
    source, style = as_tensor(batch.sources[:, 0], device), as_tensor(batch.targets[:, 0], device)
    size, height, width = len(source), source.shape[2] // 8, source.shape[3] // 8
    draw = draw_steps(rng, size, later=0.2, device=device)
    texture = torch.tensor([STYLES[name].texture for name in batch.styles], device=device)
    noises = (
        torch.randn(size, 16, height, width, device=device),
        torch.randn(size, 16, height, width, device=device),
    )
    prompt = painter.prompt_embeddings(batch.captions)
    naming = 0.1 * naming_loss(painter, prompt, batch)
    field = texture_field(noises[0])
    settings = FrameSettings(
        bank_frames=1.0, bank_interval=1, fusion_strength=float(rng.choice([0.0, 0.5, 0.75])), fusion_threshold=0.9
    )
    if not looks_back:
        return naming + frame_loss(
            painter, source, style, field, texture, prompt, draw, noises, None, settings, latent_weight
        )
    remembered = remember(painter, source, prompt, draw, noises, settings)
    second_source, second_style = as_tensor(batch.sources[:, 1], device), as_tensor(batch.targets[:, 1], device)
    if rng.random() < 0.5:  # else the noise is fixed, as a session's is
        noises = (torch.randn_like(noises[0]), torch.randn_like(noises[1]))
    carried = moved(field, texture_field(noises[0]), batch.shifts)
    return naming + frame_loss(
        painter,
        second_source,
        second_style,
        carried,
        texture,
        prompt,
        draw,
        noises,
        remembered,
        settings,
        latent_weight,
    )


def train_joint(
    parts: Parts,
    shards: Shards,
    checkpoint: Path,
    phases: list[Phase],
    device: torch.device,
    seed: int,
    rate: float = 1.2e-3,
) -> list[float]:
    """Train in place through all phases; resumes from `checkpoint`. The averaged weights are in place on return.

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
        {"params": list(parts.codec.encoder.parameters()), "share": 0.25},
    ]
    parameters = [each for group in groups for each in group["params"]]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), weight_decay=1e-3)
    average = Average(parameters)
    first = load_checkpoint(checkpoint, parts.modules, optimizer, average, rng)
    painter = Painter(parts, create_memory("feature-bank", MEMORY_LAYOUT, "sdpa"), device)
    steps = sum(phase.steps for phase in phases)
    progress, saved = Progress("joint", steps, first), time.monotonic()
    losses: list[float] = []
    with painter.memory.installed(parts.unet):
        for step in range(first, steps):
            phase = _phase_at(phases, step)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["share"] * cosine_rate(step, steps)
            batch = shards.batch(rng, phase.batch, phase.side)
            looks_back = bool(rng.random() < phase.look_back)
            with torch.autocast(device.type, dtype=torch.bfloat16):
                latent_weight = 1.0 if step < steps // 4 else 0.25
                loss = batch_loss(painter, batch, rng, looks_back, latent_weight)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            average.update()
            losses.append(float(loss.detach()))
            progress.show(step + 1, f"loss {np.mean(losses[-100:]):.4f}, {phase.side} px")
            if time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS or step + 1 == steps:
                save_checkpoint(checkpoint, step + 1, parts.modules, optimizer, average, rng)
                saved = time.monotonic()
    average.exchange()
    return losses


def _phase_at(phases: list[Phase], step: int) -> Phase:
    for phase in phases:
        if step < phase.steps:
            return phase
        step -= phase.steps
    raise ValueError(f"step {step} lies behind the last phase; needed: one within them. Check the phases.")
