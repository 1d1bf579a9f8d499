"""How a model of the catalogue, of a folder, of a file or of the hub is found, loaded and checked.

Only safetensors are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Literal

import torch
from diffusers import LCMScheduler, UNet2DConditionModel
from diffusers.loaders.single_file_utils import SingleFileComponentError
from safetensors import SafetensorError

from pipeline.compute.host import in_passing_thread
from pipeline.errors import ModelError
from pipeline.frames.codec import Autoencoder, pixels_per_latent
from pipeline.models.catalogue import CATALOGUE, ENTRY_FILE, FewSteps, ModelEntry, described
from pipeline.models.conditioning import conditioning_width
from pipeline.models.hub import INDEX, Hub
from pipeline.models.hub_names import is_file_name, is_repository
from pipeline.models.parts import Places, places, read_parts
from pipeline.models.recognition import recognised
from pipeline.models.schedule import Schedule
from pipeline.prompts.encoder import TextEncoder

AUTO = "auto"
"""The name that stands for the best model of this machine."""

BEST, ALWAYS = "sd15-lcm", "embedded"
ROUGH = "nothing made it fast, so its pictures are rough after a few steps; those of distilled models are not."
GIB = 1 << 30

Precision = Literal["auto", "float16", "bfloat16", "float32"]
"""What to compute in, by name; "auto" is the fastest that the device computes natively."""

_LOAD_ERRORS = (OSError, ValueError, TypeError, LookupError, RuntimeError, SafetensorError, SingleFileComponentError)

_KNOWN_INPUTS: Mapping[str, tuple[str | None, ...]] = {
    "class_embed_type": (None,),
    "num_class_embeds": (None,),
    "encoder_hid_dim_type": (None, "text_proj"),
    "addition_embed_type": (None, "text", "text_time"),
}
"""What a UNet's config may say of what it reads beside latents, time and the tokens of a prompt."""


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model. Engines only read it; what changes it while one is open goes through `Engine.change`.

    `reason` is a sentence on why it was taken, where nobody named it, or on what to expect of it; `decoder` what the
    decoder is called that stands in the place of its own.
    """

    entry: ModelEntry
    native_size: int
    unet: UNet2DConditionModel
    vae: Autoencoder
    text_encoders: tuple[TextEncoder, ...]
    scheduler: LCMScheduler
    device: torch.device
    dtype: torch.dtype
    reason: str = ""
    decoder: str | None = None

    @property
    def name(self) -> str:
        """The name in the catalogue, or the folder's."""
        return self.entry.name

    @property
    def title(self) -> str:
        """What a person calls it."""
        return self.entry.title or self.entry.name

    @property
    def credit(self) -> str:
        """The title, with the licence where it is known."""
        return f"{self.title} ({self.entry.licence})" if self.entry.licence else self.title

    @property
    def schedule(self) -> Schedule:
        """Its few-step schedule; raises `ValueError` for a scheduler that asks for more than these can do."""
        return Schedule.of(self.scheduler, self.entry.distillation)


@dataclass(frozen=True)
class ChosenModel:
    """The name of a model, and a sentence on why it was chosen."""

    name: str
    reason: str


def load_model(
    name_or_place: str | PathLike[str],
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    hub: Hub | None = None,
    few_steps: FewSteps = "auto",
) -> Model:
    """Load a model of the catalogue, a folder in diffusers' layout, a single `.safetensors` file, a repository of the
    hub ("owner/name"), a file of one ("owner/name/file.safetensors"), or, as "auto", the best one of this machine;
    raises `ModelError`.

    Without `device`, CUDA where there is one, else the CPU; without `dtype`, the fastest that this device computes
    natively; without `hub`, the Hugging Face hub, asked for what its cache on this machine does not hold. `few_steps`
    says what makes a model of no catalogue fast; "auto" is what it says itself, else it gets the LCM-LoRA.
    """
    hub = hub or Hub()
    place = torch.device(device) if device is not None else default_device()
    name = str(name_or_place)
    chosen = choose_model(hub, place) if name == AUTO else ChosenModel(name, "")
    entry = find_entry(chosen.name, few_steps)
    if isinstance(entry.source, str) and entry.name not in CATALOGUE:
        at_hand = hub.file(entry.source) if is_file_name(entry.source) else hub.model(entry.source)
        entry = recognised(entry, at_hand, few_steps)
    check_memory(entry, place)
    at = places(entry, hub)
    model = in_passing_thread(_loaded, entry, at, place, dtype or default_dtype(place))
    _check_parts(model)
    return replace(model, reason=chosen.reason or (ROUGH if entry.distillation == "none" else ""))


