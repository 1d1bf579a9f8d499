"""Few-step denoising: which timesteps a frame passes, and what a prediction means there.

Latent consistency models (LCM) pass a grid of 50 timesteps and mix what they predict by the consistency function.
Students of adversarial distillation (ADD) predict clean latents outright. Between steps both are noised anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class StepCoefficients:
    """One denoising step: `noisy = sqrt_alpha * clean + sqrt_one_minus_alpha * noise` at `timestep`, and how the
    consistency function mixes the noisy latents (`c_skip`) with the predicted clean ones (`c_out`)."""

    timestep: int
    sqrt_alpha: float
    sqrt_one_minus_alpha: float
    c_skip: float
    c_out: float

    def noisy(self, clean: Tensor, noise: Tensor) -> Tensor:
        """Clean latents brought to this step's noise level; all `[B, C, h, w]`."""
        return self.sqrt_alpha * clean + self.sqrt_one_minus_alpha * noise

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
        """The consistency function (arXiv 2310.04378, eq. 9): all `[B, C, h, w]`."""
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

    def steps(self, strength: float, steps: int) -> tuple[StepCoefficients, ...]:
        """The steps of one frame, noisiest first."""
        is_lcm = self.distillation == "lcm"
        indices = timestep_indices(strength, steps) if is_lcm else trailing_indices(strength, steps, len(self.grid))
        return tuple(self.grid[index] for index in indices)


def _coefficients(scheduler: Any, timestep: int, distillation: Distillation) -> StepCoefficients:
    alpha = scheduler.alphas_cumprod[timestep].double().clamp(min=LEAST_ALPHA)
    c_skip, c_out = 0.0, 1.0
    if distillation == "lcm":
        c_skip, c_out = scheduler.get_scalings_for_boundary_condition_discrete(timestep)
    return StepCoefficients(timestep, float(alpha.sqrt()), float((1 - alpha).sqrt()), float(c_skip), float(c_out))
