"""One call of a UNet for rows of any frames: what goes in, and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor

from pipeline.compute.attention import Likeness
from pipeline.errors import ModelError
from pipeline.prompts.embeddings import PromptEmbeddings

IMITATED_GUIDANCE = 7.5
"""The published default of LCM (a guidance of 8.5, less one); trained were 2 to 14, which no slider of ours reaches."""


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
    """What one call takes, in batch order: samples `[B, C', h, w]`, a timestep (0..999) a row, int64 `[B]`, a prompt's
    embeddings a row, a memory's opened call, the (height, width) in pixels that all of its frames have, and what a
    control adds, if any row is controlled, and what pictures add that rows are to be like, if any has one."""

    samples: Tensor
    timesteps: Tensor
    embeddings: PromptEmbeddings
    memory: Any
    frame_size: tuple[int, int]
    control: Residuals | None = None
    likeness: Likeness | None = None


def guidance_condition(unet: UNet2DConditionModel, rows: int) -> Tensor | None:
    """What a UNet that LCM distilled whole reads beside the time: an embedding of the guidance that its student was to
    imitate (arXiv 2310.04378, section 4.2), `[rows, time_cond_proj_dim]`; `None` for every other UNet."""
    width = unet.config.time_cond_proj_dim
    if width is None:
        return None
    scales = torch.full((rows,), 1000 * IMITATED_GUIDANCE, device=unet.device)
    embedding: Tensor = get_timestep_embedding(scales, width, flip_sin_to_cos=False, downscale_freq_shift=1)
    return embedding.to(unet.dtype)


def network_arguments(network: Any, inputs: UnetInputs) -> dict[str, Any]:
    """What a UNet and a ControlNet beside it are called with alike: tensors with a row each `[B, ...]`."""
    return {
        "sample": inputs.samples.to(network.dtype, memory_format=torch.channels_last),
        "timestep": inputs.timesteps,
        "encoder_hidden_states": inputs.embeddings.tokens,
        "added_cond_kwargs": added(network, inputs.embeddings, inputs.frame_size),
    }


UnetRunner = Callable[[UNet2DConditionModel, UnetInputs], Tensor]
"""What makes a call: it gives what `predicted` gives, which a further call may overwrite."""


def predicted(unet: UNet2DConditionModel, inputs: UnetInputs) -> Tensor:
    """The UNet's prediction for each row, `[B, C, h, w]` float32."""
    likeness = {} if inputs.likeness is None else {"likeness": inputs.likeness}
    prediction: Tensor = unet(
        **network_arguments(unet, inputs),
        **({} if inputs.control is None else inputs.control.arguments),
        timestep_cond=guidance_condition(unet, len(inputs.samples)),
        cross_attention_kwargs={"memory": inputs.memory, **likeness},
        return_dict=False,
    )[0]
    return prediction.float()


def added(network: Any, embeddings: PromptEmbeddings, frame_size: tuple[int, int]) -> dict[str, Tensor] | None:
    """What Stable Diffusion XL's networks add to its timesteps: pooled embeddings `[B, P]`, and sizes `[B, 6]` (section
    2.2 of arXiv 2307.01952), those of a whole picture of `frame_size`; `None` for a network that takes no such thing.

    Raises `ModelError` without pooled embeddings.
    """
    if network.config.addition_embed_type != "text_time":
        return None
    if embeddings.pooled is None:
        raise ModelError(
            "the model came with a UNet that reads pooled embeddings, and one text encoder; needed: Stable Diffusion "
            "XL's two, text_encoder and text_encoder_2. Take parts that belong together."
        )
    return {"text_embeds": embeddings.pooled, "time_ids": time_ids(frame_size, embeddings.pooled)}


def time_ids(frame_size: tuple[int, int], pooled: Tensor) -> Tensor:
    """(original height and width, top and left of the crop, target height and width) in pixels: float32 `[B, 6]`, for
    the B rows of `pooled` and on its device."""
    height, width = frame_size
    sides = (height, width, 0, 0, height, width)
    # Filled on the device: a tensor made of a list would be copied there, and the host would wait for it.
    return torch.cat([torch.full((len(pooled), 1), float(side), device=pooled.device) for side in sides], dim=1)
