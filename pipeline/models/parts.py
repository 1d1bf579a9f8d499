"""The parts of a model, read from a folder in diffusers' layout or from a single file in the original one."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    LCMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm, load_single_file_checkpoint
from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from pipeline.errors import ModelError
from pipeline.frames.codec import Autoencoder
from pipeline.frames.recurrent_decoder import with_recurrent_decoder
from pipeline.models.catalogue import FAMILIES, EncoderParts, FamilyName, ModelEntry
from pipeline.models.hub import INDEX, Hub, variant_of
from pipeline.models.hub_names import is_file_name
from pipeline.prompts.encoder import TextEncoder

AUTOENCODERS = {"AutoencoderTiny": AutoencoderTiny, "AutoencoderKL": AutoencoderKL}
LORA_FILE = "pytorch_lora_weights.safetensors"
DECODER_FILE = "decoder.safetensors"
"""In a model's folder: a decoder that remembers, in the place of its tiny autoencoder's."""

_FACTOR = re.compile(r"(?P<path>.+)\.lora_(?P<factor>[AB])\.weight")

_HERE: dict[str, Any] = {"local_files_only": True}
_WEIGHTS: dict[str, Any] = {**_HERE, "use_safetensors": True}


@dataclass(frozen=True)
class Places:
    """Where the parts of a model lie on this machine: a folder or a single file, the folder whose configs describe it,
    the folder of a tiny autoencoder and the file of a LoRA, where these take part."""

    model: Path
    configs: Path
    tiny_vae: Path | None = None
    lora: Path | None = None


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of a model on the CPU, the text encoders in the order in which the UNet reads them."""

    unet: UNet2DConditionModel
    vae: Autoencoder
    text_encoders: tuple[TextEncoder, ...]
    scheduler: LCMScheduler


def places(entry: ModelEntry, hub: Hub) -> Places:
    """Where the parts of an entry lie, once what comes from the hub has been fetched; raises `ModelError`."""
    tiny_vae = hub.network(entry.tiny_vae) if entry.tiny_vae else None
    lora = _lora_file(entry.lora, hub) if entry.lora else None
    source = hub.file(entry.source) if isinstance(entry.source, str) and is_file_name(entry.source) else entry.source
    if isinstance(source, str):
        folder = hub.model(source, without=("vae",) if entry.tiny_vae else ())
        return Places(folder, folder, tiny_vae, lora)
    if source.is_dir():
        return Places(source, source, tiny_vae, lora)
    beside = source.parent
    configs = beside if (beside / INDEX).is_file() else hub.configs(FAMILIES[entry.family].base)
    return Places(source, configs, tiny_vae, lora)


def _lora_file(name: str, hub: Hub) -> Path:
    """The file of an entry's LoRA: the one that is named, or the only one that a repository of a LoRA has."""
    return hub.file(name) if is_file_name(name) else hub.network(name) / LORA_FILE


def read_parts(entry: ModelEntry, at: Places, dtype: torch.dtype) -> Parts:
    """All parts, UNet and autoencoder in `dtype`, a LoRA fused.

    Raises `ModelError` for weights with a hole or a LoRA that does not fit, and what the libraries raise: `OSError`,
    `ValueError`, `TypeError`, `LookupError`, `RuntimeError`, `SafetensorError` or `SingleFileComponentError`.
    """
    in_folder = at.model.is_dir()
    unet = (_unet_of_folder if in_folder else _unet_of_file)(at, dtype)
    check_whole(entry.name, "unet", unet)
    if at.lora is not None:
        fuse_lora(unet, at.lora, entry.family)
    vae = _autoencoder(at, dtype, entry.family)
    check_whole(entry.name, "vae", vae)
    # One reading of a single file serves all text encoders: its tensors are mapped, not copied.
    checkpoint = None if in_folder else load_single_file_checkpoint(str(at.model), local_files_only=True)
    encoders = tuple(_text_encoder(entry, at, each, checkpoint) for each in FAMILIES[entry.family].encoders)
    known = {"prediction_type": entry.prediction_type, "rescale_betas_zero_snr": entry.zero_terminal_snr}
    described = {name: each for name, each in known.items() if each is not None}
    # Whatever scheduler a model comes with: its betas and its prediction are read, the steps are our own.
    scheduler = LCMScheduler.from_pretrained(at.configs, subfolder="scheduler", **_HERE, **described)
    return Parts(unet, vae, encoders, scheduler)


