"""One call of a UNet for rows of any frames: what goes in, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor

from pipeline.prompts import PromptEmbeddings

IMITATED_GUIDANCE = 7.5
"""The published default of LCM (a guidance of 8.5, less one); trained were 2 to 14, which no slider of ours reaches."""


@dataclass(frozen=True, eq=False)
class UnetInputs:
    """What one call takes, in batch order: samples `[B, C', h, w]`, a timestep (0..999) and a prompt's embeddings
    a row, and a memory's opened call."""

    samples: Tensor
    timesteps: Sequence[int]
    embeddings: PromptEmbeddings
    memory: Any


def guidance_condition(unet: UNet2DConditionModel, rows: int) -> Tensor | None:
    """What a UNet that LCM distilled whole reads beside the time: an embedding of the guidance that its student was to
    imitate (arXiv 2310.04378, section 4.2), `[rows, time_cond_proj_dim]`; `None` for every other UNet."""
    width = unet.config.time_cond_proj_dim
    if width is None:
        return None
    scales = torch.full((rows,), 1000 * IMITATED_GUIDANCE, device=unet.device)
    embedding: Tensor = get_timestep_embedding(scales, width, flip_sin_to_cos=False, downscale_freq_shift=1)
    return embedding.to(unet.dtype)


def predicted(unet: UNet2DConditionModel, inputs: UnetInputs) -> Tensor:
    """The UNet's prediction for each row, `[B, C, h, w]` float32."""
    prediction: Tensor = unet(
        inputs.samples.to(unet.dtype, memory_format=torch.channels_last),
        torch.tensor(inputs.timesteps, device=inputs.samples.device),
        encoder_hidden_states=inputs.embeddings.tokens,
        timestep_cond=guidance_condition(unet, len(inputs.samples)),
        cross_attention_kwargs={"memory": inputs.memory},
        return_dict=False,
    )[0]
    return prediction.float()
