"""Frames that join a UNet call: rows behind those of whoever called, who does not get to see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class UnetInput:
    """What one row of a call began with: sample `[1, C, h, w]`, timestep `[1]`."""

    sample: Tensor
    timestep: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.sample.nbytes + self.timestep.nbytes

    def copied(self) -> UnetInput:
        """The same in tensors of its own: what is kept must not keep the whole batch alive."""
        return UnetInput(self.sample.clone(), self.timestep.clone())

    def moved(self, device: torch.device) -> UnetInput:
        """The same on another device."""
        return UnetInput(self.sample.to(device), self.timestep.to(device))


@dataclass(frozen=True, eq=False)
class Joining:
    """Frames that join a row of a call."""

    row: int
    inputs: Sequence[UnetInput]


def inputs_of(args: tuple[Any, ...]) -> list[UnetInput]:
    """The inputs of each row of a UNet call, views of its positional arguments: sample `[B, C, h, w]`, timestep `[B]`
    or one for all."""
    sample, timestep = args[:2]
    timesteps = torch.as_tensor(timestep, device=sample.device).expand(len(sample))
    return [UnetInput(sample[row : row + 1], timesteps[row : row + 1]) for row in range(len(sample))]


def joined(
    args: tuple[Any, ...], kwargs: dict[str, Any], joining: Sequence[Joining]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a UNet call with the rows that join it, in their order, behind its own.

    A frame that joins brings its sample and timestep. In all else, the prompt before all, it is like the row that it
    joins: `cross_attention_kwargs` aside, that row is repeated in every tensor that has a row for each.
    """
    own = inputs_of(args)
    inputs = [*own, *(each for group in joining for each in group.inputs)]
    rows = [*range(len(own)), *(group.row for group in joining for _ in group.inputs)]
    index = torch.tensor(rows, device=own[0].sample.device)
    sample = torch.cat([each.sample for each in inputs])
    timesteps = torch.cat([each.timestep for each in inputs])
    others = {
        name: value if name == "cross_attention_kwargs" else _rows_at(value, index, len(own))
        for name, value in kwargs.items()
    }
    return (sample, timesteps, *_rows_at(args[2:], index, len(own))), others


def _rows_at(value: Any, index: Tensor, rows: int) -> Any:
    """Some rows of every tensor in dictionaries, lists and tuples that has `rows` of them."""
    if isinstance(value, Tensor):
        return value[index] if value.ndim and len(value) == rows else value
    if isinstance(value, dict):
        return {name: _rows_at(each, index, rows) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_rows_at(each, index, rows) for each in value)
    return value
