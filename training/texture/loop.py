"""What all stages of texture share: steps of a team, checkpoints and sheets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from training.meaning.stage import SECONDS_BETWEEN_NOTES, SECONDS_BETWEEN_SHEETS, Notes
from training.model.checkpoint import Average, load_checkpoint, save_checkpoint
from training.model.muon import Muon
from training.model.team import Team

SECONDS_BETWEEN_CHECKPOINTS = 100


@dataclass(frozen=True)
class Pace:
    """How long a stage goes on, by steps or minutes, whichever ends first; samples a step in each process; the rate,
    which falls after a share `falls_from` of it."""

    steps: int
    batch: int
    rate: float
    minutes: float = 1e9
    falls_from: float = 0.6

    def rate_at(self, step: int, share: float) -> float:
        """A short rise, a plain, then a line down to a twentieth; `share` of the stage is done."""
        down = max(0.0, (share - self.falls_from) / (1 - self.falls_from))
        return self.rate * min(1.0, (step + 1) / 100) * (1 - 0.95 * min(1.0, down))


class Learner(Protocol):
    """A stage: what it trains, the mean number of samples that a step of each process takes, and what it costs. Groups
    of parameters have "times" of the rate, "matrices" where Muon takes them, and "judge" where they judge. Hooks that a
    stage has no use for do nothing."""

    name: str
    samples: float
    groups: list[dict[str, Any]]
    shipped: list[nn.Parameter]
    modules: dict[str, nn.Module]

    def open(self) -> AbstractContextManager[object]:
        """Entered while the stage trains."""
        return nullcontext()

    def before_step(self) -> None:
        """Called before each loss."""

    def loss(self, rng: np.random.Generator, notes: Notes) -> Tensor:
        """Of a random batch, with those of judges; `notes` are told of each."""

    def before_update(self) -> None:
        """Called when gradients are there."""

    def look(self, step: int) -> None:
        """Make a sheet."""

    def export(self) -> None:
        """Write the model."""


class Clock(nn.Module):
    """Minutes that a stage has trained, over all its runs."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("minutes", torch.zeros((), dtype=torch.float64))


def train(team: Team, learner: Learner, pace: Pace, checkpoint: Path, seed: int) -> None:
    """Train from `checkpoint`, or from what the learner holds; its weights are the averaged ones when this returns."""
    cv2.setNumThreads(1)
    groups = [{"betas": (0.5, 0.98) if each.get("judge") else (0.9, 0.98), **each} for each in learner.groups]
    optimizer = Muon(groups, pace.rate, team)
    average, clock = Average(learner.shipped, decay=0.998), Clock()
    modules = {**learner.modules, "clock": clock}
    rng = np.random.default_rng(seed)
    first = load_checkpoint(checkpoint, modules, optimizer, average, rng)
    rng = np.random.default_rng((seed, first, team.rank))
    torch.manual_seed(hash((seed, first, team.rank)) % 2**31)
    everything = [each for group in learner.groups for each in group["params"]]
    notes, began, before = Notes(), time.monotonic(), float(clock.minutes)
    looked = saved = noted = began
    step, share = first, 0.0
    with learner.open():
        while True:
            clock.minutes.fill_(before + (time.monotonic() - began) / 60)
            share = team.agreed(max(step / pace.steps, float(clock.minutes) / pace.minutes))
            if share >= 1:
                break
            learner.before_step()
            for group in optimizer.param_groups:
                group["lr"] = pace.rate_at(step, share) * group["times"]
            loss = learner.loss(rng, notes)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            learner.before_update()
            team.average(everything)
            for each in (False, True):
                torch.nn.utils.clip_grad_norm_(list(_parameters(learner.groups, each)), 1.0)
            optimizer.step()
            average.update()
            step += 1
            now = time.monotonic()
            if not team.leads:
                continue
            if now - noted > SECONDS_BETWEEN_NOTES:
                speed = team.size * learner.samples * (step - first) / (now - began)
                print(
                    f"{learner.name}: step {step}, {100 * share:.0f} %, {speed:.1f} samples a second, {notes}",
                    flush=True,
                )
                noted = now
            if now - looked > SECONDS_BETWEEN_SHEETS:
                with average.in_place():
                    learner.look(step)
                looked = time.monotonic()
            if now - saved > SECONDS_BETWEEN_CHECKPOINTS:
                save_checkpoint(checkpoint, step, modules, optimizer, average, rng)
                saved = time.monotonic()
        if team.leads:
            if step > first:
                save_checkpoint(checkpoint, step, modules, optimizer, average, rng)
            average.exchange()
            learner.look(step)
            learner.export()


def _parameters(groups: list[dict[str, Any]], of_judges: bool) -> Iterator[nn.Parameter]:
    for group in groups:
        if bool(group.get("judge")) == of_judges:
            yield from group["params"]
