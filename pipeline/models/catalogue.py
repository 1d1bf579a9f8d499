"""The catalogue: what the engine must know of a model beside its weights, one declaration each. Nothing is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from pipeline.errors import ModelError
from pipeline.memory import MemoryLayout
from pipeline.models.hub_names import read_name
from pipeline.settings import FrameSettings

ENTRY_FILE = "rearview.json"

Distillation = Literal["lcm", "turbo", "euler", "tcd", "none"]
"""What makes a model paint in few steps: latent consistency (arXiv 2310.04378), adversarial distillation (ADD, arXiv
2311.17042), a trajectory kept to by Euler's steps (Hyper-SD's with guidance, arXiv 2404.13686; Lightning, arXiv
2402.13929), trajectory consistency (TCD, arXiv 2402.19159), or nothing, in which case its pictures are rough after few
steps."""

FewSteps = Literal["auto", "lcm", "turbo", "euler", "tcd", "none"]
"""What a person says of a model: one of these is in its weights already, or "auto", as far as it says so itself."""

FamilyName = Literal["embedded", "sd15", "sd21", "sdxl"]


@dataclass(frozen=True)
class EncoderParts:
    """The folders of a tokenizer and of its text encoder; `projects`: one that also gives a pooled, projected text."""

    tokenizer: str = "tokenizer"
    text_encoder: str = "text_encoder"
    projects: bool = False


@dataclass(frozen=True)
class Family:
    """What all models of one architecture have in common.

    `encoders` are in the order in which the UNet reads them. `base`, `lcm_lora`
    and `tiny_vae` are repositories of the hub, empty where there is none; the configs and vocabularies of `base` are
    those of a single file. `memory_gib` is what weights, activations and
    some visitors take on a GPU.
    """

    title: str
    encoders: tuple[EncoderParts, ...] = (EncoderParts(),)
    memory_layout: MemoryLayout = field(default_factory=MemoryLayout)
    base: str = ""
    lcm_lora: str = ""
    tiny_vae: str = ""
    memory_gib: float = 0.0


FAMILIES: Mapping[FamilyName, Family] = {
    "embedded": Family("Rearview's own"),
    "sd15": Family(
        "Stable Diffusion 1",
        base="stable-diffusion-v1-5/stable-diffusion-v1-5",
        lcm_lora="latent-consistency/lcm-lora-sdv1-5",
        tiny_vae="madebyollin/taesd",
        memory_gib=4.0,
    ),
    "sd21": Family("Stable Diffusion 2", base="stabilityai/sd-turbo", tiny_vae="madebyollin/taesd", memory_gib=5.0),
    "sdxl": Family(
        "Stable Diffusion XL",
        encoders=(EncoderParts(), EncoderParts("tokenizer_2", "text_encoder_2", projects=True)),
        # Where tokens are a quarter of the latents' side apart, as those that Stable Diffusion 1 fuses outside of its
        # mid block.
        memory_layout=MemoryLayout(fuse=("mid_block", "up_blocks.0")),
        base="stabilityai/stable-diffusion-xl-base-1.0",
        lcm_lora="latent-consistency/lcm-lora-sdxl",
        tiny_vae="madebyollin/taesdxl",
        memory_gib=12.0,
    ),
}


@dataclass(frozen=True)
class ModelEntry:
    """What the engine must know of a model beside its weights.

    `source` is a folder in diffusers' layout, a single file, or the name of a repository of the hub, perhaps at a
    revision ("owner/name@refs/pr/5"), or of a file of one ("owner/name/file.safetensors"), as `lora` may be.
    `native_size` is in pixels; 0 means the size that the UNet's config names. `latent_conditioning` names what is
    concatenated to the noisy latents (see `pipeline.models.conditioning`). `lora` and `tiny_vae` come from the hub as
    well: the first is fused into the UNet at loading, the second takes the place of the model's own autoencoder; empty
    means none. `prediction_type` goes before that of the scheduler's config, and so does `zero_terminal_snr`: whether
    the noisiest step was trained on noise alone (Lin et al., arXiv 2305.08891). `guides` says whether guidance above 1
    and negative prompts act well, and `defaults` what a fresh page begins with. `subjects` are things that a small
    model was taught by name, for a page to offer; none are named for models that know most words. `finer_steps` is in
    how many steps a picture at rest is painted once more, and `finer_ink`, 0 to 1, how much of the drawing covers what
    was painted of it before, which lies beneath. `one_noise` says that all steps of a frame begin with the noise of the
    first: a model that reads its strokes from the noise would paint others in each step. `whole_words` says that each
    word that a model was taught is one token: words of several say nothing to it, and are left out of prompts.
    """

    name: str
    source: Path | str
    native_size: int = 0
    latent_conditioning: tuple[str, ...] = ()
    memory_layout: MemoryLayout = field(default_factory=MemoryLayout)
    family: FamilyName = "sd15"
    distillation: Distillation = "lcm"
    prediction_type: str | None = None
    zero_terminal_snr: bool | None = None
    lora: str = ""
    tiny_vae: str = ""
    guides: bool = True
    defaults: FrameSettings = field(default_factory=FrameSettings)
    title: str = ""
    licence: str = ""
    memory_gib: float = 0.0
    subjects: tuple[str, ...] = ()
    finer_steps: int = 4
    finer_ink: float = 1.0
    one_noise: bool = False
    whole_words: bool = False

    def noise_number(self, step: int) -> int:
        """Which noise of a session a denoising step begins with."""
        return 0 if self.one_noise else step

    @property
    def repositories(self) -> tuple[str, ...]:
        """The repositories of the hub that its parts come from."""
        names = [read_name(each) for each in (self.source, self.lora, self.tiny_vae) if isinstance(each, str)]
        return tuple(each.repository for each in names if each is not None)


def first_settings(distillation: Distillation) -> FrameSettings:
    """What a fresh page begins with. LCM's and TCD's published four steps; of what ADD or Lightning trained at four
    timesteps two of these (499 and 249), where a drawing still shows through."""
    if distillation in ("turbo", "euler"):
        return FrameSettings(steps=2, strength=0.5)
    return FrameSettings(steps=4, strength=0.6)


def _of_hub(
    name: str,
    source: str,
    family: FamilyName,
    distillation: Distillation,
    *,
    native_size: int,
    title: str,
    licence: str,
    guides: bool = False,
    lora: str = "",
    defaults: FrameSettings | None = None,
) -> ModelEntry:
    common = FAMILIES[family]
    return ModelEntry(
        name,
        source,
        native_size,
        memory_layout=common.memory_layout,
        family=family,
        distillation=distillation,
        lora=lora,
        tiny_vae=common.tiny_vae,
        guides=guides,
        defaults=defaults or first_settings(distillation),
        title=title,
        licence=licence,
        memory_gib=common.memory_gib,
    )


STABILITY = "non-commercial research, commercial use by agreement with Stability AI (stability.ai/license)"
"""What the pages of the Turbo models say."""

HYPER = "ByteDance/Hyper-SD"
GUIDED = FrameSettings(steps=3, strength=0.6, guidance=3.5)
"""What Hyper-SD's LoRA with guidance begins with: it wants at least three steps, and less guidance in few."""

