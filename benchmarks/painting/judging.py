"""Styles against their targets: told from each other, named by a judge, near in features, as sharp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from benchmarks.painting.inputs import Pair
from training.looks.looks import looked
from training.model.tensors import as_tensor
from training.styles.filters import as_bytes
from training.texture.features import Features, feature_losses

Style = str
Pictures = Mapping[Style, Sequence[np.ndarray]]
"""By style, pictures uint8 `[S, S, 3]` of the same inputs in the same order."""

RIDGE = 0.1


def targets_of(pairs: Sequence[Pair], styles: Sequence[Style], noise: np.ndarray) -> Pictures:
    """What each pair should become in each style."""
    return {
        style: [as_bytes(looked(each.rendering.astype(np.float32) / 255, noise, style)) for each in pairs]
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


def middle(picture: np.ndarray) -> np.ndarray:
    """The middle five eighths of a picture `[S, S, 3]`, which is what features are computed of."""
    side = picture.shape[0]
    edge = side * 3 // 16 // 8 * 8
    return picture[edge : side - edge, edge : side - edge]


@torch.no_grad()
def features_of(features: Features, pictures: Sequence[np.ndarray]) -> list[Tensor]:
    """Features `[N, C, h, w]` of pictures, from fine to coarse."""
    device = next(features.parameters()).device
    return features(as_tensor(np.stack([middle(each) for each in pictures]), device))


def fingerprint(found: Sequence[Tensor]) -> Tensor:
    """Logarithms of the mean and the deviation of each channel of features: `[N, D]` float32."""
    flat = [each.float().flatten(2) for each in found]
    return torch.cat([part.log1p() for each in flat for part in (each.mean(2), each.std(2))], 1).cpu()


@dataclass(frozen=True)
class StyleJudge:
    """Scores of K styles: `weights [D, K]` on fingerprints that are in units of spread from their mean, `[D]` each."""

    styles: Sequence[Style]
    mean: Tensor
    spread: Tensor
    weights: Tensor

    def named(self, prints: Tensor) -> list[Style]:
        """The style of each fingerprint `[N, D]`."""
        best = ((prints - self.mean) / self.spread @ self.weights).argmax(1)
        return [self.styles[each] for each in best.tolist()]


def judge_of(prints: Mapping[Style, Tensor]) -> StyleJudge:
    """A judge that has seen fingerprints `[N, D]` of each style: ridge regression to one score a style."""
    seen = torch.cat(list(prints.values()))
    wanted = torch.cat([torch.eye(len(prints))[[at] * len(each)] for at, each in enumerate(prints.values())])
    mean, spread = seen.mean(0), seen.std(0) + 1e-3
    inputs = (seen - mean) / spread
    alike = inputs @ inputs.T / inputs.shape[1]
    solved = torch.linalg.solve(alike + RIDGE * torch.eye(len(alike)), wanted - wanted.mean(0))
    return StyleJudge(list(prints), mean, spread, inputs.T @ solved / inputs.shape[1])


def learnt_from(features: Features, pictures: Pictures) -> StyleJudge:
    """A judge that has seen pictures of each style."""
    return judge_of(
        {
            style: torch.cat([fingerprint(features_of(features, [each])) for each in several])
            for style, several in pictures.items()
        }
    )


@dataclass(frozen=True)
class Verdict:
    """Of painted pictures: how many a judge gives to their style, how many of their targets, both 0..1, and how far
    features are from the targets'."""

    named: float
    targets_named: float
    distance: float


def verdict_of(features: Features, judge: StyleJudge, pictures: Pictures, targets: Pictures) -> Verdict:
    """What a judge says of pictures that were to become these targets."""
    right: list[tuple[bool, bool, float]] = []
    for style, several in pictures.items():
        for at, picture in enumerate(several):
            ours, theirs = (features_of(features, [each]) for each in (picture, targets[style][at]))
            known, own = ([style] == judge.named(fingerprint(each)) for each in (ours, theirs))
            right.append((known, own, distance(ours, theirs)))
    return Verdict(*np.mean(right, axis=0).tolist())


def distance(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """The mean of the relative L1 of features and of that of their Gram matrices."""
    content, texture = feature_losses(ours, theirs)
    return float(content + texture) / 2
