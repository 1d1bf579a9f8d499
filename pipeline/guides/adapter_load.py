"""An adapter by its name, from a file or from the hub, for a model that it was found to fit."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import torch
from diffusers.models.embeddings import (
    ImageProjection,
    IPAdapterFullImageProjection,
    IPAdapterPlusImageProjection,
)
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPVisionModelWithProjection

from pipeline.compute.host import in_passing_thread
from pipeline.errors import ModelError
from pipeline.guides.adapter import Layers, PictureAdapter
from pipeline.guides.adapter_catalogue import ADAPTERS, STYLE_LAYERS, AdapterEntry, adapter_names
from pipeline.models.hub import Hub
from pipeline.models.load import Model

BESIDE = "image_encoder"
"""The folder of an image encoder beside the file of an adapter."""
WEIGHTS = "model.safetensors"
KINDS = ("image_proj", "ip_adapter")
"""The two parts of a file: what makes tokens of a picture, and keys and values of the tokens."""

_LOAD_ERRORS = (OSError, ValueError, TypeError, LookupError, RuntimeError, AttributeError, SafetensorError)


def load_adapter(name_or_file: str | PathLike[str], model: Model, hub: Hub | None = None) -> PictureAdapter:
    """An IP-Adapter of the catalogue, of a `.safetensors` file with the folder of its image encoder beside, or of a
    file of the hub that lies so, for `model`, which no engine has yet.

    Without `hub`, the Hugging Face hub, asked for what its cache on this machine does not hold. Raises `ModelError`.
    """
    name = str(name_or_file)
    if "source" in model.entry.latent_conditioning:
        raise ModelError(
            f"adapter came as {name!r} for model {model.name!r}, which knows words alone; needed: no adapter. Start "
            "without --adapter, or with a model such as Stable Diffusion 1.5."
        )
    entry = next((each for each in ADAPTERS.values() if name in (each.name, each.source)), None)
    if entry is not None and entry.family != model.entry.family:
        raise _misfit(name, f"is made for {entry.family}", model)
    file, encoder = _places_of(name, entry, hub or Hub())
    check_room(file, encoder, model.device)
    return in_passing_thread(_loaded, entry.name if entry else file.stem, file, encoder, model, entry)


def adapter_for(model: Model) -> str:
    """The name of the first adapter of the catalogue that is made for a model's family, or of the first of all."""
    fitting = (name for name, entry in ADAPTERS.items() if entry.family == model.entry.family)
    return next(fitting, next(iter(ADAPTERS)))


def _places_of(name: str, entry: AdapterEntry | None, hub: Hub) -> tuple[Path, Path]:
    """The file of an adapter, and the folder of its image encoder."""
    if entry is not None:
        weights = hub.file(entry.encoder_source, beside=["config.json"])
        return hub.file(entry.source), weights.parent
    needed = (
        f"one of {', '.join(ADAPTERS)}, a .safetensors file with a folder {BESIDE} beside it, or "
        "owner/name/file.safetensors of the hub"
    )
    file = hub.weights("adapter", name, needed, beside=[f"{BESIDE}/config.json", f"{BESIDE}/{WEIGHTS}"])
    return file, file.parent / BESIDE


def check_room(file: Path, encoder: Path, device: torch.device) -> None:
    """Raise `ModelError` where a card has no room for an adapter's weights, before they are read."""
    if device.type != "cuda":
        return
    needed = sum(each.stat().st_size for each in (file, encoder / WEIGHTS) if each.is_file())
    free = torch.cuda.mem_get_info(device)[0]
    if needed > free:
        raise ModelError(
            f"adapter {file.name} came with {needed >> 20} MiB of weights; needed: at most the {free >> 20} MiB that "
            "the card has left. Leave --adapter out, or take a smaller one."
        )


