"""Training of memories on tiny models: what a frame may see, losses fall, stopping changes nothing, engines load it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipeline import Engine, FrameSettings, Model, ModelError, load_model
from pipeline.frames.quality import warp_error, warped
from pipeline.memory.motion import load_motion
from pipeline.memory.window import Window
from pipeline.prompts.embeddings import PromptEmbeddings
from tests.conftest import TEXT_WIDTH
from tests.support.clips import write_clip
from tests.support.weights.motion import (
    all_frames,
    clip_pass,
    lively_motion,
    motion_model,
    only_earlier,
    plain_unet,
    training_mask,
)
from training.clips.stage import Clip
from training.memory import course
from training.memory.__main__ import PLANS, Plan, main, train
from training.memory.causal import CausalLearner, SegmentCall, visible
from training.memory.course import Course, carried_along, judged_frames, rate_at, stretches, unsteadiness
from training.memory.lessons import SceneLessons, Studio
from training.memory.scenes import along_motion, draw_moving_scene
from training.memory.seam import KnownMotion, Lesson, painter
from training.memory.videos import VideoLessons, clips_of, prompt_of, videos_in, write_clips

TINY = PLANS["tiny"]
SHORT = replace(TINY, course=replace(TINY.course, steps=4, looks_every=4, judged=2))
VIDEO_FRAMES = 8


@pytest.fixture(scope="module")
def work(tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished tiny run on drawn scenes."""
    folder = tmp_path_factory.mktemp("memory")
    train("causal", TINY, folder, tiny_model)
    return folder


@pytest.fixture(scope="module")
def scene() -> Clip:
    return draw_moving_scene(np.random.default_rng(4), 6, 64)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_clip(folder / "corners.mp4", range(0, 40 * 512, 512))
    (folder / "corners.txt").write_text("four corners\n")
    write_clip(folder / "short.mkv", range(0, 10 * 512, 512))
    return folder


def lesson_of(count: int) -> Lesson:
    generator = torch.Generator().manual_seed(3)
    text = torch.randn(1, 7, TEXT_WIDTH, generator=generator)
    samples = torch.randn(1, count, 4, 6, 4, generator=generator)
    return Lesson(samples, torch.tensor([500]), PromptEmbeddings(text), samples, (48, 32))


def linked(follows: tuple[bool, ...]) -> Lesson:
    """A lesson of which nothing is known but which frames follow each other."""
    nothing = torch.zeros(1, len(follows), 4, 6, 4)
    return replace(lesson_of(len(follows)), motion=KnownMotion(nothing, nothing, nothing, follows))