def fuse_lora(unet: UNet2DConditionModel, file: Path, family: FamilyName, scale: float = 1.0) -> None:
    """Add a LoRA to the weights of a UNet for good, `W + scale * alpha / rank * up @ down` (arXiv 2106.09685); no layer
    of it stays. Reads diffusers' and Kohya's names of layers. Raises `ModelError`, with nothing fused, unless all of it
    fits."""
    shell = StableDiffusionXLPipeline if family == "sdxl" else StableDiffusionPipeline
    options: dict[str, Any] = {"weight_name": file.name, "unet_config": unet.config, **_WEIGHTS}
    try:
        state, alphas = shell.lora_state_dict(str(file.parent), **options)[:2]
        misfit = misfit_of(unet, state)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        misfit = f"names that are not understood ({str(error)[:120]})"
    if misfit is not None:
        raise ModelError(
            f"LoRA {file.name} came with {misfit}, so nothing of it was fused; needed: one whose every layer is in "
            "this model's UNet. Leave it out; of a model that is distilled already, say by --few-steps how."
        )
    unet.load_lora_adapter(state, prefix="unet", network_alphas=alphas, adapter_name="fused")
    unet.fuse_lora(lora_scale=scale, safe_fusing=True)
    unet.unload_lora()


def check_whole(name: str, part: str, module: nn.Module) -> None:
    """Raise `ModelError` where weights of a part did not come with its files: they are still without data."""
    refuse_holes(name, part, [each for each, weight in module.named_parameters() if weight.is_meta])


def refuse_holes(name: str, part: str, missing: Collection[str]) -> None:
    """Raise `ModelError` where anything is missing."""
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise _hole(name, part, f"{min(missing)}{more}")


def _hole(name: str, part: str, missing: str) -> ModelError:
    return ModelError(
        f"model {name!r} came with a hole: the weights of its {part} lack {missing}; needed: all of them. Download it "
        "again, or take another."
    )


def misfit_of(unet: UNet2DConditionModel, state: Mapping[str, Tensor]) -> str | None:
    """What of a LoRA, tensors by diffusers' names, is not in a UNet, as a phrase; `None` where all of it is."""
    outside = sorted(name for name in state if not name.startswith("unet."))
    if outside or not state:
        return outside[0] if outside else "no layer"
    layers = dict(unet.named_modules())
    own = {name.removeprefix("unet."): tensor for name, tensor in state.items()}
    for name, tensor in convert_unet_state_dict_to_peft(own).items():
        factor = _FACTOR.fullmatch(name)
        weight = getattr(layers.get(factor["path"]), "weight", None) if factor else None
        if factor is None or weight is None:
            return str(name)
        side = 0 if factor["factor"] == "B" else 1
        if tensor.shape[side] != weight.shape[side]:
            return f"{name} of width {tensor.shape[side]}, where the model has {weight.shape[side]}"
    return None


def _unet_of_folder(at: Places, dtype: torch.dtype) -> UNet2DConditionModel:
    variant = variant_of(at.model / "unet")
    return UNet2DConditionModel.from_pretrained(
        at.model, subfolder="unet", variant=variant, torch_dtype=dtype, **_WEIGHTS
    )


def _unet_of_file(at: Places, dtype: torch.dtype) -> UNet2DConditionModel:
    unet: UNet2DConditionModel = _of_file(UNet2DConditionModel, at, "unet", dtype)
    return unet


