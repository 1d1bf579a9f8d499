"""Stable Diffusion's own safety checker: which pictures it flags, and the blur that is shown in their place.

A CLIP image encoder embeds the picture; it is flagged where its cosine to one of 17 concepts passes that concept's
threshold, and three more concepts make it a little stricter ("Red-Teaming the Stable Diffusion Safety Filter",
arXiv 2210.04610, section 2, describes what the weights alone do not say).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from safetensors import SafetensorError
from torch import Tensor
from torch.nn.functional import interpolate, normalize
from transformers import CLIPConfig

from pipeline.compute.host import in_passing_thread
from pipeline.errors import ModelError
from pipeline.frames.codec import Frame
from pipeline.models.hub import PICKLE_ENDINGS, Hub, variant_of

HUB_CHECKER = "stable-diffusion-v1-5/stable-diffusion-v1-5"
"""A whole model; of it, the checker is these `FOLDERS`."""
FOLDERS = ("safety_checker", "feature_extractor")
PARTS = ("config.json", "preprocessor_config.json", "model.safetensors")
"""What a checker consists of; the second lies in the second folder, where there are two."""
HALF = "model.fp16.safetensors"
"""Weights that take the place of the last part."""
BLURRED_SIDE = 6
"""Pixels of the longer side of what is left of a flagged picture before it is enlarged again."""
CARE = 0.01
"""How much stricter the checker is where one of its three special concepts is seen."""
DECIMALS = 3
"""Scores are rounded to so many before they are compared, as by the checker's own program."""
FLAGGED = "The safety checker flagged this picture, so it is shown blurred. Change the drawing or the words."

_LOAD_ERRORS = (OSError, ValueError, TypeError, LookupError, RuntimeError, SafetensorError)


@dataclass(frozen=True, eq=False)
class SafetyChecker:
    """A loaded checker; `mean` and `std`, one for each of red, green and blue in 0..1, are what its encoder expects."""

    model: Any
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def flags(self, pixels: Tensor) -> Tensor:
        """Whether each of the pictures `[B, 3, H, W]`, -1..1, is flagged: `[B]` bool, on their device."""
        model, side = self.model, int(self.model.config.vision_config.image_size)
        with torch.inference_mode():
            seen = prepared(pixels.float(), side, self.mean, self.std).to(model.visual_projection.weight)
            embeddings = model.visual_projection(model.vision_model(seen)[1])
            concepts = Concepts(model.concept_embeds.float(), model.concept_embeds_weights.float())
            special = Concepts(model.special_care_embeds.float(), model.special_care_embeds_weights.float())
            return is_flagged(embeddings.float(), concepts, special)


@dataclass(frozen=True, eq=False)
class Concepts:
    """Embeddings of concepts `[K, C]` and the cosine from which on each is seen `[K]`."""

    embeddings: Tensor
    thresholds: Tensor

    def scores(self, pictures: Tensor, stricter: Tensor | float = 0.0) -> Tensor:
        """How far the cosine of each picture `[B, C]` to each concept is past its threshold, `[B, K]`."""
        cosines = normalize(pictures) @ normalize(self.embeddings).T
        return (cosines - self.thresholds + stricter).round(decimals=DECIMALS)


def is_flagged(pictures: Tensor, concepts: Concepts, special: Concepts) -> Tensor:
    """Whether each picture embedding `[B, C]` passes the threshold of a concept, `[B]` bool."""
    cared = (special.scores(pictures) > 0).any(dim=1, keepdim=True)
    return (concepts.scores(pictures, CARE * cared) > 0).any(dim=1)


