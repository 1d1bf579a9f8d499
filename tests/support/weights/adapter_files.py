"""Tiny IP-Adapters with random weights, laid out as h94/IP-Adapter lays its own."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

SEEN_SIDE, SEEN_WIDTH, SEEN_EMBEDDING = 28, 32, 24
PLUS_TOKENS, PLUS_WIDTH = 3, 64


def save_image_encoder(folder: Path, embedding: int = SEEN_EMBEDDING) -> Path:
    torch.manual_seed(11)
    config = CLIPVisionConfig(
        hidden_size=SEEN_WIDTH,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SEEN_SIDE,
        patch_size=14,
        projection_dim=embedding,
        initializer_factor=5.0,
    )
    CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return folder


def save_adapter(folder: Path, unet: UNet2DConditionModel, *, plus: bool = False) -> Path:
    """The file of an adapter for this UNet, with its image encoder beside it."""
    generator = torch.Generator().manual_seed(12 + plus)
    width = int(unet.config.cross_attention_dim)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * shape[-1] ** -0.5

    tensors = {f"image_proj.{name}": each for name, each in (_plus(width, drawn) if plus else _plain(width, drawn))}
    names = [name.removesuffix(".processor") for name in unet.attn_processors]
    for index, name in enumerate(names):
        if name.endswith(".attn2"):
            inner = unet.get_submodule(name).to_k.out_features
            # Large, so that a picture shows.
            tensors |= {f"ip_adapter.{index}.to_{each}_ip.weight": 3 * drawn(inner, width) for each in "kv"}
    save_image_encoder(folder / "image_encoder")
    file = folder / f"ip-adapter{'-plus' if plus else ''}_tiny.safetensors"
    save_file(tensors, file)
    return file


def _plain(width, drawn):  # type: ignore[no-untyped-def]
    yield "proj.weight", drawn(4 * width, SEEN_EMBEDDING)
    yield "proj.bias", drawn(4 * width)
    yield "norm.weight", torch.ones(width)
    yield "norm.bias", drawn(width)


def _plus(width, drawn):  # type: ignore[no-untyped-def]
    inner = PLUS_WIDTH
    yield "latents", drawn(1, PLUS_TOKENS, inner)
    yield "proj_in.weight", drawn(inner, SEEN_WIDTH)
    yield "proj_in.bias", drawn(inner)
    yield "proj_out.weight", drawn(width, inner)
    yield "proj_out.bias", drawn(width)
    yield "norm_out.weight", torch.ones(width)
    yield "norm_out.bias", drawn(width)
    for layer in (f"layers.{index}" for index in range(4)):
        for norm in ("0.norm1", "0.norm2", "1.0"):
            yield f"{layer}.{norm}.weight", torch.ones(inner)
            yield f"{layer}.{norm}.bias", drawn(inner)
        yield f"{layer}.0.to_q.weight", drawn(64, inner)
        yield f"{layer}.0.to_kv.weight", drawn(128, inner)
        yield f"{layer}.0.to_out.weight", drawn(inner, 64)
        yield f"{layer}.1.1.weight", drawn(4 * inner, inner)
        yield f"{layer}.1.3.weight", drawn(inner, 4 * inner)
