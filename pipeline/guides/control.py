"""Control: the lines of a frame hold the picture, by a T2I-Adapter or a ControlNet.

Both (arXiv 2302.08453 and 2302.05543) read a picture of lines that is drawn from the frame. An adapter reads it once a
frame, a ControlNet again at every denoising step, beside what the UNet reads.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import ControlNetModel, T2IAdapter, UNet2DConditionModel
from safetensors import SafetensorError
from torch import Tensor, nn

from pipeline.compute.attention import Kernel, PlainAttention
from pipeline.compute.devices import numbers_on, rows_at, sent, spread
from pipeline.compute.hooks import processors_replaced
from pipeline.compute.host import in_passing_thread
from pipeline.compute.packing import convolutions_packed
from pipeline.errors import ModelError
from pipeline.frames.codec import Frame, pixels_per_latent
from pipeline.guides.control_pictures import CONTROL_PICTURES
from pipeline.models.hub import PICKLE_ENDINGS, Hub, variant_of
from pipeline.models.load import Model
from pipeline.models.unet_call import Residuals, UnetInputs, network_arguments

Family = Literal["Stable Diffusion 1.5", "Stable Diffusion XL"]

PLAIN_PICTURE = "scribble"
"""What a control of no catalogue reads, if nothing else is said: whoever draws draws these."""

_LOAD_ERRORS = (OSError, ValueError, TypeError, LookupError, RuntimeError, SafetensorError)


@dataclass(frozen=True)
class ControlEntry:
    """A control of the hub: its repository, what kind of network it is, the kind of picture that it was trained on, and
    the family of models that it fits."""

    name: str
    repository: str
    kind: Literal["adapter", "controlnet"]
    picture: str
    family: Family


_ENTRIES = (
    ControlEntry("sketch-sd15", "TencentARC/t2iadapter_sketch_sd15v2", "adapter", "sketch", "Stable Diffusion 1.5"),
    ControlEntry("canny-sd15", "TencentARC/t2iadapter_canny_sd15v2", "adapter", "canny", "Stable Diffusion 1.5"),
    ControlEntry("sketch-sdxl", "TencentARC/t2i-adapter-sketch-sdxl-1.0", "adapter", "sketch", "Stable Diffusion XL"),
    ControlEntry(
        "lineart-sdxl", "TencentARC/t2i-adapter-lineart-sdxl-1.0", "adapter", "lineart", "Stable Diffusion XL"
    ),
    ControlEntry(
        "controlnet-scribble-sd15",
        "lllyasviel/control_v11p_sd15_scribble",
        "controlnet",
        "scribble",
        "Stable Diffusion 1.5",
    ),
    ControlEntry(
        "controlnet-lineart-sd15",
        "lllyasviel/control_v11p_sd15_lineart",
        "controlnet",
        "lineart",
        "Stable Diffusion 1.5",
    ),
    ControlEntry(
        "controlnet-canny-sd15", "lllyasviel/control_v11p_sd15_canny", "controlnet", "canny", "Stable Diffusion 1.5"
    ),
)
CONTROLS: Mapping[str, ControlEntry] = {entry.name: entry for entry in _ENTRIES}
"""Controls that have a name. Adapters come first: a frame with one costs little more than without."""


@dataclass(frozen=True, eq=False)
class Control(ABC):
    """A loaded control for one model: `picture` names what it reads, `unet` is the one that it was found to fit.

    It holds nothing of a frame: `of_frame` gives what a frame keeps until it is painted.
    """

    name: str
    picture: str
    network: Any
    unet: UNet2DConditionModel

    @abstractmethod
    def of_frame(self, frame: Frame, strength: float) -> Any:
        """What a frame `[H, W, 3]` keeps for all of its steps; `None` for a strength of 0, which controls nothing."""

    @abstractmethod
    def residuals(self, inputs: UnetInputs, rows: Sequence[Any]) -> Residuals | None:
        """What is added inside the UNet's call with `inputs`, of whose rows each has what `of_frame` gave.

        `None` where no row is controlled. What a row gets does not depend on the others.
        """

    @abstractmethod
    def problem(self, model: Model) -> str | None:
        """Why this control does not fit a model, as the part of a sentence; `None` where it does."""

    @contextmanager
    def installed(self, kernel: Kernel) -> Iterator[None]:
        """While entered, the network runs with the engine's kernels; after it, it is as it was."""
        plain = PlainAttention(kernel)
        with convolutions_packed(self.network), processors_replaced(self.network, lambda layer: plain):
            yield

    def condition(self, frame: Frame, channels: int) -> Tensor:
        """The lines of a frame `[H, W, 3]` as the network reads them: `[1, channels, H, W]` in 0..1."""
        lines = torch.from_numpy(CONTROL_PICTURES[self.picture](frame)[..., :channels].copy())
        pixels = sent(lines, self.network.device).permute(2, 0, 1)[None].float() / 255
        return pixels.to(self.network.dtype, memory_format=torch.channels_last)


