"""LoRA files: which of a folder's files fit a model, and what they change in it.

Names are read in the layouts of kohya's sd-scripts (`lora_unet_...lora_down.weight` and `.alpha`), diffusers and peft
(`base_model.model....lora_A.weight`, with its alpha in a file beside); diffusers' own conversion turns them into one.
Of a file that is not picked only its header is read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers.loaders import StableDiffusionXLLoraLoaderMixin
from diffusers.utils.state_dict_utils import (
    StateDictType,
    convert_state_dict_to_peft,
    convert_unet_state_dict_to_peft,
)
from safetensors import SafetensorError, safe_open
from torch import nn

from pipeline.errors import LoraError
from pipeline.models.hub import PICKLE_ENDINGS
from pipeline.models.load import Model
from pipeline.models.lora import TEXT_PARTS, UNET_PART, Factors, Layer, Lora, parts_of
from pipeline.models.lora_triggers import LARGEST_SIDECAR, triggers_of

SUFFIX = ".safetensors"

UNSUPPORTED = {
    "dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
    "hada_": "LoHa",
    "lokr_": "LoKr",
    "lora_mid": "LoCon with a Tucker core",
    "oft_": "OFT",
    "on_input": "IA3",
    r"\.diff(_b)?$": "whole weights beside low-rank ones",
    "w_norm": "changes of norms",
    r"lora_(B|up)\.bias$": "biases",
    r"^(lora_transformer_|transformer\.)": "a LoRA for a transformer",
    "emb_params": "a textual inversion, which belongs into the folder of --embeddings",
}
"""What a part of a name, a regular expression, says of a file that is not plain LoRA."""

_FACTOR = re.compile(r"(?P<path>.+)\.lora_(?P<factor>[AB])\.weight")
_ALPHA = ".alpha"
_NOTED = "lora_adapter_metadata"
_PEFT = "base_model.model."
_PEFT_SETTINGS = "adapter_config.json"
_WRAPPED = re.compile(r"^(?:(unet|text_encoder(?:_2)?)\.)?(?:\1\.|base_model\.model\.)+(?=.)")
"""What peft, and trainers that save what it wraps, put before the path of a layer."""
_ADAPTER = re.compile(r"(?<=\.lora_[AB])\.\w+(?=\.weight$)")
"""The name that peft gives an adapter, in what is saved past its own `save_pretrained`."""
_TEXT_PATHS = ("text_model.", "encoder.layers.")
"""How paths of layers begin in text encoders alone."""
_CONVERSION_ERRORS = (ValueError, TypeError, AttributeError, LookupError)


@dataclass(frozen=True)
class LoraShelf:
    """What a folder holds: the files that fit the model, by name, and a sentence for each that does not."""

    loras: tuple[Lora, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Header:
    """What a file says without its weights: the shape of each tensor, the number in each `.alpha`, and its notes."""

    shapes: Mapping[str, tuple[int, ...]]
    alphas: Mapping[str, float]
    notes: Mapping[str, str]


@dataclass(frozen=True)
class Target:
    """What a file has to fit: a model's name, its UNet's config, and the shape of each weight that LoRA can change."""

    name: str
    unet_config: Any
    weights: Mapping[Layer, tuple[int, ...]]


def target_of(model: Model) -> Target:
    """What files for `model` have to fit."""
    weights = {
        (part, path): tuple(module.weight.shape)
        for part, root in parts_of(model).items()
        for path, module in root.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }
    return Target(model.name, model.unet.config, weights)


def read_loras(places: Path | Sequence[Path], model: Model) -> LoraShelf:
    """The LoRA files in one or several folders, without those in folders below, and those that `places` names
    themselves; raises `LoraError` for what is neither."""
    loras: list[Lora] = []
    refused, target = [], target_of(model)
    for file in weight_files(places):
        try:
            lora = read_lora(file, target)
            if any(each.name == lora.name for each in loras):
                raise LoraError(f"{file.name} comes twice; needed: a name of its own for each. Rename one.")
            loras.append(lora)
        except LoraError as error:
            refused.append(str(error))
    return LoraShelf(tuple(loras), tuple(refused))


def weight_files(places: Path | Sequence[Path]) -> list[Path]:
    """The files in one or several folders that hold weights, and those that `places` names themselves, in the order of
    their names; raises `LoraError` for what is neither."""
    named = [places] if isinstance(places, Path) else places
    files = [file for place in named for file in ([place] if place.is_file() else _files_in(place))]
    weights = [each for each in files if each.suffix.lower() in (SUFFIX, *PICKLE_ENDINGS)]
    return sorted(weights, key=lambda each: (each.name.casefold(), each.name))


def _files_in(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise LoraError(
            f"{folder} cannot be read as a folder ({error.strerror}); needed: a folder of {SUFFIX} files, or such a "
            f"file, or owner/name/file{SUFFIX} of the hub. Check the path."
        ) from error


def read_lora(file: Path, target: Target) -> Lora:
    """What a file changes in a model; raises `LoraError` for one that is not plain LoRA or of another family."""
    if file.suffix.lower() in PICKLE_ENDINGS:
        raise LoraError(
            f"{file.name} is a pickle, which can run any code; needed: {SUFFIX}. Get the file in that form."
        )
    header = read_header(file)
    return Lora(file.stem, file, layers_of(file.name, header, target), triggers_of(file, header.notes))


def read_header(file: Path) -> Header:
    """The header of a safetensors file, and its alphas; raises `LoraError`."""
    try:
        with safe_open(file, "pt") as opened:
            names = list(opened.keys())
            shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in names}
            alphas = {name: float(opened.get_tensor(name)) for name in names if name.endswith(_ALPHA)}
            notes = dict(opened.metadata() or {})
            if any(_PEFT in name for name in names) and _NOTED not in notes:
                notes[_NOTED] = settings_beside(file)
            return Header(shapes, alphas, notes)
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise LoraError(
            f"{file.name} cannot be read ({error}); needed: a whole {SUFFIX} file. Get it again."
        ) from error


def settings_beside(file: Path) -> str:
    """What peft has written beside its weights, as diffusers notes it for each part of a model."""
    try:
        with file.with_name(_PEFT_SETTINGS).open(encoding="utf-8") as opened:
            settings = json.loads(opened.read(LARGEST_SIDECAR))
    except FileNotFoundError:
        return "{}"
    if not isinstance(settings, dict):
        raise ValueError(f"{_PEFT_SETTINGS} beside it holds no settings")
    return json.dumps({f"{part}.{key}": each for part in (UNET_PART, *TEXT_PARTS) for key, each in settings.items()})


def unwrapped(name: str) -> str:
    """The name of a tensor without what peft and trainers put around its layer's path."""
    return _ADAPTER.sub("", _WRAPPED.sub(lambda match: f"{match[1]}." if match[1] else "", name))


