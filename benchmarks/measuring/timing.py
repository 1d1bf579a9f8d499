"""How things that are compared are timed: in turns, in one run, so that a busy moment hits all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import quantiles

import torch

Task = Callable[[], object]
Measure = Callable[[], float]


def milliseconds_in_turns(tasks: Mapping[str, Task], rounds: int) -> dict[str, list[float]]:
    """For each task one number a round: its milliseconds."""
    return measured_in_turns({name: partial(_mean_milliseconds, task, 1) for name, task in tasks.items()}, rounds)


def measured_in_turns(measures: Mapping[str, Measure], rounds: int) -> dict[str, list[float]]:
    """For each measure one number a round, as it gives it.

    A first round is not kept. Each round begins with another one, so that none always follows the same neighbour.
    """
    names = list(measures)
    measured: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            value = measures[name]()
            if turn > 0:
                measured[name].append(value)
    return measured


def warm_milliseconds(task: Task, repeats: int) -> float:
    """The mean milliseconds of `repeats` calls in a row, after as many that are not measured."""
    _mean_milliseconds(task, repeats)
    return _mean_milliseconds(task, repeats)


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
