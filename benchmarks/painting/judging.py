"""Styles against their targets: told from each other, named by a judge, near in features, as sharp."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from benchmarks.painting.inputs import Pair
from training.looks.looks import looked
from training.model.data import as_bytes
from training.model.tensors import as_tensor
from training.styles.styles import styled
from training.texture.features import Features, feature_losses

Style = str
Pictures = Mapping[Style, Sequence[np.ndarray]]
"""By style, pictures uint8 `[S, S, 3]` of the same inputs in the same order."""

TARGETS: dict[str, Callable[[np.ndarray, np.ndarray, Style], np.ndarray]] = {
    "looks": lambda picture, noise, style: looked(picture, noise, style),
    "styles": lambda picture, noise, style: styled(picture, style),
}
"""The rooms of `training/` that say what a style is: a model was trained on one of them."""
AT_ONCE = 8


def targets_of(kind: str, pairs: Sequence[Pair], styles: Sequence[Style], noise: np.ndarray) -> Pictures:
    """What each pair should become in each style."""
    return {
        style: [as_bytes(TARGETS[kind](each.rendering.astype(np.float32) / 255, noise, style)) for each in pairs]
        for style in styles
    }


def closest_pair(pictures: Pictures) -> tuple[float, Style, Style]:
    """The mean |difference| of 255 of the two styles that are nearest to each other, and which they are."""
    stacks = {style: np.stack(several).astype(np.float32) for style, several in pictures.items()}
    return min(
        (float(np.abs(stacks[one] - stacks[other]).mean()), one, other) for one, other in combinations(stacks, 2)
    )


def gradient_energy(picture: np.ndarray) -> float:
    """Mean squared step to the right and to the lower neighbour, of values of 0..255."""
    values = picture.astype(np.float32)
    return float(np.square(np.diff(values, axis=0)).mean() + np.square(np.diff(values, axis=1)).mean())


def sharpness(pictures: Pictures, targets: Pictures) -> dict[Style, float]:
    """By style, the gradient energy of the pictures as a share of the targets'."""
    return {
        style: sum(map(gradient_energy, several)) / max(1e-6, sum(map(gradient_energy, targets[style])))
        for style, several in pictures.items()
    }


@torch.no_grad()
def feature_distance(features: Features, pictures: Pictures, targets: Pictures) -> float:
    """Mean over all pictures of the relative L1 of features and of their Gram matrices."""
    distances = []
    for style, several in pictures.items():
        for one, other in zip(several, targets[style], strict=True):
            content, texture = feature_losses(
                *(features(as_tensor(each[None], _device(features))) for each in (one, other))
            )
            distances.append(float(content + texture) / 2)
    return float(np.mean(distances))


def _device(features: Features) -> torch.device:
    return next(features.parameters()).device


@torch.no_grad()
def fingerprints(features: Features, pictures: Sequence[np.ndarray]) -> Tensor:
    """Mean and deviation of each channel of each feature of pictures: `[N, D]` float32."""
    rows = []
    for start in range(0, len(pictures), AT_ONCE):
        found = features(as_tensor(np.stack(pictures[start : start + AT_ONCE]), _device(features)))
        flat = [each.float().flatten(2) for each in found]
        rows.append(torch.cat([part for each in flat for part in (each.mean(2), each.std(2))], 1).cpu())
    return torch.cat(rows)


@dataclass(frozen=True)
class StyleJudge:
    """Names the style whose mean fingerprint is nearest: means `[K, D]` of K styles, in units of spread `[D]`."""

    styles: Sequence[Style]
    means: Tensor
    spread: Tensor

    def named(self, prints: Tensor) -> list[Style]:
        """The style of each fingerprint `[N, D]`."""
        nearest = torch.cdist(prints / self.spread, self.means / self.spread).argmin(1)
        return [self.styles[each] for each in nearest.tolist()]


def judge_of(prints: Mapping[Style, Tensor]) -> StyleJudge:
    """A judge that has seen fingerprints `[N, D]` of each style; the spread is that within the styles."""
    means = torch.stack([each.mean(0) for each in prints.values()])
    within = torch.cat([each - each.mean(0) for each in prints.values()])
    return StyleJudge(list(prints), means, within.square().mean(0).sqrt() + 1e-3)


def share_recognised(judge: StyleJudge, features: Features, pictures: Pictures) -> float:
    """How many pictures the judge gives to their style, 0..1."""
    right = [
        name == style for style, several in pictures.items() for name in judge.named(fingerprints(features, several))
    ]
    return float(np.mean(right))
