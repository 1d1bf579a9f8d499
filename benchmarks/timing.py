"""How things that are compared are timed: in turns, in one run, so that a busy moment hits all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import quantiles

import torch

Task = Callable[[], object]


def milliseconds_in_turns(tasks: Mapping[str, Task], rounds: int, repeats: int = 1) -> dict[str, list[float]]:
    """For each task one number a round: the mean milliseconds of `repeats` calls in a row.

    A first round is not measured. Each round begins with another task, so that none always follows the same neighbour.
    """
    names = list(tasks)
    measured: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            elapsed = _mean_milliseconds(tasks[name], repeats)
            if turn > 0:
                measured[name].append(elapsed)
    return measured


def _mean_milliseconds(task: Task, repeats: int) -> float:
    _wait_for_device()
    start = time.perf_counter()
    for _ in range(repeats):
        task()
    _wait_for_device()
    return (time.perf_counter() - start) * 1000 / repeats


def _wait_for_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def percentile(values: list[float], percent: int) -> float:
    """The value that `percent` (1 to 99) of `values` do not exceed."""
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]
