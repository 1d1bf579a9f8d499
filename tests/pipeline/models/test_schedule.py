"""Few-step schedules, against the rule in words and against diffusers' own schedulers."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, LCMScheduler, PNDMScheduler, TCDScheduler
from torch import Tensor

from pipeline.models.catalogue import Distillation
from pipeline.models.schedule import PREDICTION_TYPES, Schedule, StepCoefficients, tcd_timesteps, timestep_indices

SHARES = [(1.0, 4), (1.0, 3), (0.75, 3), (0.5, 4), (0.5, 2), (0.6, 3), (0.2, 1), (1.0, 1)]
"""Strengths and steps that are a whole number of diffusers' steps: its img2img runs the last `int(N * strength)`."""


def drawn(steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """A source, predictions and noise, the same for the same number of steps."""
    source, *both = torch.randn(2 * steps + 1, 1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    return source, torch.stack(both[:steps]), torch.stack(both[steps:])


def trajectory(steps: tuple[StepCoefficients, ...], kind: str) -> list[Tensor]:
    """What each step begins with, and what the last one gives."""
    latents, predictions, noise = drawn(len(steps))
    passed = []
    for step, prediction, each in zip(steps, predictions, noise, strict=True):
        passed.append(step.noisy(latents, each))
        latents = step.denoised(prediction, passed[-1], kind)
    return [*passed, latents]


def test_the_published_default_gives_its_published_timesteps() -> None:
    assert timestep_indices(0.4, 4) == (30, 35, 40, 45)
    steps = Schedule.of(LCMScheduler()).steps(0.4, 4)
    assert [step.timestep for step in steps] == [399, 299, 199, 99]
    assert [round(step.sqrt_alpha, 4) for step in steps] == [0.6528, 0.7695, 0.8690, 0.9463]
    assert [round(step.sqrt_one_minus_alpha, 4) for step in steps] == [0.7576, 0.6386, 0.4947, 0.3233]


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8])
def test_every_step_has_its_own_position_on_the_grid(steps: int) -> None:
    for hundredths in range(0, 101):
        indices = timestep_indices(hundredths / 100, steps)
        assert len(indices) == steps, hundredths
        assert indices[0] >= 0 and indices[-1] <= 49, hundredths
        assert all(later > earlier for earlier, later in pairwise(indices)), hundredths


def test_one_step_starts_where_the_strength_says() -> None:
    assert [timestep_indices(tenths / 10, 1) for tenths in range(1, 11)] == [
        (50 - 5 * tenths,) for tenths in range(1, 11)
    ]


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("strength, steps", [(0.4, 4), (1.0, 3), (0.1, 4), (0.9, 1)])
def test_a_whole_trajectory_is_that_of_diffusers(prediction_type: str, strength: float, steps: int) -> None:
    scheduler = LCMScheduler(prediction_type=prediction_type)
    schedule = Schedule.of(scheduler)
    own_steps = schedule.steps(strength, steps)
    generator = torch.Generator().manual_seed(3)
    source, *predictions = torch.randn(steps + 1, 1, 4, 8, 8, generator=generator)
    noise = torch.randn(steps, 1, 4, 8, 8, generator=generator)

    scheduler.set_timesteps(timesteps=[step.timestep for step in own_steps], original_inference_steps=50)
    theirs = scheduler.add_noise(source, noise[0], scheduler.timesteps[:1])
    clean = source
    for index, (step, prediction) in enumerate(zip(own_steps, predictions, strict=True)):
        noisy = step.noisy(clean, noise[index])
        torch.testing.assert_close(noisy, theirs, rtol=1e-5, atol=1e-5)
        clean = step.denoised(prediction, noisy, schedule.prediction_type)
        with pytest.MonkeyPatch.context() as patch:
            following = noise[min(index + 1, steps - 1)]
            patch.setattr("diffusers.schedulers.scheduling_lcm.randn_tensor", lambda *_, n=following, **__: n)
            theirs = scheduler.step(prediction, step.timestep, theirs).prev_sample
    torch.testing.assert_close(clean, theirs, rtol=1e-5, atol=1e-5)


def test_reading_a_scheduler_changes_nothing_of_it() -> None:
    scheduler = LCMScheduler()
    before = scheduler.timesteps.clone()
    Schedule.of(scheduler)
    assert torch.equal(scheduler.timesteps, before) and scheduler.num_inference_steps is None


@pytest.mark.parametrize("config", [{"clip_sample": True}, {"thresholding": True}, {"prediction_type": "flow"}])
def test_what_the_coefficients_do_not_say_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="needed"):
        Schedule.of(LCMScheduler(**config))


def test_turbo_passes_the_timesteps_of_its_training() -> None:
    schedule = Schedule.of(LCMScheduler(), "turbo")
    assert [step.timestep for step in schedule.steps(1.0, 4)] == [999, 749, 499, 249]
    assert [step.timestep for step in schedule.steps(1.0, 1)] == [999]
    assert [step.timestep for step in schedule.steps(0.75, 3)] == [749, 499, 249]
    assert [step.timestep for step in schedule.steps(0.5, 2)] == [499, 249]


def test_turbo_is_no_consistency_model() -> None:
    for step in Schedule.of(LCMScheduler(), "turbo").steps(0.7, 4):
        assert (step.c_skip, step.c_out) == (0.0, 1.0)
        noisy, prediction = torch.tensor([2.0]), torch.tensor([0.5])
        clean = (noisy - step.sqrt_one_minus_alpha * prediction) / step.sqrt_alpha
        assert torch.equal(step.denoised(prediction, noisy, "epsilon"), clean)


