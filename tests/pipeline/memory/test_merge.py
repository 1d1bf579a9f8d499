"""Dynamic merging against loops in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cosine_similarity

from pipeline.memory.merge import dynamic_merge


def slow_merge(keys: Tensor, others: list[Tensor], keep: int, order: Tensor) -> list[Tensor]:
    """Merging by its words: order `[B, N]` names the destinations first, then the sources."""
    merged = []
    for tensor in (keys, *others):
        rows = []
        for row in range(len(keys)):
            destinations, sources = sorted(order[row, :keep].tolist()), order[row, keep:].tolist()
            groups = {destination: [tensor[row, destination].double()] for destination in destinations}
            for source in sources:
                cosines = [float(cosine_similarity(keys[row, source].double(), keys[row, each].double(), dim=0))
                           for each in destinations]  # fmt: skip
                groups[destinations[cosines.index(max(cosines))]].append(tensor[row, source].double())
            rows.append(torch.stack([torch.stack(group).mean(0) for group in groups.values()]))
        merged.append(torch.stack(rows))
    return merged


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 3),
    count=st.integers(2, 14),
    share=st.floats(0.01, 0.99),
    widths=st.tuples(st.integers(2, 8), st.integers(1, 8), st.integers(1, 8)),
    seed=st.integers(0, 10_000),
)
def test_merge_is_the_loop(rows: int, count: int, share: float, widths: tuple[int, ...], seed: int) -> None:
    keep = max(1, int(share * count))
    generator = torch.Generator().manual_seed(seed)
    keys, *others = (torch.randn(rows, count, width, generator=generator) for width in widths)
    split = torch.Generator().manual_seed(seed + 1)
    order = torch.rand(rows, count, generator=split.clone_state()).argsort(dim=1)
    merged = dynamic_merge(keys, *others, keep=keep, generator=split)
    for own, expected in zip(merged, slow_merge(keys, others, keep, order), strict=True):
        assert own.shape[:2] == (rows, keep)
        torch.testing.assert_close(own.double(), expected, rtol=1e-5, atol=1e-5)


def test_one_assignment_serves_all() -> None:
    keys = torch.randn(2, 20, 4)
    merged = dynamic_merge(keys, keys.clone(), 2 * keys, keep=7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(merged[0], merged[1])
    torch.testing.assert_close(2 * merged[0], merged[2])


@pytest.mark.parametrize("keep", [5, 6, 100])
def test_few_tokens_stay_as_they_are(keep: int) -> None:
    generator = torch.Generator().manual_seed(0)
    state, keys = generator.get_state(), torch.randn(1, 5, 3)
    assert dynamic_merge(keys, keep=keep, generator=generator)[0] is keys
    assert torch.equal(generator.get_state(), state)


def test_nothing_can_be_kept() -> None:
    merged = dynamic_merge(torch.randn(1, 5, 3), torch.randn(1, 5, 2), keep=0, generator=torch.Generator())
    assert [tuple(each.shape) for each in merged] == [(1, 0, 3), (1, 0, 2)]


def test_the_same_generator_gives_the_same_tokens() -> None:
    keys = torch.randn(1, 30, 4)
    generators = (torch.Generator().manual_seed(seed) for seed in (1, 1, 2))
    first, second, other = (dynamic_merge(keys, keep=9, generator=each)[0] for each in generators)
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_equal_tokens_stay_what_they_are() -> None:
    keys = torch.ones(1, 8, 3).bfloat16()
    merged = dynamic_merge(keys, keep=3, generator=torch.Generator().manual_seed(0))[0]
    assert merged.dtype == torch.bfloat16 and torch.equal(merged, keys[:, :3])


def test_the_split_is_the_same_however_equal_numbers_are_ordered() -> None:
    """Of 8192 numbers a few are equal; which of them comes first is nothing to a split that does not part them."""
    for seed in range(5):
        numbers = torch.rand(1, 8192, generator=torch.Generator().manual_seed(seed))
        plain, stable = (numbers.argsort(dim=1, stable=each)[:, :4096] for each in (False, True))
        assert torch.equal(plain.sort(dim=1).values, stable.sort(dim=1).values)
