"""Pictures that are to be like another one, by an IP-Adapter (arXiv 2308.06721).

An image encoder sees the other picture, a projection makes a few tokens of it, and each cross-attention attends over
these too, by keys and values of its own. A picture does not change from frame to frame, so all of this is computed once
for it: what a frame carries are the keys and values of every layer, side by side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import ImageProjection
from PIL import Image
from torch import Tensor, nn
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from pipeline.compute.attention import Likeness
from pipeline.compute.devices import sent
from pipeline.frames.codec import Frame, Picture, as_frame
from pipeline.settings import FrameSettings

Layers = Mapping[str, tuple[nn.Linear, nn.Linear]]
"""By the name of a cross-attention what makes its keys and its values of an adapter's tokens."""


@dataclass(frozen=True, eq=False)
class LikePicture:
    """A picture that others are to be like, as an image encoder sees it, `[side, side, 3]`; `digest` tells it from
    others."""

    pixels: Frame

    @cached_property
    def digest(self) -> str:
        """Of its pixels."""
        return hashlib.sha256(self.pixels.tobytes()).hexdigest()

    @property
    def nbytes(self) -> int:
        """Bytes of its pixels."""
        return self.pixels.nbytes


@dataclass(frozen=True, eq=False)
class Read:
    """What was read from a picture, `[1, T, W]`: keys and values of all layers; `digest` is the picture's."""

    digest: str
    tokens: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""
        return self.tokens.nbytes

    def moved(self, device: torch.device) -> Read:
        """The same on another device."""
        return replace(self, tokens=self.tokens.to(device))


@dataclass(frozen=True, eq=False)
class PictureAdapter:
    """A loaded adapter for one model: `unet` is the one that it was found to fit, `style` the beginnings of the names
    of the layers that take over only how a picture is painted. It holds nothing of a picture."""

    name: str
    encoder: Any
    projection: Any
    layers: Layers
    unet: UNet2DConditionModel
    style: tuple[str, ...] = ()
    licence: str = ""

    @cached_property
    def places(self) -> Mapping[str, tuple[int, int, int]]:
        """Where the keys and the values of each layer begin, and their width: all keys stand before all values."""
        widths = [keys.out_features for keys, _ in self.layers.values()]
        begins = [sum(widths[:index]) for index in range(len(widths))]
        half = sum(widths)
        return {
            layer: (begin, half + begin, width) for layer, begin, width in zip(self.layers, begins, widths, strict=True)
        }

    @cached_property
    def nothing(self) -> Tensor:
        """What stands in the place of a picture beside a negative prompt, `[1, T, W]`: as when it was trained, the
        projection of zeros, or of what the encoder sees in them."""
        with torch.inference_mode():
            side = self.side
            zeros = torch.zeros(1, 3, side, side, device=self._device, dtype=self.encoder.dtype)
            return self._keys_and_values(torch.zeros_like(self._seen(zeros)) if self._is_plain else self._seen(zeros))

    @cached_property
    def in_style(self) -> Tensor:
        """1 for each value of a layer of `style`, 0 for the others, `[W / 2]`."""
        parts = [
            torch.full((keys.out_features,), float(layer.startswith(self.style)))
            for layer, (keys, _) in self.layers.items()
        ]
        return torch.cat(parts).to(self.nothing)

    @property
    def has_style(self) -> bool:
        """Whether it can take over only how a picture is painted."""
        return bool(self.style)

    @property
    def side(self) -> int:
        """Pixels of a side of what the encoder sees."""
        return int(self.encoder.config.image_size)

    @property
    def nbytes(self) -> int:
        """Bytes of all its weights."""
        networks = (self.encoder, self.projection, *(each for pair in self.layers.values() for each in pair))
        return sum(weight.nbytes for each in networks for weight in each.parameters())

    @property
    def nbytes_a_session(self) -> int:
        """Bytes that a session with a picture holds of it: its pixels, and what was read from it."""
        return self.nothing.nbytes + 3 * self.side**2

    def picture(self, picture: Picture) -> LikePicture:
        """Any picture as the encoder sees it: the shorter side resized, the middle cut out. Raises `PictureError`."""
        frame, side = as_frame(picture), self.side
        height, width = frame.shape[:2]
        shorter = min(height, width)
        new_height, new_width = side * height // shorter, side * width // shorter
        resized = Image.fromarray(frame).resize((new_width, new_height), Image.Resampling.BICUBIC)
        top, left = (new_height - side) // 2, (new_width - side) // 2
        return LikePicture(np.asarray(resized, np.uint8)[top : top + side, left : left + side].copy())

    def read(self, picture: LikePicture) -> Read:
        """What a frame that is to be like this picture carries; on the engine's thread."""
        pixels = torch.from_numpy(picture.pixels).permute(2, 0, 1)[None].float() / 255
        mean, std = (torch.tensor(each)[:, None, None] for each in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
        seen = self._seen(sent((pixels - mean) / std, self._device).to(self.encoder.dtype))
        return Read(picture.digest, self._keys_and_values(seen))

    def rows_of(self, read: Read, settings: FrameSettings) -> Tensor | None:
        """Rows of a frame, `[2, T, W]`: beside its prompt and beside its negative prompt; `None` for a strength of 0.

        Values are multiplied by the strength, and, where only the style is wanted, by 0 in all other layers.
        """
        if settings.like_strength == 0:
            return None
        keys, values = torch.cat([read.tokens, self.nothing]).chunk(2, dim=-1)
        scale: Tensor | float = settings.like_strength
        if settings.like_part == "style" and self.has_style:
            scale = self.in_style * settings.like_strength
        return torch.cat([keys, values * scale], dim=-1)

    def joined(self, rows: Sequence[Tensor | None]) -> Likeness | None:
        """What a UNet call takes whose rows are to be like these, `[1, T, W]` each; `None` where none is to be."""
        if all(row is None for row in rows):
            return None
        without = torch.zeros_like(self.nothing)
        return Likeness(torch.cat([without if row is None else row for row in rows]), self.places)

    @property
    def _device(self) -> torch.device:
        device: torch.device = self.unet.device
        return device

    @property
    def _is_plain(self) -> bool:
        """Whether it reads one embedding of a picture, instead of what the encoder makes of each patch."""
        return isinstance(self.projection, ImageProjection)

    def _seen(self, pixels: Tensor) -> Tensor:
        """What the encoder makes of pixels `[1, 3, side, side]`: `[1, C]`, or `[1, P, C]`."""
        if self._is_plain:
            embedding: Tensor = self.encoder(pixels).image_embeds
            return embedding
        # The last layer but one, as diffusers takes it.
        patches: Tensor = self.encoder(pixels, output_hidden_states=True).hidden_states[-2]
        return patches

    def _keys_and_values(self, seen: Tensor) -> Tensor:
        tokens = self.projection(seen)
        return torch.cat([pair[index](tokens) for index in (0, 1) for pair in self.layers.values()], dim=-1)
