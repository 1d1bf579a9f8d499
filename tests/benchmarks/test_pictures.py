"""What is measured of painted pictures: hues, differences, sharpness and styles; and the table and sheets of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import pictures
from benchmarks.painting import inputs
from benchmarks.painting.colours import evenly, hue_of, is_named, share_named
from benchmarks.painting.inputs import circle, hand_drawn, noise_of
from benchmarks.painting.judging import closest_pair, gradient_energy, learnt_from, middle, sharpness, verdict_of
from benchmarks.painting.sheets import MOST_BYTES, save_sheet, sheet
from benchmarks.pictures import Measured, named_apart, table_of
from tests.support.icons import simple_icons
from tests.support.weights.features import write_small_features
from training.meaning.outlines import Outline
from training.texture.features import load_features

SIDE = 32


def flat(*colour: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), colour, np.uint8)


def stripes(width: int, contrast: int = 255) -> np.ndarray:
    on = (np.arange(SIDE) // width % 2).astype(np.uint8) * contrast
    return np.repeat(np.repeat(on[None, :, None], SIDE, 0), 3, 2)


def test_a_hue_goes_round_and_what_is_nearly_grey_has_none() -> None:
    red = hue_of(np.array([255.0, 0, 0]))
    assert red == 0 and hue_of(np.array([250.0, 245, 220])) is None
    assert is_named(np.array([230.0, 20, 50]), "red") and is_named(np.array([230.0, 70, 30]), "red")
    assert not is_named(np.array([230.0, 180, 30]), "red") and is_named(np.array([230.0, 180, 30]), "yellow")
    assert not is_named(np.array([130.0, 128, 126]), "red")


def test_named_colours_are_counted_inside_the_outline_alone() -> None:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[8:24, 8:24] = True
    outline = Outline("ghost", flat(255, 255, 255), mask, np.zeros(3), np.zeros(3))
    blue_inside = np.where(mask[..., None], flat(30, 60, 220), flat(220, 30, 30))
    asked = {"blue": [blue_inside], "green": [blue_inside]}
    assert share_named([outline], asked) == 0.5


def test_some_outlines_are_spread_over_all() -> None:
    outlines = [
        Outline(str(number), flat(0, 0, 0), np.ones((1, 1), bool), np.zeros(3), np.zeros(3)) for number in range(9)
    ]
    assert [each.name for each in evenly(outlines, 3)] == ["0", "4", "8"]
    assert evenly(outlines, 20) == outlines


def test_the_closest_two_styles_are_named_with_their_difference() -> None:
    painted = {"oil": [flat(0, 0, 0)] * 2, "ink": [flat(200, 200, 200)] * 2, "neon": [flat(10, 10, 10)] * 2}
    assert closest_pair(painted) == (10.0, "oil", "neon")


def test_half_the_contrast_is_a_quarter_of_the_energy() -> None:
    assert gradient_energy(flat(9, 9, 9)) == 0
    assert gradient_energy(stripes(4, 100)) == pytest.approx(gradient_energy(stripes(4, 200)) / 4)
    shares = sharpness({"oil": [stripes(4, 100)], "ink": [stripes(4)]}, {"oil": [stripes(4, 200)], "ink": [stripes(4)]})
    assert shares == pytest.approx({"oil": 0.25, "ink": 1.0})


def test_a_judge_names_the_style_that_a_picture_is_in(tmp_path: Path) -> None:
    write_small_features(tmp_path / "features.safetensors")
    features = load_features(tmp_path / "features.safetensors", torch.device("cpu"))
    learnt = {"thin": [stripes(2), stripes(2, 230)], "broad": [stripes(8), stripes(8, 230)]}
    judge = learnt_from(features, learnt)
    seen = {"thin": [stripes(2, 240), flat(9, 9, 9)], "broad": [stripes(8, 240), stripes(2, 245)]}
    meant = {"thin": [stripes(2)] * 2, "broad": [stripes(8)] * 2}
    said = verdict_of(features, judge, seen, meant)
    assert said.targets_named == 1.0 and said.named < 1.0 and said.distance > 0
    right = verdict_of(features, judge, meant, meant)
    assert (right.named, right.distance) == (1.0, 0.0)


def test_features_are_those_of_the_middle() -> None:
    assert middle(np.zeros((256, 256, 3))).shape == (160, 160, 3)


def test_the_drawings_made_by_hand_are_thirty_with_words() -> None:
    drawings = hand_drawn(64)
    assert len(drawings) == 30 == len({each.words for each in drawings})
    assert all(each.picture.shape == (64, 64, 3) and each.picture.std() > 5 for each in drawings)


def test_a_circle_is_white_inside_and_its_mask_has_no_line() -> None:
    picture, mask = circle(256)
    assert (picture[mask] > 200).all() and 0.2 < mask.mean() < 0.3


def test_the_noise_is_what_a_session_begins_with() -> None:
    noise = noise_of(SIDE)
    assert noise.shape == (16, 4, 4) and np.array_equal(noise, noise_of(SIDE))


def test_a_sheet_keeps_to_its_size(tmp_path: Path) -> None:
    noisy = np.random.default_rng(0).integers(0, 255, (600, 600, 3)).astype(np.uint8)
    picture = sheet([[noisy, noisy]] * 3, 400, across=2)
    assert picture.size == (1600, 800)
    save_sheet(picture, tmp_path / "sheet.jpg")
    assert (tmp_path / "sheet.jpg").stat().st_size <= MOST_BYTES
    save_sheet(sheet([[flat(200, 0, 0)]], 40), tmp_path / "calm.jpg")
    with Image.open(tmp_path / "calm.jpg") as read:
        assert read.size == (40, 40)


def test_models_of_one_name_are_told_apart() -> None:
    assert named_apart(["embedded", "model", "model"]) == ["embedded", "model", "model-2"]


def test_feature_distances_are_those_of_the_first_model() -> None:
    texts = ("closest", "named", "sharpness", "by hand", "guessed")
    values = (
        *(
            "its word",
            "parts",
            "parts at rest",
            "ink",
            "ink at rest",
            "another's word",
            "no word",
            "guess",
            "fruit",
            "hue",
            "strength 0.3",
            "strength 1",
            "steps",
            "guidance",
        ),
        *("codec", "fusion", "bank", "warp", "warp off", "all weights", "largest file"),
    )
    common: dict[str, float | str] = {**dict.fromkeys(texts, "said"), **dict.fromkeys(values, 0.5)}
    models = [Measured(name, common | {"distance": far}, {}) for name, far in (("first", 0.8), ("second", 0.4))]
    rows = {str(row["what"]): row for row in table_of(models)}
    assert rows["feature distance to the targets, of the first model's"]["second"] == "0.50 (0.400)"
    assert rows["red, blue, yellow, green things: hue within 30 degrees"]["first"] == "50 %"
    assert all(list(row) == ["what", "wanted", "first", "second"] for row in rows.values())


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training run: icons and features."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "icons").mkdir()
    icons = simple_icons()
    np.save(folder / "icons" / "icons.npy", icons.pictures)
    (folder / "icons" / "icons.json").write_text(json.dumps(icons.rows))
    write_small_features(folder / "carried" / "features.safetensors")
    return folder


def test_a_table_and_sheets_are_written(
    tiny_folder: Path,
    work: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inputs, "hand_drawn", lambda side: hand_drawn(side)[:3])  # each costs a prompt in each style
    small = ["--scenes", "1", "--learnt", "2", "--clips", "1", "--frames", "4", "--styles", "oil", "neon"]
    arguments = ["--model", str(tiny_folder), "--work", str(work), *small, "--results", str(tmp_path)]
    assert pictures.main(arguments) == 0
    page = (tmp_path / "pictures.md").read_text()
    assert page in capsys.readouterr().out
    assert "command: `python -m benchmarks.pictures" in page and str(tiny_folder.parent) not in page
    header, _, *rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in header] == ["what", "wanted", tiny_folder.name]
    assert len(rows) > 15 and all(row[2].strip() not in ("", "nan") for row in rows)
    for title in ("parts", "words", "colours", "drawings", "photographs", "scenes"):
        assert (tmp_path / f"pictures-{title}-{tiny_folder.name}.jpg").stat().st_size <= MOST_BYTES


def test_a_work_folder_without_icons_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pictures.main(["--work", str(tmp_path), "--results", str(tmp_path / "results")]) == 1
    assert "holds no icons" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()
