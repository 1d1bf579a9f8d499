"""From one prompt's embedding to another's: in a straight line, or along an arc."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from pipeline.settings import PromptCurve

PARALLEL = 0.9995
"""Cosine from which on, in either direction, two vectors have no arc to speak of between them: `sin` of its angle
divides, and is nearly 0."""


def blended(first: Tensor, second: Tensor, share: float, curve: PromptCurve) -> Tensor:
    """What lies at `share` (0..1) of the way from first to second, both `[..., C]` float32: `[..., C]`."""
    return linear(first, second, share) if curve == "linear" else spherical(first, second, share)


def linear(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Their mean with the weights `1 - share` and `share`, as Compel's `("a", "b").blend(1 - share, share)`."""
    return (1 - share) * first + share * second


def spherical(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Each vector along its own great arc (Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985):

    `(sin((1 - share) w) first + sin(share w) second) / sin w`, where `w` is the angle between first and second;
    `linear` where `|cos w|` is above `PARALLEL`. Between vectors of one length that length stays, while their mean is
    shorter.
    """
    cosine = cosine_similarity(first, second, dim=-1)[..., None]
    angle = cosine.clamp(-PARALLEL, PARALLEL).acos()
    arc = (((1 - share) * angle).sin() * first + (share * angle).sin() * second) / angle.sin()
    return torch.where(cosine.abs() > PARALLEL, linear(first, second, share), arc)
