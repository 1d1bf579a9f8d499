"""Recurrent memories for tests: small ones that change the picture, and the slow, obvious one that they are held to."""

from __future__ import annotations

import math

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from pipeline.memory.spatial import BlockMemory, Recurrent, untrained_recurrent


def lively_recurrent(unet: UNet2DConditionModel, anchor_share: float = 0.25) -> Recurrent:
    """Random weights, so that what is remembered shows."""
    recurrent = untrained_recurrent(unet, anchor_share)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in recurrent.spatial.named_parameters():
            if ".to_" in name:
                parameter.normal_(0, 2 / math.sqrt(len(parameter)), generator=generator)
    recurrent.spatial.requires_grad_(False)
    return recurrent


def norm_of(token: Tensor) -> Tensor:
    """One token `[C]` with mean 0 and deviation 1."""
    centred = token - token.mean()
    return centred / (centred.square().mean() + 1e-5).sqrt()


def obvious_first(block: BlockMemory) -> Tensor:
    """`m_ij = w + FFN([i - h/2, j - w/2])`, token by token, `[64, C]`."""
    first, second = block.place[0], block.place[2]
    tokens = []
    for i in range(8):
        for j in range(8):
            place = torch.tensor([i - 8 / 2, j - 8 / 2])
            hidden = nn.functional.gelu(first.weight @ place + first.bias)
            tokens.append(norm_of(block.start + second.weight @ hidden + second.bias))
    return torch.stack(tokens)


def obvious_pass(block: BlockMemory, features: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """`[F; M'] = Attn([F; M])` of one row, features `[L, C]` and memory `[64, C]`, head by head and query by query."""
    tokens = torch.stack([*(norm_of(each) for each in features), *memory])
    wide = block.width // block.heads
    attended = torch.zeros_like(tokens)
    for head in range(block.heads):
        own = slice(head * wide, (head + 1) * wide)
        q, k, v = (tokens @ layer.weight[own].T for layer in (block.to_q, block.to_k, block.to_v))
        for index, query in enumerate(q):
            attended[index, own] = (k @ query / math.sqrt(wide)).softmax(0) @ v
    output = attended @ block.to_out.weight.T + block.to_out.bias
    count = len(features)
    return features + output[:count], torch.stack([norm_of(each) for each in memory + output[count:]])
