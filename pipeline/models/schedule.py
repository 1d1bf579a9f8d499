"""Few-step denoising: which timesteps a frame passes, and what a prediction means there.

Latent consistency models (LCM) pass a grid of 50 timesteps and mix what they predict by the consistency function.
Students of adversarial distillation (ADD) predict clean latents outright. Between steps both are noised anew. Euler's
way keeps the noise that the model saw and lessens it, so nothing is random after the first step; trajectory consistency
(TCD) goes past the next step's level and comes back to it with fresh noise, by as much as gamma says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from diffusers import LCMScheduler
from torch import Tensor

from pipeline.models.catalogue import Distillation

GRID_STEPS = 50
PREDICTION_TYPES = ("epsilon", "sample", "v_prediction")


def timestep_indices(strength: float, steps: int) -> tuple[int, ...]:
    """Positions on the 50-step grid (0 is pure noise), `int(50 (1 - s)) + i * (int(50 s) // n)`.

    strength in 0..1, steps at least 1. Where strength leaves fewer positions than steps, each step still takes its
    own, and none lies past the end of the grid.
    """
    # The small term takes out the rounding of binary fractions: 50 * (1 - 0.9) is 5, not 4.999.
    first = int(GRID_STEPS * (1 - strength) + 1e-6)
    span = int(GRID_STEPS * strength + 1e-6)
    stride = max(1, span // steps)
    first = min(first, GRID_STEPS - 1 - (steps - 1) * stride)
    return tuple(first + index * stride for index in range(steps))


def trailing_indices(strength: float, steps: int, grid: int = 1000) -> tuple[int, ...]:
    """Positions on the grid of all timesteps (0 is pure noise): `steps` even shares of the last `strength` of it.

    strength in 0.1..1, steps at most a tenth of the grid. At full strength these are the trailing timesteps of ADD's
    training (arXiv 2311.17042, section 3: 999, 749, 499, 249 for four), which a strength of k quarters over k steps
    meets too; in between the start follows strength evenly, so that no move of the slider is without effect.
    """
    span = strength * grid
    return tuple(round(grid - span + index * span / steps) for index in range(steps))


def tcd_timesteps(strength: float, steps: int, grid: int = 1000) -> tuple[int, ...]:
    """The timesteps of TCD, noisiest first: `steps` even shares, rounded up, of the last `strength` of 50.

    strength in 0..1, steps at most the share of 50. They are those of diffusers' `TCDScheduler` at the same strength.
    """
    span = int(GRID_STEPS * strength + 1e-6)
    return tuple((span - index * span // steps) * (grid // GRID_STEPS) - 1 for index in range(steps))


@dataclass(frozen=True)
class StepCoefficients:
    """One denoising step at `timestep`, where `noisy = sqrt_alpha * clean + sqrt_one_minus_alpha * noise`.

    `kept * latents + fresh * noise` brings what the step before has given, or the source, to this noise level, and the
    step gives `c_out * clean + c_skip * noisy`, with the clean latents that the model predicts.
    """

    timestep: int
    sqrt_alpha: float
    sqrt_one_minus_alpha: float
    c_skip: float
    c_out: float
    kept: float
    fresh: float

    @classmethod
    def noised_anew(cls, timestep: int, alpha: float) -> StepCoefficients:
        """A step that takes clean latents, or what passes for them, and gives clean ones; alpha is the cumulated."""
        sqrt_alpha, sqrt_one_minus_alpha = math.sqrt(alpha), math.sqrt(1 - alpha)
        return cls(timestep, sqrt_alpha, sqrt_one_minus_alpha, 0.0, 1.0, sqrt_alpha, sqrt_one_minus_alpha)

    def noisy(self, latents: Tensor, noise: Tensor) -> Tensor:
        """What the step before has given, or the source, at this step's noise level; all `[B, C, h, w]`."""
        return self.kept * latents + self.fresh * noise

    def leading_to(self, sqrt_alpha: float, sqrt_one_minus_alpha: float) -> StepCoefficients:
        """The same step, giving the clean latents that it predicts with the noise that it predicts, at another level:
        DDIM's without randomness (arXiv 2010.02502, eq. 12), Euler's in the variable of arXiv 2206.00364."""
        c_skip = sqrt_one_minus_alpha / self.sqrt_one_minus_alpha
        return replace(self, c_skip=c_skip, c_out=sqrt_alpha - c_skip * self.sqrt_alpha)

    def predicted_clean(self, prediction: Tensor, noisy: Tensor, prediction_type: str) -> Tensor:
        """The clean latents that a UNet's prediction means, all `[B, C, h, w]`."""
        if prediction_type == "epsilon":
            return (noisy - self.sqrt_one_minus_alpha * prediction) / self.sqrt_alpha
        if prediction_type == "v_prediction":
            return self.sqrt_alpha * noisy - self.sqrt_one_minus_alpha * prediction
        return prediction

    def prediction_of(self, noise: Tensor, noisy: Tensor, prediction_type: str) -> Tensor:
        """The prediction that would mean this noise in the noisy latents, all `[B, C, h, w]`: from
        `noisy = sqrt_alpha * clean + sqrt_one_minus_alpha * noise` and the velocity
        `sqrt_alpha * noise - sqrt_one_minus_alpha * clean` (arXiv 2202.00512, appendix D)."""
        if prediction_type == "epsilon":
            return noise
        if prediction_type == "v_prediction":
            return (noise - self.sqrt_one_minus_alpha * noisy) / self.sqrt_alpha
        return (noisy - self.sqrt_one_minus_alpha * noise) / self.sqrt_alpha

    def denoised(self, prediction: Tensor, noisy: Tensor, prediction_type: str) -> Tensor:
        """What the step gives, all `[B, C, h, w]`; of an LCM, its consistency function (arXiv 2310.04378, eq. 9)."""
        return self.c_out * self.predicted_clean(prediction, noisy, prediction_type) + self.c_skip * noisy


