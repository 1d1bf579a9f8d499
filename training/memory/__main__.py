"""Train a memory for a model that stays as it is: `python -m training.memory causal --work build/memory`.

For the embedded model scenes are drawn; for any other, name a folder of videos:
`python -m training.memory causal --work build/sd15 --model FOLDER --videos FOLDER --plan gpu --device cuda`.
Stages: data, then the course; each resumes where it stopped, and the same seed gives the same order. What is in
`WORK/NAME/weights` goes into `pipeline/embedded/NAME`, or after `--memory-weights`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pipeline import Model, load_model
from pipeline.compute.host import keep_freed_memory
from pipeline.memory.motion import load_motion, untrained_motion
from pipeline.memory.spatial import load_recurrent, untrained_recurrent
from pipeline.memory.window import Window
from training.memory.causal import CausalLearner
from training.memory.course import Course, train_memory
from training.memory.lessons import SceneLessons, write_scenes
from training.memory.recurrent import ANCHOR_SHARE, RecurrentLearner
from training.memory.seam import Lessons, TrainableMemory
from training.memory.videos import VideoLessons, write_clips

WINDOW = Window(length=6, sinks=2)
"""Of motion modules that begin from nothing: 27 MiB a step for a visitor of the embedded model, 5.4 a frame."""
UNSEEN_SEED = 1_000_000


@dataclass(frozen=True)
class Plan:
    """How large a run is: scenes to learn from and to be tested with, tasks a scene, frames a clip, pixels a side of
    drawn scenes and of videos, and the course."""

    scenes: int
    unseen: int
    tasks: int
    frames: int
    side: int
    video_side: int
    course: Course


FULL = Plan(
    scenes=320,
    unseen=8,
    tasks=2,
    frames=16,
    side=128,
    video_side=256,
    course=Course(steps=1600, batch=2, judged=6, rate=7e-4, looks_every=200),
)
PLANS = {
    "full": FULL,
    "gpu": replace(
        FULL, scenes=3000, unseen=32, side=256, video_side=512, course=Course(20_000, 4, 6, rate=5e-4, looks_every=1000)
    ),
    "tiny": Plan(2, 1, 1, 8, 32, 32, Course(steps=6, batch=1, judged=2, rate=1e-2, looks_every=3)),
}


def new_causal(model: Model, start: Path | None, seed: int) -> TrainableMemory:
    """Motion modules from a folder, or untrained ones, which change nothing yet."""
    return CausalLearner(untrained_motion(model.unet, WINDOW, seed=seed) if start is None else load_motion(start))


def new_recurrent(model: Model, start: Path | None, seed: int) -> TrainableMemory:
    """A spatial memory from a folder, or an untrained one, which changes nothing yet."""
    untrained = untrained_recurrent(model.unet, ANCHOR_SHARE, seed)
    return RecurrentLearner(untrained if start is None else load_recurrent(start))


MEMORIES: Mapping[str, Callable[[Model, Path | None, int], TrainableMemory]] = {
    CausalLearner.name: new_causal,
    RecurrentLearner.name: new_recurrent,
}
"""By name, what makes a memory that learns: for a model, from weights in a folder if there is one, from a seed."""


def lessons_for(
    plan: Plan, work: Path, model: Model, videos: Path | None, prompt: str, seed: int
) -> tuple[Lessons, Lessons]:
    """What is learnt from, and what is not; drawn or encoded where it is not there yet."""
    if videos is not None:
        write_clips(work, videos, model, prompt, plan.frames, plan.video_side)
        return VideoLessons(work / "clips", model), VideoLessons(work / "unseen", model)
    write_scenes(work / "held_out", model, plan.unseen, seed + UNSEEN_SEED, plan.frames, plan.side, plan.tasks)
    write_scenes(work / "scenes", model, plan.scenes, seed, plan.frames, plan.side, plan.tasks)
    return SceneLessons(work / "scenes", model), SceneLessons(work / "held_out", model)


def train(
    name: str,
    plan: Plan,
    work: Path,
    model: Model,
    seed: int = 0,
    videos: Path | None = None,
    prompt: str = "",
    start: Path | None = None,
) -> list[float]:
    """Run all stages that are not done yet; returns the loss of each step taken."""
    lessons, unseen = lessons_for(plan, work, model, videos, prompt, seed)
    memory = MEMORIES[name](model, start, seed)
    size = sum(each.numel() for each in memory.module.parameters()) / 1e6
    print(f"{name}: {size:.2f} M parameters, {len(lessons)} clips, {len(unseen)} unseen ones", flush=True)
    return train_memory(model, memory, lessons, unseen, plan.course, work / name, seed)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        prog="python -m training.memory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("memory", choices=MEMORIES, help="which memory")
    parser.add_argument("--work", type=Path, required=True, help="folder for the data and the checkpoints")
    parser.add_argument("--plan", choices=PLANS, default="full", help="how large the run is; gpu suits one large GPU")
    parser.add_argument("--steps", type=int, help="how many steps, instead of the plan's; also of a run that resumes")
    parser.add_argument("--model", default="embedded", help="a model of the catalogue, a folder, a file (embedded)")
    parser.add_argument("--videos", type=Path, help="a folder of videos to learn from, instead of drawn scenes")
    parser.add_argument("--prompt", default="", help="what videos show that have no NAME.txt beside them")
    parser.add_argument("--start", type=Path, help="a folder of weights of this memory to go on from")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes, the weights and their order")
    chosen = parser.parse_args(arguments)
    keep_freed_memory()
    began, plan = time.monotonic(), PLANS[chosen.plan]
    if chosen.steps is not None:
        plan = replace(plan, course=replace(plan.course, steps=chosen.steps))
    model = load_model(chosen.model, device=chosen.device, dtype=torch.float32)
    train(chosen.memory, plan, chosen.work, model, chosen.seed, chosen.videos, chosen.prompt, chosen.start)
    weights = chosen.work / chosen.memory / "weights"
    print(f"the weights are in {weights}; this run took {(time.monotonic() - began) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
