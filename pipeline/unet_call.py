"""One call of a UNet for rows of any frames: what goes in, and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from pipeline.prompts import PromptEmbeddings


@dataclass(frozen=True, eq=False)
class UnetInputs:
    """What one call takes, in batch order: samples `[B, C', h, w]`, a timestep (0..999) a row, int64 `[B]`, a prompt's
    embeddings a row, and a memory's opened call."""

    samples: Tensor
    timesteps: Tensor
    embeddings: PromptEmbeddings
    memory: Any


UnetRunner = Callable[[UNet2DConditionModel, UnetInputs], Tensor]
"""What makes a call: it gives what `predicted` gives, which a further call may overwrite."""


def predicted(unet: UNet2DConditionModel, inputs: UnetInputs) -> Tensor:
    """The UNet's prediction for each row, `[B, C, h, w]` float32."""
    prediction: Tensor = unet(
        inputs.samples.to(unet.dtype, memory_format=torch.channels_last),
        inputs.timesteps,
        encoder_hidden_states=inputs.embeddings.tokens,
        cross_attention_kwargs={"memory": inputs.memory},
        return_dict=False,
    )[0]
    return prediction.float()
