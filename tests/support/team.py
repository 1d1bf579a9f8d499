"""What the members of a team do in tests; a module that a new process imports at once."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from training.model.muon import Muon
from training.model.team import Team


def share_gradient(team: Team, folder: Path) -> None:
    """Each member's gradient is its number; writes the mean and the agreed value into a file of its own."""
    weight = nn.Parameter(torch.zeros(3))
    weight.grad = torch.full((3,), float(team.rank))
    team.average([weight])
    (folder / f"{team.rank}.txt").write_text(f"{weight.grad.tolist()} {team.agreed(float(team.rank + 5))}")


def learnt(team: Team, rate: float) -> list[nn.Parameter]:
    """Weights and biases of two convolutions after one step, the same in each member; only the weights are matrices."""
    torch.manual_seed(0)
    layers = nn.ModuleList([nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)]).to(memory_format=torch.channels_last)
    weights, biases = ([getattr(each, name) for each in layers] for name in ("weight", "bias"))
    optimizer = Muon([{"params": weights, "matrices": True}, {"params": biases}], rate, team)
    for each in (*weights, *biases):
        each.grad = torch.randn_like(each)
    optimizer.step()
    return [*weights, *biases]


def leave_shared_and_learnt(team: Team, folder: Path) -> None:
    """Each member writes what it was given and what it has learnt into files of its own."""
    share_gradient(team, folder)
    kept = {str(number): each.detach().contiguous() for number, each in enumerate(learnt(team, 0.01))}
    save_file(kept, folder / f"{team.rank}.safetensors")
