"""A run of every stage on tiny sizes: it resumes, its model loads and paints, and no path of the machine is in it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import training.train as training
from pipeline import Engine, FrameSettings, load_model, with_decoder
from pipeline.frames.recurrent_decoder import remembers
from pipeline.models.load import cpu_computes_bfloat16, find_entry
from tests.support.icons import simple_icons
from tests.support.weights.features import write_small_features
from training.meaning.stage import Notes
from training.model import tensors
from training.model.export import load_parts
from training.texture.guiding import Guiding
from training.texture.loop import Pace
from training.texture.painting import Material, Painting, PaintingPlan
from training.train import PLANS, Run, Stage, main, train_all


def prepared(work: Path) -> Path:
    """A work folder with all that would be fetched."""
    icons = simple_icons()
    (work / "icons").mkdir(parents=True)
    np.save(work / "icons" / "icons.npy", icons.pictures)
    (work / "icons" / "icons.json").write_text(json.dumps(icons.rows))
    write_small_features(work / "carried" / "features.safetensors")
    return work


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work folder of a finished tiny run."""
    work = prepared(tmp_path_factory.mktemp("run") / "work")
    main(["--plan", "tiny", "--work", str(work), "--workers", "1"])
    return work


def test_the_model_loads_and_paints(work: Path) -> None:
    with Engine(load_model(work / "model", dtype=torch.float32), size=(64, 64)) as engine:
        picture = engine.open().translate(np.full((64, 64, 3), 200, np.uint8), FrameSettings(prompt="clay, a house"))
    assert picture.size == (64, 64)


def test_every_stage_leaves_a_sheet_and_changes_what_it_trains(work: Path) -> None:
    stages = [stage.name for stage in PLANS["tiny"].stages]
    assert {file.name.rsplit("_", 1)[0] for file in (work / "sheets").iterdir() if file.name != "scores.txt"} == {
        "meaning",
        *stages,
        "remembering",
        "sketches",
    }
    names = ["start", "codec", "meaning", *stages[1:]]
    ends = [load_parts(work / name) for name in names]
    weights = [(each.codec.decoder.state_dict()["layers.0.weight"], each.unet.conv_in.weight) for each in ends]
    changed = [
        {
            part
            for part, one, other in zip(("decoder", "unet"), before, after, strict=True)
            if not torch.equal(one, other)
        }
        for before, after in zip(weights, weights[1:], strict=False)
    ]
    of_decoder = {"codec", "sharpening"}
    assert changed == [{"decoder"} if name in of_decoder else {"unet"} for name in names[1:]]


