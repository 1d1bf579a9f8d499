"""Who tells painted pictures from true ones while training: heads on frozen features, patches, and a judge of latents.

Heads on features are a projected discriminator (Sauer et al., NeurIPS 2021), patches a PatchGAN (Isola et al., CVPR
2017) that sees the source and what is fine in the picture beside it; a judge of latents (as in Sauer et al., SIGGRAPH
Asia 2024) sees all of a picture for less than a crop costs that has to be decoded. All know the look (a projection,
Miyato and Koyama, ICLR 2018). Layers have no spectral norm: a judge that may not be steep tells faint texture from none
too slowly, and `balanced_gradient` holds a painter's gradient whatever the judge's is.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, leaky_relu, relu

from training.model.tensors import half_precision
from training.texture.features import SIZES

HEAD = 48
MATCHING = 10.0
"""How much the likeness of a judge's features counts beside fooling it."""
CHANCE = 0.5
MEMORY = 0.98
"""How much of `told` is that of the steps before."""
FINE = 4.0
"""How much louder than the picture a judge sees what is finer than 5 px."""


class Judge(nn.Module):
    """Scores `[B, 1, h, w]` of features and of patches, and the features of patches. `told` is how often, over the last
    steps, a true picture had a higher score than a painted one, and lies in checkpoints with it; `file` is where it is
    kept beside a model."""

    file = "judge.safetensors"
    told: Tensor

    def __init__(self, widths: list[int], looks: int, base: int = 32) -> None:
        super().__init__()
        self.register_buffer("told", torch.tensor(CHANCE))
        self.heads = nn.ModuleList(
            nn.ModuleList([nn.Conv2d(width, HEAD, 1), nn.Conv2d(HEAD, HEAD, 3, padding=1)]) for width in widths
        )
        self.outs = nn.ModuleList(nn.Conv2d(HEAD, 1, 1) for _ in widths)
        self.looks = nn.ModuleList(nn.Embedding(looks, HEAD) for _ in widths)
        sizes = ((9, base), (base, 2 * base), (2 * base, 4 * base))
        self.patches = nn.ModuleList(nn.Conv2d(*size, 4, stride=2, padding=1) for size in sizes)
        self.patch_out = nn.Conv2d(4 * base, 1, 1)
        self.patch_looks = nn.Embedding(looks, 4 * base)
        for each in (*self.looks, self.patch_looks):
            nn.init.normal_(each.weight, std=0.1)

    def forward(
        self, features: list[Tensor], picture: Tensor, source: Tensor, look: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Scores, and the features of patches; features are those of the picture, of all rows or of the first few only;
        look `[B]` its number."""
        scores = []
        sizes = SIZES[1 : len(features)]
        kinds = zip(features[1:], sizes, self.heads, self.outs, self.looks, strict=True)
        for found, size, layers, out, looks in kinds:
            values = found * (1 / size)
            for layer in layers:
                values = leaky_relu(layer(values), 0.2)
            scores.append(out(values) + _projected(values, looks(look[: len(values)])))
        fine = FINE * (picture - avg_pool2d(picture, 5, 1, 2, count_include_pad=False))
        values, matched = torch.cat([picture, source, fine], 1), []
        for layer in self.patches:
            values = leaky_relu(layer(values), 0.2)
            matched.append(values)
        scores.append(self.patch_out(values) + _projected(values, self.patch_looks(look)))
        return scores, matched


class LatentJudge(nn.Module):
    """Scores `[B, 1, h, w]` of latents beside the source's at three scales, where a place sees 5, 12 and 26 of them
    across, and the features that they are of; `told` and `file` as in `Judge`."""

    file = "latent_judge.safetensors"
    told: Tensor

    def __init__(self, looks: int, channels: int = 16, base: int = 64) -> None:
        super().__init__()
        self.register_buffer("told", torch.tensor(CHANCE))
        widths = (base, 2 * base, 2 * base)
        before = (2 * channels, *widths)
        kernels = ({"kernel_size": 3, "padding": 1}, *[{"kernel_size": 4, "stride": 2, "padding": 1}] * 2)
        self.scales = nn.ModuleList(
            nn.ModuleList([nn.Conv2d(first, width, **kernel), nn.Conv2d(width, width, 3, padding=1)])
            for first, width, kernel in zip(before, widths, kernels, strict=False)
        )
        self.outs = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in widths)
        self.looks = nn.ModuleList(nn.Embedding(looks, width) for width in widths)
        for each in self.looks:
            nn.init.normal_(each.weight, std=0.1)

    def forward(self, latents: Tensor, source: Tensor, look: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Scores and features, from fine to coarse; look `[B]` its number."""
        values = torch.cat([latents, source], 1).contiguous(memory_format=torch.channels_last)
        scores, matched = [], []
        for layers, out, looks in zip(self.scales, self.outs, self.looks, strict=True):
            for layer in layers:
                values = leaky_relu(layer(values), 0.2)
            matched.append(values)
            scores.append(out(values) + _projected(values, looks(look)))
        return scores, matched


AnyJudge = Judge | LatentJudge
Seen = Tensor | list[Tensor]
"""What a judge sees of pictures: themselves or their latents `[B, C, h, w]`, or features of several scales."""


def _projected(values: Tensor, direction: Tensor) -> Tensor:
    return (values * direction[:, :, None, None]).sum(1, keepdim=True) / direction.shape[1] ** 0.5


def judging_loss(true: list[Tensor], painted: list[Tensor]) -> Tensor:
    """The hinge loss of a judge, a scalar."""
    pairs = zip(true, painted, strict=True)
    return torch.stack([relu(1 - a.float()).mean() + relu(1 + b.float()).mean() for a, b in pairs]).mean()


def fooling_loss(painted: list[Tensor]) -> Tensor:
    """What a painter loses that fools nobody, a scalar."""
    return -torch.stack([each.float().mean() for each in painted]).mean()


def matching_loss(painted: list[Tensor], true: list[Tensor]) -> Tensor:
    """How far a judge's features of the painted picture are from those of the true one, a scalar."""
    return torch.stack([(a - b.detach()).abs().float().mean() for a, b in zip(painted, true, strict=True)]).mean()


def balanced_gradient(pictures: Tensor, painted: Tensor, judged: Tensor, loudness: float) -> Tensor:
    """The gradient of `painted` at the pictures, and that of `judged` at `loudness` of its norm, as in VQGAN (Esser et
    al., CVPR 2021, equation 7): a judge's grows and shrinks with what it has learnt."""
    (first,) = torch.autograd.grad(painted, pictures, retain_graph=True)
    (second,) = torch.autograd.grad(judged, pictures)
    return first + second * (loudness * first.norm() / (second.norm() + 1e-12))


def heard(judge: AnyJudge) -> float:
    """How far a judge is listened to, 0..1: as far as it can tell. What one says that cannot is noise."""
    return min(1.0, max(0.0, (float(judge.told) - CHANCE) / (1 - CHANCE)))


def share_told(true: list[Tensor], painted: list[Tensor]) -> Tensor:
    """How many of the scores of pictures are higher where they are true, a scalar."""
    pairs = zip(true, painted, strict=True)
    return torch.stack([(a.mean((1, 2, 3)) > b.mean((1, 2, 3))).float().mean() for a, b in pairs]).mean()


def verdict(
    judge: AnyJudge, painted: Sequence[Seen], true: Sequence[Seen], source: Tensor, look: Tensor
) -> tuple[Tensor, Tensor]:
    """Two scalars: what a painter loses by a judge, which learns nothing by it, and what the judge loses by what it
    sees of painted and of true pictures: features and the pictures, or latents. How often it tells them goes on by
    this."""
    with half_precision(source.device):
        with held(judge):
            fooled, matched = judge(*painted, source, look)
        known, goal = judge(*true, source, look)
        seen, _ = judge(*(_detached(each) for each in painted), source, look)
    judging = judging_loss(known, seen)
    judge.told.lerp_(share_told(known, seen), 1 - MEMORY)
    return fooling_loss(fooled) + MATCHING * matching_loss(matched, goal), judging


def _detached(seen: Seen) -> Seen:
    return seen.detach() if isinstance(seen, Tensor) else [each.detach() for each in seen]


def save_judges(judges: Sequence[AnyJudge], start: Path, folder: Path) -> None:
    """Keep beside a stage's model what its judges know, and what is known beside the model that it began with by those
    that had no say in it."""
    for each in (Judge, LatentJudge):
        if (start / each.file).exists():
            shutil.copy2(start / each.file, folder)
    for judge in judges:
        save_file(judge.state_dict(), folder / judge.file)


def go_on(judge: AnyJudge, folder: Path) -> None:
    """Let a judge know what the one of an earlier stage knew, if that stage had one."""
    if (folder / judge.file).exists():
        judge.load_state_dict(load_file(folder / judge.file))


@contextmanager
def held(judge: nn.Module) -> Iterator[None]:
    """While entered, what goes through the judge leaves no gradient in it."""
    judge.requires_grad_(False)
    try:
        yield
    finally:
        judge.requires_grad_(True)
