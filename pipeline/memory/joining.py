"""Frames that join a UNet call: rows behind those of whoever called, who does not get to see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.compute.trees import mapped, tensors_in

POSITIONAL = ("sample", "timestep", "encoder_hidden_states")
OF_A_FRAME = (
    "sample",
    "timestep",
    "down_block_additional_residuals",
    "mid_block_additional_residual",
    "down_intrablock_additional_residuals",
)
"""What a UNet's arguments say of a frame: its noisy latents, how noisy they are, and what controls it. All others, the
prompt before all, are of the moment."""


@dataclass(frozen=True, eq=False)
class UnetInput:
    """What one row of a call began with, by the argument's name, one row each: those of `OF_A_FRAME` that came. And
    the depth of its frame `[1, C, h, w]`, which is no argument, where it is read."""

    arguments: Mapping[str, Any]
    depth: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in tensors_in(self))

    def copied(self) -> UnetInput:
        """The same in tensors of its own: what is kept must not keep the whole batch alive."""
        own: UnetInput = mapped(self, Tensor.clone)
        return own

    def moved(self, device: torch.device) -> UnetInput:
        """The same on another device."""
        there: UnetInput = mapped(self, lambda tensor: tensor.to(device))
        return there


@dataclass(frozen=True, eq=False)
class Joining:
    """Frames that join a row of a call."""

    row: int
    inputs: Sequence[UnetInput]


def named(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """A UNet call's arguments by name, its timestep for each row: sample `[B, C, h, w]`, timestep `[B]`."""
    arguments = {**dict(zip(POSITIONAL, args, strict=False)), **kwargs}
    sample = arguments["sample"]
    timesteps = torch.as_tensor(arguments["timestep"], device=sample.device)
    return {**arguments, "timestep": timesteps.expand(len(sample))}


def inputs_of(arguments: dict[str, Any]) -> list[UnetInput]:
    """The input of each row of a UNet call, views of its arguments."""
    own = {name: value for name in OF_A_FRAME if (value := arguments.get(name)) is not None}
    return [
        UnetInput(mapped(own, lambda tensor, row=row: tensor[row : row + 1])) for row in range(len(arguments["sample"]))
    ]


def joined(arguments: dict[str, Any], joining: Sequence[Joining]) -> dict[str, Any]:
    """The arguments of a UNet call with the rows that join it, in their order, behind its own.

    A frame that joins brings what is said of a frame. In all else it is like the row that it joins: that row is
    repeated in every tensor that has one for each, `cross_attention_kwargs` aside.
    """
    own = inputs_of(arguments)
    inputs = [*own, *(each for group in joining for each in group.inputs)]
    rows = [*range(len(own)), *(group.row for group in joining for _ in group.inputs)]
    index = torch.tensor(rows, device=arguments["sample"].device)
    of_frames = {name for each in inputs for name in each.arguments}
    others = {
        name: value
        if name == "cross_attention_kwargs"
        else mapped(value, lambda tensor: tensor[index] if tensor.ndim and len(tensor) == len(own) else tensor)
        for name, value in arguments.items()
        if name not in of_frames
    }
    return {**others, **{name: _stacked([each.arguments.get(name) for each in inputs]) for name in of_frames}}


def _stacked(rows: Sequence[Any]) -> Any:
    """Trees of one row each as one tree of all; a control that a row has not is zero, which controls nothing."""
    example = next(row for row in rows if row is not None)
    none = mapped(example, torch.zeros_like)
    first, *others = (none if row is None else row for row in rows)
    return mapped(first, lambda *tensors: torch.cat(tensors), *others)
