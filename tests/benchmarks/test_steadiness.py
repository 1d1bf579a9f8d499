"""The steadiness benchmark runs, its table has every column, and a frozen picture does not win it."""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import steadiness
from benchmarks.measuring import plots
from benchmarks.scores import scores as steadiness_scores
from benchmarks.scores.pictures import strip_columns
from benchmarks.scores.scores import (
    MEASURES,
    Run,
    Study,
    measures_of,
    player_of,
    recoded,
    translated,
    warp_limit,
)
from benchmarks.scores.tables import clip_table, main_table
from benchmarks.scores.variants import BOTH, MEMORY_OFF, STEADY, VARIANTS, FrameQueue, Variant, named, newest
from pipeline import Engine, FrameSettings, Model, load_model
from pipeline.compute.attention import choose_kernel
from pipeline.frames.quality import warp_error
from pipeline.memory.bank import LayerTokens
from pipeline.memory.motion import save_motion
from pipeline.prompts.encoder import PromptEncoder
from tests.conftest import memory_rows
from tests.support.weights.decoder_files import save_decoder
from tests.support.weights.motion import lively_motion
from training.clips.clips import Clip, draw_clip

COUNT = 10
SETTINGS = FrameSettings(prompt="watercolor painting", steps=1)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [draw_clip(name, frames=COUNT, size=32) for name in ("cut", "frozen")]


@pytest.fixture(scope="module")
def prompts(tiny_model: Model) -> PromptEncoder:
    return PromptEncoder(tiny_model.text_encoders)


def by_name(name: str) -> Variant:
    return next(each for each in VARIANTS if each.name == name)


def run_of(model: Model, prompts: PromptEncoder, variant: Variant, frames: Sequence[np.ndarray]) -> Run:
    return translated(player_of(model, prompts, variant), frames, SETTINGS)


