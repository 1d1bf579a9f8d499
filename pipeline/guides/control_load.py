"""A control by its name, from a folder or from the hub, for a model that it was found to fit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, T2IAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file

from pipeline.compute.host import in_passing_thread
from pipeline.errors import ModelError
from pipeline.guides.control import AdapterControl, Control, NetControl
from pipeline.guides.control_catalogue import CONTROLS, ControlEntry, names_by_family
from pipeline.guides.control_pictures import CONTROL_PICTURES
from pipeline.models.hub import PICKLE_ENDINGS, Hub, variant_of
from pipeline.models.hub_names import is_file_name
from pipeline.models.load import Model

CONFIG = "config.json"
PLAIN_PICTURE = "scribble"
"""What a control of no catalogue reads, if nothing else is said: whoever draws draws these."""

_LOAD_ERRORS = (OSError, ValueError, TypeError, LookupError, RuntimeError, SafetensorError)


NETWORKS: Mapping[str, tuple[Any, type[Control]]] = {
    "T2IAdapter": (T2IAdapter, AdapterControl),
    "ControlNetModel": (ControlNetModel, NetControl),
}
"""By the class that a network's config names: diffusers' class, and ours around it."""


def load_control(
    name_or_folder: str | PathLike[str], model: Model, picture: str | None = None, hub: Hub | None = None
) -> Control:
    """A control of the catalogue, of a folder in diffusers' layout, of a file beside its config.json, or of the hub (a
    repository, or a file of one), for `model`.

    `picture` says on which kind of picture it was trained, by default what the catalogue says, else scribbles. Without
    `hub`, the Hugging Face hub, asked for what its cache on this machine does not hold. Raises `ModelError`.
    """
    name = str(name_or_folder)
    if "source" in model.entry.latent_conditioning:
        raise ModelError(
            f"control came as {name!r} for model {model.name!r}, which reads the drawing itself; needed: no control. "
            "Start without --control, or with a model such as Stable Diffusion 1.5."
        )
    entry = next((each for each in CONTROLS.values() if name in (each.name, each.repository)), None)
    kind = picture or (entry.picture if entry else PLAIN_PICTURE)
    if kind not in CONTROL_PICTURES:
        raise ModelError(
            f"control picture came as {kind!r}; needed: one of {', '.join(CONTROL_PICTURES)}. Choose the one that the "
            "control was trained on."
        )
    place = _place_of(name, entry, hub or Hub())
    return in_passing_thread(_loaded, entry.name if entry else Path(name).name, place, kind, model)


def _place_of(name: str, entry: ControlEntry | None, hub: Hub) -> Path:
    """The folder of a control, or its one file."""
    if entry is not None:
        return hub.network(entry.repository)
    if Path(name).is_file():
        return Path(name)
    if is_file_name(name):
        return hub.file(name, beside=[CONFIG])
    return hub.folder_of(
        name,
        f"control came as {name!r}; needed: one of {', '.join(CONTROLS)}, a folder in diffusers' layout, or owner/name "
        "or owner/name/file.safetensors of the hub. Check the name or the path.",
    )


def _loaded(name: str, place: Path, picture: str, model: Model) -> Control:
    folder = place if place.is_dir() else place.parent
    network_class, control_class = _classes_of(name, folder)
    files = [file.name for file in (folder.iterdir() if place.is_dir() else [place])]
    weights = [file for file in files if file.endswith(".safetensors")]
    if not weights and any(file.endswith(PICKLE_ENDINGS) for file in files):
        raise ModelError(
            f"control {name!r} came as a pickle, which can run the code of whoever wrote it; needed: safetensors. "
            "Convert it, or take another."
        )
    try:
        read = _of_folder if place.is_dir() else _of_file
        network = read(network_class, place, model.dtype)
    except _LOAD_ERRORS as error:
        raise ModelError(
            f"control {name!r} in {folder} cannot be loaded ({error}); needed: {CONFIG} and "
            "diffusion_pytorch_model.safetensors. Check the folder."
        ) from error
    network.to(model.device, memory_format=torch.channels_last).eval().requires_grad_(False)
    control = control_class(name, picture, network, model.unet)
    problem = control.problem(model)
    if problem is not None:
        raise ModelError(
            f"control {name!r} {problem}; needed: one that was made for the family of model {model.name!r}. "
            f"Take one of {names_by_family()}."
        )
    return control


def _of_folder(network_class: Any, folder: Path, dtype: torch.dtype) -> Any:
    network, facts = network_class.from_pretrained(
        folder,
        torch_dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        variant=variant_of(folder),
        output_loading_info=True,
    )
    if facts["missing_keys"]:
        raise ValueError(f"its weights lack {sorted(facts['missing_keys'])[0]}")
    return network


def _of_file(network_class: Any, file: Path, dtype: torch.dtype) -> Any:
    network = network_class.from_config(json.loads((file.parent / CONFIG).read_text(encoding="utf-8")))
    network.load_state_dict(load_file(file))
    return network.to(dtype)


def _classes_of(name: str, folder: Path) -> tuple[Any, type[Control]]:
    """diffusers' class of the network in a folder, by its config, and ours; raises `ModelError`."""
    try:
        named = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ModelError(
            f"control {name!r} in {folder} came without a {CONFIG} that says what it is; needed: a folder in "
            "diffusers' layout. Check the folder."
        ) from error
    if named not in NETWORKS:
        raise ModelError(
            f"control {name!r} came as {named!r}; needed: one of {', '.join(NETWORKS)}. Name a control's folder."
        )
    return NETWORKS[named]
