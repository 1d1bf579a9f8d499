"""The course of a memory's training: lesson after lesson, resumable, with what is learnt measured on unseen clips."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from pipeline import Model
from pipeline.frames.codec import decode
from pipeline.memory import create_memory
from training.memory.seam import KnownMotion, Lesson, Lessons, Painted, TrainableMemory, painter
from training.model.checkpoint import Average, load_checkpoint, save_checkpoint
from training.model.progress import Progress
from training.model.tensors import half_precision

SECONDS_BETWEEN_CHECKPOINTS = 180
WARMUP, DECAY = 30, 0.3
"""Steps until the learning rate is whole, and the share of all steps in which it falls again: until then a run may be
stopped, or made longer, at any time."""
AVERAGED = 0.99
"""Of the average that is shipped: about the last hundred steps."""
PREDICTION_WEIGHT, PICTURE_WEIGHT, STEADINESS_WEIGHT = 1.0, 1.0, 3.0
"""Steadiness against softness: 8 and more took brush strokes away with the warp error."""


@dataclass(frozen=True)
class Course:
    """How long and how much at once: steps, clips a step, frames of each lesson that are judged as pictures at most,
    learning rate, steps from one look at unseen clips to the next."""

    steps: int
    batch: int
    judged: int
    rate: float
    looks_every: int


@dataclass(frozen=True)
class Look:
    """Errors on unseen clips. `prediction` is a mean square in the UNet's own terms; `picture` (against what should be
    painted) and `warp` (`pipeline.frames.quality.warp_error`) are means of 0..255, `None` where no motion is known."""

    prediction: float
    picture: float | None = None
    warp: float | None = None

    def __str__(self) -> str:
        values = {name: value for name, value in asdict(self).items() if value is not None}
        return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def rate_at(step: int, steps: int) -> float:
    """Share of the learning rate at a step: a short rise, a plain, and a linear fall to nothing."""
    return min(1.0, (step + 1) / WARMUP, max(0.0, steps - step) / max(1.0, DECAY * steps))


def carried_along(pictures: Tensor, flow: Tensor) -> Tensor:
    """Pictures `[N, 3, H, W]` read bilinearly where a backward flow `[N, H, W, 2]`, (x, y) in pixels, points: the same
    shape. `pipeline.frames.quality.warped` with gradients."""
    height, width = pictures.shape[-2:]
    rows, columns = torch.meshgrid(
        torch.arange(height, device=flow.device), torch.arange(width, device=flow.device), indexing="ij"
    )
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
    return grid_sample(pictures, grid, padding_mode="border", align_corners=True)


def unsteadiness(pictures: Tensor, flow: Tensor, visible: Tensor) -> Tensor:
    """Mean |picture - the one before it along the motion| over what both show, a scalar; pictures `[B, F, 3, H, W]`, of
    the others the F - 1 that belong to all but the first frame.

    The short-term temporal loss of Lai et al., "Learning Blind Video Temporal Consistency" (ECCV 2018), eq. 5, with the
    true motion.
    """
    before = carried_along(pictures[:, :-1].flatten(0, 1), flow.flatten(0, 1))
    seen = visible.flatten(0, 1)[:, None].to(pictures)
    difference = (pictures[:, 1:].flatten(0, 1) - before).abs() * seen
    return difference.sum() / (3 * seen.sum()).clamp(min=1)


def stretches(motion: KnownMotion) -> list[slice]:
    """The longest runs of frames that follow each other, of two and more."""
    starts = [index for index, follows in enumerate(motion.follows) if not follows]
    ends = [*starts[1:], len(motion.follows)]
    return [slice(start, end) for start, end in zip(starts, ends, strict=True) if end - start > 1]


def painted_errors(model: Model, lesson: Lesson, predicted: Tensor, frames: slice) -> tuple[Tensor, Tensor]:
    """Of frames that follow each other, decoded from clean latents `[B, F, C, h, w]`: the mean |difference| from what
    should be painted, and `unsteadiness`; scalars, of -1..1."""
    if lesson.motion is None:
        raise ValueError("a lesson without known motion came; needed: one with pictures to compare with")
    latents = predicted[:, frames]
    pictures = decode(model.vae, latents.flatten(0, 1)).float().unflatten(0, latents.shape[:2])
    later = slice(frames.start + 1, frames.stop)
    picture = (pictures - lesson.motion.pictures[:, frames]).abs().mean()
    return picture, unsteadiness(pictures, lesson.motion.flow[:, later], lesson.motion.visible[:, later])


def lesson_loss(model: Model, lesson: Lesson, predicted: Tensor, judged: slice | None) -> Tensor:
    """A scalar: how far predictions are from what is wanted, and how far and how unsteady the judged frames are as
    pictures."""
    loss = PREDICTION_WEIGHT * (predicted - lesson.wanted).square().mean()
    if judged is None:
        return loss
    picture, unsteady = painted_errors(model, lesson, predicted, judged)
    return loss + PICTURE_WEIGHT * picture + STEADINESS_WEIGHT * unsteady


def judged_frames(rng: np.random.Generator, lesson: Lesson, most: int) -> slice | None:
    """Frames that follow each other, as many as there are and at most `most`, which are decoded in this step; `None`
    where nothing is known that they could be judged by."""
    found = stretches(lesson.motion) if lesson.motion is not None and most > 1 else []
    if not found:
        return None
    longest = max(found, key=lambda frames: frames.stop - frames.start)
    spare = max(0, longest.stop - longest.start - most)
    first = longest.start + int(rng.integers(spare + 1))
    return slice(first, min(first + most, longest.stop))


def passed_lessons(
    memory: TrainableMemory, painted: Painted, lessons: Sequence[Lesson]
) -> Iterator[tuple[Lesson, Tensor]]:
    """Each lesson of some clips with its predictions; what is carried goes from one to the next."""
    carried: Any = None
    for lesson in lessons:
        predicted, carried = memory.passed(painted, lesson, carried)
        yield lesson, predicted


@torch.no_grad()
def look_at(model: Model, memory: TrainableMemory, unseen: Lessons, on: bool) -> Look:
    """Errors over all unseen clips, on the frames that the memory chooses: with it, or of the model by itself."""
    painted, rng = painter(model.unet), np.random.default_rng(0)
    predictions: list[float] = []
    pictures: list[tuple[float, float]] = []
    with torch.random.fork_rng(devices=[]), memory.installed(model.unet) if on else _nothing_installed(model):
        torch.manual_seed(0)
        for number in range(len(unseen)):
            lessons = unseen.chosen([number], lambda frames: memory.segments(rng, frames))
            by_itself = ((lesson, painted(lesson, slice(None), None)) for lesson in lessons)
            for lesson, predicted in passed_lessons(memory, painted, lessons) if on else by_itself:
                predictions.append(float((predicted - lesson.wanted).square().mean()))
                for frames in stretches(lesson.motion) if lesson.motion is not None else ():
                    picture, warp = painted_errors(model, lesson, predicted, frames)
                    pictures.append((127.5 * float(picture), 127.5 * float(warp)))
    means = (float(np.mean(each)) for each in zip(*pictures, strict=True))
    return Look(float(np.mean(predictions)), *means)


def _nothing_installed(model: Model) -> AbstractContextManager[None]:
    return create_memory("none", model.entry.memory_layout, "sdpa").installed(model.unet)


def train_memory(
    model: Model,
    memory: TrainableMemory,
    lessons: Lessons,
    unseen: Lessons,
    course: Course,
    folder: Path,
    seed: int,
) -> list[float]:
    """Train a memory in place on a frozen model; resumes from `folder`. The averaged weights are in it when it returns.

    Every few minutes `folder/checkpoint` and `folder/weights` are written, which the engine can load: a run may be
    stopped at any time. `folder/looks.jsonl` keeps the errors on unseen clips, and the model's own without a memory.
    Returns the loss of each step that this call took.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    # A convolution without a gradient of its own, in channels-last order, ends the process on CPUs (torch 2.10).
    model.unet.to(memory_format=torch.contiguous_format)
    memory.module.to(model.device)
    parameters = list(memory.module.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=course.rate, betas=(0.9, 0.98), weight_decay=1e-3)
    average, modules = Average(parameters, AVERAGED), {memory.name: memory.module}
    checkpoint = folder / "checkpoint.safetensors"
    first = load_checkpoint(checkpoint, modules, optimizer, average, rng)
    if first == 0:
        note_look(folder, 0, "off", look_at(model, memory, unseen, on=False))
    painted, losses = painter(model.unet), []
    progress, saved = Progress(memory.name, course.steps, first), time.monotonic()
    for step in range(first, course.steps):
        for group in optimizer.param_groups:
            group["lr"] = course.rate * rate_at(step, course.steps)
        numbers = [int(each) for each in rng.integers(len(lessons), size=course.batch)]
        drawn = lessons.chosen(numbers, lambda frames: memory.segments(rng, frames))
        optimizer.zero_grad(set_to_none=True)
        with memory.installed(model.unet), half_precision(model.device):
            losses.append(learnt(model, memory, painted, drawn, rng, course.judged))
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        average.update()
        progress.show(step + 1, f"loss {np.mean(losses[-50:]):.4f}")
        is_last = step + 1 == course.steps
        if is_last or time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS:
            save_checkpoint(checkpoint, step + 1, modules, optimizer, average, rng)
            with average.in_place():
                memory.save(folder / "weights")
            saved = time.monotonic()
        if is_last or (step + 1) % course.looks_every == 0:
            with average.in_place():
                note_look(folder, step + 1, memory.name, look_at(model, memory, unseen, on=True))
    average.exchange()
    return losses


def learnt(
    model: Model,
    memory: TrainableMemory,
    painted: Painted,
    lessons: Sequence[Lesson],
    rng: np.random.Generator,
    judged: int,
) -> float:
    """Add the gradients of some clips' lessons to the memory's; returns the mean loss."""
    total = 0.0
    for lesson, predicted in passed_lessons(memory, painted, lessons):
        loss = lesson_loss(model, lesson, predicted, judged_frames(rng, lesson, judged)) / len(lessons)
        loss.backward()
        total += float(loss.detach())
    return total


def note_look(folder: Path, step: int, memory: str, look: Look) -> None:
    """Print errors on unseen clips and keep them."""
    print(f"unseen clips, step {step}, memory {memory}: {look}", flush=True)
    with (folder / "looks.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, "memory": memory} | asdict(look)) + "\n")