LEAST_ALPHA = 2.0**-24
"""Of the signal's share in noise alone, which some models are trained on: what is divided by it stays finite."""


@dataclass(frozen=True)
class Schedule:
    """The coefficients of all grid positions, what the UNet predicts, and how it learned to do so in few steps."""

    grid: tuple[StepCoefficients, ...]
    prediction_type: str
    distillation: Distillation = "lcm"

    @classmethod
    def of(cls, scheduler: LCMScheduler, distillation: Distillation = "lcm") -> Schedule:
        """Read from a scheduler, which stays as it is. Only an LCM gets the grid and the function of LCMs.

        Raises `ValueError` for a configuration that asks for more than these coefficients say.
        """
        config = scheduler.config
        if config.prediction_type not in PREDICTION_TYPES:
            raise ValueError(
                f"prediction_type came as {config.prediction_type!r}; needed: one of {', '.join(PREDICTION_TYPES)}."
            )
        if config.clip_sample or config.thresholding:
            raise ValueError("the scheduler clips or thresholds latents; needed: one with both of these off.")
        own = LCMScheduler.from_config(config)
        timesteps: Iterable[int] = reversed(range(config.num_train_timesteps))
        if distillation == "lcm":
            own.set_timesteps(GRID_STEPS, original_inference_steps=GRID_STEPS)
            timesteps = own.timesteps.tolist()
        grid = tuple(_coefficients(own, timestep, distillation) for timestep in timesteps)
        return cls(grid, config.prediction_type, distillation)

    def steps(self, strength: float, steps: int, gamma: float = 1.0) -> tuple[StepCoefficients, ...]:
        """The steps of one frame, noisiest first; `gamma`, in 0..1, is read by TCD alone."""
        last = len(self.grid) - 1
        if self.distillation == "lcm":
            return tuple(self.grid[index] for index in timestep_indices(strength, steps))
        if self.distillation == "tcd":
            levels = [self.grid[last - timestep] for timestep in tcd_timesteps(strength, steps, len(self.grid))]
            return _tcd_steps(levels, self.grid, gamma)
        trailing = [self.grid[index] for index in trailing_indices(strength, steps, len(self.grid))]
        return _euler_steps(trailing) if self.distillation == "euler" else tuple(trailing)


def _euler_steps(levels: Sequence[StepCoefficients]) -> tuple[StepCoefficients, ...]:
    """Euler's steps from each level to the next, and from the last to clean latents: the noise that the model predicts
    stays, so what a step gives is what the next begins with."""
    targets = [(level.sqrt_alpha, level.sqrt_one_minus_alpha) for level in levels[1:]]
    first, *others = (level.leading_to(*target) for level, target in zip(levels, [*targets, (1.0, 0.0)], strict=True))
    return (first, *(replace(each, kept=1.0, fresh=0.0) for each in others))


def _tcd_steps(
    levels: Sequence[StepCoefficients], grid: Sequence[StepCoefficients], gamma: float
) -> tuple[StepCoefficients, ...]:
    """Strategic stochastic sampling (arXiv 2402.19159): from each level past the next to `(1 - gamma)` of
    its timestep, and back to it with fresh noise; the last leads to timestep 0, as diffusers' `TCDScheduler` has it."""
    steps, incoming = [], levels[0]
    for index, level in enumerate(levels):
        following = levels[index + 1] if index + 1 < len(levels) else grid[-1]
        passed = grid[len(grid) - 1 - math.floor((1 - gamma) * following.timestep)]
        led = level.leading_to(passed.sqrt_alpha, passed.sqrt_one_minus_alpha)
        steps.append(replace(led, kept=incoming.kept, fresh=incoming.fresh))
        kept = following.sqrt_alpha / passed.sqrt_alpha
        incoming = replace(following, kept=kept, fresh=math.sqrt(1 - kept**2))
    return tuple(steps)


def _coefficients(scheduler: Any, timestep: int, distillation: Distillation) -> StepCoefficients:
    step = StepCoefficients.noised_anew(timestep, max(float(scheduler.alphas_cumprod[timestep]), LEAST_ALPHA))
    if distillation != "lcm":
        return step
    c_skip, c_out = map(float, scheduler.get_scalings_for_boundary_condition_discrete(timestep))
    return replace(step, c_skip=c_skip, c_out=c_out)
