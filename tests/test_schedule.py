"""Few-step schedules, against the rule in words and against diffusers' own LCMScheduler."""

from __future__ import annotations

import pytest
import torch
from diffusers import LCMScheduler

from pipeline.schedule import PREDICTION_TYPES, Schedule, timestep_indices


def test_the_published_default_gives_its_published_timesteps() -> None:
    assert timestep_indices(0.4, 4) == (30, 35, 40, 45)
    steps = Schedule.of(LCMScheduler()).steps(0.4, 4)
    assert [step.timestep for step in steps] == [399, 299, 199, 99]
    assert [round(step.sqrt_alpha, 4) for step in steps] == [0.6528, 0.7695, 0.8690, 0.9463]
    assert [round(step.sqrt_one_minus_alpha, 4) for step in steps] == [0.7576, 0.6386, 0.4947, 0.3233]


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("hundredths", range(0, 101))
def test_every_step_has_its_own_position_on_the_grid(hundredths: int, steps: int) -> None:
    indices = timestep_indices(hundredths / 100, steps)
    assert len(indices) == steps
    assert indices[0] >= 0 and indices[-1] <= 49
    assert all(later > earlier for earlier, later in zip(indices, indices[1:], strict=False))


@pytest.mark.parametrize("tenths", range(1, 11))
def test_one_step_starts_where_the_strength_says(tenths: int) -> None:
    assert timestep_indices(tenths / 10, 1) == (50 - 5 * tenths,)


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
