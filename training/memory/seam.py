"""What a memory that learns has in common with every other: lessons come in, predictions go out, the UNet stays frozen.

To train another memory on the same harness, write a class with the methods of `TrainableMemory` and put it into
`MEMORIES` of `training.memory.__main__`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from pipeline.models.unet_call import UnetInputs, predicted
from pipeline.prompts.embeddings import PromptEmbeddings


@dataclass(frozen=True, eq=False)
class KnownMotion:
    """What is known of a lesson's frames beside their latents.

    pictures `[B, F, 3, H, W]` in -1..1 are what should be painted; flow `[B, F, H, W, 2]` and visible `[B, F, H, W]`
    are as in `training.clips.stage.Clip`, from each frame to the one before it in the clip. `follows` says of each
    frame whether the one before it in the clip is also the one before it here.
    """

    pictures: Tensor
    flow: Tensor
    visible: Tensor
    follows: tuple[bool, ...]


@dataclass(frozen=True, eq=False)
class Lesson:
    """A segment of F frames of B clips, as the UNet meets it at one denoising step, and what it should predict.

    samples `[B, F, C', h, w]` hold noisy latents and what the model sees beside them; timesteps `[B]`; embeddings have
    a row a clip; wanted `[B, F, C, h, w]` is in the UNet's own terms (noise, velocity or clean latents).
    """

    samples: Tensor
    timesteps: Tensor
    embeddings: PromptEmbeddings
    wanted: Tensor
    frame_size: tuple[int, int]
    motion: KnownMotion | None = None

    @property
    def clips(self) -> int:
        """B."""
        return self.samples.shape[0]

    @property
    def frames(self) -> int:
        """F."""
        return self.samples.shape[1]


Painted = Callable[[Lesson, slice, Any], Tensor]
"""What the UNet predicts for some frames of a lesson, `[B, n, C, h, w]`; the last argument is what the memory gives to
that one call, `cross_attention_kwargs={"memory": ...}`. Its rows are the frames of the first clip, then of the next."""


Segments = Callable[[int], list[list[int]]]
"""Which frames of a clip of so many are its lessons."""


class Lessons(Protocol):
    """Where lessons come from: clips, numbered from 0, that never change."""

    def __len__(self) -> int:
        """How many clips there are."""

    def chosen(self, numbers: Sequence[int], segments: Segments) -> list[Lesson]:
        """The lessons of the clips of these numbers, together, in the order in which they are passed."""


class TrainableMemory(Protocol):
    """A memory that learns. `module` holds all that learns, float32, and nothing of any clip."""

    name: str
    module: nn.Module

    def segments(self, rng: np.random.Generator, frames: int) -> list[list[int]]:
        """Which frames of a clip of so many are its lessons: a list a lesson, in the order in which they are passed."""

    def installed(self, unet: UNet2DConditionModel) -> AbstractContextManager[None]:
        """While entered, UNet calls read the memory, with gradients; on leaving, all objects are as before."""

    def passed(self, painted: Painted, lesson: Lesson, carried: Any) -> tuple[Tensor, Any]:
        """Predictions `[B, F, C, h, w]` for all frames of a lesson, each seeing what it may see of those before it, and
        what the next lesson of the same clips is to carry on from, detached. `carried` is `None` for a clip's first."""

    def save(self, folder: Path) -> None:
        """Write what is shipped: fp16 safetensors and a description that the engine loads by the memory's name."""


def painter(unet: UNet2DConditionModel) -> Painted:
    """Runs a UNet over frames of a lesson."""

    def painted(lesson: Lesson, frames: slice, call: Any) -> Tensor:
        samples = lesson.samples[:, frames]
        count = samples.shape[1]
        embeddings = PromptEmbeddings(
            lesson.embeddings.tokens.repeat_interleave(count, dim=0),
            None if lesson.embeddings.pooled is None else lesson.embeddings.pooled.repeat_interleave(count, dim=0),
        )
        timesteps = lesson.timesteps.repeat_interleave(count)
        inputs = UnetInputs(samples.flatten(0, 1), timesteps, embeddings, call, lesson.frame_size)
        return predicted(unet, inputs).unflatten(0, (lesson.clips, count))

    return painted
