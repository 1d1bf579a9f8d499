"""Single files in the original layout of latent diffusion: diffusers' conversion of them, inverted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from tests.support.weights.hub_layout import kl_autoencoder, text_encoders_of, text_key, unet_of

UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
OPEN_CLIP = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm": "ln_final",
    "encoder.layers": "transformer.resblocks",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def save_checkpoint(file: Path, family: str, metadata: dict[str, str] | None = None) -> dict[str, torch.nn.Module]:
    """A whole model of `family` in one file; its parts, as the file holds them."""
    torch.manual_seed(1)
    parts: dict[str, torch.nn.Module] = {"unet": unet_of(family), "vae": kl_autoencoder(), **text_encoders_of(family)}
    tensors = {f"model.diffusion_model.{name}": each for name, each in unet_tensors(parts["unet"]).items()}
    tensors |= {f"first_stage_model.{name}": each for name, each in vae_tensors(parts["vae"]).items()}
    first = parts["text_encoder"].state_dict()
    if family == "sd15":
        tensors |= {f"cond_stage_model.transformer.{text_key(name)}": each for name, each in first.items()}
    elif family == "sd21":
        tensors |= open_clip_tensors("cond_stage_model.model.", first)
    else:
        prefix = "conditioner.embedders"
        tensors |= {f"{prefix}.0.transformer.{text_key(name)}": each for name, each in first.items()}
        tensors |= open_clip_tensors(f"{prefix}.1.model.", parts["text_encoder_2"].state_dict())
    save_file({name: each.contiguous().clone() for name, each in tensors.items()}, file, metadata)
    return parts


def unet_tensors(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    return {_unet_name(name, unet.config): each for name, each in unet.state_dict().items()}


def _unet_name(name: str, config: Mapping[str, object]) -> str:
    module, _, end = name.rpartition(".")
    if module in UNET_ENDS:
        return f"{UNET_ENDS[module]}.{end}"
    for ours, theirs in RESNET.items():
        name = re.sub(rf"(resnets\.\d+)\.{ours}\.", rf"\1.{theirs}.", name)
    rows = int(str(config["layers_per_block"])) + 1
    found = re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name)
    if found:
        way, level, kind, layer, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
        block = level * rows + (rows - 1 if kind.endswith("samplers") else layer) + (way == "down")
        kinds = config["up_block_types"]
        attends = way == "up" and str(kinds[level]).startswith("CrossAttn")  # type: ignore[index]
        place = {"resnets": 0, "attentions": 1, "downsamplers": 0, "upsamplers": 2 if attends else 1}[kind]
        rest = rest.replace("conv.", "op.") if kind == "downsamplers" else rest
        return f"{'input' if way == 'down' else 'output'}_blocks.{block}.{place}.{rest}"
    mid = re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)", name)
    assert mid, name
    return f"middle_block.{1 if mid[1] == 'attentions' else 2 * int(mid[2])}.{mid[3]}"


def vae_tensors(vae: AutoencoderKL) -> dict[str, Tensor]:
    levels = len(vae.config.block_out_channels)
    return dict(_vae_tensor(name, each, levels) for name, each in vae.state_dict().items())


def _vae_tensor(name: str, tensor: Tensor, levels: int) -> tuple[str, Tensor]:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets", lambda each: f"up.{levels - 1 - int(each[1])}.block", name)
    name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda each: f"up.{levels - 1 - int(each[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d+)", lambda each: f"mid.block_{int(each[1]) + 1}", name)
    if "mid_block.attentions.0" not in name:
        return name, tensor
    name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
    name = re.sub(r"to_([qkv])\.", r"\1.", name).replace("to_out.0", "proj_out")
    is_projection = tensor.ndim == 2
    return name, tensor[:, :, None, None] if is_projection else tensor


def open_clip_tensors(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return dict(_open_clip_tensors(prefix, state))


def _open_clip_tensors(prefix: str, state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in state.items():
        name = name.removeprefix("text_model.")
        if name == "text_projection.weight":
            yield f"{prefix}text_projection", tensor.T
        elif name.startswith("embeddings.position_ids") or ".k_proj." in name or ".v_proj." in name:
            continue
        elif ".q_proj." in name:
            joined = torch.cat([_sibling(state, name, letter) for letter in "qkv"])
            place = re.sub(r"self_attn\.q_proj\.(\w+)", r"attn.in_proj_\1", name)
            yield prefix + place.replace("encoder.layers", "transformer.resblocks"), joined
        else:
            for ours, theirs in OPEN_CLIP.items():
                name = name.replace(ours, theirs)
            yield prefix + name, tensor


def _sibling(state: Mapping[str, Tensor], name: str, letter: str) -> Tensor:
    name = name.replace("q_proj", f"{letter}_proj")
    return state[name] if name in state else state[f"text_model.{name}"]


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether two modules hold the very same tensors under the same names."""
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
