"""How matrices learn: by directions of one size, in one process or shared out in a team that trains as one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support.team import learnt, leave_shared_and_learnt
from training.model.muon import SIZE_OF_ADAMW, Muon, orthogonal, shared_out
from training.model.team import Team, run_team


@pytest.mark.parametrize("shape", [(24, 200), (200, 24), (48, 48)])
def test_an_orthogonal_matrix_keeps_its_directions_and_evens_their_sizes(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    sizes = u.T @ orthogonal(matrix) @ v.T
    assert sizes.diag().min() > 0.6 and sizes.diag().max() < 1.3
    assert (sizes - sizes.diag().diag()).abs().max() < 1e-3


@pytest.mark.parametrize("rank", [1, 3, 32])
def test_a_gradient_of_few_directions_moves_a_matrix_no_further(rank: int) -> None:
    of_rank = torch.Generator().manual_seed(rank)
    matrix = torch.nn.Parameter(torch.zeros(32, 288))
    matrix.grad = torch.randn((32, rank), generator=of_rank) @ torch.randn((rank, 288), generator=of_rank)
    Muon([{"params": [matrix], "matrices": True}], 1.0, Team(0, 1)).step()
    of_adamw = SIZE_OF_ADAMW * 288**0.5
    assert 0.6 < torch.linalg.matrix_norm(matrix.detach(), 2) / of_adamw < 1.3


def test_work_is_shared_out_evenly() -> None:
    costs = [8, 1, 1, 5, 3, 2, 2, 2]
    given = shared_out(costs, 2)
    loads = [sum(cost for cost, rank in zip(costs, given, strict=True) if rank == member) for member in (0, 1)]
    assert loads == [12, 12]


@pytest.fixture(scope="module", params=[1, 2])
def left(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What each member of a team of one or two has left, without the endings of its files."""
    folder = tmp_path_factory.mktemp("team")
    run_team(request.param, folder, leave_shared_and_learnt, folder)
    return [folder / str(rank) for rank in range(request.param)]


def test_a_team_shares_the_mean_of_its_gradients(left: list[Path]) -> None:
    mean = (len(left) - 1) / 2
    assert {each.with_suffix(".txt").read_text() for each in left} == {f"{[mean] * 3} 5.0"}


def test_a_team_learns_what_one_process_learns(left: list[Path]) -> None:
    alone = learnt(Team(0, 1), 0.01)
    for each in left:
        in_a_team = load_file(each.with_suffix(".safetensors"))
        for number, weight in enumerate(alone):
            torch.testing.assert_close(weight.detach(), in_a_team[str(number)])


def test_a_matrix_moves_as_far_as_a_rate_of_adamw_lets_it() -> None:
    still, moved = learnt(Team(0, 1), 0.0), learnt(Team(0, 1), 0.01)
    steps = [
        (one - other).detach().square().mean().sqrt() / 0.01 for one, other in zip(moved[:2], still[:2], strict=True)
    ]
    assert all(0.1 < float(step) < 0.3 for step in steps)