def test_one_call_learns_what_guidance_shows(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(tensors, "cpu_computes_bfloat16", lambda: False)
    run = Run(PLANS["tiny"], work, work / "start", True, "cpu", 0, 1)
    stage = Stage("guidance", Pace(1, 2, 1e-3), 64, later=0.0, learns="guidance")
    data = Material(run.turns(stage), work / "icons", run.features)
    plan = PaintingPlan("guidance", 2, 0, 0.0)
    learner = Guiding(plan, work / "pixels", data, work / "guided", torch.device("cpu"))
    optimizer, losses, notes = torch.optim.Adam(learner.shipped, 1e-5), list[float](), Notes()
    with learner.open():
        for _ in range(20):
            learner.before_step()
            loss = learner.loss(np.random.default_rng(0), notes)
            optimizer.zero_grad()
            loss.backward()
            learner.before_update()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert 0 < losses[-1] < 0.5 * losses[0]


def test_a_later_step_learns_under_the_noise_of_the_first(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(PLANS["tiny"], work, work / "start", True, "cpu", 0, 1)
    data = Material(run.turns(Stage("pixels", Pace(1, 2, 1e-3), 64)), work / "icons", run.features)
    learner = Painting(
        PaintingPlan("pixels", 4, 0, later=1.0), work / "pixels", data, work / "out", torch.device("cpu")
    )
    noised, noises = learner.painter.noised, list[torch.Tensor]()

    def noted(latents: torch.Tensor, noise: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        noises.append(noise)
        return noised(latents, noise, timestep)

    monkeypatch.setattr(learner.painter, "noised", noted)
    with learner.open():
        learner.before_step()
        learner.loss(np.random.default_rng(0), Notes())
    _, first, later = noises
    assert len(first) > 0 and torch.equal(first, later)


def test_it_comes_with_a_decoder_that_remembers(work: Path) -> None:
    model = with_decoder(load_model(work / "model", dtype=torch.float32), "steadier")
    assert remembers(model.vae)
    with Engine(model, size=(64, 64)) as engine:
        session = engine.open()
        first, second = (session.translate(np.full((64, 64, 3), 200, np.uint8)) for _ in range(2))
    assert first.size == second.size == (64, 64)


def test_every_word_of_a_look_is_one_token(work: Path) -> None:
    tokenizer = load_parts(work / "model").tokenizer
    assert len(tokenizer("claymation").input_ids) == 3


def test_the_model_says_which_things_it_was_taught(work: Path) -> None:
    entry = find_entry(work / "model")
    assert "cat" in entry.subjects
    assert list(entry.subjects) == sorted(set(entry.subjects))


def test_a_finished_run_trains_nothing_again(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "run_team", None)
    main(["--plan", "tiny", "--work", str(work), "--workers", "1"])


def test_it_trains_in_the_precision_that_this_cpu_lacks_or_need_not_take(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = prepared(tmp_path / "work")
    for each in work.glob("*_*px"):
        shutil.copytree(each, other / each.name)
    monkeypatch.setattr(tensors, "cpu_computes_bfloat16", lambda: not cpu_computes_bfloat16())
    judged = [stage for stage in PLANS["tiny"].stages if stage.learns == "codec" or stage.judged]
    once = tuple(replace(stage, pace=replace(stage.pace, steps=1)) for stage in judged)
    run = Run(replace(PLANS["tiny"], meaning=None, stages=once), other, work / "model", True, "cpu", 0, 1)
    before, after = load_parts(work / "model").unet, load_parts(train_all(run)).unet
    assert after.conv_in.weight.isfinite().all() and not torch.equal(before.conv_in.weight, after.conv_in.weight)


def test_from_a_trained_model_the_encoder_stays_and_a_stage_goes_on_from_its_checkpoint(
    work: Path, tmp_path: Path
) -> None:
    pace = Pace(1, 2, 1e-3)
    plan = replace(
        PLANS["tiny"],
        meaning=None,
        sets=PLANS["tiny"].sets[:1],
        stages=(Stage("codec", pace, 32), Stage("looks_32", pace, 32)),
    )
    run = Run(plan, prepared(tmp_path / "work"), work / "model", True, "cpu", 0, 1)
    before, after = load_parts(work / "model"), load_parts(train_all(run))
    for name, value in before.codec.encoder.state_dict().items():
        assert torch.equal(value, after.codec.encoder.state_dict()[name])
    (run.work / "looks_32.done").unlink()
    longer = replace(plan, stages=(plan.stages[0], Stage("looks_32", replace(pace, steps=2), 32)))
    again = load_parts(train_all(replace(run, plan=longer)))
    assert not torch.equal(after.unet.conv_in.weight, again.unet.conv_in.weight)


def test_no_path_of_the_machine_is_exported(work: Path) -> None:
    for file in (work / "model").rglob("*.json"):
        assert str(work.parent) not in file.read_text()


def test_a_gpu_trains_in_one_process_and_a_cpu_in_two_at_most() -> None:
    run = Run(PLANS["tiny"], Path("work"), Path("start"), False, "cpu", 0, 8)
    assert (run.team, replace(run, device="cuda").team, replace(run, workers=1).team) == (2, 1, 1)
    minutes = [stage.pace.minutes for stage in PLANS["gpu"].stages]
    assert sum(minutes) <= 20


def test_first_drawings_take_two_turns_and_one_where_pictures_are_judged_and_close_ups_one() -> None:
    run = Run(PLANS["tiny"], Path("work"), Path("start"), False, "cpu", 0, 1)
    stage = Stage("parts", Pace(1, 2, 1e-3), 64, beside=32, first=48, close=40)
    names = "first_48px", "close_40px", "scenes_32px", "scenes_64px"
    first, close, small, large = (Path("work") / name for name in names)
    assert run.turns(stage) == [first, first, close, small, large]
    assert run.turns(replace(stage, judged=1)) == [first, close, small, large]
    assert run.turns(replace(stage, first=0, close=0)) == [small, large]
