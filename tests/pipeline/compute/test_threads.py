"""Small operations wake no team of threads, large ones do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from pipeline.compute.threads import LEAST_FOR_A_TEAM, team_for


@pytest.fixture(autouse=True)
def team() -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


@pytest.mark.parametrize("products, threads", [(LEAST_FOR_A_TEAM - 1, 1), (LEAST_FOR_A_TEAM, 3)])
def test_a_team_works_on_what_is_worth_it_and_is_there_again_afterwards(products: int, threads: int) -> None:
    with team_for(products):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 3
    with pytest.raises(ZeroDivisionError), team_for(products):
        raise ZeroDivisionError
    assert torch.get_num_threads() == 3
