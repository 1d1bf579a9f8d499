"""What is concatenated to the noisy latents."""

from __future__ import annotations

import math

import pytest
import torch

from pipeline.models.conditioning import conditioning_channels, conditioning_width, phase_channels


def test_phase_channels_are_waves_of_four_latents() -> None:
    channels = phase_channels(5, 9)
    for y in range(5):
        for x in range(9):
            angles = x * math.pi / 2 + math.pi / 4, y * math.pi / 2 + math.pi / 4
            expected = [wave(angle) * math.sqrt(2) for angle in angles for wave in (math.sin, math.cos)]
            assert channels[:, y, x].tolist() == pytest.approx(expected, abs=1e-5)


def test_channels_come_in_the_order_of_their_names() -> None:
    source = torch.randn(2, 3, 4, 5)
    channels = conditioning_channels(("strength", "source", "phase"), source, torch.tensor([0.25, 0.75]))
    assert channels.shape == (2, conditioning_width(("strength", "source", "phase"), 3), 4, 5)
    assert torch.equal(channels[:, 0].amax((1, 2)), torch.tensor([0.25, 0.75]))
    assert torch.equal(channels[:, 1:4], source)
    assert torch.equal(channels[1, 4:], phase_channels(4, 5))


def test_no_names_are_no_channels() -> None:
    assert conditioning_channels((), torch.randn(1, 4, 2, 2, dtype=torch.bfloat16), 0.5).shape == (1, 0, 2, 2)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="'depth'.*needed"):
        conditioning_channels(("source", "depth"), torch.randn(1, 4, 2, 2), 0.5)