def _of_file(kind: Any, at: Places, part: str, dtype: torch.dtype) -> Any:
    """A part of a single file."""
    try:
        return kind.from_single_file(str(at.model), config=str(at.configs), subfolder=part, torch_dtype=dtype, **_HERE)
    except NotImplementedError as error:
        # diffusers moves it at once, which what came without data cannot be.
        raise _hole(at.model.name, part, "one layer or more") from error


def _autoencoder(at: Places, dtype: torch.dtype, family: FamilyName) -> Autoencoder:
    """The tiny autoencoder where there is one, else the model's own, with the decoder that remembers if it has one."""
    vae = plain_autoencoder(at, dtype, family)
    file = at.model / DECODER_FILE
    if at.tiny_vae is not None or not isinstance(vae, AutoencoderTiny) or not file.is_file():
        return vae
    return with_recurrent_decoder(vae, load_file(file))


def plain_autoencoder(at: Places, dtype: torch.dtype, family: FamilyName) -> Autoencoder:
    """The same autoencoder, whose decoder knows one frame alone; raises what `read_parts` does."""
    if at.tiny_vae is not None:
        return AutoencoderTiny.from_pretrained(
            at.tiny_vae, variant=variant_of(at.tiny_vae), torch_dtype=dtype, **_WEIGHTS
        )
    dtype = _autoencoder_dtype(at.configs / "vae" / "config.json", dtype, family)
    if at.model.is_dir():
        variant = variant_of(at.model / "vae")
        kind = _autoencoder_class(at.model)
        return kind.from_pretrained(at.model, subfolder="vae", variant=variant, torch_dtype=dtype, **_WEIGHTS)
    vae: Autoencoder = _of_file(AutoencoderKL, at, "vae", dtype)
    return vae


def _autoencoder_dtype(config: Path, dtype: torch.dtype, family: FamilyName) -> torch.dtype:
    """`dtype`, but float32 for Stable Diffusion XL's own autoencoder, whose activations overflow float16, unless its
    config says that they do not."""
    if family != "sdxl" or dtype != torch.float16:
        return dtype
    described = json.loads(config.read_text(encoding="utf-8"))
    overflows = described.get("_class_name") == "AutoencoderKL" and described.get("force_upcast", True)
    return torch.float32 if overflows else dtype


def _autoencoder_class(folder: Path) -> Any:
    """The class that `model_index.json` names for the autoencoder."""
    name = json.loads((folder / INDEX).read_text(encoding="utf-8"))["vae"][1]
    if name not in AUTOENCODERS:
        raise ValueError(f"its autoencoder is {name}, needed: one of {', '.join(AUTOENCODERS)}")
    return AUTOENCODERS[name]


def _text_encoder(entry: ModelEntry, at: Places, parts: EncoderParts, checkpoint: Any) -> TextEncoder:
    """A text encoder from a folder, or from the tensors of a single file, with its tokenizer."""
    kind = CLIPTextModelWithProjection if parts.projects else CLIPTextModel
    # Prompts are encoded once and then cached, so text encoders are kept exact.
    if checkpoint is None:
        folder = at.model / parts.text_encoder
        # What is missing there would be random.
        model, facts = kind.from_pretrained(
            folder, variant=variant_of(folder), dtype=torch.float32, output_loading_info=True, **_WEIGHTS
        )
        refuse_holes(entry.name, parts.text_encoder, facts["missing_keys"])
    else:
        model = create_diffusers_clip_model_from_ldm(
            kind,
            checkpoint,
            subfolder=parts.text_encoder,
            config=str(at.configs),
            torch_dtype=torch.float32,
            local_files_only=True,
        )
    check_whole(entry.name, parts.text_encoder, model)
    tokenizer = CLIPTokenizer.from_pretrained(at.configs / parts.tokenizer, **_HERE)
    return TextEncoder(tokenizer, model, whole_words=entry.whole_words)
