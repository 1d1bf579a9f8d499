"""Checkpoints of a stage: everything that the next step depends on, written so that a broken write harms nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
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
    """Write all of it to a neighbour of `path`, then rename."""
    state: dict[str, Any] = {
        "step": step,
        "modules": {name: module.state_dict() for name, module in modules.items()},
        "optimizer": optimizer.state_dict(),
        "average": average.values,
        "updates": average.updates,
        "torch": torch.get_rng_state(),
        "numpy": _as_tensor(rng),
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
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
    state = torch.load(path, weights_only=True, map_location="cpu")
    for name, module in modules.items():
        module.load_state_dict(state["modules"][name])
    optimizer.load_state_dict(state["optimizer"])
    for value, saved in zip(average.values, state["average"], strict=True):
        value.copy_(saved)
    average.updates = state["updates"]
    torch.set_rng_state(state["torch"])
    _restore(rng, state["numpy"])
    return int(state["step"])


def _as_tensor(rng: np.random.Generator) -> Tensor:
    """The state of a PCG64 generator as bytes: weights-only files hold tensors, not big integers."""
    state = rng.bit_generator.state
    words = [state["state"]["state"], state["state"]["inc"]]
    code = b"".join(word.to_bytes(16, "little") for word in words)
    code += bytes([state["has_uint32"]]) + state["uinteger"].to_bytes(4, "little")
    return torch.frombuffer(bytearray(code), dtype=torch.uint8)


def _restore(rng: np.random.Generator, saved: Tensor) -> None:
    code = bytes(saved.tolist())
    rng.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": int.from_bytes(code[:16], "little"), "inc": int.from_bytes(code[16:32], "little")},
        "has_uint32": code[32],
        "uinteger": int.from_bytes(code[33:37], "little"),
    }
