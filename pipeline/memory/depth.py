"""Depth in Live2Diff (arXiv 2407.08701): convolutions add what they read in a frame's depth to what a UNet first sees.

Their widths are those of the published checkpoint (`flow_conv_in`), and so is the number of their parameters. What it
does not say is what stands between them: taken here are the SiLUs of the embedding that ControlNet (arXiv 2302.05543)
reads its pictures with, which has the same layers under the same names, but for strides, as diffusers has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import silu

from pipeline.compute.devices import spread
from pipeline.errors import ModelError
from pipeline.memory.base import Memory
from pipeline.settings import FrameSettings

DEPTH_FILE = "depth.safetensors"
DEPTH_MODEL = "Intel/dpt-hybrid-midas@refs/pr/5"
"""The depth model whose pictures Live2Diff's weights were trained on. Its main holds a pickle alone."""

_WIDTHS = (16, 32, 96, 256)


class DepthConditioning(nn.Module):
    """From the latents of a depth picture to what is added to the output of a UNet's first convolution.

    Eight convolutions of 3 x 3: `latent_channels` to 16, to 32, to 96, to 256 with one more at each width but the last,
    to `channels`. A new one adds nothing: its last weights are zero.
    """

    def __init__(self, channels: int, latent_channels: int = 4) -> None:
        super().__init__()
        self.conv_in = _convolution(latent_channels, _WIDTHS[0])
        self.blocks = nn.ModuleList(
            convolution
            for width, next_width in zip(_WIDTHS, _WIDTHS[1:], strict=False)
            for convolution in (_convolution(width, width), _convolution(width, next_width))
        )
        self.conv_out = _convolution(_WIDTHS[-1], channels)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    def forward(self, latents: Tensor) -> Tensor:
        """latents `[B, latent_channels, h, w]` to `[B, channels, h, w]`."""
        features = silu(self.conv_in(latents))
        for convolution in self.blocks:
            features = silu(convolution(features))
        read: Tensor = self.conv_out(features)
        return read


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)


@dataclass(frozen=True, eq=False)
class DepthWeights:
    """What reads depth, and the depth model that it was trained with: a folder or a repository of the hub."""

    conditioning: DepthConditioning
    model: str = DEPTH_MODEL


@runtime_checkable
class DepthMemory(Protocol):
    """A memory whose rows may have to bring the depth of their frame (`MemoryRow.depth`); others never read it."""

    def depth_model(self, settings: FrameSettings) -> str | None:
        """The depth model that has to see a frame with these settings; `None` where its depth is not read."""


def depth_model_of(memory: Memory, settings: FrameSettings) -> str | None:
    """The depth model that has to see a frame with these settings, for any memory; `None` where none has to."""
    return memory.depth_model(settings) if isinstance(memory, DepthMemory) else None


def conditioning_of(tensors: Mapping[str, Tensor]) -> DepthConditioning:
    """The convolutions that these tensors are, by name; they are taken over, not copied.

    Raises `LookupError` or `RuntimeError` where a part is missing, is of another shape or is none.
    """
    last, first = tensors["conv_out.weight"], tensors["conv_in.weight"]
    with torch.device("meta"):
        conditioning = DepthConditioning(last.shape[0], first.shape[1])
    conditioning.load_state_dict(dict(tensors), assign=True)
    return conditioning.eval().requires_grad_(False)


def load_depth(folder: Path, model: str) -> DepthWeights | None:
    """What reads depth, from a memory's folder; `None` where there is none. Raises `LookupError`, `RuntimeError`,
    `OSError` or `SafetensorError`."""
    file = folder / DEPTH_FILE
    return DepthWeights(conditioning_of(load_file(file)), model) if file.is_file() else None


def save_depth(weights: DepthWeights, folder: Path) -> None:
    """Write it so that `load_depth` reads it again."""
    state = {name: tensor.contiguous() for name, tensor in weights.conditioning.state_dict().items()}
    save_file(state, folder / DEPTH_FILE)


def check_fits(conditioning: DepthConditioning, unet: UNet2DConditionModel) -> None:
    """Raise `ModelError` unless the convolutions read a UNet's latents and give what its first convolution gives."""
    came = conditioning.conv_in.in_channels, conditioning.conv_out.out_channels
    needed = unet.config.out_channels, unet.conv_in.out_channels
    if came != needed:
        raise ModelError(
            f"depth conditioning came from {came[0]} channels to {came[1]}; needed: from {needed[0]} to {needed[1]}, "
            f"as in the UNet. Take a {DEPTH_FILE} made for this model, or take it out of the folder."
        )


@contextmanager
def depth_read(
    conditioning: DepthConditioning, unet: UNet2DConditionModel, depths: Callable[[], Sequence[Tensor | None]]
) -> Iterator[None]:
    """While entered, the UNet's first convolution also gives what is read in depth; after it, it is as it was.

    `depths` gives, while a call passes, latents `[1, C, h, w]` for each of its rows, or `None`: nothing is added to it.
    Moves the convolutions to the UNet's device and dtype. Raises `ModelError` where they do not fit it.
    """
    check_fits(conditioning, unet)
    hook = unet.conv_in.register_forward_hook(DepthHook(conditioning.to(unet.device, unet.dtype), depths))
    try:
        yield
    finally:
        hook.remove()


class DepthHook:
    """Adds what is read in the depth of each row of a call to the output of a UNet's first convolution."""

    def __init__(self, conditioning: DepthConditioning, depths: Callable[[], Sequence[Tensor | None]]) -> None:
        self.conditioning = conditioning
        self.depths = depths

    def __call__(self, layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        depths = self.depths()
        rows = [row for row, depth in enumerate(depths) if depth is not None]
        if not rows:
            return None
        latents = torch.cat([depth for depth in depths if depth is not None])
        return output + spread(self.conditioning(latents.to(output.dtype)), rows, len(depths))
