"""LoRA files in the layouts that people have them in, with random factors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline import Model
from pipeline.models.lora import Layer, LowRank, parts_of

RANK = 2
UNET_LAYERS = (
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k",
    "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0",
    "up_blocks.1.attentions.0.transformer_blocks.0.ff.net.0.proj",
    "up_blocks.1.attentions.0.proj_in",
    "down_blocks.0.resnets.0.conv1",
    "down_blocks.0.resnets.0.time_emb_proj",
    "time_embedding.linear_1",
    "conv_out",
)
TEXT_LAYERS = ("encoder.layers.0.self_attn.q_proj", "encoder.layers.0.self_attn.out_proj", "encoder.layers.0.mlp.fc1")
ALL_LAYERS = (*(("unet", path) for path in UNET_LAYERS), *(("text_encoder", path) for path in TEXT_LAYERS))

Changes = Mapping[Layer, LowRank]


def weight_of(model: Model, layer: Layer) -> Tensor:
    part, path = layer
    return parts_of(model)[part].get_submodule(path).weight


def changes_of(
    model: Model, layers: tuple[Layer, ...] = ALL_LAYERS, seed: int = 0, alpha: float = 1.0, size: float = 0.3
) -> Changes:
    """A random change of each layer."""
    generator = torch.Generator().manual_seed(seed)
    changes = {}
    for layer in layers:
        rows, columns, *kernel = weight_of(model, layer).shape
        up = size * torch.randn(rows, RANK, *[1] * len(kernel), generator=generator)
        changes[layer] = LowRank(up, torch.randn(RANK, columns, *kernel, generator=generator), alpha)
    return changes


def kohya(changes: Changes) -> dict[str, Tensor]:
    """sd-scripts' names."""
    tensors = {}
    for (part, path), change in changes.items():
        prefix = "lora_unet_" if part == "unet" else "lora_te_text_model_"
        name = prefix + path.replace(".", "_")
        tensors |= {f"{name}.lora_up.weight": change.up, f"{name}.lora_down.weight": change.down}
        tensors[f"{name}.alpha"] = torch.tensor(change.alpha)
    return tensors


def peft(changes: Changes) -> dict[str, Tensor]:
    """peft's names, as diffusers writes them."""
    tensors = {}
    for (part, path), change in changes.items():
        name = f"{part}.{path}" if part == "unet" else f"{part}.text_model.{path}"
        tensors |= {f"{name}.lora_A.weight": change.down, f"{name}.lora_B.weight": change.up}
        tensors[f"{name}.alpha"] = torch.tensor(change.alpha)
    return tensors


def old_diffusers(changes: Changes) -> dict[str, Tensor]:
    """diffusers' names before peft: attention under its processor, everything else under `lora`."""
    tensors = {}
    for (part, path), change in changes.items():
        if part == "unet":
            attention, _, projection = path.partition(".to_")
            stem = f"{attention}.processor.to_{projection.removesuffix('.0')}_lora" if projection else f"{path}.lora"
        else:
            stem = f"text_model.{path}.lora_linear_layer"
        tensors |= {f"{part}.{stem}.down.weight": change.down, f"{part}.{stem}.up.weight": change.up}
    return tensors


def saved(file: Path, tensors: Mapping[str, Tensor], notes: dict[str, str] | None = None) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file, notes)
    return file
