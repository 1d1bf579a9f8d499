"""A tiny decoder that remembers: some of its blocks see what they saw of the frame before.

TAESDV (github.com/madebyollin/taesdv, MIT), made for live video by TAESD's author, is TAESD's decoder with such blocks:
a decoder that knows one latent alone makes up its details anew in each frame, so they flicker. What a block remembers
is its input; its first convolution reads both. Nothing is kept here: what is remembered comes in and goes out.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from diffusers.models.autoencoders.vae import DecoderTiny
from torch import Tensor, nn

from pipeline.frames.codec import decode

Remembered: TypeAlias = tuple[Tensor, ...]
"""What the blocks of a decoder saw of one frame, `[B, C, H, W]` each, of different sizes; empty for none."""

UPSAMPLING = 2
"""Of each level of a tiny decoder, on a side."""

FIRST_LAYER = "decoder.1."
"""Of TAESDV's file: what clamps the latents is its layer 0, which diffusers has outside of its layers."""


class RecurrentDecoder(nn.Module):
    """diffusers' `DecoderTiny`, whose blocks at `places` among its layers remember."""

    def __init__(self, decoder: DecoderTiny, places: Sequence[int]) -> None:
        super().__init__()
        self.layers, self.places = decoder.layers, tuple(places)
        for place in places:
            first = self.layers[place].conv[0]
            self.layers[place].conv[0] = nn.Conv2d(2 * first.in_channels, first.out_channels, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """Pixels `[B, 3, H, W]` in about -1..1 of the first frames of streams, by their latents `[B, C, h, w]`."""
        return self.after(latents, self.nothing(latents))[0]

    def after(self, latents: Tensor, before: Remembered) -> tuple[Tensor, Remembered]:
        """Pixels `[B, 3, H, W]` in about -1..1 of latents `[B, C, h, w]`, and what they leave, where the frames before
        have left `before`."""
        values = torch.tanh(latents / 3) * 3
        left: list[Tensor] = []
        for place, layer in enumerate(self.layers):
            if place not in self.places:
                values = layer(values)
                continue
            both = torch.cat([values, before[len(left)]], dim=1)
            left.append(values)
            values = layer.fuse(layer.conv(both) + layer.skip(values))
        return values * 2 - 1, tuple(left)

    def nothing(self, latents: Tensor) -> Remembered:
        """What the first frames of streams look back at: zeros, as in training; for latents `[B, C, h, w]`."""
        rows, _, height, width = latents.shape
        shapes, scale = [], 1
        for place, layer in enumerate(self.layers):
            if isinstance(layer, nn.Upsample):
                scale *= UPSAMPLING
            elif place in self.places:
                shapes.append((rows, layer.conv[0].in_channels // 2, scale * height, scale * width))
        return tuple(latents.new_zeros(shape).to(memory_format=torch.channels_last) for shape in shapes)


def remembers(vae: AutoencoderTiny | AutoencoderKL) -> bool:
    """Whether the decoder of an autoencoder remembers."""
    return isinstance(vae.decoder, RecurrentDecoder)


def with_recurrent_decoder(vae: AutoencoderTiny, weights: Mapping[str, Tensor]) -> AutoencoderTiny:
    """The same autoencoder with a decoder that remembers, of these weights, named as TAESDV's file names them or as
    `state_dict` does; those of an encoder are left out. Raises `ValueError` where they do not fit."""
    own = renamed(weights)
    plain = AutoencoderTiny.from_config(vae.config).decoder
    places = remembering_places(plain, own)
    if not places:
        raise ValueError("none of its blocks remembers")
    given = copy.deepcopy(vae)
    given.decoder = RecurrentDecoder(plain, places).to(vae.device, vae.dtype)
    given.to(memory_format=torch.channels_last)
    try:
        given.decoder.load_state_dict(own)
    except RuntimeError as error:
        raise ValueError(" ".join(str(error).split())) from error
    given.eval().requires_grad_(False)
    return given


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a decoder by the names that they have in `RecurrentDecoder.state_dict`."""
    if not any(name.startswith(FIRST_LAYER) for name in weights):
        return {name.removeprefix("decoder."): each for name, each in weights.items() if "encoder." not in name}
    own = {}
    for name, tensor in weights.items():
        part, _, rest = name.partition(".")
        number, _, leaf = rest.partition(".")
        if part == "decoder" and number.isdecimal():
            own[f"layers.{int(number) - 1}.{leaf}"] = tensor
    return own


def remembering_places(decoder: DecoderTiny, weights: Mapping[str, Tensor]) -> list[int]:
    """Where among the layers of a plain decoder those stand whose weights read twice its channels."""
    places = []
    for place, layer in enumerate(decoder.layers):
        first = weights.get(f"layers.{place}.conv.0.weight")
        if first is not None and hasattr(layer, "conv") and first.shape[1] == 2 * layer.conv[0].in_channels:
            places.append(place)
    return places


def decode_after(vae: AutoencoderTiny, latents: Tensor, before: Remembered) -> tuple[Tensor, Remembered]:
    """Latents `[B, C, h, w]` in the UNet's scale to pixels `[B, 3, H, W]` in about -1..1, and what they leave, by an
    autoencoder that remembers; one that does not leaves nothing."""
    if not remembers(vae):
        return decode(vae, latents), ()
    scaled = (latents / float(vae.config.scaling_factor)).to(vae.dtype)
    pixels, left = vae.decoder.after(scaled, before)
    return pixels, left


def joined(vae: AutoencoderTiny, latents: Tensor, before: Sequence[Remembered]) -> Remembered:
    """What each row of latents `[B, C, h, w]` looks back at, as one batch; `before` is what the last frame of each has
    left, empty where there was none."""
    if not remembers(vae):
        return ()
    rows = [row or vae.decoder.nothing(latents[:1].to(vae.dtype)) for row in before]
    return rows[0] if len(rows) == 1 else tuple(torch.cat(each) for each in zip(*rows, strict=True))


def apart(left: Remembered, rows: int) -> list[Remembered]:
    """What each row of a batch leaves, in memory of its own: what is kept must not keep the whole batch alive, and what
    a compiled call gives is overwritten by the next."""
    return [tuple(each[row : row + 1].clone() for each in left) for row in range(rows)]
