"""The stage "guidance": one call learns to show what classifier-free guidance would take two for (Ho & Salimans,
arXiv 2207.12598; distilled as in Meng et al., arXiv 2210.03142).

What is learnt from a mean is too weak in what the words ask for, and most of all in the strokes of a look. Guidance
goes on from the picture without words to the one with them, and beyond it: here in what is fine alone, since colours
would glare (frequencies are guided apart in Sadat et al., arXiv 2506.19713).
"""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from pipeline.memory import create_memory
from training.meaning.stage import Notes, latent_losses
from training.model.model import MEMORY_LAYOUT
from training.model.painter import Painter, Parts, training_kernel
from training.model.tensors import half_precision
from training.texture.painting import Material, Painting, PaintingPlan
from training.texture.samples import Sample, sample_of

GUIDANCE = 1.4
AROUND = 5
"""Latents: what differs from the mean over squares of so many is fine."""


class Guiding(Painting):
    """The learner of what `start` would paint under guidance."""

    def __init__(self, plan: PaintingPlan, start: Path, data: Material, out: Path, device: torch.device) -> None:
        super().__init__(plan, start, data, out, device)
        unet, text_encoder = (
            copy.deepcopy(each).requires_grad_(False) for each in (self.fast.copy, self.parts.text_encoder)
        )
        parts = Parts(unet, self.parts.codec, text_encoder, self.parts.tokenizer)
        self.teacher = Painter(parts, create_memory("none", MEMORY_LAYOUT, training_kernel(device)), device)

    def open(self) -> AbstractContextManager[object]:
        """Both UNets take calls with a memory of nothing."""
        opened = ExitStack()
        opened.enter_context(super().open())
        opened.enter_context(self.teacher.memory.installed(self.teacher.parts.unet))
        return opened

    def loss(self, rng: np.random.Generator, notes: Notes) -> Tensor:
        """Of latents, to those that guidance gives."""
        scenes = next(self.turns)
        sample = sample_of(rng, scenes, self.plan.later, self.device)
        with half_precision(self.device):
            prompt = self.painter.prompt_embeddings(sample.prompts)
            noisy = self._noisy(sample, prompt)
            predicted = self._predicted(self.painter, noisy, sample, prompt)
        told, wanted = self._guided(noisy, sample)
        loss = latent_losses(predicted, wanted, scenes.colours).mean()
        notes.add(guided=float(loss.detach()), before=float(latent_losses(told, wanted, scenes.colours).mean()))
        return loss

    @torch.no_grad()
    def _guided(self, noisy: Tensor, sample: Sample) -> tuple[Tensor, Tensor]:
        """What the teacher paints `[B, 16, h, w]` with the words alone, and under guidance."""
        with half_precision(self.device, cache_enabled=False):
            prompt = self.teacher.prompt_embeddings(sample.prompts)
            silent = self.teacher.prompt_embeddings([""]).expand_as(prompt)
            told, untold = (self._predicted(self.teacher, noisy, sample, each) for each in (prompt, silent))
        return told, told + (GUIDANCE - 1) * fine(told - untold)


def fine(latents: Tensor) -> Tensor:
    """Latents `[B, 16, h, w]` without what they are around each place."""
    return latents - avg_pool2d(latents, AROUND, stride=1, padding=AROUND // 2, count_include_pad=False)