def layers_of(name: str, header: Header, target: Target) -> dict[Layer, Factors]:
    """Which layers the file called `name` changes, and where it holds the factors; raises `LoraError`."""
    for mark, kind in UNSUPPORTED.items():
        if any(re.search(mark, each) for each in header.shapes):
            raise LoraError(f"{name} holds {kind}; needed: plain LoRA of linear layers and convolutions. Leave it out.")
    try:
        sources, alphas = converted_names(header, target.unet_config)
    except _CONVERSION_ERRORS as error:
        raise LoraError(
            f"{name} came with names that are not understood ({str(error)[:120]}); needed: those of kohya, diffusers "
            "or peft. Leave it out."
        ) from error
    halves: dict[Layer, dict[str, str]] = {}
    for layer, factor, source in sources:
        halves.setdefault(found(name, layer, target), {})[factor] = source
    if not halves:
        raise LoraError(f"{name} holds no LoRA; needed: one for Stable Diffusion. Leave it out.")
    return {layer: checked(name, layer, each, header, alphas, target) for layer, each in halves.items()}


def converted_names(header: Header, unet_config: Any) -> tuple[list[tuple[Layer, str, str]], dict[str, float]]:
    """(layer, "A" for down or "B" for up, the name in the file) of each tensor, and the alphas that are known by the
    name of a down factor. The layer's path is the file's, not yet the model's."""
    own = {unwrapped(each): each for each in header.shapes if not each.endswith(_ALPHA)}
    alphas = {f"{each.removesuffix(_ALPHA)}.lora_A.weight": alpha for each, alpha in header.alphas.items()}
    if all(each.startswith(("lora_unet_", "lora_te")) for each in header.shapes):
        # diffusers' conversion moves values from name to name, so the old names may stand for the tensors.
        alpha_tensors = {each: _Number(alpha) for each, alpha in header.alphas.items()}
        own, kohya = StableDiffusionXLLoraLoaderMixin.lora_state_dict({**own, **alpha_tensors}, unet_config=unet_config)
        alphas = {each: kohya[key] for new, each in own.items() if (key := new.split(".lora.")[0] + _ALPHA) in kohya}
    found_sources = []
    for part, names in by_part(own).items():
        for new, source in peft_names(part, names).items():
            factor = _FACTOR.fullmatch(new)
            if factor is None:
                raise ValueError(f"{source} is no factor of a LoRA")
            found_sources.append(((part, factor["path"]), factor["factor"], source))
    return found_sources, {**alphas, **noted_alphas(header, found_sources)}


