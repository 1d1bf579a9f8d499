"""Another decoder in the place of a model's own: one that remembers, from a file or from the hub, or the plain one."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from safetensors import SafetensorError
from safetensors.torch import load_file

from pipeline.errors import ModelError
from pipeline.frames.recurrent_decoder import remembers, with_recurrent_decoder
from pipeline.models.hub import Hub
from pipeline.models.load import Model
from pipeline.models.parts import places, plain_autoencoder

PLAIN = "plain"


def with_decoder(model: Model, name_or_file: str | PathLike[str], hub: Hub | None = None) -> Model:
    """The same model, which no engine has yet, with the decoder of a `.safetensors` file, or of one of the hub
    ("owner/name/file.safetensors"): TAESDV's, or another tiny one whose blocks remember, for the latents of the model.
    One that lies in the model's own folder has a name: "steadier" is `steadier.safetensors` there.
    "plain" is the model's own without any memory, where that has one.

    Without `hub`, the Hugging Face hub, asked for what its cache on this machine does not hold. Raises `ModelError`.
    """
    name = str(name_or_file)
    if name == PLAIN:
        return _with_plain_decoder(model, hub or Hub())
    if not isinstance(model.vae, AutoencoderTiny):
        raise ModelError(
            f"decoder {name!r} came for model {model.name!r}, whose own is {type(model.vae).__name__}; needed: a model "
            "with a tiny autoencoder. Take one of the catalogue, or leave --decoder out."
        )
    file = _of_the_model(model, name) or (hub or Hub()).weights(
        "decoder", name, "a .safetensors file, or owner/name/file.safetensors of the hub"
    )
    try:
        vae = with_recurrent_decoder(model.vae, load_file(file))
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(
            f"decoder {name!r} does not fit model {model.name!r} ({str(error)[:200]}); needed: a tiny decoder whose "
            "blocks remember, for this model's latents. Check the file."
        ) from error
    return replace(model, vae=vae, decoder=name)


def _of_the_model(model: Model, name: str) -> Path | None:
    """The decoder of this name in the model's folder."""
    source = model.entry.source
    file = source / f"{name}.safetensors" if isinstance(source, Path) and name.isidentifier() else None
    return file if file is not None and file.is_file() else None


def _with_plain_decoder(model: Model, hub: Hub) -> Model:
    if not remembers(model.vae):
        return model
    vae = plain_autoencoder(places(model.entry, hub), model.dtype, model.entry.family)
    vae.to(model.device, memory_format=torch.channels_last).eval().requires_grad_(False)
    return replace(model, vae=vae, decoder=PLAIN)
