"""Which attention kernel is taken: of those that run a model's layers, the one that takes least."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from pipeline import Model
from pipeline.compute import kernels
from pipeline.compute.attention import attend, attend_rows
from pipeline.compute.kernels import AttentionShape, Kernels, attention_shapes, choose_kernels, fastest, timings

SHAPES = {AttentionShape(16, 32, 16, 2): 3, AttentionShape(4, 8, 32, 4): 1}
CPU = torch.device("cpu")


def test_the_fastest_takes_least_and_of_equals_is_the_first() -> None:
    assert fastest({"sdpa": 2.0, "xformers": 1.0}) == "xformers"
    assert fastest({"sdpa": 1.0, "cudnn": 1.0}) == "sdpa"
    with pytest.raises(ValueError, match="needed: one"):
        fastest({})


def test_layers_count_as_often_as_a_model_has_them_and_who_cannot_run_is_left_out() -> None:
    measured: list[Any] = []

    def work_of(shape: AttentionShape, kernel: Any, device: Any, dtype: Any) -> Callable[[], object]:
        if kernel == "cudnn" and shape.width == 32:
            raise RuntimeError("No available kernel. Aborting execution.")
        return partial(measured.append, (kernel, shape))

    def measure(work: Callable[[], object]) -> float:
        work()
        return 1.0 if measured[-1][0] == "sdpa" else 0.5

    assert timings(work_of, SHAPES, CPU, torch.float32, measure) == {"sdpa": 4.0, "xformers": 2.0}


@pytest.mark.parametrize("work_of", [kernels._plain_work, kernels._ragged_work])
def test_what_is_measured_is_attention(work_of: Any) -> None:
    """xformers has no kernel for a processor, and is left out here."""

    def measure(work: Callable[[], Any]) -> float:
        assert work().shape[1:] in ((16, 16), (4, 32))
        return 1.0

    assert timings(work_of, SHAPES, CPU, torch.float32, measure)["sdpa"] == 4.0


def test_shapes_are_those_that_the_unet_attends_in(tiny_model: Model) -> None:
    """Two levels, of which the first and the middle attend, each to itself and to the prompt."""
    assert attention_shapes(tiny_model.unet, (8, 4)) == {
        AttentionShape(32, 64, 16, 8): 3,
        AttentionShape(32, 77, 16, 8): 3,
        AttentionShape(8, 16, 32, 8): 1,
        AttentionShape(8, 77, 32, 8): 1,
    }


def test_plain_and_ragged_rows_have_kernels_of_their_own(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    both = iter([{"sdpa": 1.0, "cudnn": 0.5}, {"sdpa": 1.0, "xformers": 0.7}])
    monkeypatch.setattr(kernels, "timings", lambda *_: next(both))
    chosen = choose_kernels(tiny_model.unet, (4, 4), torch.device("cuda"))
    assert chosen == Kernels("cudnn", "xformers") and str(chosen) == "cudnn, unequal banks xformers"


def test_a_processor_measures_nothing(tiny_model: Model) -> None:
    chosen = choose_kernels(tiny_model.unet, (4, 4), CPU, lambda work: pytest.fail("measured"))
    assert chosen == Kernels("sdpa", "sdpa") and str(chosen) == "sdpa"


def test_ragged_rows_go_to_their_kernel_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    query, keys = torch.randn(2, 3, 4), torch.randn(1, 7, 4)
    ragged = attend_rows(query, keys, keys, [3, 4], 1, "sdpa", "matmul")
    expected = [attend(query[:1], keys[:, :3], keys[:, :3], 1), attend(query[1:], keys[:, 3:], keys[:, 3:], 1)]
    torch.testing.assert_close(ragged, torch.cat(expected))
    seen: list[str] = []
    monkeypatch.setattr("pipeline.compute.attention.attend", lambda q, k, v, heads, kernel: (seen.append(kernel), q)[1])
    attend_rows(query, keys, keys, [3, 4], 1, "sdpa", "matmul")
    attend_rows(query, keys[:, :6], keys[:, :6], [3, 3], 1, "sdpa", "matmul")
    assert seen == ["matmul", "matmul", "sdpa"]


def test_cudnn_where_it_is_missing_computes_the_same() -> None:
    query, keys = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    torch.testing.assert_close(attend(query, keys, keys, 2, "cudnn"), attend(query, keys, keys, 2))
