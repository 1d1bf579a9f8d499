"""A UNet that computes in bfloat16 where the device does, beside the float32 weights that learn."""

from __future__ import annotations

import copy

import torch
from torch import nn


class FastCopy:
    """A copy of a module in a fast precision that computes, while the module itself keeps the weights that learn."""

    def __init__(self, module: nn.Module, precision: torch.dtype) -> None:
        self.precision = precision
        self.copy = copy.deepcopy(module).to(precision)
        self.pairs = list(zip(module.parameters(), self.copy.parameters(), strict=True))

    @torch.no_grad()
    def refresh(self) -> None:
        """The copy's weights are the module's again."""
        torch._foreach_copy_([fast for _, fast in self.pairs], [whole for whole, _ in self.pairs])

    def collect(self) -> None:
        """Gradients move from the copy to the module."""
        for whole, fast in self.pairs:
            whole.grad, fast.grad = None if fast.grad is None else fast.grad.float(), None