def outputs_of(model: Model, prompts: PromptEncoder, variant: Variant, clip: Clip) -> np.ndarray:
    return run_of(model, prompts, variant, clip.frames).outputs


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_tables_plots_and_filmstrips_are_written(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["attention and fusion", "queue 2"]
    arguments = ["--model", str(tiny_folder), "--clips", "2", "--frames", "6", "--steps", "1", "--variants", *names]
    arguments += ["--clip-model", str(tmp_path / "no weights"), "--results", str(tmp_path)]
    arguments += ["--pictures", "cut"]
    assert steadiness.main(arguments) == 0
    page = (tmp_path / "steadiness.md").read_text()
    assert page in capsys.readouterr().out
    assert "command: `python -m benchmarks.steadiness" in page and str(tmp_path) not in page
    (table,) = tmp_path.glob("steadiness-variants-*.csv")
    rows = rows_of(table)
    assert [row["variant"] for row in rows] == ["memory off", *names]
    assert set(rows[0]) == {"variant", *MEASURES, "ms", "first ms", "of memory off", "KiB"}
    assert {row["CLIP text"] for row in rows} == {"not computed"}
    assert all(float(row["ms"]) > 0 for row in rows)
    assert rows[0]["from memory off"] == "0.00" and rows[0]["lag cut"] == "0.00" and rows[0]["ghost 2"] == "0.00"
    assert rows[0]["lag vanish"] == rows[0]["flicker"] == ""
    assert int(rows[2]["KiB"]) > int(rows[1]["KiB"]) > int(rows[0]["KiB"])
    (by_clip,) = tmp_path.glob("steadiness-warp-error-by-clip-*.csv")
    assert list(rows_of(by_clip)[0]) == ["variant", "crossing", "cut"]
    pictures = sorted(each.name for each in tmp_path.glob("*.png"))
    # Six frames leave three pictures of the new scene: there is no fourth for a plot of ghosts.
    assert pictures == [
        f"steadiness-{each}.png" for each in ("left", "slice-cut", "strip-cut", "structure-error", "warp-error")
    ]
    for name in pictures:
        with Image.open(tmp_path / name) as picture:
            assert picture.size > (300, 50)


def test_a_decoder_that_remembers_is_compared_with_the_plain_one(
    tiny_folder: Path, tiny_model: Model, tmp_path: Path
) -> None:
    decoder = save_decoder(tmp_path, tiny_model.vae)
    arguments = [
        "--model",
        str(tiny_folder),
        "--decoder",
        str(decoder),
        "--clips",
        "1",
        "--frames",
        "4",
        "--steps",
        "1",
    ]
    arguments += ["--variants", "decoder alone", "--pictures", "--results", str(tmp_path)]
    assert steadiness.main(arguments) == 0
    (table,) = tmp_path.glob("steadiness-variants-*.csv")
    off, alone = rows_of(table)
    assert (off["variant"], alone["variant"]) == ("memory off", "decoder alone")
    assert float(alone["from memory off"]) > 0 and int(alone["KiB"]) > int(off["KiB"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--frames", "2"], "at least 4 frames"), (["--clips", "0"], "1 to 14 clips"), (["--variants", "all"], "choose")],
)
def test_a_wrong_command_line_is_explained(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        steadiness.main(arguments)
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--model", "missing"], ["--steps", "9"]])
def test_what_cannot_be_measured_is_said(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert steadiness.main([*arguments, "--results", str(tmp_path)]) == 1
    assert "needed" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("variant", "memory"), [(MEMORY_OFF, "none"), (BOTH, "feature-bank"), (STEADY, "feature-bank")]
)
def test_pictures_are_those_of_the_engine(
    tiny_model: Model, prompts: PromptEncoder, clips: list[Clip], variant: Variant, memory: str
) -> None:
    run = run_of(tiny_model, prompts, variant, clips[0].frames)
    settings = variant.settings_at(0, SETTINGS, steadiness_scores.SEED)
    with Engine(tiny_model, memory=memory) as engine:
        session = engine.open(seed=steadiness_scores.SEED)
        pictures = [np.asarray(session.translate(frame, settings)) for frame in clips[0].frames]
        held = session.nbytes
    # The engine packs convolutions, which may round another way.
    assert np.abs(np.stack(pictures).astype(int) - run.outputs).max() <= 1
    assert held == run.nbytes


def test_a_frozen_picture_has_no_flicker_and_loses(
    tiny_model: Model, prompts: PromptEncoder, clips: list[Clip]
) -> None:
    cut, frozen = clips
    off = cut.frames  # a translation that copies its input remembers nothing
    stuck = np.repeat(off[:1], COUNT, axis=0)
    measures, honest = (measures_of(cut, outputs, off, {0: off[0]}) for outputs in (stuck, off))
    assert measures["lag cut"] == math.inf and honest["lag cut"] == 0
    assert measures["ghost 4"] == pytest.approx(1) and honest["ghost 4"] == 0
    assert measures["from memory off"] > honest["from memory off"] == 0
    still = measures_of(frozen, np.repeat(frozen.frames[:1], COUNT, axis=0), frozen.frames, {0: frozen.clean[0]})
    restless = measures_of(frozen, frozen.frames, frozen.frames, {0: frozen.clean[0]})
    assert still["flicker"] == 0 < restless["flicker"]
    assert set(measures) | set(still) <= set(MEASURES)


def test_every_variant_differs_from_memory_off_where_it_should(tiny_model: Model, prompts: PromptEncoder) -> None:
    moving = draw_clip("fast", frames=COUNT, size=32)
    off = outputs_of(tiny_model, prompts, MEMORY_OFF, moving)
    for name in (
        "attention alone",
        "fusion alone",
        "attention and fusion",
        "fresh noise, memory off",
        "queue 2",
        "preset steady",
    ):
        outputs = outputs_of(tiny_model, prompts, by_name(name), moving)
        assert (outputs != off).any(), name


def test_a_memory_with_weights_is_compared_where_the_model_has_them(
    tiny_folder: Path, tiny_model: Model, prompts: PromptEncoder, clips: list[Clip], tmp_path: Path
) -> None:
    causal = by_name("causal")
    assert not causal.runs_with(tiny_model) and BOTH.runs_with(tiny_model)
    arguments = ["--model", str(tiny_folder), "--variants", "causal", "--results", str(tmp_path / "none")]
    assert steadiness.main(arguments) == 1 and not (tmp_path / "none").exists()
    shutil.copytree(tiny_folder, tmp_path / "model")
    model = load_model(tmp_path / "model", device="cpu", dtype=torch.float32)
    save_motion(lively_motion(model.unet), tmp_path / "model" / "causal")
    assert causal.runs_with(model)
    run = run_of(model, prompts, causal, clips[1].frames)
    assert run.nbytes > 0 and (run.outputs[1:] != outputs_of(model, prompts, MEMORY_OFF, clips[1])[1:]).any()


def test_fusion_alone_extends_no_attention(tiny_model: Model, prompts: PromptEncoder, clips: list[Clip]) -> None:
    """Without fusion either, nothing of a bank is used."""
    neither = Variant("neither", {"fusion_strength": 0.0}, extends=False)
    off, none = (outputs_of(tiny_model, prompts, each, clips[0]) for each in (MEMORY_OFF, neither))
    assert np.array_equal(off, none)


def test_fresh_noise_is_new_each_frame_and_keeps_the_memory(
    tiny_model: Model, prompts: PromptEncoder, clips: list[Clip]
) -> None:
    still = [clips[0].frames[0]] * 4
    for kept, fresh in ((MEMORY_OFF, "fresh noise, memory off"), (BOTH, "fresh noise, attention and fusion")):
        same, new = (run_of(tiny_model, prompts, each, still) for each in (kept, by_name(fresh)))
        assert (new.outputs[1] != new.outputs[2]).any()
        assert np.array_equal(same.outputs[0], new.outputs[0])
        assert new.nbytes == same.nbytes
    forgetful = run_of(tiny_model, prompts, by_name("fresh noise, memory off"), still)
    assert (forgetful.outputs[1:] != new.outputs[1:]).any()


def test_a_queue_holds_the_newest_frames(tiny_model: Model) -> None:
    keys = torch.arange(12.0).reshape(1, 12, 1)
    held = newest(LayerTokens(4, keys, keys + 100), 2.0)
    assert held.keys.flatten().tolist() == list(range(4, 12))
    assert held.values is not None and held.values.flatten().tolist() == list(range(104, 112))
    kernel = choose_kernel(tiny_model.device, tiny_model.dtype)
    queue = FrameQueue(tiny_model.entry.memory_layout, kernel)
    every_second = SETTINGS.changed(bank_frames=2.0, bank_interval=2)
    row, seen = None, []
    for frame in range(7):
        call = queue.open(memory_rows([row], every_second))
        tokens = torch.full((1, 4, 1), float(frame))
        call.present["layer"] = LayerTokens(4, tokens, tokens)
        row = queue.updated(call, 0)
        seen.append(row.layers["layer"].keys[0, ::4, 0].tolist())
    assert seen == [[0], [0], [0, 2], [0, 2], [2, 4], [2, 4], [4, 6]]


def test_memory_off_is_always_measured() -> None:
    assert [each.name for each in named(["bank 2", "attention alone"])] == ["memory off", "attention alone", "bank 2"]


def test_variants_have_names_of_their_own_and_settings_in_range() -> None:
    names = [each.name for each in VARIANTS]
    assert len(set(names)) == len(names) >= 20
    for variant in VARIANTS:
        assert variant.settings_at(3, SETTINGS, 7).seed == (10 if variant.fresh_noise else 7)


def test_means_are_over_the_clips_that_have_the_measure(tiny_model: Model, prompts: PromptEncoder) -> None:
    study = Study(("cut", "frozen"), 6, SETTINGS, "watercolor", 0, "no such folder")
    players = [player_of(tiny_model, prompts, each) for each in named(["attention alone"])]
    scores = steadiness_scores.scores_of(tiny_model, study, players)
    off, _ = main_table(scores)
    by_clip, _ = clip_table(scores, "warp error")
    assert off["warp error"] == pytest.approx((by_clip["cut"] + by_clip["frozen"]) / 2)
    assert off["flicker"] == scores["memory off"][1].measures["flicker"]
    assert clip_table(scores, "flicker")[0]["cut"] == ""
    assert off["of memory off"] == 1


def test_variants_take_turns_and_keep_their_order(
    tiny_model: Model, prompts: PromptEncoder, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    players = [player_of(tiny_model, prompts, each) for each in named(["attention alone", "fusion alone"])]
    study = Study(("cut",), COUNT, SETTINGS, "watercolor", 0, "no such folder")
    played: list[str] = []
    played_by = steadiness_scores.translated
    monkeypatch.setattr(
        steadiness_scores,
        "translated",
        lambda player, *rest: played.append(player.variant.name) or played_by(player, *rest),
    )
    for turn, order in enumerate((["attention alone", "fusion alone"], ["fusion alone", "attention alone"])):
        played.clear()
        assert list(steadiness_scores.runs_of_clip(players, study, clips[0], turn)) == [
            "memory off",
            "attention alone",
            "fusion alone",
        ]
        assert played == ["memory off", *order]


def test_several_styles_are_measured_together_and_each_by_itself(tiny_folder: Path, tmp_path: Path) -> None:
    arguments = ["--model", str(tiny_folder), "--clips", "1", "--frames", "6", "--steps", "1", "--variants"]
    arguments += ["attention and fusion", "--styles", "oil", "ink", "--pictures", "crossing"]
    arguments += ["--results", str(tmp_path)]
    assert steadiness.main(arguments) == 0
    assert "--styles oil ink" in (tmp_path / "steadiness.md").read_text()
    (table,) = tmp_path.glob("steadiness-variants-*.csv")
    mean = float(rows_of(table)[1]["warp error"])
    (by_style,) = tmp_path.glob("steadiness-warp-error-by-style-*.csv")
    (by_clip,) = tmp_path.glob("steadiness-warp-error-by-clip-*.csv")
    for path in (by_style, by_clip):
        variant, *columns = rows_of(path)[1].values()
        assert variant == "attention and fusion"
        assert sum(map(float, columns)) / len(columns) == pytest.approx(mean, abs=0.01)
    assert list(rows_of(by_style)[0]) == ["variant", "oil", "ink"]
    assert list(rows_of(by_clip)[0]) == ["variant", "crossing"]
    assert list(tmp_path.glob("steadiness-structure-error-by-style-*.csv"))
    assert (tmp_path / "steadiness-strip-crossing.png").is_file()


def test_the_limit_is_what_a_codec_leaves_of_pictures_that_hold_still(tiny_model: Model, clips: list[Clip]) -> None:
    _, frozen = clips
    held = np.repeat(frozen.frames[:1], COUNT, axis=0)
    assert warp_limit(tiny_model, frozen, held) == 0
    limit = warp_limit(tiny_model, frozen, frozen.frames)
    by_codec = np.stack([recoded(tiny_model, each) for each in frozen.frames])
    assert by_codec.shape == frozen.frames.shape
    assert 0 < limit < warp_error(by_codec, frozen.flow, frozen.visible)


def test_a_filmstrip_shows_rows_and_columns_and_what_happens(clips: list[Clip]) -> None:
    cut, frozen = clips
    columns = strip_columns(cut)
    assert {cut.events[0].frame - 1, cut.events[0].frame} < set(columns) and max(columns) == COUNT - 1
    assert strip_columns(frozen)[0] == 0 and strip_columns(frozen)[-1] == COUNT - 1
    strip = plots.filmstrip({"input": cut.frames, "copy": cut.frames}, columns, side=32)
    assert strip.height == plots.LINE + 2 * 32
    pixels = np.asarray(strip)
    assert np.array_equal(pixels[plots.LINE : plots.LINE + 32, -32:], cut.frames[-1])


def test_a_slice_shows_the_middle_line_of_every_frame(clips: list[Clip]) -> None:
    cut, _ = clips
    pixels = np.asarray(plots.slices({"input": cut.frames, "copy": cut.frames}, thickness=2))
    assert pixels.shape[0] == plots.LINE + 2 * COUNT
    for time in range(COUNT):
        assert np.array_equal(pixels[plots.LINE + 2 * time + 1, :32], cut.frames[time, 16])


def test_bars_are_as_long_as_their_values() -> None:
    pixels = np.asarray(plots.bars("title", {"one": 1.0, "two": 2.0, "none": 0.0}))
    blue = (pixels == np.array(tuple(bytes.fromhex(plots.COLOURS[0][1:])))).all(axis=2)
    middle = plots.LINE + 2 * plots.GAP + plots.LINE // 2
    one, two, none = (int(blue[middle + plots.LINE * index].sum()) for index in range(3))
    assert two == pytest.approx(2 * one, abs=2) and none <= 1


def test_lines_take_values_below_zero_and_above_one() -> None:
    assert plots.lines("title", "pictures", {"a": [0.5, -0.2], "b": [1.7, 0.3]}).width > 400