class AdapterControl(Control):
    """A T2I-Adapter: features of the lines, once a frame, join those of the UNet's down blocks."""

    def of_frame(self, frame: Frame, strength: float) -> tuple[Tensor, ...] | None:
        """A feature a level, `[1, C, h, w]` each, times the strength."""
        if strength == 0:
            return None
        lines = self.condition(frame, self.network.config.in_channels)
        return tuple(level * strength for level in self.network(padded(lines, self.network.downscale_factor)))

    def residuals(self, inputs: UnetInputs, rows: Sequence[tuple[Tensor, ...] | None]) -> Residuals | None:
        some = next((row for row in rows if row is not None), None)
        if some is None:
            return None
        nothing = tuple(torch.zeros_like(level) for level in some)
        return Residuals(
            blocks=tuple(torch.cat(levels) for levels in zip(*(row or nothing for row in rows), strict=True))
        )

    def problem(self, model: Model) -> str | None:
        channels = self.network.config.in_channels
        if channels not in (1, 3):
            return f"reads pictures of {channels} channels, and lines have 1 or 3"
        # Any size tells: all levels of both shrink alike.
        side = 2 ** len(self.unet.down_blocks)
        pixels = side * pixels_per_latent(model.vae)
        blank = torch.zeros(1, channels, pixels, pixels, device=self.network.device, dtype=self.network.dtype)
        with torch.inference_mode():
            given = [tuple(level.shape[1:]) for level in self.network(padded(blank, self.network.downscale_factor))]
        taken = adapter_places(self.unet, side)
        if given in (taken, taken[:-1]):
            return None
        return f"gives features of {_shapes(given)}, and the model takes {_shapes(taken)}"


class NetControl(Control):
    """A ControlNet: a copy of the UNet's down blocks, which also sees the lines, adds to what the UNet's hand over."""

    def of_frame(self, frame: Frame, strength: float) -> tuple[Tensor, float] | None:
        """Lines `[1, C, H, W]` in 0..1, and the strength."""
        return (self.condition(frame, self.network.config.conditioning_channels), strength) if strength else None

    def residuals(self, inputs: UnetInputs, rows: Sequence[tuple[Tensor, float] | None]) -> Residuals | None:
        wanted = [(index, *row) for index, row in enumerate(rows) if row is not None]
        if not wanted:
            return None
        indices, conditions, strengths = zip(*wanted, strict=True)
        skips, middle = self.network(
            **arguments_at(network_arguments(self.network, inputs), indices),
            controlnet_cond=torch.cat(conditions),
            conditioning_scale=a_number_or_one_a_row(strengths, conditions[0]),
            return_dict=False,
        )
        return Residuals(
            skips=tuple(spread(skip, indices, len(rows)) for skip in skips), middle=spread(middle, indices, len(rows))
        )

    def problem(self, model: Model) -> str | None:
        own, unet = self.network.config, self.unet.config
        if own.conditioning_channels not in (1, 3):
            return f"reads pictures of {own.conditioning_channels} channels, and lines have 1 or 3"
        if own.global_pool_conditions:
            return "reads a picture's colours as a whole, and lines have none"
        for name in (
            "in_channels",
            "block_out_channels",
            "layers_per_block",
            "cross_attention_dim",
            "addition_embed_type",
        ):
            came, needed = getattr(own, name), getattr(unet, name)
            if _plain(came) != _plain(needed):
                return f"has {name} {came}, and the model's UNet {needed}"
        return None


NETWORKS: Mapping[str, tuple[Any, type[Control]]] = {
    "T2IAdapter": (T2IAdapter, AdapterControl),
    "ControlNetModel": (ControlNetModel, NetControl),
}
"""By the class that a network's config names: diffusers' class, and ours around it."""