_ENTRIES = (
    ModelEntry(
        "embedded",
        Path(__file__).parent.parent / "embedded",
        family="embedded",
        title="Rearview's embedded model",
        licence="Apache-2.0",
    ),
    _of_hub(
        "sd15-lcm",
        FAMILIES["sd15"].base,
        "sd15",
        "lcm",
        native_size=512,
        lora=FAMILIES["sd15"].lcm_lora,
        guides=True,
        title="Stable Diffusion 1.5 with LCM-LoRA",
        licence="CreativeML Open RAIL-M, the LoRA Open RAIL++",
    ),
    _of_hub(
        "sd15-hyper",
        FAMILIES["sd15"].base,
        "sd15",
        "euler",
        native_size=512,
        lora=f"{HYPER}/Hyper-SD15-8steps-CFG-lora.safetensors",
        guides=True,
        defaults=GUIDED,
        title="Stable Diffusion 1.5 with Hyper-SD's guided LoRA",
        licence="CreativeML Open RAIL-M, the LoRA Open RAIL++",
    ),
    _of_hub(
        "sd15-tcd",
        FAMILIES["sd15"].base,
        "sd15",
        "tcd",
        native_size=512,
        lora="h1t/TCD-SD15-LoRA/pytorch_lora_weights.safetensors",
        title="Stable Diffusion 1.5 with TCD-LoRA",
        licence="CreativeML Open RAIL-M, the LoRA MIT",
    ),
    _of_hub(
        "dreamshaper-lcm",
        "SimianLuo/LCM_Dreamshaper_v7",
        "sd15",
        "lcm",
        native_size=512,
        title="Dreamshaper 7, distilled by LCM",
        licence="MIT",
    ),
    _of_hub(
        "sd-turbo",
        FAMILIES["sd21"].base,
        "sd21",
        "turbo",
        native_size=512,
        title="SD-Turbo",
        licence=STABILITY,
    ),
    _of_hub(
        "sdxl-turbo",
        "stabilityai/sdxl-turbo",
        "sdxl",
        "turbo",
        native_size=512,
        title="SDXL-Turbo",
        licence=STABILITY,
    ),
    _of_hub(
        "sdxl-lcm",
        FAMILIES["sdxl"].base,
        "sdxl",
        "lcm",
        native_size=1024,
        lora=FAMILIES["sdxl"].lcm_lora,
        guides=True,
        title="Stable Diffusion XL with LCM-LoRA",
        licence="Open RAIL++",
    ),
    _of_hub(
        "sdxl-hyper",
        FAMILIES["sdxl"].base,
        "sdxl",
        "euler",
        native_size=1024,
        lora=f"{HYPER}/Hyper-SDXL-8steps-CFG-lora.safetensors",
        guides=True,
        defaults=GUIDED,
        title="Stable Diffusion XL with Hyper-SD's guided LoRA",
        licence="Open RAIL++",
    ),
    _of_hub(
        "sdxl-lightning",
        FAMILIES["sdxl"].base,
        "sdxl",
        "euler",
        native_size=1024,
        lora="ByteDance/SDXL-Lightning/sdxl_lightning_4step_lora.safetensors",
        title="SDXL-Lightning",
        licence="Open RAIL++",
    ),
)

