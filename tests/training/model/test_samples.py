"""What a sample is drawn as, and what a second frame shows."""

from __future__ import annotations

import numpy as np
import torch

from training.model.targets import draw_steps, moved, share_of_style

CPU = torch.device("cpu")


def test_the_share_of_style_grows_evenly_with_strength() -> None:
    shares = share_of_style(torch.linspace(0.1, 1.0, 10))
    assert torch.allclose(shares.diff(), torch.full((9,), 1 / 9))
    assert shares[0] == 0 and shares[-1] == 1


def test_a_moved_field_shows_what_lies_further_on_and_the_fallback_beyond_the_edge() -> None:
    field = torch.arange(64.0).reshape(1, 1, 8, 8)
    out = moved(field, torch.full_like(field, -1), np.array([[2, -3]]))
    assert torch.equal(out[0, 0, :6, 3:], field[0, 0, 2:, :5])
    assert (out[0, 0, 6:] == -1).all() and (out[0, 0, :, :3] == -1).all()


def test_later_steps_have_less_noise_than_first_ones() -> None:
    draw = draw_steps(np.random.default_rng(0), 64, later=0.5, device=CPU)
    assert (draw.present[draw.later] < draw.first[draw.later]).all()
    assert (draw.present[~draw.later] == draw.first[~draw.later]).all()
    assert draw.later.any() and not draw.later.all()
