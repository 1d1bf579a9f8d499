"""Tiny decoders that remember, with random weights, laid out as TAESDV's file is."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from safetensors.torch import save_file
from torch import Tensor

SECOND_BLOCK = "layers.3."
"""Of a tiny decoder: it does not remember where only some blocks do."""


PAST = 8.0
"""How much stronger the weights of the past are than those of the present, so that it shows."""


def decoder_weights(vae: AutoencoderTiny, *, all_blocks: bool = True) -> dict[str, Tensor]:
    """By the names of TAESDV's file, with an encoder's beside: the decoder of `vae`, whose blocks remember, or not
    all of them, if asked."""
    generator = torch.Generator().manual_seed(5)
    weights = {f"encoder.{name}": each.contiguous() for name, each in vae.encoder.layers.state_dict().items()}
    for name, each in vae.decoder.state_dict().items():
        if name.endswith(".conv.0.weight") and (all_blocks or not name.startswith(SECOND_BLOCK)):
            past = torch.randn(each.shape, generator=generator) * PAST * each.std()
            each = torch.cat([each, past.to(each)], dim=1)
        _, number, leaf = name.split(".", 2)
        weights[f"decoder.{int(number) + 1}.{leaf}"] = each.clone(memory_format=torch.contiguous_format)
    return weights


def save_decoder(folder: Path, vae: AutoencoderTiny) -> Path:
    """The file of a decoder that remembers, for the latents of `vae`."""
    file = folder / "taesdv.safetensors"
    save_file(decoder_weights(vae), file)
    return file
