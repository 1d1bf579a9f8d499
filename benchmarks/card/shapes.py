"""Models of Stable Diffusion 1.5's and SDXL's shapes, or tiny ones of their layouts, with random weights, which cost
the same.

They are made in memory: no file is read or written, and nothing is downloaded.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny, LCMScheduler, UNet2DConditionModel
from diffusers.models.embeddings import ImageProjection
from diffusers.models.unets.unet_2d_blocks import AutoencoderTinyBlock
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from pipeline.compute.hooks import attention_layers, is_self_attention
from pipeline.frames.recurrent_decoder import RecurrentDecoder
from pipeline.guides.adapter import PictureAdapter
from pipeline.models.load import Model, ModelEntry, default_dtype
from pipeline.prompts.encoder import TextEncoder

PROMPT_TOKENS = 77
PICTURE_TOKENS = 4
"""That a plain IP-Adapter makes of a picture."""
SIZE_CONDITIONING = 6
"""Numbers that SDXL's UNet is told of a picture: its original size, its cut, its size."""


@dataclass(frozen=True)
class TextShape:
    """A text encoder: its width, layers and heads, and the width of its pooled projection, 0 where it has none."""

    width: int
    layers: int
    heads: int
    pooled: int = 0


@dataclass(frozen=True)
class Shape:
    """What sets the cost: the side in pixels, the UNet's levels with their widths, heads and transformer layers (0: no
    attention there), its residual layers a block, the autoencoder's width, the text encoders. `size_width` is of SDXL's
    size conditioning, 0 where there is none."""

    name: str
    side: int
    channels: tuple[int, ...]
    heads: tuple[int, ...]
    transformers: tuple[int, ...]
    texts: tuple[TextShape, ...]
    layers: int = 2
    norm_groups: int = 32
    codec_width: int = 64
    size_width: int = 0

    @property
    def text_width(self) -> int:
        """Of a prompt's tokens, those of all text encoders side by side."""
        return sum(text.width for text in self.texts)


SD15 = Shape(
    name="SD 1.5 shape",
    side=512,
    channels=(320, 640, 1280, 1280),
    heads=(8, 8, 8, 8),
    transformers=(1, 1, 1, 0),
    texts=(TextShape(768, 12, 12),),
)
"""The configs of runwayml/stable-diffusion-v1-5 (UNet and text encoder) and madebyollin/taesd (autoencoder)."""

SDXL = Shape(
    name="SDXL shape",
    side=1024,
    channels=(320, 640, 1280),
    heads=(5, 10, 20),
    transformers=(0, 2, 10),
    texts=(TextShape(768, 12, 12), TextShape(1280, 32, 20, pooled=1280)),
    size_width=256,
)
"""The configs of stabilityai/stable-diffusion-xl-base-1.0 and madebyollin/taesdxl."""

TINY = Shape(
    name="tiny shape",
    side=64,
    channels=(16, 32, 32, 32),
    heads=(2, 2, 2, 2),
    transformers=(1, 1, 1, 0),
    texts=(TextShape(32, 1, 2),),
    layers=1,
    norm_groups=4,
    codec_width=8,
)

TINY_XL = Shape(
    name="tiny SDXL shape",
    side=64,
    channels=(16, 32, 32),
    heads=(2, 2, 4),
    transformers=(0, 1, 2),
    texts=(TextShape(16, 1, 2), TextShape(32, 1, 2, pooled=32)),
    layers=1,
    norm_groups=4,
    codec_width=8,
    size_width=8,
)


def random_model(shape: Shape, device: torch.device, seed: int = 0) -> Model:
    """Such a model on `device`, channels last: float16 on CUDA, else what that device computes natively."""
    dtype = default_dtype(device)
    torch.manual_seed(seed)
    # Where it will stay: a large UNet's random numbers take a processor half a minute.
    with torch.device(device):
        unet = unet_of(shape)
    vae, tokenizer = codec_of(shape), byte_tokenizer()
    texts = [text_encoder_of(text, tokenizer) for text in shape.texts]
    for part in (unet, vae):
        part.to(device=device, dtype=dtype)
        part.to(memory_format=torch.channels_last)
    for part in (unet, vae, *texts):
        part.to(device).eval().requires_grad_(False)
    scheduler = LCMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", set_alpha_to_one=False, steps_offset=1
    )
    encoders = tuple(TextEncoder(tokenizer, text) for text in texts)
    return Model(ModelEntry(shape.name, Path()), shape.side, unet, vae, encoders, scheduler, device, dtype)


