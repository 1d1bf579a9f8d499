"""Stage "codec": the autoencoder by itself, on crops of every picture of the set."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny

from training.model.checkpoint import Average, load_checkpoint, save_checkpoint
from training.model.data import Shards
from training.model.losses import chroma_loss, latent_spread_loss, picture_loss
from training.model.progress import Progress
from training.model.tensors import as_tensor, half_precision

SECONDS_BETWEEN_CHECKPOINTS = 120


def cosine_rate(step: int, steps: int, warmup: int = 60, floor: float = 0.05) -> float:
    """Share of the learning rate at a step: a short linear rise, then half a cosine down to `floor`."""
    rise = min(1.0, (step + 1) / warmup)
    return rise * (0.5 * (1 + math.cos(math.pi * step / steps)) * (1 - floor) + floor)


def train_codec(
    codec: AutoencoderTiny,
    shards: Shards,
    checkpoint: Path,
    steps: int,
    batch: int,
    side: int,
    device: torch.device,
    seed: int,
    rate: float = 2e-3,
) -> list[float]:
    """Train in place; resumes from `checkpoint`. The averaged weights are in the codec when it returns.

    Returns the loss of each step that this call took.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    codec.to(device=device, memory_format=torch.channels_last)
    parameters = list(codec.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.99), weight_decay=1e-4)
    average = Average(parameters)
    modules = {"codec": codec}
    first = load_checkpoint(checkpoint, modules, optimizer, average, rng)
    progress, saved = Progress("codec", steps, first), time.monotonic()
    losses: list[float] = []
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * cosine_rate(step, steps)
        picture = as_tensor(shards.pictures(rng, batch, side), device)
        with half_precision(device):
            latents = codec.encoder(picture)
            # A little noise makes the decoder forgive what the UNet gets slightly wrong.
            blurred = latents + torch.randn_like(latents) * torch.rand(batch, 1, 1, 1, device=device) * 0.12
            output = codec.decoder(blurred.contiguous(memory_format=torch.channels_last))
        latents, output = latents.float(), output.float()
        loss = (picture_loss(output, picture) + chroma_loss(output, picture)).mean()
        loss = loss + 0.1 * latent_spread_loss(latents)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        average.update()
        losses.append(float(loss.detach()))
        error = (output - picture).detach()
        note = f"L1 {error.abs().mean() * 127.5:.1f} of 255, {10 * math.log10(4 / error.square().mean()):.1f} dB"
        progress.show(step + 1, note)
        if time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS or step + 1 == steps:
            save_checkpoint(checkpoint, step + 1, modules, optimizer, average, rng)
            saved = time.monotonic()
    average.exchange()
    return losses
