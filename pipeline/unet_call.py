"""One call of a UNet for rows of any frames: what goes in, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from pipeline.prompts import PromptEmbeddings


@dataclass(frozen=True, eq=False)
class Residuals:
    """What a control adds inside a UNet, `[B, C, h, w]` each: to the features of each down block, and of the middle if
    there is one more (a T2I-Adapter), or to all that the down blocks hand over, and to the middle (a ControlNet)."""

    blocks: tuple[Tensor, ...] = ()
    skips: tuple[Tensor, ...] = ()
    middle: Tensor | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """As diffusers' UNet takes them."""
        if self.blocks:
            # A new list for each call: the UNet takes its items out.
            return {"down_intrablock_additional_residuals": list(self.blocks)}
        return {"down_block_additional_residuals": self.skips, "mid_block_additional_residual": self.middle}


@dataclass(frozen=True, eq=False)
class UnetInputs:
    """What one call takes, in batch order: samples `[B, C', h, w]`, a timestep (0..999) and a prompt's embeddings
    a row, a memory's opened call, and what a control adds, if any row is controlled."""

    samples: Tensor
    timesteps: Sequence[int]
    embeddings: PromptEmbeddings
    memory: Any
    control: Residuals | None = None


def network_arguments(network: Any, inputs: UnetInputs) -> dict[str, Any]:
    """What a UNet and a ControlNet beside it are called with alike: tensors with a row each `[B, ...]`."""
    return {
        "sample": inputs.samples.to(network.dtype, memory_format=torch.channels_last),
        "timestep": torch.tensor(inputs.timesteps, device=inputs.samples.device),
        "encoder_hidden_states": inputs.embeddings.tokens,
    }


def predicted(unet: UNet2DConditionModel, inputs: UnetInputs) -> Tensor:
    """The UNet's prediction for each row, `[B, C, h, w]` float32."""
    prediction: Tensor = unet(
        **network_arguments(unet, inputs),
        **({} if inputs.control is None else inputs.control.arguments),
        cross_attention_kwargs={"memory": inputs.memory},
        return_dict=False,
    )[0]
    return prediction.float()
