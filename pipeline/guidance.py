"""Guidance: which prompts a frame is denoised under beside its own, and how their predictions become one."""

from __future__ import annotations

from torch import Tensor

from pipeline.settings import FrameSettings


def branch_prompts(settings: FrameSettings) -> tuple[str, ...]:
    """One prompt a guidance branch: the negative one takes part only where it acts."""
    return settings.prompts if settings.guidance > 1 else (settings.prompt,)


def guided(predictions: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance (arXiv 2207.12598) over `[prompt; negative prompt]` `[B, C, h, w]`: `[1, C, h, w]`."""
    if len(predictions) == 1:
        return predictions
    positive, negative = predictions.chunk(2)
    return negative + guidance * (positive - negative)