@pytest.mark.parametrize("alone", [False, True])
def test_a_segment_in_one_call_is_the_masked_motion_model(alone: bool) -> None:
    """Past the wrap of the window, for sinks that see each other and for those that come one by one."""
    window, count = Window(4, 2), 7
    unet = plain_unet().requires_grad_(False)
    learner = CausalLearner(lively_motion(unet, window))
    lesson = lesson_of(count)

    def seen(frame: int, count: int) -> list[int]:
        return only_earlier(frame, count) if alone and frame < window.sinks else training_mask(window)(frame, count)

    with learner.installed(unet), torch.no_grad():
        predicted = painter(unet)(lesson, slice(None), SegmentCall(window, count, alone))
    expected = clip_pass(motion_model(unet, learner.motion, seen), lesson.samples[0], 500, lesson.embeddings.tokens)
    torch.testing.assert_close(predicted[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("window", [Window(), Window(6, 2), Window(3, 1)])
def test_what_is_seen_in_training_is_the_mask(window: Window) -> None:
    count = window.length + 5
    for frame in range(count):
        assert visible(window, frame, count, alone=False) == training_mask(window)(frame, count)
        wanted = only_earlier if frame < window.sinks else training_mask(window)
        assert visible(window, frame, count, alone=True) == wanted(frame, count)
    assert visible(Window(6, 3), 1, 2, alone=False) == all_frames(1, 2)


def test_gradients_reach_the_memory_and_no_weight_of_the_unet() -> None:
    unet = plain_unet().requires_grad_(False)
    learner = CausalLearner(lively_motion(unet, Window(3, 1)))
    before = [module for module in unet.modules() if module._forward_hooks or module._forward_pre_hooks]
    with learner.installed(unet):
        predicted, _ = learner.passed(painter(unet), lesson_of(4), None)
        predicted.square().mean().backward()
    assert all(each.grad is not None and bool(each.grad.any()) for each in learner.module.parameters())
    assert all(each.grad is None for each in unet.parameters())
    assert before == [module for module in unet.modules() if module._forward_hooks or module._forward_pre_hooks] == []


def test_a_unet_with_learning_modules_needs_its_call() -> None:
    unet = plain_unet().requires_grad_(False)
    learner = CausalLearner(lively_motion(unet, Window(3, 1)))
    with learner.installed(unet), pytest.raises(RuntimeError, match="needed: a SegmentCall"):
        painter(unet)(lesson_of(2), slice(None), None)


def test_segments_begin_at_the_first_frame_or_jump_to_the_last() -> None:
    learner = CausalLearner(lively_motion(plain_unet(), Window(4, 2)))
    rng = np.random.default_rng(0)
    found = {tuple(frames) for _ in range(20) for frames in learner.segments(rng, 12)}
    assert found == {(0, 1, 2, 3, 4, 5), (0, 1, 8, 9, 10, 11)}
    assert {tuple(frames) for _ in range(20) for frames in learner.segments(rng, 5)} == {(0, 1, 2, 3, 4)}


def test_paint_that_is_averaged_along_the_motion_stays_with_the_things(scene: Clip) -> None:
    rng = np.random.default_rng(0)
    painted = scene.clean.astype(np.float32) + rng.normal(0, 12, scene.clean.shape).astype(np.float32)
    steady = along_motion(painted, scene.flow, scene.visible, newest=0.2)
    assert warp_error(steady, scene.flow, scene.visible) < 0.5 * warp_error(painted, scene.flow, scene.visible)
    assert np.array_equal(steady[0], painted[0])
    assert np.array_equal(steady[3][~scene.visible[3]], painted[3][~scene.visible[3]])
    np.testing.assert_allclose(along_motion(painted, scene.flow, scene.visible, newest=1.0), painted, atol=1e-3)


def test_a_window_of_a_scene_knows_what_came_from_outside() -> None:
    rng = np.random.default_rng(11)
    for clip in (draw_moving_scene(rng, 4, 64) for _ in range(3)):
        rows, columns = np.mgrid[0:64, 0:64]
        sources = np.stack([columns, rows], -1) + clip.flow
        outside = ((sources < 0) | (sources > 63)).any(-1)
        assert not (clip.visible & outside).any()
        assert clip.frames.shape == (4, 64, 64, 3) and clip.visible[1:].any()


def test_a_picture_is_read_along_the_motion_as_it_is_measured(scene: Clip) -> None:
    previous, flow = scene.clean[1], scene.flow[2]
    read = carried_along(torch.from_numpy(previous).permute(2, 0, 1)[None].float(), torch.from_numpy(flow)[None])
    np.testing.assert_allclose(read[0].permute(1, 2, 0).numpy(), warped(previous, flow), atol=0.05)
    pictures = torch.from_numpy(scene.clean[1:3]).permute(0, 3, 1, 2)[None].float()
    measured = unsteadiness(
        pictures, torch.from_numpy(flow)[None, None], torch.from_numpy(scene.visible[2])[None, None]
    )
    expected = warp_error(
        scene.clean[1:3], scene.flow[1:3] * [[[[0]]], [[[1]]]], scene.visible[1:3] & [[[False]], [[True]]]
    )
    assert float(measured) == pytest.approx(expected, rel=1e-2)


def test_only_frames_that_follow_each_other_are_judged_together() -> None:
    lesson = linked((False, True, False, True, True))
    assert lesson.motion is not None
    assert stretches(lesson.motion) == [slice(0, 2), slice(2, 5)]
    rng = np.random.default_rng(0)
    chosen = [judged_frames(rng, lesson, 2) for _ in range(20)]
    assert all(each in (slice(2, 4), slice(3, 5)) for each in chosen) and len({str(each) for each in chosen}) == 2
    assert judged_frames(rng, lesson, 3) == judged_frames(rng, lesson, 6) == slice(2, 5)
    assert judged_frames(rng, lesson, 1) is None
    assert judged_frames(rng, lesson_of(4), 3) is None


def test_the_rate_rises_stays_and_falls() -> None:
    shares = [rate_at(step, 400) for step in range(400)]
    assert shares[0] < 0.05 and shares[60:280] == [1.0] * 220
    assert shares[281:] == sorted(shares[281:], reverse=True) and 0 < shares[-1] < 0.01


def looks_of(folder: Path) -> list[dict[str, float | str]]:
    return [json.loads(line) for line in (folder / "looks.jsonl").read_text().splitlines()]


def test_the_error_on_unseen_clips_is_kept_beside_that_without_a_memory(work: Path) -> None:
    off, half_way, last = looks_of(work / "causal")
    assert [each["memory"] for each in (off, half_way, last)] == ["off", "causal", "causal"]
    assert [each["step"] for each in (off, half_way, last)] == [0, TINY.course.steps // 2, TINY.course.steps]
    assert all(each[name] > 0 for each in (off, last) for name in ("prediction", "picture", "warp"))


def test_a_memory_learns_to_hold_a_scene_still(tiny_model: Model, work: Path, tmp_path: Path) -> None:
    """On the very scene that it was trained on: a few steps on two drawn ones say little about others."""
    alone = replace(TINY, scenes=1, course=Course(16, 1, 4, 2e-2, 16))
    for name in ("scenes", "held_out"):
        (tmp_path / name).mkdir()
        for file in (work / "scenes").glob("00000.*"):
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
    train("causal", alone, tmp_path, tiny_model)
    off, last = looks_of(tmp_path / "causal")
    assert float(last["warp"]) < float(off["warp"]) and float(last["picture"]) < 1.1 * float(off["picture"])


def test_what_was_learnt_is_loaded_by_an_engine_and_paints(work: Path, tiny_model: Model) -> None:
    folder = work / "causal" / "weights"
    motion = load_motion(folder)
    assert motion.causal and motion.window == Window(6, 2)
    tensors = load_file(next(folder.glob("*.safetensors")))
    assert {each.dtype for each in tensors.values()} == {torch.float16}
    with Engine(tiny_model, memory="causal", memory_weights=folder) as engine:
        session = engine.open()
        for shade in (90, 120, 150):
            picture = session.translate(np.full((32, 32, 3), shade, np.uint8), FrameSettings(prompt="oil painting"))
        assert picture.size == (32, 32) and session.nbytes > 0
    assert str(work) not in "".join(path.read_text() for path in folder.glob("*.json"))


def test_weights_beside_a_model_are_found_by_the_name_of_their_memory(
    work: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_folder, tmp_path / "model")
    shutil.copytree(work / "causal" / "weights", tmp_path / "model" / "causal")
    with Engine(load_model(tmp_path / "model", device="cpu", dtype=torch.float32), memory="causal") as engine:
        assert engine.memory_name == "causal"


def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    work: Path, tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
        for data in ("scenes", "held_out"):
            (tmp_path / name / data).symlink_to(work / data)
    train("causal", SHORT, tmp_path / "whole", tiny_model)
    original, calls = course.learnt, []

    def stops_at_the_third(*args: object) -> float:
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(course, "learnt", stops_at_the_third)
        patch.setattr(course, "SECONDS_BETWEEN_CHECKPOINTS", -1)
        with pytest.raises(KeyboardInterrupt):
            train("causal", SHORT, tmp_path / "stopped", tiny_model)
    assert load_motion(tmp_path / "stopped" / "causal" / "weights").causal
    assert len(train("causal", SHORT, tmp_path / "stopped", tiny_model)) == 2
    files = [next((tmp_path / name / "causal" / "weights").glob("*.safetensors")) for name in ("whole", "stopped")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_scenes_need_a_model_that_predicts_pictures(plain_model: Model) -> None:
    with pytest.raises(ModelError, match="--videos"):
        Studio(plain_model)


def test_lessons_need_data(tiny_model: Model, tmp_path: Path) -> None:
    for lessons in (SceneLessons, VideoLessons):
        with pytest.raises(FileNotFoundError, match="Run the data stage first"):
            lessons(tmp_path, tiny_model)
    with pytest.raises(FileNotFoundError, match="no videos"):
        videos_in(tmp_path)


def test_videos_are_cut_into_clips_and_bring_their_words(videos: Path) -> None:
    found = videos_in(videos)
    assert [path.name for path in found] == ["corners.mp4", "short.mkv"]
    clips = list(clips_of(found[0], VIDEO_FRAMES, 32))
    assert len(clips) == 5 and {frame.shape for clip in clips for frame in clip} == {(32, 32, 3)}
    assert [prompt_of(path, "anything") for path in found] == ["four corners", "anything"]


@pytest.mark.parametrize(("memory", "share"), [("causal", 0.97), ("recurrent", 0.99)])
def test_a_memory_for_stable_diffusion_is_trained_on_videos(
    memory: str, share: float, plain_folder: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command line, then on from what it made; the error on what is unseen falls."""
    arguments = [memory, "--work", str(tmp_path), "--plan", "tiny", "--model", str(plain_folder)]
    arguments += ["--videos", str(videos), "--prompt", "corners"]
    main([*arguments, "--steps", "16"])
    off, *looks = looks_of(tmp_path / memory)
    assert min(float(look["prediction"]) for look in looks) < share * float(off["prediction"])
    assert looks[-1]["warp"] is None
    assert "the weights are in" in capsys.readouterr().out
    started = ["--start", str(tmp_path / memory / "weights"), "--steps", "1"]
    main([*arguments[:2], str(tmp_path / "further"), *arguments[3:], *started])
    again = looks_of(tmp_path / "further" / memory)[-1]
    assert float(again["prediction"]) < float(off["prediction"])
    loaded = load_model(plain_folder, device="cpu", dtype=torch.float32)
    with Engine(loaded, memory=memory, memory_weights=tmp_path / "further" / memory / "weights") as engine:
        engine.open().translate(np.zeros((32, 32, 3), np.uint8), FrameSettings(prompt="cat", steps=1))


def test_videos_that_are_too_short_are_refused(videos: Path, plain_model: Model, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needed: two at least"):
        write_clips(tmp_path, videos, plain_model, "", 41, 32)


def test_noise_of_a_video_lesson_is_what_the_unet_is_to_find(videos: Path, plain_model: Model, tmp_path: Path) -> None:
    write_clips(tmp_path, videos, plain_model, "", VIDEO_FRAMES, 32)
    lessons = VideoLessons(tmp_path / "clips", plain_model)
    torch.manual_seed(0)
    fixed = []
    for _ in range(8):
        first, second = lessons.chosen([0, 1], lambda frames: [[0, 1, 2], [3, 4]])
        assert first.samples.shape == (2, 3, 4, 4, 4) and second.samples.shape == (2, 2, 4, 4, 4)
        alphas = plain_model.scheduler.alphas_cumprod[first.timesteps][:, None, None, None, None]
        sources: Tensor = (first.samples - (1 - alphas).sqrt() * first.wanted) / alphas.sqrt()
        if float(alphas.min()) > 0.1:
            assert float((sources[:, 0] - sources[:, 1]).abs().max()) < 0.05  # the video stands still
        fixed += [bool(torch.equal(each[0], each[1])) for each in first.wanted]
    assert 0 < sum(fixed) < len(fixed)


def test_plans_are_complete() -> None:
    assert set(PLANS) == {"full", "gpu", "tiny"}
    assert all(isinstance(plan, Plan) and plan.side % 32 == 0 for plan in PLANS.values())
