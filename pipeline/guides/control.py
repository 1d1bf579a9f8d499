"""Control: the lines of a frame hold the picture, by a T2I-Adapter or a ControlNet.

Both (arXiv 2302.08453 and 2302.05543) read a picture of lines that is drawn from the frame. An adapter reads it once a
frame, a ControlNet again at every denoising step, beside what the UNet reads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from pipeline.compute.attention import Kernel, PlainAttention
from pipeline.compute.devices import numbers_on, rows_at, sent, spread
from pipeline.compute.hooks import processors_replaced
from pipeline.compute.packing import convolutions_packed
from pipeline.frames.codec import Frame, pixels_per_latent
from pipeline.guides.control_pictures import CONTROL_PICTURES
from pipeline.models.load import Model
from pipeline.models.unet_call import Residuals, UnetInputs, network_arguments


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
