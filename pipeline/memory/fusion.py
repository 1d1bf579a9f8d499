"""Feature fusion: a token that the past knows well takes part of the past's value."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.onnx import is_in_onnx_export

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
    similarity, matched = (_matched_by_comparing if is_in_onnx_export() else _matched)(features, bank)
    if isinstance(strength, Tensor):
        # In float32, as PyTorch computes it by itself with one number for all rows.
        blend = torch.lerp(features.float(), matched.float(), strength).to(features.dtype)
    else:
        blend = torch.lerp(features, matched.to(features.dtype), strength)
    return torch.where(similarity[..., None] >= threshold, blend, features)


def _matched(features: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
    """Of each of the features the cosine of the nearest token of the bank `[B, L]`, and that token `[B, L, C]`."""
    similarity, index = nearest(directions(features), directions(bank))
    return similarity, tokens_at(bank, index)


def _matched_by_comparing(features: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
    """The same for a compiled call: OpenVINO takes twice a UNet's time to find where a row's largest number is, and
    next to none to find that number, and then which place where it stands is the first."""
    products = directions(features) @ directions(bank).transpose(1, 2)
    largest = products.amax(dim=-1, keepdim=True)
    count = bank.shape[1]
    # Places count from the end, so that the first is the largest; as integers, since bfloat16 knows none above 256.
    places = torch.arange(count, 0, -1, dtype=torch.int32)
    first = torch.where(products >= largest, places, torch.ones((), dtype=torch.int32)).amax(dim=-1)
    return largest[..., 0].float(), tokens_at(bank, count - first.long())


def _one_a_row(value: float | Tensor, features: Tensor) -> Tensor:
    """A number for all rows, or one a row `[B, 1, 1]`, as float32 `[B]`."""
    rows = len(features)
    return value.reshape(rows) if isinstance(value, Tensor) else features.new_full((rows,), value, dtype=torch.float32)


def directions(tokens: Tensor) -> Tensor:
    """`[B, N, C]` of unit length, normed in float32 and back in the tokens' own dtype, in which products are fast."""
    return normalize(tokens.float(), dim=-1).to(tokens.dtype)
