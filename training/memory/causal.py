"""Training of the causal memory: motion modules over whole segments at once, under the mask that streaming equals."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from pipeline.compute.attention import PlainAttention, output_of, projected
from pipeline.compute.hooks import processors_replaced
from pipeline.memory.causal import CausalAttention
from pipeline.memory.motion import Motion, Placed, Positions, placed, positions_of, save_motion, through
from pipeline.memory.window import Window
from training.memory.seam import Lesson, Painted
from training.model.export import drop_from_config

SHARE_OF_JUMPS = 0.5
"""Of segments whose first frames are long past: live, sinks are older than anything in a short clip."""
SHARE_OF_LONE_STARTS = 0.5
"""Of segments whose sinks see no future, as those that are shown live do."""


def visible(window: Window, frame: int, count: int, alone: bool) -> list[int]:
    """The frames that number `frame` of `count` sees, oldest first: `Window.kept` of those before it, and itself; a
    sink all sinks, or, `alone`, only those before it."""
    if frame < window.sinks and not alone:
        return list(range(min(window.sinks, count)))
    kept: tuple[int, ...] = ()
    for number in range(frame):
        kept = window.kept((*kept, number))
    return [*kept, frame]


@dataclass(frozen=True, eq=False)
class SegmentCall:
    """One UNet call over all `frames` of some clips: rows are the frames of the first clip, then of the next."""

    window: Window
    frames: int
    alone: bool

    @cached_property
    def places(self) -> Tensor:
        """The position of each frame among those that one sees, -1 where it does not see it: int64 `[F, F]`."""
        places = torch.full((self.frames, self.frames), -1)
        for frame in range(self.frames):
            for place, other in enumerate(visible(self.window, frame, self.frames, self.alone)):
                places[frame, other] = place
        return places

    def attended(self, attention: Attention, positions: Positions, tokens: Tensor) -> Tensor:
        """What a temporal attention makes of tokens `[B F, T, C]`: the same shape, each frame seeing what it may.

        All frames at once: `q (k + p) = q k + q p`, where the position `p` of a key depends on who asks for it.
        """
        places = self.places.to(tokens.device)
        query, keys, values = (self._apart(each, attention.heads) for each in projected(attention, tokens, tokens))
        own, *seen = (
            each.unflatten(-1, (attention.heads, -1)).transpose(0, 1).to(query)
            for each in (positions.query, *positions.seen.unbind(1))
        )
        query = query + own[:, places.diagonal()]
        index = places.clamp(min=0).expand(*query.shape[:3], -1, -1)
        scores = query @ keys.transpose(-1, -2) + (query @ seen[0].transpose(-1, -2)).gather(-1, index)
        weights = (scores / math.sqrt(query.shape[-1])).masked_fill(places < 0, -math.inf).softmax(-1)
        of_places = torch.zeros_like(weights[..., :1]).expand(*weights.shape[:-1], seen[1].shape[-2])
        attended = weights @ values + of_places.scatter_add(-1, index, weights) @ seen[1]
        return output_of(attention, attended.permute(0, 3, 1, 2, 4).flatten(0, 1).flatten(-2))

    def _apart(self, projection: Tensor, heads: int) -> Tensor:
        """`[B F, T, C]` as `[B, T, h, F, C / h]`."""
        return projection.unflatten(0, (-1, self.frames)).unflatten(-1, (heads, -1)).permute(0, 2, 3, 1, 4)


class CausalLearner:
    """Motion modules that learn; see `training.memory.seam.TrainableMemory`."""

    name = CausalAttention.name

    def __init__(self, motion: Motion) -> None:
        self.motion = motion
        self.module: nn.Module = motion.adapter.float().requires_grad_(True)

    def segments(self, rng: np.random.Generator, frames: int) -> list[list[int]]:
        """One: the clip's first frames, or its sinks and then, after a jump, its last ones. At most two more than the
        window is long, so that most frames of it are seen by others."""
        sinks, count = self.motion.window.sinks, min(frames, self.motion.window.length + 2)
        if rng.random() >= SHARE_OF_JUMPS:
            return [list(range(count))]
        return [[*range(sinks), *range(frames - count + sinks, frames)]]

    @contextmanager
    def installed(self, unet: UNet2DConditionModel) -> Iterator[None]:
        """While entered, motion modules stand in the UNet, with gradients."""
        passing = PassingSegment()
        with ExitStack() as undo:
            undo.enter_context(processors_replaced(unet, lambda layer: PlainAttention("sdpa")))
            for each in placed(self.motion.adapter, unet):
                each.module.to(unet.device)
                undo.callback(each.behind.register_forward_hook(self._hook(each, passing)).remove)
            undo.callback(unet.register_forward_pre_hook(passing.begin, with_kwargs=True).remove)
            undo.callback(unet.register_forward_hook(passing.end, always_call=True).remove)
            yield

    def passed(self, painted: Painted, lesson: Lesson, carried: None) -> tuple[Tensor, None]:
        """All frames in one call; nothing is carried."""
        alone = bool(torch.rand(()) < SHARE_OF_LONE_STARTS)
        return painted(lesson, slice(None), SegmentCall(self.motion.window, lesson.frames, alone)), None

    def save(self, folder: Path) -> None:
        """fp16 motion modules that `pipeline.memory.motion.load_motion` reads."""
        folder.mkdir(parents=True, exist_ok=True)
        halved = copy.deepcopy(self.motion.adapter).cpu().to(torch.float16).requires_grad_(False)
        save_motion(Motion(halved, self.motion.window, causal=True), folder)
        drop_from_config(folder, "_name_or_path")  # where the first weights came from, a folder of this machine

    def _hook(self, each: Placed, passing: PassingSegment) -> Any:
        def hook(layer: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            # Of the weights as they are now: they change with every step.
            positions: Mapping[str, Positions] = positions_of(each, self.motion.window.length)

            def attended(name: str, attention: Attention, tokens: Tensor) -> Tensor:
                return passing.current.attended(attention, positions[name], tokens)

            if isinstance(output, tuple):
                return (through(each, output[0], attended), *output[1:])
            return through(each, output, attended)

        return hook


class PassingSegment:
    """The call that passes through a UNet now, which layers behind a resnet are not told otherwise."""

    call: SegmentCall | None = None

    def begin(self, unet: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before the UNet."""
        self.call = (kwargs.get("cross_attention_kwargs") or {}).get("memory")

    def end(self, unet: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """After it, also where it failed."""
        self.call = None

    @property
    def current(self) -> SegmentCall:
        """The call; raises `RuntimeError` outside of one."""
        if self.call is None:
            raise RuntimeError(
                "no memory came with the UNet call; needed: a SegmentCall while motion modules learn. "
                "Call the UNet through `training.memory.seam.painter`."
            )
        return self.call
