"""What a sample is drawn as, what a second frame shows, and the pictures of the first set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from training.model.data import Shards, write_shard
from training.model.targets import draw_steps, moved, share_of_style

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shards_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "shards"
    folder.mkdir()
    write_shard(folder / "0000", seed=1, count=4)
    return folder


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


def test_both_frames_of_an_example_overlap_where_the_shift_says(shards_folder: Path) -> None:
    batch = Shards(shards_folder).batch(np.random.default_rng(0), 12, 128)
    for sources, (dy, dx) in zip(batch.sources.astype(int), batch.shifts, strict=True):
        rows = slice(max(0, -dy), 128 - max(0, dy)), slice(max(0, dy), 128 + min(0, dy))
        columns = slice(max(0, -dx), 128 - max(0, dx)), slice(max(0, dx), 128 + min(0, dx))
        difference = sources[1][rows[0], columns[0]] - sources[0][rows[1], columns[1]]
        assert np.abs(difference).mean() < 6  # JPEG and the camera's noise differ a little