def prepared(pixels: Tensor, side: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Pictures `[B, 3, H, W]` in -1..1 as CLIP reads them, `[B, 3, side, side]`: the shorter side resized, the middle
    cut out, each colour `(value - mean) / std` (arXiv 2103.00020; the processor that comes with the weights)."""
    height, width = pixels.shape[2:]
    shorter = min(height, width)
    new_height, new_width = side * height // shorter, side * width // shorter
    resized = ((pixels + 1) * 127.5).round().clamp(0, 255)
    # One side after the other, and rounded in between: as Pillow does it, with which the weights were made.
    for size in ((height, new_width), (new_height, new_width)):
        resized = interpolate(resized, size, mode="bicubic", antialias=True).round().clamp(0, 255)
    top, left = (new_height - side) // 2, (new_width - side) // 2
    middle = resized[:, :, top : top + side, left : left + side] / 255
    means, stds = (pixels.new_tensor(each)[:, None, None] for each in (mean, std))
    return (middle - means) / stds


def blurred(picture: Frame) -> Frame:
    """A picture `[H, W, 3]` of which only the broadest colours are left, so that nothing can be recognised."""
    height, width = picture.shape[:2]
    scale = BLURRED_SIDE / max(height, width)
    few = (max(1, round(width * scale)), max(1, round(height * scale)))
    left_over = cv2.resize(picture, few, interpolation=cv2.INTER_AREA)
    enlarged: Frame = cv2.resize(left_over, (width, height), interpolation=cv2.INTER_LINEAR).astype("uint8", copy=False)
    return enlarged


def load_safety_checker(
    folder_or_id: str, device: torch.device, *, dtype: torch.dtype | None = None, hub: Hub | None = None
) -> SafetyChecker:
    """Load a checker from a folder that holds `FOLDERS`, or all `PARTS` by themselves; or from a repository of the
    hub, `HUB_CHECKER` or one of a checker alone, which is fetched once. Without `dtype`, float16 on CUDA and float32
    elsewhere.

    Raises `ModelError`.
    """
    folder = _folder_of(folder_or_id, hub or Hub())
    _check_parts(folder_or_id, folder)
    wanted = dtype or (torch.float16 if device.type == "cuda" else torch.float32)
    return in_passing_thread(_loaded, folder, device, wanted)


def load_safety_checker_to_lend(
    folder_or_id: str, hub: Hub | None = None, device: str | torch.device = "cuda"
) -> SafetyChecker:
    """As `load_safety_checker`, for a `device` that is lent for a call at a time: see `load_model_to_lend`."""
    place = torch.device(device)
    dtype = torch.float16 if place.type == "cuda" else torch.float32
    checker = load_safety_checker(folder_or_id, torch.device("cpu"), dtype=dtype, hub=hub)
    checker.model.to(place)
    return checker


def _folder_of(folder_or_id: str, hub: Hub) -> Path:
    if folder_or_id == HUB_CHECKER:
        return hub.parts(HUB_CHECKER, FOLDERS)
    return hub.folder_of(
        folder_or_id,
        f"the safety checker came as {folder_or_id!r}; needed: a folder with {', '.join(PARTS)}, or a repository such "
        f"as {HUB_CHECKER}. Check the name.",
    )


def _folders_in(folder: Path) -> tuple[Path, Path]:
    """Where the network lies, and where what its pictures have to be like."""
    network, pictures = (folder / each for each in FOLDERS)
    return (network, pictures) if network.is_dir() else (folder, folder)


def _check_parts(name: str, folder: Path) -> None:
    """Raise `ModelError` unless the folder holds all parts."""
    network, pictures = _folders_in(folder)
    there = {each.name for place in (pictures, network) if place.is_dir() for each in place.iterdir()}
    missing = [part for part in PARTS if part not in there and not (part == PARTS[-1] and HALF in there)]
    if not missing:
        return
    pickles = sorted(name for name in there if name.endswith(PICKLE_ENDINGS))
    only = f", and weights only as {pickles[0]}, a pickle, which could run any program" if pickles else ""
    raise ModelError(
        f"the safety checker in {name!r} came without {' and '.join(missing)}{only}; needed: {', '.join(PARTS)}. "
        f"Take {' and '.join(FOLDERS)} of {HUB_CHECKER}."
    )


def _loaded(folder: Path, device: torch.device, dtype: torch.dtype) -> SafetyChecker:
    network, pictures = _folders_in(folder)
    read: dict[str, Any] = {"local_files_only": True, "use_safetensors": True, "variant": variant_of(network)}
    try:
        described = json.loads((pictures / "preprocessor_config.json").read_text(encoding="utf-8"))
        mean, std = (tuple(map(float, described[name])) for name in ("image_mean", "image_std"))
        model, report = StableDiffusionSafetyChecker.from_pretrained(
            network, config=CLIPConfig.from_pretrained(network), dtype=dtype, output_loading_info=True, **read
        )
        # What is missing would be made up, and a made-up checker flags at random.
        if report["missing_keys"]:
            raise ValueError(f"its weights lack {sorted(report['missing_keys'])[0]}")
    except _LOAD_ERRORS as error:
        raise ModelError(
            f"the safety checker in {folder} cannot be loaded ({error}); needed: the files of {HUB_CHECKER}. "
            "Fetch them again."
        ) from error
    return SafetyChecker(model.to(device).eval().requires_grad_(False), mean, std)
