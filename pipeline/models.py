"""The catalogue of models, and how one is loaded. Nothing is downloaded, and only safetensors are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, LCMScheduler, UNet2DConditionModel
from safetensors import SafetensorError
from transformers import CLIPTextModel, CLIPTokenizer

from pipeline.codec import Autoencoder, pixels_per_latent
from pipeline.conditioning import conditioning_width
from pipeline.errors import ModelError
from pipeline.host import in_passing_thread
from pipeline.memory import MemoryLayout
from pipeline.prompts import TextEncoder
from pipeline.schedule import Schedule

ENTRY_FILE = "rearview.json"
AUTOENCODERS = {"AutoencoderTiny": AutoencoderTiny, "AutoencoderKL": AutoencoderKL}

_LOAD_ERRORS = (OSError, ValueError, TypeError, LookupError, RuntimeError, SafetensorError)


@dataclass(frozen=True)
class ModelEntry:
    """What the engine must know of a model beside its weights.

    `folder` holds its parts in diffusers' layout. `latent_conditioning` names what is concatenated to the noisy
    latents (see `pipeline.conditioning`). `native_size` is in pixels; 0 means the size that the UNet's config names.
    """

    name: str
    folder: Path
    native_size: int = 0
    latent_conditioning: tuple[str, ...] = ()
    memory_layout: MemoryLayout = field(default_factory=MemoryLayout)


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model. Engines only read it; what changes it while one is open goes through `Engine.change`."""

    entry: ModelEntry
    native_size: int
    unet: UNet2DConditionModel
    vae: Autoencoder
    text_encoders: tuple[TextEncoder, ...]
    scheduler: LCMScheduler
    device: torch.device
    dtype: torch.dtype

    @property
    def name(self) -> str:
        """The name in the catalogue, or the folder's."""
        return self.entry.name


CATALOGUE: Mapping[str, Path] = {"embedded": Path(__file__).parent / "embedded"}
"""Folders of the models that have a name."""


def load_model(
    name_or_folder: str | PathLike[str],
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Model:
    """Load a model of the catalogue, or any folder in diffusers' Stable Diffusion layout; raises `ModelError`.

    Without `device`, CUDA where there is one, else the CPU; without `dtype`, the fastest that this device computes
    natively.
    """
    entry = find_entry(name_or_folder)
    place = torch.device(device) if device is not None else default_device()
    model = in_passing_thread(_loaded, entry, place, dtype or default_dtype(place))
    _check_parts(model)
    return model


def find_entry(name_or_folder: str | PathLike[str]) -> ModelEntry:
    """The entry of a model by its name or folder; raises `ModelError` for one that is not there."""
    name = str(name_or_folder)
    folder = CATALOGUE.get(name, Path(name_or_folder))
    if not (folder / "model_index.json").is_file():
        raise ModelError(
            f"model came as {name!r}; needed: one of {', '.join(CATALOGUE)}, or a folder that holds model_index.json. "
            "Check the name or the path."
        )
    return _read_entry(name if name in CATALOGUE else folder.name, folder)


def _read_entry(name: str, folder: Path) -> ModelEntry:
    """The entry that a folder's optional `rearview.json` describes; without that file, plain Stable Diffusion's."""
    file = folder / ENTRY_FILE
    if not file.is_file():
        return ModelEntry(name, folder)
    try:
        described = json.loads(file.read_text(encoding="utf-8"))
        layout = _layout(**described.pop("memory_layout", {}))
        conditioning = tuple(described.pop("latent_conditioning", ()))
        return ModelEntry(name, folder, latent_conditioning=conditioning, memory_layout=layout, **described)
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{file} came in a form that cannot be used ({error}); needed: JSON with native_size, "
            "latent_conditioning and memory_layout, each optional. Correct it."
        ) from error