def load_model_to_lend(
    name_or_place: str | PathLike[str],
    hub: Hub | None = None,
    device: str | torch.device = "cuda",
    few_steps: FewSteps = "auto",
) -> Model:
    """As `load_model`, for a `device` that is lent for a call at a time and is not there yet; raises `ModelError`.

    Hosts that lend one imitate it in the thread that prepared for it, and nowhere else: so weights are read to the CPU
    and sent by the thread that calls this. "auto" is the best model, whatever memory the imitation claims to have.
    """
    place = torch.device(device)
    name = BEST if str(name_or_place) == AUTO else name_or_place
    model = load_model(name, "cpu", default_dtype(place), hub, few_steps)
    for part in (model.unet, model.vae, *(each.model for each in model.text_encoders)):
        part.to(place)
    return replace(model, device=place)


def find_entry(name_or_place: str | PathLike[str], few_steps: FewSteps = "auto") -> ModelEntry:
    """The entry of a model by its name, its folder or file, or its repository, about which nothing is known before it
    is here; raises `ModelError` for one that is not there, and for `few_steps` of one of which they are known."""
    name = str(name_or_place)
    if name in CATALOGUE and few_steps != "auto":
        raise ModelError(
            f"few steps came as {few_steps!r} for model {name!r}, of which it is known what makes it fast; needed: "
            "auto. Leave --few-steps out, or name a folder, a file or a repository."
        )
    if name in CATALOGUE:
        entry = CATALOGUE[name]
        return described(entry, entry.source / ENTRY_FILE) if isinstance(entry.source, Path) else entry
    place = Path(name_or_place)
    if (place / INDEX).is_file():
        return recognised(ModelEntry(place.resolve().name, place), place, few_steps)
    if place.is_file():
        return recognised(ModelEntry(place.stem, place), place, few_steps)
    if not place.exists() and (is_file_name(name) or (is_repository(name) and place.suffix != ".safetensors")):
        return ModelEntry(name, name)
    raise ModelError(
        f"model came as {name!r}; needed: one of {', '.join(CATALOGUE)}, a folder that holds {INDEX}, a .safetensors "
        "file, or owner/name or owner/name/file.safetensors of the hub. Check the name or the path."
    )


def choose_model(hub: Hub, device: torch.device) -> ChosenModel:
    """The best model that `device` can run and that can be had, and why."""
    best = CATALOGUE[BEST]
    if device.type != "cuda":
        return ChosenModel(ALWAYS, f"there is no CUDA device for {BEST}.")
    free = free_gib(device)
    if free < best.memory_gib:
        return ChosenModel(ALWAYS, f"{free:.1f} GiB are free on the GPU, and {BEST} needs {best.memory_gib:g}.")
    if hub.has(best):
        return ChosenModel(BEST, f"{free:.1f} GiB are free on the GPU, and the model lies in the hub's cache.")
    if hub.offline:
        return ChosenModel(ALWAYS, f"{BEST} is not in the hub's cache, and --offline forbids the net.")
    problem = hub.problem(best.repositories)
    if problem is not None:
        return ChosenModel(ALWAYS, f"{BEST} is not in the hub's cache, and {problem}")
    return ChosenModel(BEST, f"{free:.1f} GiB are free on the GPU, and the hub can be reached.")


def free_gib(device: torch.device) -> float:
    """How much memory of a CUDA device is free."""
    return float(torch.cuda.mem_get_info(device)[0]) / GIB


def check_memory(entry: ModelEntry, device: torch.device) -> None:
    """Raise `ModelError` unless a CUDA device has the free memory that an entry needs; of others nothing is known."""
    if device.type != "cuda" or free_gib(device) >= entry.memory_gib:
        return
    raise ModelError(
        f"the GPU came with {free_gib(device):.1f} GiB of free memory; needed: {entry.memory_gib:g} for model "
        f"{entry.name!r}. End other programs on it, or choose a smaller model."
    )


