"""The models that learn together, run over a batch as the engine runs them over rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from pipeline.compute.attention import Kernel
from pipeline.compute.hooks import attention_layers, is_self_attention
from pipeline.memory import Memory, MemoryRow
from pipeline.models.conditioning import phase_channels
from pipeline.settings import FrameSettings
from training.model.model import PROMPT_TOKENS, new_scheduler


@dataclass(frozen=True)
class Parts:
    """The models that learn together."""

    unet: UNet2DConditionModel
    codec: AutoencoderTiny
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {"unet": self.unet, "codec": self.codec, "text_encoder": self.text_encoder}


def training_kernel(device: torch.device) -> Kernel:
    """How attention is computed while it learns: on a CPU as plain products of matrices, since the backward pass of
    PyTorch's flash attention takes several times as long there at the sizes of small latents."""
    return "matmul" if device.type == "cpu" else "sdpa"


class Painter:
    """Runs the UNet as the engine does, over a batch, with gradients where they are asked for."""

    def __init__(self, parts: Parts, memory: Memory, device: torch.device) -> None:
        self.parts, self.memory, self.device = parts, memory, device
        self.alphas = new_scheduler().alphas_cumprod.to(device).float()
        self.generator = torch.Generator().manual_seed(0)

    def prompt_embeddings(self, captions: list[str]) -> Tensor:
        """`[B, 77, 128]`."""
        tokens = self.parts.tokenizer(
            captions, padding="max_length", truncation=True, max_length=PROMPT_TOKENS, return_tensors="pt"
        )
        return self.parts.text_encoder(tokens.input_ids.to(self.device))[0]

    def noised(self, latents: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """`sqrt(a_t) x + sqrt(1 - a_t) noise` for timesteps `[B]`."""
        alpha = self.alphas[timestep][:, None, None, None]
        return alpha.sqrt() * latents + (1 - alpha).sqrt() * noise

    def predicted(
        self, noisy: Tensor, source: Tensor, strength: Tensor, timestep: Tensor, prompt: Tensor, call: object
    ) -> Tensor:
        """Clean latents `[B, 16, h, w]` predicted from noisy ones."""
        rows, _, height, width = noisy.shape
        phase = phase_channels(height, width).to(noisy)[None].expand(rows, -1, -1, -1)
        channel = strength[:, None, None, None].expand(-1, 1, height, width).to(noisy)
        sample = torch.cat([noisy, source, phase, channel], 1).contiguous(memory_format=torch.channels_last)
        kwargs = {"memory": call}
        return self.parts.unet(sample, timestep, prompt, cross_attention_kwargs=kwargs).sample.float()

    def opened(self, remembered: Sequence[object], settings: FrameSettings) -> object:
        """What a UNet call takes whose rows remember these, under settings that all of them share."""
        return self.memory.open([MemoryRow(each, settings, self.generator) for each in remembered])

    def decoded(self, latents: Tensor) -> Tensor:
        """`[B, 3, H, W]`."""
        return self.parts.codec.decoder(latents.contiguous(memory_format=torch.channels_last)).float()


@contextmanager
def self_attention_averaged(unet: UNet2DConditionModel) -> Iterator[None]:
    """While entered, every self-attention gives each token the mean over all tokens."""

    def averaged(_: nn.Module, __: object, output: Tensor) -> Tensor:
        return output.mean(1, keepdim=True).expand_as(output)

    layers = [layer for name, layer in attention_layers(unet).items() if is_self_attention(name)]
    hooks = [layer.register_forward_hook(averaged) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
