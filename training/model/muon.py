"""Muon (Jordan et al., 2024): a matrix learns from its momentum with all singular values drawn near one.

Gradients are full of few directions; so drawn, an update reaches every direction of a matrix alike. Its size is that of
Liu et al. (2025, arXiv 2502.16982), so that rates of AdamW serve. `torch.optim.Muon` takes no convolutions, and each
process of a team would do all of its work.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from training.model.painter import Parts
from training.model.team import Team

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
MOMENTUM = 0.95
SIZE_OF_ADAMW = 0.2
"""Root mean square of what AdamW moves a weight by, in rates."""
EDGES = ("conv_in", "conv_out")


class Muon(torch.optim.AdamW):
    """AdamW, but for groups of parameters with "matrices", which go by Muon, shared out in the team."""

    def __init__(self, groups: Iterable[dict[str, Any]], rate: float, team: Team) -> None:
        super().__init__([{"matrices": False, **each} for each in groups], rate, betas=(0.9, 0.98), weight_decay=1e-3)
        self.team = team

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Learn from the gradients that are there, which are the same in the whole team; those of matrices are gone
        afterwards."""
        for group in self.param_groups:
            if group["matrices"]:
                self._step_matrices([each for each in group["params"] if each.grad is not None], group)
        super().step()

    def _step_matrices(self, matrices: list[Tensor], group: dict[str, Any]) -> None:
        updates = []
        whose = shared_out([each.numel() * len(each) for each in matrices], self.team.size)
        for matrix, rank in zip(matrices, whose, strict=True):
            assert matrix.grad is not None
            if not self.state[matrix]:
                # AdamW reads "step" of all that it loads again.
                self.state[matrix] = {"step": torch.zeros(()), "momentum": torch.zeros_like(matrix)}
            momentum = self.state[matrix]["momentum"].lerp_(matrix.grad, 1 - MOMENTUM)
            if rank == self.team.rank:
                updates.append(_update(matrix.grad.lerp(momentum, MOMENTUM)))
            else:
                updates.append(torch.zeros_like(matrix))
            matrix.grad = None
        self.team.add_up(updates)
        torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(matrices, updates, alpha=-group["lr"])


def body_groups(parts: Parts, words_rate: float) -> list[dict[str, Any]]:
    """The UNet and the text encoder as groups that learn at "times" the rate, the table of words at `words_rate`.

    What reads or writes latents is no matrix to Muon: there each channel has a meaning of its own.
    """
    body = [*parts.unet.parameters(), *parts.text_encoder.parameters()]
    layers = [*parts.unet.named_modules(), *parts.text_encoder.named_modules()]
    inner = [each for name, each in layers if isinstance(each, nn.Linear | nn.Conv2d) and name not in EDGES]
    matrices = {each.weight: None for each in inner}
    table = parts.text_encoder.get_input_embeddings().weight
    others = [each for each in body if each not in matrices and each is not table]
    return [
        {"params": list(matrices), "times": 1.0, "matrices": True},
        {"params": others, "times": 1.0},
        {"params": [table], "times": words_rate, "weight_decay": 0.0},
    ]


def orthogonal(matrix: Tensor) -> Tensor:
    """`U V^T` of `matrix = U S V^T`, `[m, n]`, but for singular values between 0.7 and 1.2.

    Newton-Schulz steps on the Gram matrix instead of on the matrix: for convolutions a third of the work. In float32
    alone: what rounds below zero in a Gram matrix of bfloat16 or TF32 grows twelvefold in each of them.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T).T
    matrix = matrix / (matrix.norm() + 1e-7)
    a, b, c = NEWTON_SCHULZ
    gram = matrix @ matrix.T
    one = torch.eye(len(gram), device=gram.device)
    whole = one
    for _ in range(ITERATIONS):
        factor = a * one + b * gram + c * (gram @ gram)
        whole = factor @ whole
        gram = factor @ gram @ factor
    return whole @ matrix


def shared_out(costs: list[int], size: int) -> list[int]:
    """Which of `size` members does each piece of work, so that all have about as much to do."""
    given, loads = [0] * len(costs), [0] * size
    for index in sorted(range(len(costs)), key=lambda at: -costs[at]):
        given[index] = loads.index(min(loads))
        loads[given[index]] += costs[index]
    return given


def _update(gradient: Tensor) -> Tensor:
    direction = orthogonal(gradient.flatten(1))
    return (direction * (SIZE_OF_ADAMW * max(direction.shape) ** 0.5)).view_as(gradient)
