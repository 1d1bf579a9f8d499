"""What a model sees beside the noisy latents: constant or known channels, concatenated on the channel axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.compute.devices import sent

PHASE_PERIOD = 4
"""Latents from crest to crest of the phase channels: 32 pixels of a codec that shrinks by 8."""

CONDITIONINGS = ("source", "phase", "strength")


def phase_channels(height: int, width: int) -> Tensor:
    """sin and cos of x, then of y, each of unit mean square: `[4, height, width]` float32.

    A convolutional UNet is equivariant to shifts by whole latents: from constant latents it can only paint a constant.
    These channels tell it where it is in a repeating grid, so that it can paint patterns.
    """
    x = torch.arange(width) * (2 * math.pi / PHASE_PERIOD) + math.pi / PHASE_PERIOD
    y = torch.arange(height) * (2 * math.pi / PHASE_PERIOD) + math.pi / PHASE_PERIOD
    waves = [wave.expand(height, width) for wave in (x.sin(), x.cos(), y.sin()[:, None], y.cos()[:, None])]
    return math.sqrt(2) * torch.stack(waves)


def conditioning_width(names: Sequence[str], latent_channels: int) -> int:
    """How many channels `conditioning_channels` gives; raises `ValueError` for a name that is none of them."""
    widths = {"source": latent_channels, "phase": 4, "strength": 1}
    unknown = [name for name in names if name not in widths]
    if unknown:
        raise ValueError(
            f"latent conditioning came as {', '.join(map(repr, unknown))}; needed: some of {', '.join(CONDITIONINGS)}."
        )
    return sum(widths[name] for name in names)


def conditioning_channels(names: Sequence[str], source_latents: Tensor, strength: float | Tensor) -> Tensor:
    """The named channels in their order, `[B, conditioning_width, h, w]`, of the source's device and dtype.

    source_latents `[B, C, h, w]`, without noise; strength in 0..1, one number or one a row `[B]`.
    """
    rows, latent_channels, height, width = source_latents.shape
    conditioning_width(names, latent_channels)
    parts = [source_latents[:, :0]]
    for name in names:
        if name == "source":
            parts.append(source_latents)
        elif name == "phase":
            waves = sent(phase_channels(height, width).to(source_latents.dtype), source_latents.device)
            parts.append(waves.expand(rows, -1, -1, -1))
        else:
            filled = sent(torch.as_tensor(strength).to(source_latents.dtype), source_latents.device)
            parts.append(filled.reshape(-1, 1, 1, 1).expand(rows, 1, height, width))
    return torch.cat(parts, dim=1)
