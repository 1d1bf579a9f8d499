"""Checkpoints of a stage: everything that the next step depends on, as safetensors, so that no file runs code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


class Average:
    """An exponential moving average of parameters, the weights that are shipped."""

    def __init__(self, parameters: list[nn.Parameter], decay: float = 0.998) -> None:
        self.parameters, self.decay = parameters, decay
        self.values = [each.detach().clone() for each in parameters]
        self.updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the parameters as they are now; faster at the beginning."""
        self.updates += 1
        weight = 1 - min(self.decay, self.updates / (self.updates + 12))
        torch._foreach_lerp_(self.values, [each.detach() for each in self.parameters], weight)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While entered, the averages stand where the parameters are."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()

    @torch.no_grad()
    def exchange(self) -> None:
        """Put the averages where the parameters are, and the parameters here; twice is nothing."""
        for parameter, value in zip(self.parameters, self.values, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)


def save_checkpoint(
    path: Path,
    step: int,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    average: Average,
    rng: np.random.Generator,
) -> None:
    """Write all of it to a neighbour of `path`, then rename: a write that breaks off harms nothing."""
    tensors = {"random state of torch": torch.get_rng_state()}
    for name, module in modules.items():
        tensors |= {f"module {name} {key}": value for key, value in module.state_dict().items()}
    tensors |= {f"average {index}": value for index, value in enumerate(average.values)}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer {index} {key}": torch.as_tensor(value) for key, value in moments.items()}
    notes = {"step": step, "updates": average.updates, "random state of numpy": rng.bit_generator.state}
    partial = path.with_suffix(".partial")
    save_file({name: each.detach().cpu().contiguous() for name, each in tensors.items()}, partial, _as_text(notes))
    partial.replace(path)


def load_checkpoint(
    path: Path,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    average: Average,
    rng: np.random.Generator,
) -> int:
    """Restore everything from `path`, if it is there; returns the step to go on from (0 for a new run)."""
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        notes = {name: json.loads(text) for name, text in file.metadata().items()}
    torch.set_rng_state(tensors["random state of torch"])
    for name, module in modules.items():
        module.load_state_dict(_below(tensors, f"module {name} "))
    for index, value in enumerate(average.values):
        value.copy_(tensors[f"average {index}"])
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in _below(tensors, "optimizer ").items():
        index, name = key.split(" ")
        moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
    average.updates = notes["updates"]
    rng.bit_generator.state = notes["random state of numpy"]
    return int(notes["step"])


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: each for name, each in tensors.items() if name.startswith(prefix)}


def _as_text(notes: dict[str, Any]) -> dict[str, str]:
    return {name: json.dumps(value) for name, value in notes.items()}
