"""Feature fusion against loops in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.memory import fusion
from pipeline.memory.fusion import fuse


def slow_fuse(features: Tensor, bank: Tensor, strength: float, threshold: float) -> Tensor:
    features, bank = features.double(), bank.double()
    fused = features.clone()
    for row in range(features.shape[0]):
        for token in range(features.shape[1]):
            feature = features[row, token]
            cosines = [float(feature @ past / (feature.norm() * past.norm())) for past in bank[row]]
            if cosines and max(cosines) >= threshold:
                nearest = bank[row, cosines.index(max(cosines))]
                fused[row, token] = (1 - strength) * feature + strength * nearest
    return fused


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 3),
    tokens=st.integers(1, 12),
    held=st.integers(0, 15),
    width=st.integers(1, 9),
    strength=st.sampled_from([0.0, 0.3, 0.75, 1.0]),
    threshold=st.sampled_from([0.0, 0.31, 0.613, 0.9]),
    seed=st.integers(0, 10_000),
)
def test_fuse_is_the_loop(
    rows: int, tokens: int, held: int, width: int, strength: float, threshold: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, tokens, width, generator=generator)
    bank = torch.randn(rows, held, width, generator=generator)
    expected = slow_fuse(features, bank, strength, threshold).float()
    if width > 1:  # in one dimension every cosine is 1 or -1, and many tokens are equally near
        torch.testing.assert_close(fuse(features, bank, strength, threshold), expected, rtol=1e-5, atol=1e-5)
    assert fuse(features, bank, strength, threshold).shape == expected.shape


def test_the_threshold_itself_is_fused() -> None:
    features, bank = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[3.0, 0.0]]])
    assert fuse(features, bank, 0.5, 1.0).tolist() == [[[2.0, 0.0]]]


@pytest.mark.parametrize("strength, expected", [(0.0, 1.0), (0.25, 1.5), (1.0, 3.0)])
def test_strength_is_the_share_of_the_past(strength: float, expected: float) -> None:
    features, bank = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[3.0, 0.0], [0.0, 1.0]]])
    assert fuse(features, bank, strength, 0.9).tolist() == [[[expected, 0.0]]]


def test_an_empty_bank_changes_nothing() -> None:
    features = torch.randn(2, 5, 4)
    assert torch.equal(fuse(features, torch.empty(2, 0, 4), 1.0, 0.0), features)


def test_half_precision_stays_half() -> None:
    generator = torch.Generator().manual_seed(0)  # rounding decides between two neighbours that are alike
    features = torch.randn(1, 6, 8, generator=generator).bfloat16()
    bank = torch.randn(1, 9, 8, generator=generator).bfloat16()
    fused = fuse(features, bank, 0.75, 0.2)
    assert fused.dtype == torch.bfloat16
    torch.testing.assert_close(fused.double(), slow_fuse(features, bank, 0.75, 0.2), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("held", [0, 1, 40, 400])
def test_a_call_that_is_exported_is_fused_as_any(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(3)
    features, bank = torch.randn(2, 30, 8, generator=generator), torch.randn(2, held, 8, generator=generator)
    strength, threshold = torch.tensor([0.75, 0.3])[:, None, None], torch.tensor([0.5, 0.0])[:, None, None]
    expected = fuse(features, bank, strength, threshold)
    monkeypatch.setattr(fusion, "is_in_onnx_export", lambda: True)
    torch.testing.assert_close(fuse(features, bank, strength, threshold), expected)


@pytest.mark.parametrize("exported", [False, True])
def test_of_tokens_that_are_equally_near_the_first_is_taken(exported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion, "is_in_onnx_export", lambda: exported)
    far, near = torch.tensor([[-1.0, 0.0]]), torch.tensor([[2.0, 0.0], [4.0, 0.0]])
    bank = torch.cat([far.expand(300, 2), near, far.expand(9, 2)])[None].bfloat16()
    assert fuse(torch.tensor([[[1.0, 0.0]]]).bfloat16(), bank, 1.0, 0.5).tolist() == [[[2.0, 0.0]]]
