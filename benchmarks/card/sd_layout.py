"""A model in Stable Diffusion's layout, of the embedded model's size, with random weights, which cost the same.

Both our engine and diffusers' own pipelines load it, so that their times compare.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from diffusers import AutoencoderTiny, LCMScheduler, StableDiffusionImg2ImgPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

PROMPT_TOKENS = 77
PRINTABLE = [chr(code) for code in range(33, 127)]


@dataclass(frozen=True)
class Sizes:
    """What sets the cost of a model: channels and heads of the UNet's levels, widths of codec and text, native size."""

    channels: tuple[int, ...] = (64, 96, 160)
    heads: tuple[int, ...] = (2, 3, 5)
    encoder_width: int = 32
    decoder_width: int = 40
    text_width: int = 128
    text_layers: int = 2
    latent_side: int = 32


EMBEDDED = Sizes()
TINY = Sizes(
    channels=(32, 32), heads=(1, 1), encoder_width=8, decoder_width=8, text_width=32, text_layers=1, latent_side=8
)


def save_model(folder: Path, sizes: Sizes = EMBEDDED, seed: int = 0) -> Path:
    """Write such a model into `folder`, as `from_pretrained` of every part and of the whole pipeline reads it."""
    torch.manual_seed(seed)
    with TemporaryDirectory() as letters:
        tokenizer = _letter_tokenizer(Path(letters))
    StableDiffusionImg2ImgPipeline(
        vae=_codec(sizes),
        text_encoder=_text_encoder(sizes, tokenizer),
        tokenizer=tokenizer,
        unet=_unet(sizes),
        scheduler=LCMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", set_alpha_to_one=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)
    return folder


def _unet(sizes: Sizes) -> UNet2DConditionModel:
    levels = len(sizes.channels)
    return UNet2DConditionModel(
        sample_size=sizes.latent_side,
        in_channels=4,
        out_channels=4,
        block_out_channels=sizes.channels,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        cross_attention_dim=sizes.text_width,
        attention_head_dim=sizes.heads,  # diffusers' name for the number of heads
        norm_num_groups=16,
    )


def _codec(sizes: Sizes) -> AutoencoderTiny:
    return AutoencoderTiny(
        encoder_block_out_channels=(sizes.encoder_width,) * 4,
        decoder_block_out_channels=(sizes.decoder_width,) * 4,
        num_encoder_blocks=(0, 1, 2, 3),
        num_decoder_blocks=(3, 3, 1, 0),
        latent_channels=4,
        scaling_factor=1.0,
    )


def _text_encoder(sizes: Sizes, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=sizes.text_width,
            intermediate_size=3 * sizes.text_width,
            num_hidden_layers=sizes.text_layers,
            num_attention_heads=4,
            max_position_embeddings=PROMPT_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _letter_tokenizer(folder: Path) -> CLIPTokenizer:
    """A tokenizer that knows single characters only: its files are small, and the cost of a prompt is the same."""
    tokens = ["<|startoftext|>", "<|endoftext|>", *PRINTABLE, *(f"{each}</w>" for each in PRINTABLE)]
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=PROMPT_TOKENS
    )
