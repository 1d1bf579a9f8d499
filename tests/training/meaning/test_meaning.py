"""Stage "meaning": latents on disk, words as tokens, scores, and a run that resumes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.icons import simple_icons
from training.looks.looks import DEFAULT_LOOK
from training.meaning import shards
from training.meaning.latents import cell_colours, colour_map, read_latents, write_latents
from training.meaning.outlines import (
    Outline,
    Taught,
    by_the_hands_colours,
    colour_score,
    held_out_outlines,
    ink_left,
    share_of_parts,
    taught_outlines,
)
from training.meaning.shards import SetPlan, looks_of, over_live, write_shard
from training.meaning.stage import (
    Folders,
    MeaningPlan,
    distance_to_a_colour,
    latent_losses,
    standing_out,
    train_meaning,
)
from training.meaning.vocabulary import add_words
from training.model.export import export, load_parts
from training.model.model import FINER_INK, new_codec, new_text_encoder, new_unet
from training.model.muon import body_groups
from training.model.painter import Parts
from training.model.team import Team
from training.model.tokenizer import train_tokenizer
from training.things.icons import Icons, write_icons
from training.things.scene import FIRST_DRAWINGS, SCENES, Manner, Placed, Scene

SIDE = 32


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained model, exported."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("start")
    tokenizer = train_tokenizer(folder / "learnt")
    parts = Parts(new_unet((16, 32, 32)), new_codec(8), new_text_encoder(tokenizer), tokenizer)
    export(parts, folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, start: Path) -> Folders:
    """A work folder with icons, two shards of scenes and their latents."""
    folders = Folders(tmp_path_factory.mktemp("work"))
    icons = simple_icons()
    folders.icons.mkdir()
    np.save(folders.icons / "icons.npy", icons.pictures)
    (folders.icons / "icons.json").write_text(json.dumps(icons.rows))
    folders.scenes.mkdir()
    for number in range(2):
        write_shard(folders.icons, folders.scenes / f"{number:04d}", number, SetPlan(SIDE, 2, 6))
    write_latents(load_parts(start).codec, folders.scenes, folders.latents)
    return folders


def test_icons_that_are_there_are_not_drawn_again(folders: Folders) -> None:
    assert list(write_icons(folders.work / "no packs", folders.icons, 1).rows) == list(simple_icons().rows)


def test_latents_keep_order_and_facts(folders: Folders, start: Path) -> None:
    latents = read_latents(folders.scenes, folders.latents)
    assert len(latents) == 12
    assert latents.sketches.shape == latents.renderings.shape == latents.noises.shape == (12, 16, SIDE // 8, SIDE // 8)
    assert torch.equal(latents.noises[6:], torch.from_numpy(np.load(folders.scenes / "0001.noises.npy")))
    assert torch.equal(latents.colours[6:], cell_colours(np.load(folders.scenes / "0001.renderings.npy")))


def test_a_scene_in_looks_keeps_which_rendering_is_which(folders: Folders, start: Path, tmp_path: Path) -> None:
    write_shard(folders.icons, tmp_path / "0000", 3, SetPlan(SIDE, 1, 12, looks=2))
    entries = json.loads((tmp_path / "0000.json").read_text())
    write_latents(load_parts(start).codec, tmp_path, tmp_path / "latents")
    latents = read_latents(tmp_path, tmp_path / "latents")
    assert latents.scenes.tolist() == [number for number in range(12) for _ in range(2)]
    assert latents.looks == [each for entry in entries for each in looks_of(entry)]
    assert {look for look, _ in latents.looks[::2]} == {DEFAULT_LOOK} and DEFAULT_LOOK not in dict(latents.looks[1::2])
    assert {"photo", "studio"} <= {each.place for each in latents.facts}
    assert any(not each.things for each in latents.facts)


def test_a_close_up_is_cut_out_where_a_thing_is_with_the_noise_of_its_place(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def of_its_places(
        rng: np.random.Generator, noise: np.ndarray, _: Icons, side: int, __: frozenset[str], manner: Manner
    ) -> Scene:
        drawn.append((noise, manner))
        places = np.zeros((side, side, 3), np.uint8)
        places[..., :2] = np.stack(np.meshgrid(range(side), range(side), indexing="ij"), -1)
        house = Placed("house", 0, x=150.0, y=150.0, size=64.0)
        return Scene(places, places, (house,), "meadow", "day", "grass", "line", bare=True)

    monkeypatch.setattr(shards, "draw_scene", of_its_places)
    monkeypatch.setattr(shards, "in_looks", lambda rendering, *_: [rendering])
    monkeypatch.setattr(shards, "CRUDE", 0.0)
    monkeypatch.setattr(shards, "PHOTOS", 0.0)
    write_shard(folders.icons, tmp_path / "0000", 3, SetPlan(64, 1, 12, looks=1, kind="close"))
    renderings, noises = (np.load(tmp_path / f"0000.{what}.npy") for what in ("renderings", "noises"))
    corners = set()
    for rendering, noise, (wide, _) in zip(renderings, noises, drawn, strict=True):
        y, x, _ = (int(each) for each in rendering[0, 0])
        assert rendering.shape == (64, 64, 3) and wide.shape == (16, 16, 16)
        assert y % 32 == x % 32 == 0 and max(y, x) < 91 and min(y, x) + 64 > 59  # the house goes from 59 to 91
        np.testing.assert_array_equal(noise, wide[:, y // 8 : y // 8 + 8, x // 8 : x // 8 + 8].astype(np.float16))
        corners.add((y, x))
    assert len(corners) > 1
    assert {id(manner) for _, manner in drawn} == {id(SCENES), id(FIRST_DRAWINGS)}


def test_a_sketch_of_a_picture_at_rest_lies_thin_over_what_is_soft() -> None:
    sketch, painted = np.full((64, 64, 3), 255, np.uint8), np.full((64, 64, 3), 40, np.uint8)
    sketch[30:34] = 0
    painted[:, 32:] = 220
    seen = over_live(np.random.default_rng(0), sketch, painted)
    covered = 1 - seen[31:33, 48:].mean() / seen[8, 48:].mean()
    assert 0.7 * FINER_INK - 0.03 < covered < 1.3 * FINER_INK + 0.03
    steps = np.abs(np.diff(seen[8, :, 0].astype(int)))
    assert 150 < steps.sum() < 210 and steps.max() < 90  # an edge of 180, over some pixels


def test_close_ups_are_in_one_look() -> None:
    with pytest.raises(ValueError, match="close-ups came in 2 looks; needed: one"):
        SetPlan(64, 1, looks=2, kind="close")


def test_without_latents_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no latents in .*; needed: encoded shards"):
        read_latents(tmp_path, tmp_path)


def test_a_cell_has_the_mean_colour_of_its_pixels() -> None:
    picture = np.zeros((1, 16, 16, 3), np.uint8)
    picture[:, :8, 8:] = (255, 0, 0)
    means = cell_colours(picture)[0].float()
    assert means[:, 0, 1].tolist() == [1.0, -1.0, -1.0]
    assert means[:, 1].unique().tolist() == [-1.0]


def test_the_colour_map_is_found_where_there_is_one(folders: Folders) -> None:
    torch.manual_seed(0)
    latents = read_latents(folders.scenes, folders.latents)
    renderings, matrix = torch.randn(12, 16, 4, 4), torch.randn(3, 16)
    colours = torch.einsum("oc,nchw->nohw", matrix, renderings)
    made = replace(latents, renderings=renderings.half(), colours=colours.half())
    assert torch.allclose(colour_map(made)[:, :, 0, 0], matrix, atol=0.02)


def test_equal_latents_cost_nothing_and_grey_costs_most() -> None:
    colours = torch.eye(3, 16)[:, :, None, None]
    wanted = torch.zeros(1, 16, 2, 2)
    wanted[:, 0] = 1.0
    grey, brighter = torch.zeros_like(wanted), wanted.clone()
    brighter[:, :3] += 1 / 3
    assert float(latent_losses(wanted, wanted, colours)) == pytest.approx(0, abs=1e-6)
    assert latent_losses(grey, wanted, colours) > latent_losses(brighter, wanted, colours)
    assert latent_losses(grey, wanted, colours, plain=0.25) < latent_losses(grey, wanted, colours)


def test_parts_are_known_by_who_paints_them_and_not_by_the_colour_of_the_whole() -> None:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[:, : SIDE // 2] = True
    house = np.full((SIDE, SIDE, 3), 200, np.uint8)
    house[: SIDE // 2] = (220, 40, 30)
    taught = [Taught("house", house, house, mask)]
    plain, other = np.full_like(house, 90), house // 2 + 40
    assert share_of_parts(taught, [house]) == 1 and share_of_parts(taught, [plain]) == 0
    assert share_of_parts(taught, [other]) == pytest.approx(0.75, abs=0.01)
    assert share_of_parts(taught, [house[::-1]]) < 0


def test_lines_are_left_as_far_as_they_are_darker_than_what_is_beside_them() -> None:
    drawn, flat = np.full((64, 64, 3), 255, np.uint8), np.full((64, 64, 3), 180, np.uint8)
    drawn[30:32, 8:56] = 15
    taught = [Taught("house", drawn, flat, np.ones((64, 64), bool))]
    filled, faint = (np.where(drawn < 100, ink, flat).astype(np.uint8) for ink in (0, 120))
    assert ink_left(taught, [flat]) == 0 and ink_left(taught, [flat // 2]) == 0
    assert 0.7 < ink_left(taught, [filled]) < 0.8  # 180 of 240: as dark as the ink, on what is darker than paper
    assert ink_left(taught, [faint]) == pytest.approx(60 / 240)


def test_what_is_taught_is_drawn_anew_in_its_own_colours() -> None:
    house = next(each for each in taught_outlines(simple_icons(), 64) if each.name == "house")
    assert house.word == "house" and house.picture.shape == house.rendering.shape == (64, 64, 3)
    assert house.picture[house.mask].std(1).max() < 1 < house.rendering[house.mask].std(1).max()


def test_a_window_that_is_missed_costs_more_than_as_much_of_the_wall() -> None:
    colours = torch.eye(3, 16)[:, :, None, None]
    wanted = torch.zeros(1, 16, 16, 16)
    wanted[:, :3, 4:6, 4:6] = 1.0
    no_window, hole = torch.zeros_like(wanted), wanted.clone()
    hole[:, :3, 12:14, 12:14] += 1.0
    assert latent_losses(no_window, wanted, colours) > 2 * latent_losses(hole, wanted, colours)
    assert standing_out(wanted[:, :3])[0, 4, 4] == 1 and standing_out(torch.ones(1, 3, 4, 4)).max() == 0


def test_who_does_not_know_where_the_windows_are_paints_the_body_of_a_car_and_no_mean() -> None:
    red, blue, black = ((0.9, -0.6, -0.6), (-0.7, 0.6, 0.9), (-0.8, -0.8, -0.7))
    car = torch.tensor([red] * 5 + [blue] * 3 + [black] * 2).T[None, :, :, None]

    def loss(colour: tuple[float, ...] | torch.Tensor) -> float:
        return float(distance_to_a_colour(torch.as_tensor(colour)[None, :, None, None] - car).mean())

    assert loss(red) < min(loss(blue), loss(black), loss(car.mean((0, 2, 3))))
    assert distance_to_a_colour(torch.zeros(1, 3, 2, 2)).max() < 1e-6


def test_each_word_becomes_one_token_and_known_ones_stay(start: Path) -> None:
    parts = load_parts(start)
    before = parts.text_encoder.get_input_embeddings().weight.clone()
    sentence = parts.tokenizer("a house at sunset").input_ids
    added = add_words(parts.tokenizer, parts.text_encoder, ["hedgehog", "sunset", "t-rex"])
    assert added == 1
    assert len(parts.tokenizer("hedgehog").input_ids) == 3
    assert parts.tokenizer("a house at sunset").input_ids == sentence
    table = parts.text_encoder.get_input_embeddings().weight
    assert table.shape[0] == len(parts.tokenizer) == len(before) + 1
    assert torch.equal(table[:-1], before)
    assert add_words(parts.tokenizer, parts.text_encoder, ["hedgehog"]) == 0


def _outlines() -> list[Outline]:
    rng = np.random.default_rng(0)
    mask = np.ones((4, 4), bool)
    return [
        Outline(f"thing-{index}", np.zeros((4, 4, 3), np.uint8), mask, *rng.uniform(0, 255, (2, 3)))
        for index in range(20)
    ]


def test_right_colours_are_all_nearest_and_one_grey_is_nearest_by_chance() -> None:
    outlines = _outlines()
    right = [np.broadcast_to(each.colour, (4, 4, 3)) for each in outlines]
    grey = [np.full((4, 4, 3), 128.0)] * len(outlines)
    assert colour_score(outlines, outlines, right).nearest == 1.0
    assert colour_score(outlines, outlines, grey).nearest < 0.3
    assert colour_score(outlines, outlines, grey).chroma == 0


def test_who_paints_as_it_was_taught_gets_the_most_that_the_other_hands_colours_allow() -> None:
    outlines = _outlines()
    as_taught, as_drawn = (
        [np.broadcast_to(each, (4, 4, 3)) for each in colours]
        for colours in ([each.colour for each in outlines], [each.hands_colour for each in outlines])
    )
    found, best = by_the_hands_colours(outlines, as_taught)
    assert found == best < 0.4
    assert by_the_hands_colours(outlines, as_drawn) == (1.0, best)


def test_held_out_outlines_are_of_the_second_drawing_on_white() -> None:
    icons = simple_icons()
    names = [each.name for each in held_out_outlines(icons, 64)]
    assert names == ["cat-face", "ghost", "house", "red-apple", "rocket"]
    for each in held_out_outlines(icons, 64):
        assert each.picture[0, 0].tolist() == [255, 255, 255]
        assert each.picture.min() < 120


def test_a_run_learns_exports_and_resumes_where_it_stopped(
    folders: Folders, start: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = MeaningPlan(steps=2, batch=3)
    train_meaning(Team(0, 1), plan, folders, start, seed=0)
    assert "look: step 1, its word: nearest" in capsys.readouterr().out
    assert (folders.sheets / "meaning_000001.png").exists()
    first = load_parts(folders.model)
    assert len(first.tokenizer("sailboat").input_ids) == 3
    train_meaning(Team(0, 1), replace(plan, steps=4), folders, start, seed=0)
    second = load_parts(folders.model)
    assert not torch.equal(first.unet.conv_in.weight, second.unet.conv_in.weight)
    for name, value in first.codec.state_dict().items():
        assert torch.equal(value, second.codec.state_dict()[name])


def test_each_weight_learns_in_one_group_and_what_touches_latents_not_as_a_matrix(start: Path) -> None:
    parts = load_parts(start)
    groups = body_groups(parts, 10.0)
    body = [*parts.unet.parameters(), *parts.text_encoder.parameters()]
    assert sorted(map(id, body)) == sorted(id(each) for group in groups for each in group["params"])
    matrices = {id(each) for group in groups if group.get("matrices") for each in group["params"]}
    assert id(parts.unet.mid_block.resnets[0].conv1.weight) in matrices
    edges = (parts.unet.conv_in.weight, parts.unet.conv_out.weight, parts.text_encoder.get_input_embeddings().weight)
    assert not matrices & {id(each) for each in edges}


def test_the_rate_rises_stays_and_falls() -> None:
    plan = MeaningPlan(steps=1000, rate=1.0, falls_from=0.5)
    assert plan.rate_at(0) < plan.rate_at(300) == plan.rate_at(500) == 1.0
    assert plan.rate_at(999) == pytest.approx(0.05, abs=0.01)
