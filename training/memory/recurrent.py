"""Training of the recurrent memory: frame after frame, the memory handed on with its gradients inside a segment.

SVDiff (arXiv 2405.19726) trains on 64 frames as 8 clips of 8, the memory carried from a clip's last frame to the next
one's first. It does not say whether gradients are carried too; here they are not.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from pipeline.memory.recurrent import RecurrentCall, RecurrentMemory, Tokens, anchored_by_block
from pipeline.memory.spatial import Recurrent, save_recurrent
from training.memory.seam import Lesson, Painted

ANCHOR_SHARE = 0.2
"""Of a memory that begins from nothing: what is newer than the anchor fades over about five frames."""
SEGMENT = 4
"""Frames that gradients go back over."""
SHARE_OF_HALVES = 0.5


@dataclass(frozen=True, eq=False)
class Carried:
    """The memory that the next frame reads, and what it is drawn back to, `[B, 64, C]` a block each."""

    memory: Tokens
    anchor: Tokens

    @property
    def detached(self) -> Carried:
        """The same without gradients."""
        parts = ({name: tokens.detach() for name, tokens in part.items()} for part in (self.memory, self.anchor))
        return Carried(*parts)


class RecurrentLearner:
    """A spatial memory that learns; see `training.memory.seam.TrainableMemory`."""

    name = RecurrentMemory.name

    def __init__(self, recurrent: Recurrent) -> None:
        self.recurrent = recurrent
        self.module: nn.Module = recurrent.spatial.float().requires_grad_(True)

    def segments(self, rng: np.random.Generator, frames: int) -> list[list[int]]:
        """The whole clip, or its first half, `SEGMENT` frames a lesson; what is left over at its end is passed by.

        A half costs a half, and the first frames are those in which most is to be learnt.
        """
        count = frames // 2 if rng.random() < SHARE_OF_HALVES else frames
        starts = range(0, count - count % SEGMENT, SEGMENT)
        return [list(range(start, start + SEGMENT)) for start in starts]

    def installed(self, unet: UNet2DConditionModel) -> AbstractContextManager[None]:
        """While entered, a memory stands behind each transformer block, with gradients."""
        return RecurrentMemory(self.recurrent, "sdpa").installed(unet)

    def passed(self, painted: Painted, lesson: Lesson, carried: Carried | None) -> tuple[Tensor, Carried | None]:
        """One frame of each clip in a call, each reading what those before it left."""
        predictions = []
        for frame in range(lesson.frames):
            memory = self.recurrent.spatial.first(lesson.clips) if carried is None else carried.memory
            call = RecurrentCall((), memory)
            predictions.append(painted(lesson, slice(frame, frame + 1), call))
            carried = self._handed_on(call, carried)
        return torch.cat(predictions, dim=1), carried and carried.detached

    def _handed_on(self, call: RecurrentCall, carried: Carried | None) -> Carried:
        """What a call leaves to the next frame; the first of a clip is the anchor of the others."""
        if carried is None:
            return Carried(call.present, call.present)
        return Carried(anchored_by_block(call.present, carried.anchor, self.recurrent.anchor_share), carried.anchor)

    def save(self, folder: Path) -> None:
        """fp16 weights that `pipeline.memory.spatial.load_recurrent` reads."""
        save_recurrent(self.recurrent, folder)
