"""Which family a model is of, and what makes it fast: read from its configs or its tensors, never from its name."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from pipeline.errors import ModelError
from pipeline.models.catalogue import (
    ENTRY_FILE,
    FAMILIES,
    Distillation,
    FamilyName,
    FewSteps,
    ModelEntry,
    described,
    first_settings,
)
from pipeline.settings import FrameSettings

_PICKLES = (b"PK\x03\x04", b"\x80")
"""What files that `torch.save` wrote begin with: a zip archive's name, or a pickle's."""

_UNET_KEY = "model.diffusion_model.input_blocks.0.0.weight"
_AUTOENCODER_PREFIX = "first_stage_model."
_REFINERS_PREFIX = "conditioner.embedders.0.model."
_REFINERS_WIDTH = 1280
"""Of the prompts that Stable Diffusion XL's refiner reads."""
_OTHER_INPUTS = {
    9: "for inpainting, which reads a mask and what surrounds it",
    8: "of InstructPix2Pix's kind, which reads a second picture",
    7: "for upscaling, which reads a small picture",
    5: "that reads depth",
}
"""Kinds of models by the channels that their UNets read; plain ones read the 4 of latents."""
_FAMILY_KEYS: Mapping[str, FamilyName] = {
    "conditioner.embedders.1.model.": "sdxl",
    "cond_stage_model.model.": "sd21",
    "cond_stage_model.transformer.": "sd15",
}
"""How the text encoders of each family are called in a file of the original layout."""


def recognised(entry: ModelEntry, place: Path, few_steps: FewSteps = "auto") -> ModelEntry:
    """`entry` with what the model in `place`, a folder or a single file, says of itself; raises `ModelError`.

    A model that says nothing of few steps gets the LCM-LoRA of its family, unless `few_steps` says what it has.
    """
    in_folder = place.is_dir()
    unet = _config(entry.name, place, "unet") if in_folder else {}
    family = family_of_config(unet) if in_folder else family_of_file(place)
    common = FAMILIES[family]
    known = _distillation(unet, _config(entry.name, place, "scheduler")) if in_folder else None
    usual: Distillation = "lcm" if common.lcm_lora else "none"
    found = replace(
        entry,
        family=family,
        memory_layout=common.memory_layout,
        distillation=known or usual,
        prediction_type=None if in_folder else _prediction_type_of_file(place, family),
        zero_terminal_snr=None if in_folder else _is_zero_terminal(place, family),
        lora="" if known else common.lcm_lora,
        memory_gib=common.memory_gib,
    )
    found = described(found, place / ENTRY_FILE if in_folder else place.with_suffix(".json"))
    if few_steps != "auto":
        found = replace(found, distillation=few_steps, lora="")
    if found.latent_conditioning:
        return replace(found, family="embedded", lora="", memory_gib=0.0, defaults=FrameSettings())
    check_inputs(entry.name, unet.get("in_channels", 4) if in_folder else channels_of_file(place))
    guides = found.distillation not in ("turbo", "tcd") and unet.get("time_cond_proj_dim") is None
    return replace(
        found,
        guides=guides,
        defaults=first_settings(found.distillation),
        title=f"{entry.name} ({common.title})",
    )


def family_of_config(unet: Mapping[str, Any]) -> FamilyName:
    """The family of a UNet's config: Stable Diffusion XL also reads pooled text and sizes, Stable Diffusion 2 has
    linear projections around its transformer blocks, Stable Diffusion 1 convolutions. Raises `ModelError`."""
    if unet.get("addition_embed_type") == "text_time":
        if unet.get("cross_attention_dim") == _REFINERS_WIDTH:
            raise _refiner("the model")
        return "sdxl"
    return "sd21" if unet.get("use_linear_projection") else "sd15"


def family_of_file(file: Path) -> FamilyName:
    """The family of a single file in the original layout, by what its tensors are called; raises `ModelError`."""
    return family_of_tensors(file.name, _header(file)[0])


