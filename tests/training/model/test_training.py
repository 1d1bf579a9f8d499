"""A short run of the whole chain on tiny sizes: losses fall, stopping changes nothing, the files load and paint."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import Engine, FrameSettings, load_model
from training.model.data import Shards, write_shard
from training.model.export import load_parts
from training.model.joint import Phase, reliance_loss
from training.model.targets import draw_steps, moved, share_of_style, sharpened
from training.train import PLANS, train

CPU = torch.device("cpu")
TINY = dataclasses.replace(PLANS["tiny"], codec_steps=60, phases=(Phase(24, 4, 64, 0.0, 4), Phase(4, 2, 64, 1.0, 1)))


@pytest.fixture(scope="module")
def shards_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "shards"
    folder.mkdir()
    write_shard(folder / "0000", seed=1, count=4)
    return folder


def run(folder: Path, shards: Path, plan=TINY, start=None):
    folder.mkdir(exist_ok=True)
    if not (folder / "shards").exists():
        (folder / "shards").symlink_to(shards)
    return train(plan, folder, folder / "model", CPU, seed=3, workers=1, start=start)


def test_both_losses_fall_and_the_model_loads_and_paints(tmp_path: Path, shards_folder: Path) -> None:
    codec_losses, joint_losses = run(tmp_path / "run", shards_folder)
    assert np.mean(codec_losses[-15:]) < 0.8 * np.mean(codec_losses[:15])
    assert np.mean(joint_losses[18:24]) < np.mean(joint_losses[:6])
    model = load_model(tmp_path / "run" / "model", dtype=torch.float32)
    with Engine(model, size=(64, 64)) as engine:
        picture = engine.open().translate(np.full((64, 64, 3), 200, np.uint8), FrameSettings(prompt="oil painting"))
    assert picture.size == (64, 64)


def test_a_run_goes_on_from_a_model_that_was_trained(tmp_path: Path, shards_folder: Path) -> None:
    short = dataclasses.replace(TINY, codec_steps=2, phases=(Phase(2, 2, 64, 0.0, 2),), shares=(1.0,))
    run(tmp_path / "first", shards_folder, short)
    trained = tmp_path / "first" / "model"
    codec_losses, joint_losses = run(tmp_path / "second", shards_folder, short, start=trained)
    assert (len(codec_losses), len(joint_losses)) == (0, 2)
    before, after = load_parts(trained), load_parts(tmp_path / "second" / "model")
    same = [torch.equal(a, b) for a, b in zip(before.codec.parameters(), after.codec.parameters(), strict=True)]
    encoder = len(list(before.codec.encoder.parameters()))
    assert all(same[:encoder]) and not all(same[encoder:])
    assert not torch.equal(before.unet.conv_in.weight, after.unet.conv_in.weight)
    assert before.tokenizer("oil painting").input_ids == after.tokenizer("oil painting").input_ids


def test_the_finished_weights_are_a_mixture_of_the_ends_of_the_phases(tmp_path: Path, shards_folder: Path) -> None:
    short = dataclasses.replace(
        TINY, codec_steps=2, phases=(Phase(2, 2, 64, 0.0, 2), Phase(2, 2, 64, 1.0, 1)), shares=(0.75, 0.25)
    )
    run(tmp_path / "run", shards_folder, short)
    first, last, finished = (load_parts(tmp_path / "run" / name) for name in ("phase_0", "phase_1", "model"))
    one, other, weight = (each.unet.conv_in.weight for each in (first, last, finished))
    assert not torch.equal(one, other)
    torch.testing.assert_close(weight, 0.75 * one + 0.25 * other, rtol=1e-3, atol=1e-4)


def test_no_path_of_the_machine_is_exported(tmp_path: Path, shards_folder: Path) -> None:
    short = dataclasses.replace(TINY, codec_steps=2, phases=(Phase(1, 2, 64, 0.0, 2),), shares=(1.0,))
    run(tmp_path / "first", shards_folder, short)
    run(tmp_path / "second", shards_folder, short, start=tmp_path / "first" / "model")
    for file in (tmp_path / "second" / "model").rglob("*.json"):
        assert str(tmp_path) not in file.read_text()


def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path: Path, shards_folder: Path) -> None:
    whole = dataclasses.replace(TINY, codec_steps=4, phases=(Phase(2, 2, 64, 0.0, 2), Phase(2, 2, 64, 1.0, 1)))
    run(tmp_path / "whole", shards_folder, whole)
    # The same schedule, stopped after the codec and again in the middle of the joint stage.
    from training.model import joint

    original = joint.batch_loss
    calls = []

    def stops_at_the_third(*args, **options):
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joint, "batch_loss", stops_at_the_third)
        patch.setattr(joint, "SECONDS_BETWEEN_CHECKPOINTS", -1)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "stopped", shards_folder, whole)
    run(tmp_path / "stopped", shards_folder, whole)
    for file in (tmp_path / "whole" / "model").rglob("*.safetensors"):
        assert file.read_bytes() == (tmp_path / "stopped" / file.relative_to(tmp_path / "whole")).read_bytes()


def test_the_share_of_style_grows_evenly_with_strength() -> None:
    shares = share_of_style(torch.linspace(0.1, 1.0, 10))
    assert torch.allclose(shares.diff(), torch.full((9,), 1 / 9))
    assert shares[0] == 0 and shares[-1] == 1


def test_a_moved_field_shows_what_lies_further_on_and_the_fallback_beyond_the_edge() -> None:
    field = torch.arange(64.0).reshape(1, 1, 8, 8)
    out = moved(field, torch.full_like(field, -1), np.array([[2, -3]]))
    assert torch.equal(out[0, 0, :6, 3:], field[0, 0, 2:, :5])
    assert (out[0, 0, 6:] == -1).all() and (out[0, 0, :, :3] == -1).all()


def test_sharpening_by_nothing_changes_nothing_and_by_more_raises_contrast() -> None:
    picture = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5
    same, sharp = sharpened(picture, torch.tensor([0.0, 1.0]))
    assert torch.equal(same, picture[0])
    assert sharp.std() > picture[1].std()


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


def test_reliance_costs_nothing_once_averaged_attention_changes_the_picture_enough() -> None:
    picture = torch.zeros(1, 3, 8, 8)
    assert float(reliance_loss(picture, picture)) == 1
    assert float(reliance_loss(picture, picture + 9 / 127.5 / 2)) == pytest.approx(0.5)
    assert float(reliance_loss(picture, picture + 0.1)) == 0