def _loaded(name: str, file: Path, encoder: Path, model: Model, entry: AdapterEntry | None) -> PictureAdapter:
    state = _state_of(name, file)
    try:
        projection, layers = _networks(state, model)
    except _LOAD_ERRORS as error:
        raise _misfit(name, f"does not fit ({str(error)[:160]})", model) from error
    if not isinstance(projection, ImageProjection | IPAdapterPlusImageProjection | IPAdapterFullImageProjection):
        raise ModelError(
            f"adapter {name!r} reads faces that another program has found; needed: one that reads pictures. Take one "
            f"of {adapter_names()}."
        )
    style = STYLE_LAYERS.get(model.entry.family, ())
    adapter = PictureAdapter(
        name, _encoder_of(name, encoder, model), projection, layers, model.unet, style, entry.licence if entry else ""
    )
    _check_widths(adapter)
    # Here, in a passing thread, and not when the first asks for its bytes.
    _ = adapter.nothing, adapter.in_style
    return adapter


def _state_of(name: str, file: Path) -> dict[str, dict[str, Tensor]]:
    """The tensors of a file, by part; raises `ModelError`."""
    state: dict[str, dict[str, Tensor]] = {kind: {} for kind in KINDS}
    try:
        tensors = load_file(file)
    except _LOAD_ERRORS as error:
        raise ModelError(f"adapter {name!r} cannot be read ({error}); needed: safetensors. Fetch it again.") from error
    for key, tensor in tensors.items():
        kind, _, rest = key.partition(".")
        if kind in state:
            state[kind][rest] = tensor
    if not all(state.values()):
        raise ModelError(
            f"adapter {name!r} came without {' or '.join(kind for kind in KINDS if not state[kind])}; needed: an "
            f"IP-Adapter. Take one of {adapter_names()}."
        )
    return state


def _networks(state: dict[str, dict[str, Tensor]], model: Model) -> tuple[Any, Layers]:
    """What makes tokens of a picture, and each layer's keys and values of them, as diffusers reads them."""
    unet = model.unet
    processors = unet._convert_ip_adapter_attn_to_diffusers([state], low_cpu_mem_usage=False)
    projection = unet._convert_ip_adapter_image_proj_to_diffusers(state["image_proj"], low_cpu_mem_usage=False)
    projection.to(model.device, model.dtype).eval().requires_grad_(False)
    layers = {}
    for place, processor in processors.items():
        if hasattr(processor, "to_k_ip"):
            processor.to(model.device, model.dtype).requires_grad_(False)
            layers[place.removesuffix(".processor")] = (processor.to_k_ip[0], processor.to_v_ip[0])
    count = sum(key.endswith("to_k_ip.weight") for key in state["ip_adapter"])
    if count != len(layers):
        raise ValueError(f"it is for {count} layers, and the model has {len(layers)}")
    return projection, layers


def _encoder_of(name: str, folder: Path, model: Model) -> Any:
    read: dict[str, Any] = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
    try:
        encoder, facts = CLIPVisionModelWithProjection.from_pretrained(folder, dtype=model.dtype, **read)
        # What is missing would be made up.
        if facts["missing_keys"]:
            raise ValueError(f"its weights lack {min(facts['missing_keys'])}")
    except _LOAD_ERRORS as error:
        raise ModelError(
            f"the image encoder of adapter {name!r} in {folder} cannot be loaded ({str(error)[:200]}); needed: "
            f"config.json and {WEIGHTS}. Lay both there."
        ) from error
    return encoder.to(model.device).eval().requires_grad_(False)


def _check_widths(adapter: PictureAdapter) -> None:
    """Raise `ModelError` where the encoder gives other numbers than the projection takes."""
    config, projection = adapter.encoder.config, adapter.projection
    if isinstance(projection, ImageProjection):
        came, needed = config.projection_dim, projection.image_embeds.in_features
    elif isinstance(projection, IPAdapterPlusImageProjection):
        came, needed = config.hidden_size, projection.proj_in.in_features
    else:
        came, needed = config.hidden_size, projection.ff.net[0].proj.in_features
    if came != needed:
        raise ModelError(
            f"adapter {adapter.name!r} reads {needed} numbers of a picture, and the image encoder beside it gives "
            f"{came}; needed: the encoder that it was trained with. Lay that into {BESIDE}."
        )


def _misfit(name: str, why: str, model: Model) -> ModelError:
    return ModelError(
        f"adapter {name!r} {why}; needed: one for the family of model {model.name!r}. Take one of {adapter_names()}."
    )
