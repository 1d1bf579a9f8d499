"""The stage "codec": the decoder by itself, or with its encoder, on crops of every picture of the set."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from training.meaning.stage import Notes
from training.model.export import export, load_parts
from training.model.losses import chroma_loss, contrast_loss, edge_loss, edge_strength, latent_spread_loss
from training.model.tensors import as_pictures, as_tensor, half_precision
from training.texture.features import feature_losses, load_features
from training.texture.judges import Judge, balanced_gradient, heard, verdict
from training.texture.loop import Learner
from training.texture.pictures import Pictures

FEATURED = 8
"""One crop in so many is judged by its features as well, which cost more than all else."""
SHAKEN = 0.15
"""Deviation, at most, of noise on latents, which a UNet gets slightly wrong and a decoder has to forgive."""


class Decoding(Learner):
    """The learner of the codec. With `encoder` it learns as well, and latents change their meaning."""

    def __init__(
        self,
        start: Path,
        data: Path,
        features: Path,
        out: Path,
        batch: int,
        side: int,
        encoder: bool,
        device: torch.device,
    ) -> None:
        self.name, self.out, self.device = "codec", out, device
        self.samples, self.batch, self.side = batch, batch, side
        self.parts = load_parts(start)
        self.codec = self.parts.codec.to(device, memory_format=torch.channels_last)
        self.codec.encoder.requires_grad_(encoder)
        self.pictures = Pictures(data)
        self.features = load_features(features, device)
        self.judge = Judge(self.features.widths[1:], 1, base=24).to(device)
        self.shipped = [each for each in self.codec.parameters() if each.requires_grad]
        self.groups = [
            {"params": list(self.codec.decoder.parameters()), "times": 1.0},
            {"params": list(self.judge.parameters()), "times": 5.0, "judge": True, "weight_decay": 0.0},
        ]
        if encoder:
            self.groups.insert(1, {"params": list(self.codec.encoder.parameters()), "times": 0.5})
        self.modules: dict[str, nn.Module] = {"codec": self.codec, "judge": self.judge}

    def loss(self, rng: np.random.Generator, notes: Notes) -> Tensor:
        """Of a batch of crops."""
        picture = as_tensor(self.pictures.crops(rng, self.batch, self.side), self.device)
        with half_precision(self.device):
            latents = self.codec.encoder(picture)
            shaken = latents + torch.randn_like(latents) * torch.rand(self.batch, 1, 1, 1, device=self.device) * SHAKEN
            output = self.codec.decoder(shaken.contiguous(memory_format=torch.channels_last)).float()
        shown = output.detach().requires_grad_()
        few = math.ceil(self.batch / FEATURED)
        ours = self.features(shown[:few])
        with torch.no_grad():
            theirs = self.features(picture[:few])
        content, texture = feature_losses(ours, theirs)
        blank, none = torch.zeros_like(picture), torch.zeros(self.batch, dtype=torch.long, device=self.device)
        judged, judging = verdict(self.judge, (ours, shown), (theirs, picture), blank, none)
        plain, square = (shown - picture).abs().mean(), (shown - picture).square().mean()
        decibels = 10 * math.log10(4 / max(float(square.detach()), 1e-9))
        sharpness = edge_strength(shown.detach()) / (edge_strength(picture) + 1e-6)
        drawn = plain + 0.6 * edge_loss(shown, picture) + 0.5 * square + 0.2 * chroma_loss(shown, picture).mean()
        contrast = contrast_loss(shown, picture)
        drawn = drawn + 0.3 * content + 0.12 * texture + contrast
        notes.add(
            decibels=decibels,
            content=float(content.detach()),
            texture=float(texture.detach()),
            judging=float(judging.detach()),
            told=float(self.judge.told),
            sharpness=float(sharpness),
            contrast=float(contrast.detach()) * 127.5,
        )
        gradient = balanced_gradient(shown, drawn, judged, heard(self.judge))
        return (output * gradient).sum() + 0.03 * latent_spread_loss(latents.float()) + judging

    @torch.no_grad()
    def look(self, step: int) -> None:
        """Renderings, and what the codec makes of them below."""
        rng = np.random.default_rng(3)
        pictures = self.pictures.crops(rng, 8, self.pictures.renderings[0].shape[1])
        with half_precision(self.device):
            output = self.codec.decoder(self.codec.encoder(as_tensor(pictures, self.device)))
        rows = [np.hstack(list(pictures)), np.hstack(list(as_pictures(output)))]
        Image.fromarray(np.vstack(rows)).save(self.out.parent / "sheets" / f"codec_{step:06d}.jpg", quality=92)

    def export(self) -> None:
        export(self.parts, self.out)