def family_of_tensors(name: str, keys: Collection[str]) -> FamilyName:
    """The family whose text encoders are among these tensors; raises `ModelError`."""
    if _UNET_KEY not in keys:
        what = "a LoRA" if any("lora" in key for key in keys) else "no whole Stable Diffusion"
        raise ModelError(
            f"{name} came as {what}; needed: a file of Stable Diffusion 1, 2 or XL in the original layout, with UNet, "
            "autoencoder and text encoders. Take such a file, or a folder in diffusers' layout."
        )
    for prefix, family in _FAMILY_KEYS.items():
        if _any_of(keys, prefix):
            if not _any_of(keys, _AUTOENCODER_PREFIX):
                raise ModelError(
                    f"{name} came without an autoencoder, as files marked noVAE do; needed: a file that holds UNet, "
                    "autoencoder and text encoders. Take the one that has it, or a folder in diffusers' layout."
                )
            return family
    if _any_of(keys, _REFINERS_PREFIX):
        raise _refiner(name)
    raise ModelError(
        f"{name} came without text encoders; needed: a file that holds UNet, autoencoder and text encoders. "
        "Take a whole one."
    )


def _any_of(keys: Collection[str], prefix: str) -> bool:
    return any(key.startswith(prefix) for key in keys)


def _refiner(name: str) -> ModelError:
    return ModelError(
        f"{name} came as the refiner of Stable Diffusion XL, which only finishes pictures; needed: its base. Take the "
        "base model, or another that is whole."
    )


def check_inputs(name: str, channels: int) -> None:
    """Raise `ModelError` for a UNet that reads more than latents, where the model does not say of what."""
    if what := _OTHER_INPUTS.get(channels):
        raise ModelError(
            f"{name} came as a model {what}; needed: a plain one, whose UNet reads 4 channels and not {channels}. Take "
            "the model that it was made from."
        )


def _prediction_type_of_file(file: Path, family: FamilyName) -> str:
    """What a single file says of its prediction: in its metadata (modelspec, as Stability AI's files have it), or by a
    tensor `v_pred`, as the community marks it; else what files of its family do, as diffusers takes it too."""
    keys, metadata = _header(file)
    if "v_pred" in keys:
        return "v_prediction"
    named = {"v": "v_prediction", "epsilon": "epsilon"}
    return named.get(metadata.get("modelspec.prediction_type", ""), "v_prediction" if family == "sd21" else "epsilon")


def _is_zero_terminal(file: Path, family: FamilyName) -> bool | None:
    """Whether a single file is marked as trained down to noise alone, by a tensor `ztsnr` as the community marks it;
    `None` where it says nothing. Nothing can be told of such noise but by a model that predicts velocity."""
    marked = "ztsnr" in _header(file)[0] and _prediction_type_of_file(file, family) == "v_prediction"
    return True if marked else None


def channels_of_file(file: Path) -> int:
    """How many channels the UNet of a single file reads."""
    with safe_open(file, "pt") as tensors:
        return int(tensors.get_slice(_UNET_KEY).get_shape()[1])


def _header(file: Path) -> tuple[frozenset[str], dict[str, str]]:
    """Names of the tensors of a safetensors file, and its metadata; raises `ModelError`."""
    try:
        with file.open("rb") as opened:
            start = opened.read(4)
        if start.startswith(_PICKLES):
            raise ModelError(
                f"{file.name} came as a pickle, which runs the code of whoever wrote it; needed: safetensors. Take the "
                "model's .safetensors file."
            )
        with safe_open(file, "pt") as tensors:
            return frozenset(tensors.keys()), dict(tensors.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{file} cannot be read ({error}); needed: a whole .safetensors file. Download it again."
        ) from error


def _distillation(unet: Mapping[str, Any], scheduler: Mapping[str, Any]) -> Distillation | None:
    """What configs say of few steps; `None` for nothing.

    UNets that LCM distilled whole read an embedding of guidance (`time_cond_proj_dim`); Stability AI's ADD students
    come with an Euler scheduler whose timesteps trail, which their teachers' do not; and TCD's sampler (arXiv
    2402.19159) is for what was distilled for it.
    """
    if scheduler.get("_class_name") == "LCMScheduler" or unet.get("time_cond_proj_dim") is not None:
        return "lcm"
    if scheduler.get("_class_name") == "TCDScheduler":
        return "tcd"
    trails = scheduler.get("timestep_spacing") == "trailing"
    return "turbo" if trails and str(scheduler.get("_class_name")).startswith("Euler") else None


def _config(name: str, folder: Path, part: str) -> dict[str, Any]:
    """The config of a part of a folder in diffusers' layout; raises `ModelError`."""
    file = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("no JSON object")
        return config
    except (OSError, ValueError) as error:
        raise ModelError(
            f"model {name!r} in {folder} cannot be loaded (its {part} has no config that can be read: {error}); "
            "needed: Stable Diffusion 1, 2 or XL in diffusers' layout. Check the folder."
        ) from error
