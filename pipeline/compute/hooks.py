"""Changes to a network that come off again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from diffusers.models.attention_processor import Attention
from torch import nn


def attention_layers(network: nn.Module) -> dict[str, Attention]:
    """Every attention layer by its name, such as `"mid_block.attentions.0.transformer_blocks.0.attn1"`."""
    return {name: module for name, module in network.named_modules() if isinstance(module, Attention)}


def is_self_attention(layer: str) -> bool:
    """Whether this is the self-attention of a transformer block (diffusers calls it `attn1`)."""
    return layer.endswith(".attn1")


@contextmanager
def processors_replaced(network: nn.Module, processor_of: Callable[[str], Any]) -> Iterator[None]:
    """While entered, each attention layer runs `processor_of(layer)`; after it, the very same processors as before."""
    layers = attention_layers(network)
    before = {name: layer.processor for name, layer in layers.items()}
    try:
        for name, layer in layers.items():
            layer.processor = processor_of(name)
        yield
    finally:
        for name, layer in layers.items():
            layer.processor = before[name]
