"""What the members of a team do in tests; a module that a new process imports at once."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from training.model.team import Team


def share_gradient(team: Team, folder: str) -> None:
    """Each member's gradient is its number; writes the mean and the agreed value into a file of its own."""
    weight = nn.Parameter(torch.zeros(3))
    weight.grad = torch.full((3,), float(team.rank))
    team.average([weight])
    Path(folder, f"{team.rank}.txt").write_text(f"{weight.grad.tolist()} {team.agreed(float(team.rank + 5))}")
