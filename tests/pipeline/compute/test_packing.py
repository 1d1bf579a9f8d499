"""Packed convolutions compute what plain ones do, and leave no trace."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pipeline.compute import packing
from pipeline.compute.packing import convolutions_packed, has_kernels, is_packable


def some_layers(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(8, 8, 3, dilation=2, groups=4),
        nn.Conv2d(8, 5, 1),
    )
    return layers.to(dtype, memory_format=torch.channels_last).requires_grad_(False)


@pytest.mark.parametrize("shapes", [[(1, 3, 32, 32)], [(1, 3, 32, 32), (4, 3, 16, 24)]])
def test_packed_convolutions_give_what_plain_ones_give_at_any_size(shapes: list[tuple[int, ...]]) -> None:
    layers = some_layers()
    with torch.inference_mode(), convolutions_packed(layers):
        for shape in shapes:
            pixels = torch.randn(shape).contiguous(memory_format=torch.channels_last)
            torch.testing.assert_close(layers(pixels), some_layers()(pixels), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not has_kernels(torch.bfloat16), reason="this CPU has no bfloat16 kernels")
def test_bfloat16_differs_by_rounding_only() -> None:
    layers, pixels = some_layers(torch.bfloat16), torch.randn(1, 3, 32, 32, dtype=torch.bfloat16)
    with torch.inference_mode(), convolutions_packed(layers):
        torch.testing.assert_close(layers(pixels), some_layers(torch.bfloat16)(pixels), rtol=0.05, atol=0.02)


def test_the_weights_are_packed_once_and_after_each_change(monkeypatch: pytest.MonkeyPatch) -> None:
    layers, pixels, packings = some_layers(), torch.randn(1, 3, 16, 16), []
    reorder = torch._C._nn.mkldnn_reorder_conv2d_weight
    counted = SimpleNamespace(mkldnn_reorder_conv2d_weight=lambda *given: packings.append(given) or reorder(*given))
    monkeypatch.setattr(packing, "_nn", counted)
    with torch.inference_mode(), convolutions_packed(layers):
        before = layers(pixels)
        assert torch.equal(layers(pixels), before)
        assert len(packings) == 4
        layers[0].weight.mul_(0.5)
        after = layers(pixels)
        assert len(packings) == 5
        layers[0].weight.mul_(2.0)
        assert torch.equal(layers(pixels), before)
    assert not torch.allclose(after, before)


@pytest.mark.parametrize("fails", [False, True])
def test_modules_are_as_they_were_also_after_an_exception(fails: bool) -> None:
    layers = some_layers()
    before = [dict(vars(each)) for each in layers.modules()]
    try:
        with convolutions_packed(layers):
            assert "forward" in vars(layers[0])
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert [dict(vars(each)) for each in layers.modules()] == before


def test_only_plain_convolutions_on_a_cpu_are_packed() -> None:
    class Own(nn.Conv2d):
        pass

    assert is_packable(nn.Conv2d(2, 2, 3))
    for other in (
        nn.Linear(2, 2),
        Own(2, 2, 3),
        nn.Conv2d(2, 2, 3, padding="same"),
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(2, 2, 3, device="meta"),
        nn.Conv2d(2, 2, 3, dtype=torch.float64),
    ):
        assert not is_packable(other)