def _layout(fuse_at: Literal["attention", "block"] = "attention", **layers: list[str]) -> MemoryLayout:
    """A memory layout from its JSON form; raises `ValueError` or `TypeError`."""
    if fuse_at not in ("attention", "block"):
        raise ValueError(f'fuse_at came as {fuse_at!r}; needed: "attention" or "block"')
    return MemoryLayout(fuse_at=fuse_at, **{name: tuple(prefixes) for name, prefixes in layers.items()})


def default_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def default_dtype(device: torch.device) -> torch.dtype:
    """float16 on CUDA, bfloat16 on a CPU with instructions for it, else float32."""
    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if device.type == "cpu" and cpu_computes_bfloat16() else torch.float32


def cpu_computes_bfloat16() -> bool:
    """Whether the CPU names AVX512-BF16 or AMX-BF16. Known on Linux alone; elsewhere the answer is no."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text(encoding="utf-8", errors="replace").split() if cpuinfo.is_file() else []
    return bool({"avx512_bf16", "amx_bf16"} & set(flags))


def _loaded(entry: ModelEntry, device: torch.device, dtype: torch.dtype) -> Model:
    weights: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
    folder = entry.folder
    try:
        unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", torch_dtype=dtype, **weights)
        vae = _autoencoder_class(folder).from_pretrained(folder, subfolder="vae", torch_dtype=dtype, **weights)
        # Prompts are encoded once and then cached, so the text encoder is kept exact.
        text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32, **weights)
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        scheduler = LCMScheduler.from_pretrained(folder, subfolder="scheduler", local_files_only=True)
    except _LOAD_ERRORS as error:
        raise ModelError(
            f"model {entry.name!r} in {folder} cannot be loaded ({error}); needed: unet, vae, text_encoder, tokenizer "
            "and scheduler in diffusers' layout, weights as safetensors. Check the folder."
        ) from error
    for part in (unet, vae):
        part.to(memory_format=torch.channels_last)
    for part in (unet, vae, text_encoder):
        part.to(device).eval().requires_grad_(False)
    native_size = entry.native_size or int(unet.config.sample_size or 0) * pixels_per_latent(vae)
    return Model(entry, native_size, unet, vae, (TextEncoder(tokenizer, text_encoder),), scheduler, device, dtype)


def _autoencoder_class(folder: Path) -> Any:
    """The class that `model_index.json` names for the autoencoder."""
    name = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))["vae"][1]
    if name not in AUTOENCODERS:
        raise ValueError(f"its autoencoder is {name}, needed: one of {', '.join(AUTOENCODERS)}")
    return AUTOENCODERS[name]


def _check_parts(model: Model) -> None:
    """Raise `ModelError` unless the parts fit together."""
    latents, entry = int(model.vae.config.latent_channels), model.entry
    try:
        beside = conditioning_width(entry.latent_conditioning, latents)
        Schedule.of(model.scheduler)
    except ValueError as error:
        raise ModelError(f"model {entry.name!r} cannot be used: {error} Correct its files.") from error
    if model.unet.config.in_channels != latents + beside:
        raise ModelError(
            f"model {entry.name!r} came with a UNet of {model.unet.config.in_channels} input channels; needed: "
            f"{latents} latents and {beside} for the conditioning {list(entry.latent_conditioning)}. "
            f"Correct latent_conditioning in {ENTRY_FILE}."
        )
    if model.unet.config.out_channels != latents:
        raise ModelError(
            f"model {entry.name!r} came with a UNet of {model.unet.config.out_channels} output channels; needed: "
            f"the {latents} of its autoencoder. Take parts that belong together."
        )
    width = sum(encoder.model.config.hidden_size for encoder in model.text_encoders)
    widths = (width, model.unet.config.cross_attention_dim)
    if widths[0] != widths[1]:
        raise ModelError(
            f"model {entry.name!r} came with prompt embeddings of width {widths[0]} and a UNet that reads {widths[1]}; "
            "needed: the same. Take parts that belong together."
        )
    if model.native_size <= 0:
        raise ModelError(
            f"model {entry.name!r} names no size; needed: native_size in {ENTRY_FILE} or sample_size in the UNet's "
            "config. Add one."
        )
