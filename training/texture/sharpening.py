"""The stage "sharpening": a decoder learns to draw a little crisper than what it is given.

What a UNet predicts in one step is softer than any picture, and its losses keep it so wherever it is not sure. An
unsharp mask gives back some of the edges that are there and makes none that are not; a decoder that has learnt it costs
no more than before.
"""

from __future__ import annotations

import copy
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, pad

from training.meaning.stage import Notes
from training.model.export import export, load_parts
from training.model.losses import edge_loss, edge_strength
from training.model.tensors import as_pictures, as_tensor, half_precision
from training.texture.decoding import SHAKEN
from training.texture.loop import Learner
from training.texture.pictures import Pictures

DEVIATION = 1.5
"""Of the blur that an unsharp mask takes off, in pixels."""
AMOUNT = 0.8
LEAST = 0.02
"""Differences, of pictures in -1..1, that stay as they are: what is fainter is a weave, not an edge."""


def sharpened(pictures: Tensor) -> Tensor:
    """Pictures `[B, 3, H, W]` in -1..1 under an unsharp mask that leaves alone what is faint."""
    fine = pictures - _blurred(pictures)
    loudest = fine.abs().amax(1, keepdim=True)
    return (pictures + AMOUNT * fine * ((loudest - LEAST) / LEAST).clamp(0, 1)).clamp(-1, 1)


def _blurred(pictures: Tensor) -> Tensor:
    reach = round(3 * DEVIATION)
    kernel = torch.from_numpy(cv2.getGaussianKernel(2 * reach + 1, DEVIATION, cv2.CV_32F)).to(pictures)
    channels = pictures.shape[1]
    padded = pad(pictures, (reach, reach, reach, reach), mode="reflect")
    for each in (kernel[None, None], kernel.T[None, None]):
        padded = conv2d(padded, each.repeat(channels, 1, 1, 1), groups=channels)
    return padded


class Sharpening(Learner):
    """The learner of the decoder, from itself."""

    def __init__(self, start: Path, data: Path, out: Path, batch: int, side: int, device: torch.device) -> None:
        self.name, self.out, self.device = "sharpening", out, device
        self.samples, self.batch, self.side = batch, batch, side
        self.parts = load_parts(start)
        self.codec = self.parts.codec.to(device, memory_format=torch.channels_last)
        self.codec.requires_grad_(False)
        self.before = copy.deepcopy(self.codec.decoder)
        self.codec.decoder.requires_grad_(True)
        self.pictures = Pictures(data)
        self.shipped = list(self.codec.decoder.parameters())
        self.groups = [{"params": self.shipped, "times": 1.0}]
        self.modules: dict[str, nn.Module] = {"codec": self.codec}

    def loss(self, rng: np.random.Generator, notes: Notes) -> Tensor:
        """Of a batch of crops, half of them as soft as a prediction may be."""
        pictures = as_tensor(self.pictures.crops(rng, self.batch, self.side), self.device)
        with torch.no_grad(), half_precision(self.device):
            latents = self.codec.encoder(pictures).float()
            softer = torch.lerp(latents, avg_pool2d(latents, 3, 1, 1, count_include_pad=False), self._shares())
            given = softer + torch.randn_like(softer) * self._shares() * SHAKEN
            given = given.contiguous(memory_format=torch.channels_last)
            before = self.before(given).float().clamp(-1, 1)
        with half_precision(self.device):
            output = self.codec.decoder(given).float()
        goal = sharpened(before)
        plain = (output - goal).abs().mean()
        strength = edge_strength(before)
        notes.add(
            plain=127.5 * float(plain.detach()),
            goal=float(edge_strength(goal) / strength),
            sharpness=float(edge_strength(output.detach()) / strength),
        )
        return plain + 0.6 * edge_loss(output, goal)

    def _shares(self) -> Tensor:
        """0..1 for each picture, 0 for half of them."""
        return (2 * torch.rand(self.batch, 1, 1, 1, device=self.device) - 1).clamp(min=0)

    @torch.no_grad()
    def look(self, step: int) -> None:
        """Renderings as they were decoded before, with the mask, and now."""
        pictures = self.pictures.crops(np.random.default_rng(3), 8, self.pictures.renderings[0].shape[1])
        with half_precision(self.device):
            latents = self.codec.encoder(as_tensor(pictures, self.device))
            before, now = self.before(latents).float().clamp(-1, 1), self.codec.decoder(latents).float()
        rows = [np.hstack(list(as_pictures(each))) for each in (before, sharpened(before), now)]
        Image.fromarray(np.vstack(rows)).save(self.out.parent / "sheets" / f"{self.name}_{step:06d}.jpg", quality=92)

    def export(self) -> None:
        export(self.parts, self.out)
