"""A team of single-threaded processes that train one model: on two cores faster than one process with two threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor, distributed, multiprocessing, nn

PATIENCE = timedelta(minutes=30)
"""How long a process waits for another one: sheets and checkpoints are made by the first alone."""


@dataclass(frozen=True)
class Team:
    """This process's number, from 0, and how many there are."""

    rank: int
    size: int

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Put the mean over the team in the place of each gradient.

        Raises `RuntimeError` where the process that started the team has ended.
        """
        if self.size == 1:
            return
        starter = multiprocessing.parent_process()
        if starter is not None and not starter.is_alive():
            raise RuntimeError("the process that started this team has ended; its members end too.")
        gradients = [each.grad for each in parameters if each.grad is not None]
        self.add_up(gradients)
        torch._foreach_div_(gradients, self.size)

    def add_up(self, tensors: list[Tensor]) -> None:
        """Put the sum over the team in the place of each tensor."""
        if self.size == 1:
            return
        joined = torch.cat([each.reshape(-1) for each in tensors])
        distributed.all_reduce(joined)
        for tensor, total in zip(tensors, joined.split([each.numel() for each in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def agreed(self, value: float) -> float:
        """The first process's value, in all."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(shared, 0)
        return float(shared)


def run_team(size: int, work: Path, function: Callable[..., None], *arguments: object) -> None:
    """Call `function(team, *arguments)` in `size` processes of one thread each, and wait for all.

    `work` is a folder in which the processes find each other. An error in one ends all and is raised here.
    """
    if size == 1:
        function(Team(0, 1), *arguments)
        return
    with _environment(OMP_NUM_THREADS="1"):
        multiprocessing.spawn(_member, (size, work, function, arguments), nprocs=size)


def _member(rank: int, size: int, work: Path, function: Callable[..., None], arguments: tuple[object, ...]) -> None:
    torch.set_num_threads(1)
    meeting = work / f"team-{os.getppid()}"
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting.resolve()}", rank=rank, world_size=size, timeout=PATIENCE
    )
    try:
        function(Team(rank, size), *arguments)
    finally:
        distributed.destroy_process_group()
        if rank == 0:
            meeting.unlink(missing_ok=True)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """While entered, these variables of the environment are set."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
