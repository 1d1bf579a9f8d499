"""The recurrent memory on the harness that trains memories: what it learns, what it hands on, and what is loaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import Engine, FrameSettings, Model
from pipeline.frames.codec import Frame
from pipeline.memory.spatial import WEIGHTS_FILE, load_recurrent, untrained_recurrent
from tests.pipeline.engine.test_lanes import Visitor
from tests.support.weights.recurrent import lively_recurrent
from training.memory.__main__ import PLANS, new_recurrent, train
from training.memory.lessons import SceneLessons
from training.memory.recurrent import ANCHOR_SHARE, SEGMENT, RecurrentLearner
from training.memory.seam import Lesson, painter

WHOLE_CLIP, HALF_A_CLIP = 0, 2
"""Seeds."""
PLAN = replace(PLANS["tiny"], scenes=1, tasks=1, course=replace(PLANS["tiny"].course, steps=3, looks_every=3))


@pytest.fixture(scope="module")
def work(tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a short run has ended."""
    folder = tmp_path_factory.mktemp("memory")
    train("recurrent", PLAN, folder, tiny_model)
    return folder


def lessons_of(work: Path, model: Model) -> list[Lesson]:
    learner = RecurrentLearner(untrained_recurrent(model.unet))
    rng = np.random.default_rng(WHOLE_CLIP)
    return SceneLessons(work / "scenes", model).chosen([0, 0], lambda frames: learner.segments(rng, frames))


def test_a_run_leaves_what_is_shipped_and_is_not_done_twice(work: Path, tiny_model: Model) -> None:
    folder = work / "recurrent"
    looks = [json.loads(line) for line in (folder / "looks.jsonl").read_text().splitlines()]
    assert [look["memory"] for look in looks] == ["off", "recurrent"]
    before = (folder / "weights" / WEIGHTS_FILE).read_bytes()
    assert train("recurrent", PLAN, work, tiny_model) == []
    assert (folder / "weights" / WEIGHTS_FILE).read_bytes() == before
    start = load_recurrent(folder / "weights")
    assert start.anchor_share == ANCHOR_SHARE
    again = new_recurrent(tiny_model, folder / "weights", 1)
    states = [again.module.state_dict(), start.spatial.state_dict()]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert all(each.requires_grad for each in again.module.parameters())


def test_a_clip_is_passed_whole_or_to_its_middle(tiny_model: Model) -> None:
    learner = RecurrentLearner(untrained_recurrent(tiny_model.unet))
    for seed, expected in (
        (WHOLE_CLIP, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]),
        (HALF_A_CLIP, [[0, 1, 2, 3], [4, 5, 6, 7]]),
    ):
        assert learner.segments(np.random.default_rng(seed), 17) == expected


def test_its_loss_falls(work: Path, tiny_model: Model) -> None:
    """Asked for what the clip's first frame began with, in every frame."""
    learner = RecurrentLearner(untrained_recurrent(tiny_model.unet, ANCHOR_SHARE))
    painted, losses = painter(tiny_model.unet), []
    lesson = lessons_of(work, tiny_model)[0]
    wanted = lesson.samples[:, :1, : lesson.wanted.shape[2]]
    optimizer = torch.optim.Adam(learner.module.parameters(), lr=3e-2)
    with learner.installed(tiny_model.unet):
        for _ in range(12):
            predicted, _ = learner.passed(painted, lesson, None)
            loss = (predicted - wanted).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert losses[-1] < 0.95 * losses[0]


def test_a_segment_hands_on_what_its_last_frame_left_without_gradients(work: Path, tiny_model: Model) -> None:
    """Two segments are one stream: as if all frames had been passed at once."""
    learner = RecurrentLearner(lively_recurrent(tiny_model.unet, 0.25))
    lessons = lessons_of(work, tiny_model)
    assert [lesson.frames for lesson in lessons] == [SEGMENT] * (PLAN.frames // SEGMENT)
    whole = replace(lessons[0], samples=torch.cat([lesson.samples for lesson in lessons], dim=1))
    painted = painter(tiny_model.unet)
    with learner.installed(tiny_model.unet):
        parts, carried = [], None
        for lesson in lessons:
            predicted, carried = learner.passed(painted, lesson, carried)
            parts.append(predicted)
            assert carried is not None
            assert not any(tokens.requires_grad for tokens in (*carried.memory.values(), *carried.anchor.values()))
        expected, _ = learner.passed(painted, whole, None)
    torch.testing.assert_close(torch.cat(parts, dim=1), expected, rtol=0, atol=1e-5)


def test_it_learns_alone(work: Path, tiny_model: Model) -> None:
    learner = RecurrentLearner(lively_recurrent(tiny_model.unet, 0.25))
    lesson = lessons_of(work, tiny_model)[0]
    with learner.installed(tiny_model.unet):
        predicted, _ = learner.passed(painter(tiny_model.unet), lesson, None)
        predicted[:, -1].square().mean().backward()
    names = [name for name, each in learner.module.named_parameters() if each.grad is None or not each.grad.any()]
    assert names == []
    assert all(each.grad is None and not each.requires_grad for each in tiny_model.unet.parameters())


def test_the_engine_paints_with_what_was_learnt(work: Path, tiny_model: Model, frames: list[Frame]) -> None:
    settings, pictures = FrameSettings(prompt="oil painting", steadiness=0.0), []
    for memory, weights in (("none", None), ("recurrent", work / "recurrent" / "weights")):
        with Engine(tiny_model, memory=memory, memory_weights=weights) as engine:
            session = engine.open(Visitor(0, [settings]).seed)
            pictures.append([np.asarray(session.translate(each, settings)) for each in frames[:2]])
    assert not np.array_equal(pictures[0][1], pictures[1][1])
