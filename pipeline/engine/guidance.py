"""Guidance: which prompts a frame is denoised under beside its own, and how their predictions become one.

Classifier-free guidance (arXiv 2207.12598, eq. 6) evaluates a negative prompt at each step and goes past it,
`n + g (p - n)`. Residual guidance (StreamDiffusion, arXiv 2312.12491, section 3.2) puts a virtual noise in the place of
the negative prompt's: the one that leads from the noisy latents back to an anchor, clean latents that are known. That
is the source for "self", and for "onetime" what the negative prompt predicts at the first step of the frame.

Everything here is a function of one frame: nothing of it is carried to the next, so nothing can go stale or diverge.
"""

from __future__ import annotations

from torch import Tensor

from pipeline.models.schedule import StepCoefficients
from pipeline.settings import FrameSettings


def branch_prompts(settings: FrameSettings) -> tuple[str, ...]:
    """One prompt a guidance branch: the negative one takes part only where it acts."""
    return settings.prompts if settings.negative_acts else (settings.prompt,)


def branch_count(settings: FrameSettings, step: int) -> int:
    """How many branches a step of a frame has (0 is the noisiest), which is how many rows it takes in a UNet call."""
    evaluates_negative = settings.negative_acts and (settings.guidance_kind == "full" or step == 0)
    return 2 if evaluates_negative else 1


def rows_of_frame(settings: FrameSettings) -> int:
    """How many rows all steps of a frame take: of n steps n for "self" and "none", n + 1 for "onetime", 2 n for
    "full"."""
    return sum(branch_count(settings, step) for step in range(settings.steps))


def classifier_free(positive: Tensor, negative: Tensor, guidance: float) -> Tensor:
    """`n + g (p - n)` of two predictions `[1, C, h, w]`.

    The weights come to 1, and at one step a noise, clean latents and a velocity are affine in each other: so it is the
    same whichever of them a model predicts.
    """
    return negative + guidance * (positive - negative)


def residual_noise(step: StepCoefficients, noisy: Tensor, anchor: Tensor) -> Tensor:
    """The virtual residual noise `(x - sqrt(a) x0) / sqrt(1 - a)`, which leads from the noisy latents x back to the
    anchor x0, all `[1, C, h, w]`. At the first step, with the source as anchor, it is the noise of that step.
    """
    return (noisy - step.sqrt_alpha * anchor) / step.sqrt_one_minus_alpha


def guided(
    predictions: Tensor,
    noisy: Tensor,
    anchor: Tensor,
    step: StepCoefficients,
    prediction_type: str,
    settings: FrameSettings,
) -> tuple[Tensor, Tensor]:
    """The guided prediction of one step of a frame, and the anchor of its next steps, `[1, C, h, w]` each.

    predictions are those of the step's branches, `[prompt; negative prompt]` or `[prompt]` alone. With the scale d of
    the residual noise s the guided noise is `d s + g (e - d s)`, the paper's; whatever the model predicts, `d s` is
    brought to it first. `g = 1` is the prediction for the prompt alone.
    """
    positive, negative = predictions[:1], predictions[1:]
    if not settings.guides:
        return positive, anchor
    if settings.guidance_kind == "full":
        return classifier_free(positive, negative, settings.guidance), anchor
    if len(negative):
        anchor = step.predicted_clean(negative, noisy, prediction_type)
    virtual_noise = settings.residual_scale * residual_noise(step, noisy, anchor)
    virtual = step.prediction_of(virtual_noise, noisy, prediction_type)
    return classifier_free(positive, virtual, settings.guidance), anchor