@dataclass(frozen=True)
class _Number:
    """A number with the one method of a tensor that diffusers' conversion calls on alphas."""

    value: float

    def item(self) -> float:
        return self.value


def by_part(names: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The names of each part of a model, without that part's own; a name without a part is the UNet's, as in
    diffusers' oldest files, or, by its path, a text encoder's."""
    parts: dict[str, dict[str, str]] = {}
    for name, source in names.items():
        part, _, rest = name.partition(".")
        known = part in (UNET_PART, *TEXT_PARTS)
        unnamed = TEXT_PARTS[0] if name.startswith(_TEXT_PATHS) else UNET_PART
        parts.setdefault(part if known else unnamed, {})[rest if known else name] = source
    return parts


def peft_names(part: str, names: dict[str, str]) -> dict[str, str]:
    """The names as peft writes them: `PATH.lora_A.weight` and `PATH.lora_B.weight`."""
    if part == UNET_PART:
        renamed: dict[str, str] = convert_unet_state_dict_to_peft(names)
        return renamed
    for kind in (StateDictType.DIFFUSERS_OLD, StateDictType.DIFFUSERS):
        names = convert_state_dict_to_peft(names, kind)
    return names


def noted_alphas(header: Header, sources: Iterable[tuple[Layer, str, str]]) -> dict[str, float]:
    """The alphas that diffusers writes into a file's notes as peft's settings of each part, by the name of the down
    factor; with rank-stabilised LoRA (Kalajdzievski, arXiv 2312.03732) as those alphas that give its scaling."""
    settings = json.loads(header.notes.get(_NOTED, "{}"))
    alphas: dict[str, float] = {}
    for (part, path), factor, source in sources:
        if factor == "A" and f"{part}.lora_alpha" in settings:
            patterns: dict[str, float] = settings.get(f"{part}.alpha_pattern") or {}
            matching = (each for end, each in patterns.items() if f".{path}".endswith(f".{end.lstrip('^')}"))
            alpha = float(next(matching, settings[f"{part}.lora_alpha"]))
            stable = bool(settings.get(f"{part}.use_rslora"))
            alphas[source] = alpha * math.sqrt(header.shapes[source][0]) if stable else alpha
    return alphas


def found(name: str, layer: Layer, target: Target) -> Layer:
    """The layer as the model calls it; raises `LoraError` for one that it does not have."""
    part, path = layer
    # Text encoders have lost a level with transformers 5, and those with a projection kept it.
    for each in (path, path.removeprefix("text_model."), f"text_model.{path}"):
        if (part, each) in target.weights:
            return part, each
    raise LoraError(
        f"{name} changes {part}.{path}, which model {target.name!r} does not have; needed: a LoRA of this model's "
        "family. Leave it out, or start with another --model."
    )


def checked(
    name: str, layer: Layer, halves: Mapping[str, str], header: Header, alphas: Mapping[str, float], target: Target
) -> Factors:
    """The factors of a layer, whose shapes fit it; raises `LoraError`."""
    path, weight = ".".join(layer), target.weights[layer]
    if set(halves) != {"A", "B"}:
        raise LoraError(f"{name} holds one factor alone for {path}; needed: an up and a down. Get the file again.")
    down, up = header.shapes[halves["A"]], header.shapes[halves["B"]]
    if not fits(down, up, weight):
        raise LoraError(
            f"{name} came with factors {list(up)} and {list(down)} for {path}, which is {list(weight)} in model "
            f"{target.name!r}; needed: a LoRA of this model's family. Leave it out, or start with another --model."
        )
    return Factors(halves["B"], halves["A"], alphas.get(halves["A"], float(down[0])))


def fits(down: tuple[int, ...], up: tuple[int, ...], weight: tuple[int, ...]) -> bool:
    """Whether `up @ down` has the weight's shape; a convolution of one pixel and a linear layer are the same."""
    if min(len(down), len(up)) < 2 or up[1] != down[0] or down[0] == 0 or math.prod(up[2:]) != 1:
        return False
    kernels_fit = math.prod(down[2:]) == math.prod(weight[2:])
    return (up[0], down[1]) == weight[:2] and kernels_fit
