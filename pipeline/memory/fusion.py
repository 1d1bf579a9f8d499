"""Feature fusion: a token that the past knows well takes part of the past's value."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pipeline.memory.matching import kernels_serve, nearest
from pipeline.memory.merge import tokens_at


def fuse(features: Tensor, bank: Tensor, strength: float | Tensor, threshold: float | Tensor) -> Tensor:
    """StreamV2V's feature fusion (arXiv 2405.15757, section 4.2).

    With `j(i) = argmax_j cos(features_i, bank_j)`: where that cosine is at least `threshold`,
    `features_i <- (1 - strength) features_i + strength bank_j(i)`; elsewhere unchanged.

    features `[B, L, C]`, bank `[B, M, C]`, strength and threshold in 0..1, for all rows or one a row `[B, 1, 1]`;
    returns `[B, L, C]`. An empty bank (`M = 0`) or a strength of 0 changes nothing.
    """
    if bank.shape[1] == 0:
        return features
    if not isinstance(strength, Tensor) and strength == 0:
        return features
    if kernels_serve(features, bank):
        from pipeline.memory import fusion_kernel

        return fusion_kernel.fuse(features, bank, _one_a_row(strength, features), _one_a_row(threshold, features))
    similarity, index = nearest(directions(features), directions(bank))
    matched = tokens_at(bank, index)
    if isinstance(strength, Tensor):
        # In float32, as PyTorch computes it by itself with one number for all rows.
        blend = torch.lerp(features.float(), matched.float(), strength).to(features.dtype)
    else:
        blend = torch.lerp(features, matched.to(features.dtype), strength)
    return torch.where(similarity[..., None] >= threshold, blend, features)


def _one_a_row(value: float | Tensor, features: Tensor) -> Tensor:
    """A number for all rows, or one a row `[B, 1, 1]`, as float32 `[B]`."""
    rows = len(features)
    return value.reshape(rows) if isinstance(value, Tensor) else features.new_full((rows,), value, dtype=torch.float32)


def directions(tokens: Tensor) -> Tensor:
    """`[B, N, C]` of unit length, normed in float32 and back in the tokens' own dtype, in which products are fast."""
    return normalize(tokens.float(), dim=-1).to(tokens.dtype)
