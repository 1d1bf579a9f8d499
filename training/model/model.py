"""The embedded model: Stable Diffusion's own classes, small. Only its sizes and its initial weights are ours."""

from __future__ import annotations

from diffusers import AutoencoderTiny, LCMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from pipeline.memory import MemoryLayout

LATENT_CHANNELS = 16
LATENT_CONDITIONING = ("source", "phase", "strength")
CONDITIONING_CHANNELS = LATENT_CHANNELS + 4 + 1
TEXT_WIDTH = 128
PROMPT_TOKENS = 77
NATIVE_SIZE = 256
FINER_STEPS, FINER_INK = 1, 0.3
"""How a picture at rest is painted once more: more steps make no other, and lines that lie thin over what was painted
are seen as hints and not as things."""
MEMORY_LAYOUT = MemoryLayout(extend=("",), fuse=("",), fuse_at="block")


def new_unet(channels: tuple[int, int, int] = (64, 96, 160)) -> UNet2DConditionModel:
    """`[B, 37, h, w]` noisy latents with their conditioning to `[B, 16, h, w]` predicted clean latents."""
    unet = UNet2DConditionModel(
        sample_size=NATIVE_SIZE // 8,
        in_channels=LATENT_CHANNELS + CONDITIONING_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * 3,
        up_block_types=("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=tuple(max(1, width // 32) for width in channels),  # diffusers' name for the head count
        norm_num_groups=16,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        resnet_time_scale_shift="scale_shift",
    )
    for name, module in unet.named_modules():
        if name.endswith(".attn1"):
            look_at_alike_tokens(module)
    return unet


def look_at_alike_tokens(attn: Attention, gain: float = 1.2) -> None:
    """Initialise a self-attention so that each token attends to those that are like it.

    PyTorch's own initialisation gives logits near 0: every token gets the mean of all, and a short training never
    sharpens it. With one orthogonal matrix for queries and keys, and tokens of unit deviation, alike ones have logits
    near `gain**2 * sqrt(width of a head)`; values and outputs begin orthogonal too.
    """
    nn.init.orthogonal_(attn.to_q.weight, gain)
    attn.to_k.weight.data.copy_(attn.to_q.weight.data)
    nn.init.orthogonal_(attn.to_v.weight)
    nn.init.orthogonal_(attn.to_out[0].weight)


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A two-layer CLIP text model, `[B, 77]` token ids to `[B, 77, 128]` prompt embeddings."""
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=3 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=PROMPT_TOKENS,
            projection_dim=TEXT_WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    nn.init.normal_(encoder.get_input_embeddings().weight, std=0.05)
    return encoder


def new_codec(width: int = 40) -> AutoencoderTiny:
    """`[B, 3, H, W]` in -1..1 to `[B, 16, H/8, W/8]` latents and back."""
    codec = AutoencoderTiny(
        encoder_block_out_channels=(32,) * 4,
        decoder_block_out_channels=(width,) * 4,
        num_encoder_blocks=(0, 1, 2, 3),
        num_decoder_blocks=(3, 3, 1, 0),
        latent_channels=LATENT_CHANNELS,
        scaling_factor=1.0,
    )
    for name, module in codec.named_modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
            if name.endswith("conv.4"):  # the last one of each residual block: begin near the identity
                module.weight.data.mul_(0.25)
    last_of_encoder, last_of_decoder = _last_convolution(codec.encoder), _last_convolution(codec.decoder)
    last_of_encoder.weight.data.mul_(0.7)
    last_of_decoder.weight.data.mul_(0.3)
    last_of_decoder.bias.data.fill_(0.5)
    return codec


def _last_convolution(module: nn.Module) -> nn.Conv2d:
    return [each for each in module.modules() if isinstance(each, nn.Conv2d)][-1]


def new_scheduler() -> LCMScheduler:
    """Stable Diffusion's noise schedule, stepped by LCM; the UNet predicts the clean latents."""
    return LCMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="sample",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