def unet_of(shape: Shape) -> UNet2DConditionModel:
    """The UNet of a shape."""
    attends = [layers > 0 for layers in shape.transformers]
    return UNet2DConditionModel(
        sample_size=shape.side // 8,
        in_channels=4,
        out_channels=4,
        down_block_types=tuple("CrossAttnDownBlock2D" if each else "DownBlock2D" for each in attends),
        up_block_types=tuple("CrossAttnUpBlock2D" if each else "UpBlock2D" for each in reversed(attends)),
        block_out_channels=shape.channels,
        layers_per_block=shape.layers,
        norm_num_groups=shape.norm_groups,
        cross_attention_dim=shape.text_width,
        attention_head_dim=shape.heads,  # diffusers' name for the number of heads
        transformer_layers_per_block=tuple(max(1, layers) for layers in shape.transformers),
        **_size_conditioning(shape),
    )


def _size_conditioning(shape: Shape) -> dict[str, Any]:
    if not shape.size_width:
        return {}
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": shape.size_width,
        "projection_class_embeddings_input_dim": SIZE_CONDITIONING * shape.size_width + shape.texts[-1].pooled,
        "use_linear_projection": True,
    }


def adapter_of(model: Model) -> PictureAdapter:
    """An IP-Adapter of the plain kind with random weights. What reads a picture, once, is small here: a frame pays for
    the tokens alone."""
    width = int(model.unet.config.cross_attention_dim)
    encoder = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=1, patch_size=32
        )
    )
    projection = ImageProjection(encoder.config.projection_dim, width, PICTURE_TOKENS)
    layers = {}
    for name in attention_layers(model.unet):
        if not is_self_attention(name):
            inner = model.unet.get_submodule(name).to_k.out_features
            layers[name] = (nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False))
    for each in (encoder, projection, *(linear for pair in layers.values() for linear in pair)):
        each.to(model.device, model.dtype).eval().requires_grad_(False)
    return PictureAdapter("random", encoder, projection, layers, model.unet)


def codec_of(shape: Shape) -> AutoencoderTiny:
    """The autoencoder of a shape."""
    widths = (shape.codec_width,) * 4
    return AutoencoderTiny(encoder_block_out_channels=widths, decoder_block_out_channels=widths, latent_channels=4)


def recurrent_codec_of(model: Model) -> AutoencoderTiny:
    """The autoencoder of a model with a decoder all of whose blocks remember, as TAESDV's do."""
    codec = copy.deepcopy(model.vae)
    assert isinstance(codec, AutoencoderTiny)
    places = [place for place, layer in enumerate(codec.decoder.layers) if isinstance(layer, AutoencoderTinyBlock)]
    codec.decoder = RecurrentDecoder(codec.decoder, places).to(model.device, model.dtype)
    return codec.eval().requires_grad_(False)


def text_encoder_of(text: TextShape, tokenizer: CLIPTokenizer) -> CLIPTextModel | CLIPTextModelWithProjection:
    """A text encoder of a shape, with a projection where it has a pooled width."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=text.width,
        intermediate_size=4 * text.width,
        num_hidden_layers=text.layers,
        num_attention_heads=text.heads,
        max_position_embeddings=PROMPT_TOKENS,
        projection_dim=text.pooled or text.width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModelWithProjection(config) if text.pooled else CLIPTextModel(config)


def byte_tokenizer() -> CLIPTokenizer:
    """CLIP's byte alphabet without merges: one token a byte, which costs the same."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(byte) for byte in printable] + [chr(256 + index) for index in range(256 - len(printable))]
    words = [*symbols, *[f"{symbol}</w>" for symbol in symbols], "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=PROMPT_TOKENS)