def default_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype_of(precision: Precision) -> torch.dtype | None:
    """The dtype of this name; `None` for "auto", which `load_model` takes for the device's."""
    named: dict[Precision, torch.dtype] = {
        "float16": torch.float16,
        "bfloat16": torch.bfloat16,
        "float32": torch.float32,
    }
    return named.get(precision)


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


def _loaded(entry: ModelEntry, at: Places, device: torch.device, dtype: torch.dtype) -> Model:
    try:
        parts = read_parts(entry, at, dtype)
        for part in (parts.unet, parts.vae):
            part.to(memory_format=torch.channels_last)
        for part in (parts.unet, parts.vae, *(each.model for each in parts.text_encoders)):
            part.to(device).eval().requires_grad_(False)
        native_size = entry.native_size or trained_side(parts.unet.config.sample_size) * pixels_per_latent(parts.vae)
    except ModelError:
        raise
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"model {entry.name!r} does not fit into the device's memory; needed: about {entry.memory_gib:g} GiB. "
            "End other programs on it, or choose a smaller model."
        ) from error
    except _LOAD_ERRORS as error:
        raise ModelError(
            f"model {entry.name!r} in {at.model} cannot be loaded ({error}); needed: unet, vae, text encoders, "
            "tokenizers and scheduler of one Stable Diffusion, weights as safetensors. Check the files."
        ) from error
    return Model(entry, native_size, parts.unet, parts.vae, parts.text_encoders, parts.scheduler, device, dtype)


def trained_side(sample_size: int | Sequence[int] | None) -> int:
    """The side of the latents that a UNet was trained on; of rectangles, the shorter one; 0 where nothing is known."""
    return min(map(int, sample_size), default=0) if isinstance(sample_size, Sequence) else int(sample_size or 0)


def _check_parts(model: Model) -> None:
    """Raise `ModelError` unless the parts fit together."""
    latents, entry = int(model.vae.config.latent_channels), model.entry
    try:
        beside = conditioning_width(entry.latent_conditioning, latents)
        _ = model.schedule
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
    _check_inputs(model)
    _check_text(model)
    if model.native_size <= 0:
        raise ModelError(
            f"model {entry.name!r} names no size; needed: native_size in {ENTRY_FILE} or sample_size in the UNet's "
            "config. Add one."
        )


def _check_inputs(model: Model) -> None:
    """Raise `ModelError` for a UNet that reads more than latents, time and text, or that has layers where a place
    cannot see the others."""
    config = model.unet.config
    for name, known in _KNOWN_INPUTS.items():
        if (came := config.get(name)) not in known:
            raise ModelError(
                f"model {model.name!r} came with a UNet that reads more than latents, time and words ({name} is "
                f"{came!r}), as unCLIP's and those of upscalers do; needed: a text-to-image model. Take another."
            )
    for name in ("only_cross_attention", "mid_block_only_cross_attention"):
        came = config.get(name)
        if any(came) if isinstance(came, Sequence) else came:
            raise ModelError(
                f"model {model.name!r} came with a UNet whose layers look at words alone ({name} is {came!r}), so that "
                "no memory can act there; needed: self-attention, as in Stable Diffusion 1, 2 and XL. Take another."
            )


def _check_text(model: Model) -> None:
    """Raise `ModelError` unless the UNet reads what the text encoders give: the tokens of all side by side, and, where
    it takes pooled text and sizes, the pooled text of the last beside six embedded numbers."""
    config, encoders = model.unet.config, [encoder.model.config for encoder in model.text_encoders]
    pairs = [("prompt embeddings", sum(each.hidden_size for each in encoders), config.cross_attention_dim)]
    if config.addition_embed_type == "text_time":
        numbers = 6 * config.addition_time_embed_dim
        pooled = config.projection_class_embeddings_input_dim - numbers
        pairs.append(("pooled prompts", encoders[-1].projection_dim, pooled))
    for what, width, read in pairs:
        if width != read:
            raise ModelError(
                f"model {model.name!r} came with {what} of width {width} and a UNet that reads {read}; "
                "needed: the same. Take parts that belong together."
            )
