"""Motion modules for tests: small UNets that have them, and the slow, obvious model that they are compared with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from diffusers import UNet2DConditionModel, UNetMotionModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch import Tensor, nn

from pipeline.memory.motion import Motion, placed, untrained_motion
from pipeline.memory.window import Window
from tests.conftest import TEXT_WIDTH

WINDOW = Window(length=5, sinks=3)

Visible = Callable[[int, int], list[int]]
"""The frames that one sees, oldest first, by its number and how many there are."""


def plain_unet() -> UNet2DConditionModel:
    """Of Stable Diffusion's kind, which diffusers can turn into a motion model: one level without attention."""
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=2,
    ).eval()


def lively_motion(unet: UNet2DConditionModel, window: Window = WINDOW, share: float = 0.5) -> Motion:
    """Random motion modules that change the picture."""
    motion = untrained_motion(unet, window)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for each in placed(motion.adapter, unet):
            for name, parameter in each.module.named_parameters():
                if name.startswith("proj_out") or ".to_" in name:
                    spread = share if parameter.ndim == 1 else 2 * share / math.sqrt(parameter.shape[1])
                    parameter.normal_(0, spread, generator=generator)
    motion.adapter.requires_grad_(False)
    return motion


def training_mask(window: Window) -> Visible:
    """Sinks see each other; a later frame sees the sinks and the newest, itself the last of them."""

    def visible(frame: int, count: int) -> list[int]:
        sinks = list(range(min(window.sinks, count)))
        newest = window.length - window.sinks
        return sinks if frame < window.sinks else sinks + list(range(max(window.sinks, frame - newest + 1), frame + 1))

    return visible


def only_earlier(frame: int, count: int) -> list[int]:
    """What a stream's first frames see when they come one by one."""
    return list(range(frame + 1))


def all_frames(frame: int, count: int) -> list[int]:
    """No mask."""
    return list(range(count))


class FrameByFrameNorm(nn.Module):
    """A group norm `[B, C, F, h, w]` of each frame by itself."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, features: Tensor) -> Tensor:
        return torch.stack([self.norm(frame) for frame in features.unbind(2)], dim=2)


class MaskedAttention:
    """A temporal attention over a whole clip, one query after another, with positions by place among what is seen."""

    def __init__(self, embedding: Tensor, visible: Visible) -> None:
        self.embedding, self.visible = embedding, visible

    def __call__(self, attn: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        places, count, width = hidden_states.shape
        outputs = []
        for frame in range(count):
            seen = self.visible(frame, count)
            context = hidden_states[:, seen] + self.embedding[: len(seen)]
            query = attn.to_q(hidden_states[:, frame] + self.embedding[seen.index(frame)])
            q = query.view(places, 1, attn.heads, -1).transpose(1, 2)
            k, v = (
                each(context).view(places, len(seen), attn.heads, -1).transpose(1, 2) for each in (attn.to_k, attn.to_v)
            )
            weights = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).softmax(-1)
            outputs.append(attn.to_out[0]((weights @ v).transpose(1, 2).reshape(places, 1, width)))
        return torch.cat(outputs, dim=1)


def motion_model(unet: UNet2DConditionModel, motion: Motion, visible: Visible) -> UNetMotionModel:
    """diffusers' own model of the same weights, over whole clips, under a mask, each frame normed by itself."""
    model = UNetMotionModel.from_unet2d(unet, motion.adapter).eval()
    for module in model.modules():
        if isinstance(module, AnimateDiffTransformer3D):
            module.norm = FrameByFrameNorm(module.norm)
            for block in module.transformer_blocks:
                embedding = block.pos_embed.pe[0]
                block.pos_embed = None
                for attention in (block.attn1, block.attn2):
                    attention.processor = MaskedAttention(embedding, visible)
    return model


def clip_pass(model: UNetMotionModel, samples: Tensor, timestep: int, text: Tensor) -> Tensor:
    """A motion model's output `[F, C, h, w]` for all frames of a clip at once."""
    with torch.inference_mode():
        sample = samples.transpose(0, 1)[None]
        output = model(sample, timestep, encoder_hidden_states=text.expand(len(samples), -1, -1), return_dict=False)[0]
    return output[0].transpose(0, 1)
