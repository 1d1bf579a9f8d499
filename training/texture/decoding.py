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
from training.model.losses import chroma_loss, edge_loss, latent_spread_loss
from training.model.tensors import as_pictures, as_tensor, half_precision
from training.texture.features import feature_losses, load_features
from training.texture.judges import Judge, fooling_loss, held, judging_loss
from training.texture.loop import Learner
from training.texture.pictures import Pictures

JUDGES_FROM = 0.3
"""Share of the stage after which the judge is listened to."""


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
        self.name, self.out, self.device, self.batch, self.side = "codec", out, device, batch, side
        self.parts = load_parts(start)
        self.codec = self.parts.codec.to(device, memory_format=torch.channels_last)
        self.codec.encoder.requires_grad_(encoder)
        self.pictures = Pictures(data)
        self.features = load_features(features, device)
        self.judge = Judge(self.features.widths[1:], 1, base=24).to(device)
        self.shipped = [each for each in self.codec.parameters() if each.requires_grad]
        self.groups = [
            {"params": list(self.codec.decoder.parameters()), "times": 1.0},
            {"params": list(self.judge.parameters()), "times": 0.3, "judge": True, "weight_decay": 0.0},
        ]
        if encoder:
            self.groups.insert(1, {"params": list(self.codec.encoder.parameters()), "times": 0.5})
        self.modules: dict[str, nn.Module] = {"codec": self.codec, "judge": self.judge}

    def loss(self, rng: np.random.Generator, share: float, notes: Notes) -> Tensor:
        """Of a batch of crops."""
        picture = as_tensor(self.pictures.crops(rng, self.batch, self.side), self.device)
        with half_precision(self.device):
            latents = self.codec.encoder(picture)
            # A little noise makes the decoder forgive what the UNet gets slightly wrong.
            shaken = latents + torch.randn_like(latents) * torch.rand(self.batch, 1, 1, 1, device=self.device) * 0.15
            output = self.codec.decoder(shaken.contiguous(memory_format=torch.channels_last)).float()
        ours = self.features(output)
        with torch.no_grad():
            theirs = self.features(picture)
        content, texture = feature_losses(ours, theirs)
        blank, none = torch.zeros_like(picture), torch.zeros(self.batch, dtype=torch.long, device=self.device)
        with half_precision(self.device):
            with held(self.judge):
                fooled, _ = self.judge(ours, output, blank, none)
            true, _ = self.judge(theirs, picture, blank, none)
            seen, _ = self.judge([each.detach() for each in ours], output.detach(), blank, none)
        judging = judging_loss(true, seen)
        plain, square = (output - picture).abs().mean(), (output - picture).square().mean()
        decibels = 10 * math.log10(4 / max(float(square.detach()), 1e-9))
        notes.add(decibels=decibels, content=float(content.detach()), judging=float(judging.detach()))
        heard = 0.04 * float(np.clip((share - JUDGES_FROM) * 10, 0, 1))
        loss = plain + 0.6 * edge_loss(output, picture) + 0.5 * square + 0.2 * chroma_loss(output, picture).mean()
        spread = 0.03 * latent_spread_loss(latents.float())
        return loss + spread + 0.3 * content + 0.12 * texture + heard * fooling_loss(fooled) + judging

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