@pytest.mark.parametrize("distillation", ["turbo", "euler", "tcd"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_every_move_of_strength_moves_where_trailing_timesteps_start(steps: int, distillation: Distillation) -> None:
    schedule = Schedule.of(LCMScheduler(), distillation)
    trajectories = [[step.timestep for step in schedule.steps(twentieths / 20, steps)] for twentieths in range(2, 21)]
    starts = [trajectory[0] for trajectory in trajectories]
    assert starts == sorted(set(starts))
    assert all(trajectory == sorted(set(trajectory), reverse=True) for trajectory in trajectories)
    assert all(0 <= trajectory[-1] for trajectory in trajectories)


@pytest.mark.parametrize("kind", [PNDMScheduler, DDIMScheduler, EulerDiscreteScheduler])
def test_of_another_scheduler_its_betas_and_its_prediction_are_taken(kind: type, tmp_path: Path) -> None:
    own = {"clip_sample": False} if kind is DDIMScheduler else {}
    kind(beta_start=0.001, beta_end=0.02, prediction_type="v_prediction", **own).save_pretrained(tmp_path)
    read = LCMScheduler.from_pretrained(tmp_path)
    assert read.config.prediction_type == "v_prediction"
    expected = Schedule.of(LCMScheduler(beta_start=0.001, beta_end=0.02, beta_schedule="linear"))
    assert [step.sqrt_alpha for step in Schedule.of(read).grid] == [step.sqrt_alpha for step in expected.grid]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of diffusers' own
@pytest.mark.parametrize(
    "prediction_type, zero_snr",
    [("epsilon", False), ("sample", False), ("v_prediction", False), ("v_prediction", True)],
)
@pytest.mark.parametrize("strength, steps", SHARES)
def test_eulers_way_is_that_of_diffusers_with_trailing_timesteps(
    prediction_type: str, strength: float, steps: int, zero_snr: bool
) -> None:
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    config = {**betas, "prediction_type": prediction_type, "rescale_betas_zero_snr": zero_snr}
    own = Schedule.of(LCMScheduler(**config), "euler").steps(strength, steps)
    scheduler = EulerDiscreteScheduler(timestep_spacing="trailing", **config)
    scheduler.set_timesteps(round(steps / strength))
    timesteps = scheduler.timesteps[-steps:]
    scheduler.set_begin_index(len(scheduler.timesteps) - steps)
    assert [step.timestep for step in own] == timesteps.tolist()

    source, predictions, noise = drawn(steps)
    theirs, passed = scheduler.add_noise(source, noise[0], timesteps[:1]), []
    for timestep, prediction in zip(timesteps, predictions, strict=True):
        passed.append(scheduler.scale_model_input(theirs, timestep))
        theirs = scheduler.step(prediction, timestep, theirs).prev_sample
    # Theirs goes through 4096 times the noise where its level is all: so it is rounded there.
    tolerance = 1e-3 if zero_snr else 1e-4
    for one, other in zip(trajectory(own, prediction_type), [*passed, theirs], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=tolerance)


def test_eulers_way_draws_noise_once() -> None:
    first, *others = Schedule.of(LCMScheduler(), "euler").steps(0.8, 4)
    assert (first.kept, first.fresh) == (first.sqrt_alpha, first.sqrt_one_minus_alpha)
    assert {(step.kept, step.fresh) for step in others} == {(1.0, 0.0)}
    assert (others[-1].c_skip, others[-1].c_out) == (0.0, 1.0)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_tcd_passes_the_timesteps_of_diffusers_at_every_strength(steps: int) -> None:
    starts = []
    for twentieths in range(2, 21):
        scheduler = TCDScheduler()
        scheduler.set_timesteps(steps, strength=twentieths / 20)
        assert list(tcd_timesteps(twentieths / 20, steps)) == scheduler.timesteps.tolist()
        starts.append(int(scheduler.timesteps[0]))
    assert starts == sorted(set(starts))


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.75, 1.0])
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("strength, steps", [(1.0, 4), (0.5, 2), (0.6, 3), (0.1, 4), (0.9, 1)])
def test_tcds_way_is_that_of_diffusers(prediction_type: str, strength: float, steps: int, gamma: float) -> None:
    scheduler = TCDScheduler(prediction_type=prediction_type)
    own = Schedule.of(LCMScheduler(prediction_type=prediction_type), "tcd").steps(strength, steps, gamma)
    scheduler.set_timesteps(steps, strength=strength)
    source, predictions, noise = drawn(steps)
    theirs, passed = scheduler.add_noise(source, noise[0], scheduler.timesteps[:1]), []
    for index, (timestep, prediction) in enumerate(zip(scheduler.timesteps, predictions, strict=True)):
        passed.append(theirs)
        with pytest.MonkeyPatch.context() as patch:
            following = noise[min(index + 1, steps - 1)]
            patch.setattr("diffusers.schedulers.scheduling_tcd.randn_tensor", lambda *_, n=following, **__: n)
            theirs = scheduler.step(prediction, timestep, theirs, eta=gamma).prev_sample
    for one, other in zip(trajectory(own, prediction_type), [*passed, theirs], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_gamma_is_read_by_tcd_alone() -> None:
    others: tuple[Distillation, ...] = ("lcm", "turbo", "euler", "none")
    for distillation in others:
        schedule = Schedule.of(LCMScheduler(), distillation)
        assert schedule.steps(0.8, 3, 0.1) == schedule.steps(0.8, 3, 0.9)
    schedule = Schedule.of(LCMScheduler(), "tcd")
    assert schedule.steps(0.8, 3, 0.1) != schedule.steps(0.8, 3, 0.9)
    assert schedule.steps(0.8, 1, 0.1) == schedule.steps(0.8, 1, 0.9)