CATALOGUE: Mapping[str, ModelEntry] = {entry.name: entry for entry in _ENTRIES}
"""The models that have a name."""


def described(entry: ModelEntry, file: Path) -> ModelEntry:
    """`entry` as the JSON of `file` says otherwise, where there is such a file; raises `ModelError`."""
    if not file.is_file():
        return entry
    try:
        return replace(entry, **_changes(json.loads(file.read_text(encoding="utf-8"))))
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{file} came in a form that cannot be used ({error}); needed: JSON with native_size, latent_conditioning, "
            "memory_layout, distillation, prediction_type, lora, tiny_vae, subjects, finer_steps, "
            "finer_ink, one_noise and whole_words, each optional. Correct it."
        ) from error


def _changes(described: dict[str, Any]) -> dict[str, Any]:
    """What a description changes of an entry; raises `ValueError` or `TypeError`."""
    readers: dict[str, Callable[[Any], Any]] = {
        "native_size": int,
        "latent_conditioning": tuple,
        "memory_layout": lambda layout: _layout(**layout),
        "distillation": _distillation,
        "prediction_type": str,
        "lora": str,
        "tiny_vae": str,
        "subjects": _names,
        "finer_steps": _steps,
        "finer_ink": _share,
        "one_noise": lambda answer: _said("one_noise", answer),
        "whole_words": lambda answer: _said("whole_words", answer),
    }
    unknown = set(described) - set(readers)
    if unknown:
        raise ValueError(f"it holds {', '.join(sorted(unknown))}")
    changes = {name: readers[name](value) for name, value in described.items()}
    # What is said to be distilled is so in its own weights.
    return ({"lora": ""} if "distillation" in changes else {}) | changes


def _distillation(name: str) -> str:
    if name not in get_args(Distillation):
        raise ValueError(f"distillation came as {name!r}; needed: one of {', '.join(get_args(Distillation))}")
    return name


def _steps(steps: int) -> int:
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"finer_steps came as {steps!r}; needed: a whole number from 1 on")
    return steps


def _share(share: float) -> float:
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ValueError(f"finer_ink came as {share!r}; needed: a number from 0 to 1")
    return float(share)


def _said(name: str, answer: bool) -> bool:
    if not isinstance(answer, bool):
        raise ValueError(f"{name} came as {answer!r}; needed: true or false")
    return answer


def _names(names: list[str]) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("subjects came as something else than a list of names")
    return tuple(names)


def _layout(fuse_at: Literal["attention", "block"] = "attention", **layers: list[str]) -> MemoryLayout:
    """A memory layout from its JSON form; raises `ValueError` or `TypeError`."""
    if fuse_at not in ("attention", "block"):
        raise ValueError(f'fuse_at came as {fuse_at!r}; needed: "attention" or "block"')
    return MemoryLayout(fuse_at=fuse_at, **{name: tuple(prefixes) for name, prefixes in layers.items()})
