"""What a painted picture is judged by. Pictures are `[B, 3, H, W]` in -1..1; each loss is `[B]` unless said."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d


def chroma_loss(output: Tensor, target: Tensor) -> Tensor:
    """Broad colour differences, without which a young codec keeps luminance only."""
    difference = avg_pool2d(output - target, 4)
    red, green, blue = difference.unbind(1)
    return _mean(torch.stack([red - green, blue - 0.5 * (red + green)], 1).abs()) + 2 * _mean(difference.square())


def latent_spread_loss(latents: Tensor) -> Tensor:
    """A scalar that draws the latents `[B, C, h, w]` to zero mean and identity covariance, and off extreme values."""
    mean = latents.mean((0, 2, 3))
    centred = (latents - mean[None, :, None, None]).transpose(0, 1).flatten(1)
    covariance = centred @ centred.T / centred.shape[1]
    identity = torch.eye(len(mean), device=latents.device)
    extremes = (latents.abs() - 2.7).relu().square().mean()
    return mean.square().mean() + (covariance - identity).square().sum() / len(mean) + 0.1 * extremes


def _gradients(picture: Tensor) -> tuple[Tensor, Tensor]:
    return picture[..., 1:] - picture[..., :-1], picture[..., 1:, :] - picture[..., :-1, :]


def _mean(values: Tensor) -> Tensor:
    return values.flatten(1).mean(1)


def edge_loss(output: Tensor, target: Tensor) -> Tensor:
    """How far steps between neighbours differ, a scalar."""
    pairs = zip(_gradients(output), _gradients(target), strict=True)
    return torch.stack([(one - other).abs().mean() for one, other in pairs]).sum()


def contrast_loss(output: Tensor, target: Tensor, cell: int = 8) -> Tensor:
    """How far the contrast of what is finer than 5 px differs, from cell to cell of `cell` px, a scalar.

    L1 makes fine strokes weak wherever their place is not quite known, and does not mind a weave where nothing is.
    """
    one, other = (
        (
            avg_pool2d((each - avg_pool2d(each, 5, 1, 2, count_include_pad=False)).square(), cell, cell // 2) + 1e-4
        ).sqrt()
        for each in (output, target)
    )
    return (one - other).abs().mean()


def edge_strength(pictures: Tensor) -> Tensor:
    """Mean step from a pixel to its right neighbour, a scalar."""
    return (pictures[..., 1:] - pictures[..., :-1]).abs().mean()
