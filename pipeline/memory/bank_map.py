"""How well a bank knows what is to be seen now, place by place: for people who want to look into it."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from pipeline.memory.fusion import directions
from pipeline.memory.matching import nearest


@runtime_checkable
class MappedMemory(Protocol):
    """A memory that can say of each place how well it knows it; others have no map."""

    def known(self, call: Any, index: int, size: tuple[int, int]) -> Tensor | None:
        """After a call: how well row number `index` knew each place of its latents of `size` (height, width); float32
        `[h, w]` in 0..1, or `None` where this row's memory has no map. It changes nothing."""


def familiarity(features: Tensor, bank: Tensor) -> Tensor:
    """How well a bank knows each of the present tokens: `max_j cos(features_i, bank_j)`, which feature fusion (arXiv
    2405.15757, section 4.2) compares with its threshold. What points away counts as unknown, 0.

    features `[L, C]`, bank `[M, C]`; returns float32 `[L]` in 0..1. An empty bank (`M = 0`) knows nothing.
    """
    if bank.shape[0] == 0:
        return torch.zeros(len(features), device=features.device)
    cosines, _ = nearest(directions(features[None]), directions(bank[None]))
    # Rounding can leave a cosine a little above 1.
    return cosines[0].float().clamp(0, 1)


def grid_of(tokens: int, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the `tokens` of a layer, which a UNet made of latents of `size` (height, width) by halving
    both, upwards rounded, some times. Raises `ValueError` where that never gives so many."""
    height, width = size
    while height * width > tokens:
        height, width = (height + 1) // 2, (width + 1) // 2
    if height * width != tokens:
        raise ValueError(
            f"{tokens} tokens came for latents of {size[0]} x {size[1]}; needed: those of a layer of the same UNet. "
            "Check which layer they are from."
        )
    return height, width