def load_control(
    name_or_folder: str | PathLike[str], model: Model, picture: str | None = None, hub: Hub | None = None
) -> Control:
    """A control of the catalogue, of a folder in diffusers' layout, or of a repository of the hub, for `model`.

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
    folder = _folder_of(name, entry, hub or Hub())
    return in_passing_thread(_loaded, entry.name if entry else Path(name).name, folder, kind, model)


def _folder_of(name: str, entry: ControlEntry | None, hub: Hub) -> Path:
    if entry is not None:
        return hub.network(entry.repository)
    return hub.folder_of(
        name,
        f"control came as {name!r}; needed: one of {', '.join(CONTROLS)}, a folder in diffusers' layout, or owner/name "
        "of a repository of the hub. Check the name or the path.",
    )


def _loaded(name: str, folder: Path, picture: str, model: Model) -> Control:
    network_class, control_class = _classes_of(name, folder)
    files = [file.name for file in folder.iterdir()]
    weights = [file for file in files if file.endswith(".safetensors")]
    if not weights and any(file.endswith(PICKLE_ENDINGS) for file in files):
        raise ModelError(
            f"control {name!r} came as a pickle, which can run the code of whoever wrote it; needed: safetensors. "
            "Convert it, or take another."
        )
    try:
        network, facts = network_class.from_pretrained(
            folder,
            torch_dtype=model.dtype,
            use_safetensors=True,
            local_files_only=True,
            variant=variant_of(folder),
            output_loading_info=True,
        )
        if facts["missing_keys"]:
            raise ValueError(f"its weights lack {sorted(facts['missing_keys'])[0]}")
    except _LOAD_ERRORS as error:
        raise ModelError(
            f"control {name!r} in {folder} cannot be loaded ({error}); needed: config.json and "
            "diffusion_pytorch_model.safetensors. Check the folder."
        ) from error
    network.to(model.device, memory_format=torch.channels_last).eval().requires_grad_(False)
    control = control_class(name, picture, network, model.unet)
    problem = control.problem(model)
    if problem is not None:
        raise ModelError(
            f"control {name!r} {problem}; needed: one that was made for the family of model {model.name!r}. "
            f"Take one of {_by_family()}."
        )
    return control


def _classes_of(name: str, folder: Path) -> tuple[Any, type[Control]]:
    """diffusers' class of the network in a folder, by its config, and ours; raises `ModelError`."""
    try:
        named = json.loads((folder / "config.json").read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ModelError(
            f"control {name!r} in {folder} came without a config.json that says what it is; needed: a folder in "
            "diffusers' layout. Check the folder."
        ) from error
    if named not in NETWORKS:
        raise ModelError(
            f"control {name!r} came as {named!r}; needed: one of {', '.join(NETWORKS)}. Name a control's folder."
        )
    return NETWORKS[named]


def _by_family() -> str:
    """The names of the catalogue, by the models that they fit."""
    families = dict.fromkeys(entry.family for entry in CONTROLS.values())
    names = {family: [entry.name for entry in CONTROLS.values() if entry.family == family] for family in families}
    return "; ".join(f"{', '.join(each)} ({family})" for family, each in names.items())


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in shapes)


def _plain(value: Any) -> Any:
    """A value of a config, whose lists have become tuples or not."""
    return list(value) if isinstance(value, list | tuple) else value


def adapter_places(unet: UNet2DConditionModel, side: int) -> list[tuple[int, int, int]]:
    """Channels, height and width of where a UNet with latents of `side` takes an adapter's features: in each down
    block, before it shrinks them where it has attention and afterwards where it has not, and at last in the middle."""
    places = []
    for channels, block in zip(unet.config.block_out_channels, unet.down_blocks, strict=True):
        shrunk = side if block.downsamplers is None else (side + 1) // 2
        at = side if getattr(block, "has_cross_attention", False) else shrunk
        places.append((channels, at, at))
        side = shrunk
    return [*places, (places[-1][0], side, side)]


def padded(pixels: Tensor, multiple: int) -> Tensor:
    """pixels `[B, C, H, W]` with black at the right and below, up to sides that are multiples of `multiple`."""
    height, width = pixels.shape[-2:]
    return nn.functional.pad(pixels, (0, -width % multiple, 0, -height % multiple))


def arguments_at(arguments: Mapping[str, Any], indices: Sequence[int]) -> dict[str, Any]:
    """A call's arguments, tensors `[B, ...]`, or mappings of such, or `None`, for some of its rows alone."""
    chosen: dict[str, Any] = {}
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            chosen[name] = arguments_at(value, indices)
        else:
            chosen[name] = value if value is None else rows_at(value, indices)
    return chosen


def a_number_or_one_a_row(values: Sequence[float], like: Tensor) -> float | Tensor:
    """One number where all rows agree, else `[B, 1, 1, 1]` of the dtype and on the device of `like`."""
    if len(set(values)) == 1:
        return values[0]
    return numbers_on(like.device, values, like.dtype)[:, None, None, None]
