"""A model of Stable Diffusion 1.5's shape, or a tiny one of its layout, with random weights, which cost the same.

It is made in memory: no file is read or written, and nothing is downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, LCMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from pipeline.models import Model, ModelEntry, default_dtype
from pipeline.prompts import TextEncoder

PROMPT_TOKENS = 77


@dataclass(frozen=True)
class Shape:
    """What sets the cost: sides in pixels, the UNet's levels and its widths, those of the autoencoder and the text."""

    name: str
    side: int
    channels: tuple[int, ...]
    layers: int
    heads: int
    norm_groups: int
    codec_width: int
    text_width: int
    text_layers: int
    text_heads: int


SD15 = Shape(
    name="SD 1.5 shape",
    side=512,
    channels=(320, 640, 1280, 1280),
    layers=2,
    heads=8,
    norm_groups=32,
    codec_width=64,
    text_width=768,
    text_layers=12,
    text_heads=12,
)
"""The configs of runwayml/stable-diffusion-v1-5 (UNet and text encoder) and madebyollin/taesd (autoencoder)."""

TINY = Shape(
    name="tiny shape",
    side=64,
    channels=(16, 32, 32, 32),
    layers=1,
    heads=2,
    norm_groups=4,
    codec_width=8,
    text_width=32,
    text_layers=1,
    text_heads=2,
)


def random_model(shape: Shape, device: torch.device, seed: int = 0) -> Model:
    """Such a model on `device`, channels last: float16 on CUDA, else what that device computes natively."""
    dtype = default_dtype(device)
    torch.manual_seed(seed)
    # Where it will stay: a large UNet's random numbers take a processor half a minute.
    with torch.device(device):
        unet = _unet(shape)
    vae, tokenizer = _codec(shape), byte_tokenizer()
    text_encoder = _text_encoder(shape, tokenizer)
    for part in (unet, vae):
        part.to(device=device, dtype=dtype)
        part.to(memory_format=torch.channels_last)
    for part in (unet, vae, text_encoder):
        part.to(device).eval().requires_grad_(False)
    scheduler = LCMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", set_alpha_to_one=False, steps_offset=1
    )
    entry = ModelEntry(shape.name, Path())
    return Model(entry, shape.side, unet, vae, (TextEncoder(tokenizer, text_encoder),), scheduler, device, dtype)


def _unet(shape: Shape) -> UNet2DConditionModel:
    deeper = len(shape.channels) - 1
    return UNet2DConditionModel(
        sample_size=shape.side // 8,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D",) * deeper + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * deeper,
        block_out_channels=shape.channels,
        layers_per_block=shape.layers,
        norm_num_groups=shape.norm_groups,
        cross_attention_dim=shape.text_width,
        attention_head_dim=shape.heads,  # diffusers' name for the number of heads
    )


def _codec(shape: Shape) -> AutoencoderTiny:
    widths = (shape.codec_width,) * 4
    return AutoencoderTiny(encoder_block_out_channels=widths, decoder_block_out_channels=widths, latent_channels=4)


def _text_encoder(shape: Shape, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.text_width,
        intermediate_size=4 * shape.text_width,
        num_hidden_layers=shape.text_layers,
        num_attention_heads=shape.text_heads,
        max_position_embeddings=PROMPT_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def byte_tokenizer() -> CLIPTokenizer:
    """CLIP's byte alphabet without merges: one token a byte, which costs the same."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(byte) for byte in printable] + [chr(256 + index) for index in range(256 - len(printable))]
    words = [*symbols, *[f"{symbol}</w>" for symbol in symbols], "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=PROMPT_TOKENS)
