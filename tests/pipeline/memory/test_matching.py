"""The nearest of many tokens: as a loop finds it, whatever the chunks, and never all products at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.memory import matching
from pipeline.memory.fusion import fuse
from pipeline.memory.matching import nearest
from pipeline.memory.merge import dynamic_merge


def slow_nearest(queries: Tensor, keys: Tensor) -> tuple[list[list[float]], list[list[int]]]:
    queries, keys = queries.double(), keys.double()
    best, index = [], []
    for row in range(len(queries)):
        products = [[float(query @ key) for key in keys[row]] for query in queries[row]]
        best.append([max(each) for each in products])
        index.append([each.index(max(each)) for each in products])
    return best, index


def drawn(rows: int, queries: int, keys: int, width: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, queries, width, generator=generator), torch.randn(rows, keys, width, generator=generator)


class LargestResult(TorchDispatchMode):
    """While entered, keeps the number of elements of the largest tensor that any operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in made if isinstance(made, tuple | list) else (made,):
            if isinstance(each, Tensor):
                self.elements = max(self.elements, each.numel())
        return made


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 3),
    queries=st.integers(1, 12),
    keys=st.integers(1, 12),
    width=st.integers(2, 8),
    most=st.integers(1, 500),
    seed=st.integers(0, 10_000),
)
def test_any_chunks_find_what_the_loop_finds(
    rows: int, queries: int, keys: int, width: int, most: int, seed: int
) -> None:
    some, others = drawn(rows, queries, keys, width, seed)
    best, index = slow_nearest(some, others)
    for limit in (most, None):
        products, found = nearest(some, others, limit)
        assert products.dtype == torch.float32 and found.tolist() == index
        torch.testing.assert_close(products, torch.tensor(best, dtype=torch.float32), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [64, 128, 192])
def test_chunks_of_any_size_agree_on_the_tokens_of_a_real_layer(width: int, dtype: torch.dtype) -> None:
    some, others = (each.to(dtype) for each in drawn(2, 96, 80, width, seed=width))
    products, index = nearest(some, others)
    for most in (2 * 80, 7 * 2 * 80, 64 * 2 * 80, 1 << 30):
        same_products, same_index = nearest(some, others, most)
        assert (same_index == index).float().mean() > 0.98  # half precision has ties
        torch.testing.assert_close(same_products, products, rtol=0.02 if dtype == torch.bfloat16 else 1e-5, atol=1e-5)


def test_the_first_of_equals_is_taken() -> None:
    keys = torch.tensor([[[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]])
    products, index = nearest(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), keys)
    assert index.tolist() == [[1, 0]] and products.tolist() == [[1.0, 1.0]]


def test_no_query_finds_nothing() -> None:
    products, index = nearest(torch.empty(2, 0, 3), torch.ones(2, 5, 3))
    assert products.shape == index.shape == (2, 0)


@pytest.mark.parametrize("most", [120, 121, 1000, 5000])
def test_no_more_products_are_held_than_allowed(most: int) -> None:
    some, others = drawn(2, 300, 60, 4, seed=0)
    with LargestResult() as largest:
        nearest(some, others, most)
    assert largest.elements <= max(most, some.numel())


def test_fusing_and_merging_never_hold_a_matrix_of_tokens_by_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, width = 400, 4
    features, bank = drawn(1, tokens, tokens, width, seed=0)
    joined = torch.cat([features, bank], dim=1)
    most = 10 * tokens
    monkeypatch.setattr(matching, "PRODUCTS_ON_CPU", most)

    def done() -> tuple[Tensor, ...]:
        split = torch.Generator().manual_seed(0)
        return fuse(features, bank, 0.75, 0.5), *dynamic_merge(joined, joined, keep=tokens, generator=split)

    with LargestResult() as largest:
        chunked = done()
    assert largest.elements <= most < tokens * tokens
    monkeypatch.undo()
    with LargestResult() as largest:
        whole = done()
    assert largest.elements == tokens * tokens  # the measurement sees such a matrix where there is one
    for one, other in zip(chunked, whole, strict=True):
        torch.testing.assert_close(one, other)


def test_a_whole_layer_at_256_pixels_is_more_than_is_held() -> None:
    assert matching.products_held(torch.device("cpu")) < 1024 * 1024
    assert matching.products_held(torch.device("cuda")) < 4096 * 4096
