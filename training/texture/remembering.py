"""The stage "remembering": a decoder whose blocks see the frame before, against what flickers although nothing moves.

It begins as the plain decoder: what reads the past begins at zero. Pictures of the set become short clips, a window
that moves over one and a round thing of another that moves in front. So it is known which place was seen where before,
and what the decoder itself changes there from frame to frame is what it loses by. Encoder and UNet stay as they are.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers.models.autoencoders.vae import DecoderTiny
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.frames.recurrent_decoder import RecurrentDecoder
from pipeline.models.parts import DECODER_FILE
from training.meaning.stage import Notes
from training.model.export import load_parts
from training.model.losses import edge_loss
from training.model.targets import moved
from training.model.tensors import as_pictures, as_tensor, half_precision
from training.texture.decoding import SHAKEN
from training.texture.features import feature_losses, load_features
from training.texture.loop import Learner
from training.texture.pictures import Pictures

FRAMES = 4
FASTEST = 6
"""Pixels a frame."""
STEADINESS = 1.5


@dataclass(frozen=True)
class Layer:
    """What of a clip moves as one: `alpha` float32 `[T, S, S]` is 1 where it alone is seen, and a pixel (y, x) of frame
    t was at (y, x) + `steps[t]`, int `[T, 2]`, in the frame before."""

    alpha: np.ndarray
    steps: np.ndarray


@dataclass(frozen=True)
class ShortClip:
    """Frames uint8 `[T, S, S, 3]` and the layers that they are made of."""

    frames: np.ndarray
    layers: tuple[Layer, Layer]


def short_clip(rng: np.random.Generator, pictures: Pictures, frames: int, side: int) -> ShortClip:
    """A window over one picture, and before it a round thing of another, which may be gone all at once; both move, or
    are still."""
    ground, thing = (pictures.crops(rng, 1, pictures.renderings[0].shape[1])[0] for _ in range(2))
    over, across = (_path(rng, frames, ground.shape[0] - side), _path(rng, frames, side // 2))
    gone_from = int(rng.integers(1, frames)) if rng.random() < 0.3 else frames
    radius = int(rng.integers(side // 8, side // 4 + 1))
    seen, shown = [], []
    for time, ((y, x), (down, right)) in enumerate(zip(over, across, strict=True)):
        mask = np.zeros((side, side), np.float32)
        if time < gone_from:
            cv2.circle(mask, (int(right) + side // 4, int(down) + side // 4), radius, 1.0, -1, cv2.LINE_AA)
        moving = np.roll(thing, (int(down), int(right)), (0, 1))[:side, :side]
        behind = ground[y : y + side, x : x + side]
        frame = behind + mask[..., None] * (moving.astype(np.float32) - behind)
        shown.append(np.rint(frame).astype(np.uint8))
        seen.append(mask)
    alpha = np.stack(seen)
    ways = (_steps(over), -_steps(across))
    return ShortClip(
        np.stack(shown),
        (Layer((alpha == 0).astype(np.float32), ways[0]), Layer((alpha == 1).astype(np.float32), ways[1])),
    )


def _path(rng: np.random.Generator, frames: int, room: int) -> np.ndarray:
    """Places int `[T, 2]` in 0..room on a straight way, which stops at the edge; every third stands still."""
    speed = rng.integers(-FASTEST, FASTEST + 1, 2) * (rng.random() > 0.33)
    return np.clip(rng.integers(0, room + 1, 2) + np.arange(frames)[:, None] * speed, 0, room)


def _steps(path: np.ndarray) -> np.ndarray:
    return np.diff(path, axis=0, prepend=path[:1])


def remembering(decoder: DecoderTiny) -> RecurrentDecoder:
    """A decoder whose blocks remember, that draws what `decoder` draws: its weights for the past are 0. Not the last
    block, the finest: remembering costs by the pixel, and that one's would cost as much as all others'."""
    *places, _ = (place for place, layer in enumerate(decoder.layers) if hasattr(layer, "conv"))
    made = RecurrentDecoder(copy.deepcopy(decoder), places)
    with torch.no_grad():
        for place in places:
            first, plain = made.layers[place].conv[0], decoder.layers[place].conv[0]
            first.weight.copy_(torch.cat([plain.weight, torch.zeros_like(plain.weight)], 1))
            first.bias.copy_(plain.bias)
    return made


def unsteadiness(output: Tensor, before: Tensor, clips: list[ShortClip], time: int) -> Tensor:
    """How much of `[B, 3, S, S]` has changed since the frame before at places that were seen in both, a scalar."""
    total, places = output.new_zeros(()), output.new_zeros(())
    for number in range(2):
        layers = [clip.layers[number] for clip in clips]
        steps = np.stack([layer.steps[time] for layer in layers])
        now, then = (
            torch.from_numpy(np.stack([layer.alpha[at] for layer in layers]))[:, None].to(output)
            for at in (time, time - 1)
        )
        both = now * moved(then, torch.zeros_like(then), steps)
        total = total + (both * (output - moved(before, before, steps)).abs()).sum()
        places = places + 3 * both.sum()
    return total / (places + 1)


class Remembering(Learner):
    """The learner of the decoder alone."""

    def __init__(
        self, start: Path, data: Path, features: Path, out: Path, batch: int, side: int, device: torch.device
    ) -> None:
        self.name, self.out, self.device = "remembering", out, device
        self.samples, self.batch, self.side = batch, batch, side
        self.codec = load_parts(start).codec.to(device, memory_format=torch.channels_last)
        self.codec.requires_grad_(False)
        self.decoder = remembering(self.codec.decoder).to(device, memory_format=torch.channels_last)
        self.decoder.requires_grad_(True)
        self.pictures = Pictures(data)
        self.features = load_features(features, device)
        self.shipped = list(self.decoder.parameters())
        self.groups = [{"params": self.shipped, "times": 1.0}]
        self.modules: dict[str, nn.Module] = {"decoder": self.decoder}

    def loss(self, rng: np.random.Generator, notes: Notes) -> Tensor:
        """Of a batch of clips: each frame as it should be, and steady where it can be."""
        clips = [short_clip(rng, self.pictures, FRAMES, self.side) for _ in range(self.batch)]
        goals = [self._goals(clips, time) for time in range(FRAMES)]
        outputs = self._decoded([self._latents(goal, SHAKEN) for goal in goals])
        plain = torch.stack([(one - goal).abs().mean() for one, goal in zip(outputs, goals, strict=True)]).mean()
        edges = torch.stack([edge_loss(one, goal) for one, goal in zip(outputs, goals, strict=True)]).mean()
        looked_at = int(rng.integers(FRAMES))
        with torch.no_grad():
            theirs = self.features(goals[looked_at])
        content, texture = feature_losses(self.features(outputs[looked_at]), theirs)
        times = range(1, FRAMES)
        unsteady = torch.stack([unsteadiness(outputs[time], outputs[time - 1], clips, time) for time in times]).mean()
        notes.add(plain=127.5 * float(plain.detach()), content=float(content.detach()))
        notes.add(unsteady=127.5 * float(unsteady.detach()))
        return plain + 0.6 * edges + 0.3 * content + 0.12 * texture + STEADINESS * unsteady

    def _goals(self, clips: list[ShortClip], time: int) -> Tensor:
        return as_tensor(np.stack([clip.frames[time] for clip in clips]), self.device)

    @torch.no_grad()
    def _latents(self, pictures: Tensor, shaken: float) -> Tensor:
        with half_precision(self.device):
            latents = self.codec.encoder(pictures)
        size = shaken * torch.rand(len(latents), 1, 1, 1, device=self.device)
        noisy = latents + size * torch.randn_like(latents)
        return noisy.contiguous(memory_format=torch.channels_last)

    def _decoded(self, latents: list[Tensor]) -> list[Tensor]:
        before, outputs = self.decoder.nothing(latents[0]), []
        for each in latents:
            with half_precision(self.device):
                output, before = self.decoder.after(each, before)
            outputs.append(output.float())
        return outputs

    @torch.no_grad()
    def look(self, step: int) -> None:
        """A clip, what the plain decoder and this one make of it, and ten times what each has changed where nothing
        has."""
        rng = np.random.default_rng(3)
        clip = short_clip(rng, self.pictures, FRAMES, self.side)
        latents = [self._latents(self._goals([clip], time), 0.0) for time in range(FRAMES)]
        with half_precision(self.device):
            plain = [self.codec.decoder(each).float() for each in latents]
        rows = [np.hstack(list(clip.frames))]
        for outputs in (plain, self._decoded(latents)):
            rows.append(np.hstack([as_pictures(each)[0] for each in outputs]))
            rows.append(np.hstack([_changed(outputs, clip, time) for time in range(FRAMES)]))
        Image.fromarray(np.vstack(rows)).save(self.out.parent / "sheets" / f"{self.name}_{step:06d}.jpg", quality=92)

    def export(self) -> None:
        """A file that `--decoder` reads."""
        self.out.mkdir(parents=True, exist_ok=True)
        weights = {name: each.detach().cpu().half().contiguous() for name, each in self.decoder.state_dict().items()}
        save_file(weights, self.out / DECODER_FILE)


def _changed(outputs: list[Tensor], clip: ShortClip, time: int) -> np.ndarray:
    """Ten times the change since the frame before at places of the ground that were seen in both, uint8 `[S, S, 3]`."""
    now = outputs[time]
    if time == 0:
        return np.zeros((*now.shape[2:], 3), np.uint8)
    ground = clip.layers[0]
    before = moved(outputs[time - 1], now, ground.steps[time][None])
    difference = (now - before).abs()[0].permute(1, 2, 0).cpu().numpy() * ground.alpha[time][..., None]
    return np.clip(10 * 127.5 * difference, 0, 255).astype(np.uint8)
