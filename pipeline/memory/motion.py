"""Motion modules: layers of temporal attention that stand behind the transformers of a plain UNet.

Where they stand and what they are made of is AnimateDiff's (arXiv 2307.04725), as diffusers' `MotionAdapter` has it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import MotionAdapter, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import linear

from pipeline.compute.host import in_passing_thread
from pipeline.errors import ModelError
from pipeline.memory.depth import DEPTH_FILE, DEPTH_MODEL, DepthWeights, load_depth, save_depth
from pipeline.memory.window import Window

DESCRIPTION_FILE = "rearview.json"

_LOAD_ERRORS = (OSError, ValueError, TypeError, LookupError, RuntimeError, SafetensorError)

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Motion:
    """Motion modules and what they were trained for. `causal` says whether they were trained to see no future; those
    of AnimateDiff were not, and what they paint is an experiment. `depth` is what reads the depth of frames beside
    them, where they were trained with it."""

    adapter: MotionAdapter
    window: Window = field(default_factory=Window)
    causal: bool = False
    depth: DepthWeights | None = None


@dataclass(frozen=True, eq=False)
class Placed:
    """A motion module, the layer of a UNet behind which it stands, and its name."""

    name: str
    behind: nn.Module
    module: Any


def placed(adapter: MotionAdapter, unet: UNet2DConditionModel) -> list[Placed]:
    """Every motion module with its place in the UNet: behind a transformer, or a resnet where a block has none.

    Raises `ModelError` unless numbers and widths are the same.
    """
    found = [*_in_blocks("down_blocks", adapter, unet), *_in_mid_block(adapter, unet)]
    return found + [*_in_blocks("up_blocks", adapter, unet)]


def _in_blocks(kind: str, adapter: MotionAdapter, unet: UNet2DConditionModel) -> Iterator[Placed]:
    blocks, motion = getattr(unet, kind), getattr(adapter, kind)
    _check_alike(f"{len(motion)} {kind}", len(motion), f"{len(blocks)}", len(blocks))
    for index, (block, modules) in enumerate(zip(blocks, motion, strict=True)):
        layers = getattr(block, "attentions", None) or block.resnets
        yield from _behind(f"{kind}.{index}", layers, modules.motion_modules)


def _in_mid_block(adapter: MotionAdapter, unet: UNet2DConditionModel) -> Iterator[Placed]:
    if adapter.mid_block is not None:
        yield from _behind("mid_block", unet.mid_block.attentions, adapter.mid_block.motion_modules)


def _behind(block: str, layers: nn.ModuleList, modules: nn.ModuleList) -> Iterator[Placed]:
    _check_alike(f"{len(modules)} layers in {block}", len(modules), f"{len(layers)}", len(layers))
    for index, (layer, module) in enumerate(zip(layers, modules, strict=True)):
        # A transformer names the width of its input, which is that of its output; a resnet's two may differ.
        width = getattr(layer, "out_channels", None) or layer.in_channels
        name = f"{block}.motion_modules.{index}"
        _check_alike(f"a width of {module.in_channels} in {name}", module.in_channels, f"{width}", width)
        yield Placed(name, layer, module)


def _check_alike(came: str, value: Any, needed: str, other: Any) -> None:
    if value != other:
        raise ModelError(
            f"motion modules came with {came}; needed: {needed}, as in the UNet. Take modules made for this model."
        )


def through(placed: Placed, features: Tensor, attended: Callable[[str, Attention, Tensor], Tensor]) -> Tensor:
    """features `[B, C, h, w]` of frames through a motion module: the same shape.

    `attended(layer, attention, tokens)` is what a temporal attention makes of normed tokens `[B, T, C]`, with
    `T = h w`. What diffusers' `AnimateDiffTransformer3D` computes, but for the group norm: of each frame by itself, as
    in AnimateDiff and Live2Diff, because one over all frames would see the future.
    """
    module = placed.module
    tokens = module.proj_in(module.norm(features).flatten(2).transpose(1, 2))
    for index, block in enumerate(module.transformer_blocks):
        layer = f"{placed.name}.{index}"
        tokens = tokens + attended(f"{layer}.attn1", block.attn1, block.norm1(tokens))
        tokens = tokens + attended(f"{layer}.attn2", block.attn2, block.norm2(tokens))
        tokens = tokens + block.ff(block.norm3(tokens))
    moved: Tensor = module.proj_out(tokens).transpose(1, 2).view_as(features)
    return features + moved


@dataclass(frozen=True, eq=False)
class Positions:
    """What the places of frames add to the projections of a temporal attention: to a query `[N, C]`, and to keys and
    values `[N, 2, C]`."""

    query: Tensor
    seen: Tensor


def positions_of(placed: Placed, length: int) -> dict[str, Positions]:
    """The positions of `length` frames in each attention of a motion module, by the layer's name.

    A projection without bias is linear, `W (x + pe) = W x + W pe`: so what is kept of a frame needs no position.
    Gradients reach those projections. Raises `ModelError` where the module has fewer positions.
    """
    return {
        f"{placed.name}.{index}.{name}": _positions(getattr(block, name), _embedding(block, length))
        for index, block in enumerate(placed.module.transformer_blocks)
        for name in ("attn1", "attn2")
    }


def _embedding(block: Any, length: int) -> Tensor:
    embedding: Tensor = block.pos_embed.pe[0]
    if len(embedding) < length:
        raise ModelError(
            f"motion modules came with {len(embedding)} positions; needed: {length}, one for each frame of their "
            f"window. Write a shorter window into their {DESCRIPTION_FILE}."
        )
    return embedding[:length].float()


def _positions(attention: Attention, embedding: Tensor) -> Positions:
    query, keys, values = (
        linear(embedding, layer.weight.float()).to(layer.weight.dtype)
        for layer in (attention.to_q, attention.to_k, attention.to_v)
    )
    return Positions(query, torch.stack((keys, values), dim=1))


def load_motion(folder: Path) -> Motion:
    """Motion modules from a folder in diffusers' layout; raises `ModelError`.

    A `rearview.json` beside them may name their `window` and `sinks` in frames, and say that they are `causal`. Without
    one they are taken for AnimateDiff's, with Live2Diff's window. A `depth.safetensors` beside them reads depth; it was
    trained with the `depth_model` that `rearview.json` names, by default Live2Diff's.
    """
    try:
        adapter = in_passing_thread(MotionAdapter.from_pretrained, folder, use_safetensors=True, local_files_only=True)
        file = folder / DESCRIPTION_FILE
        described = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        motion = _described(adapter.eval().requires_grad_(False), folder, **described)
    except _LOAD_ERRORS as error:
        raise ModelError(
            f"motion modules in {folder} cannot be loaded ({error}); needed: config.json and weights as safetensors in "
            f"the layout of diffusers' MotionAdapter, in {DESCRIPTION_FILE}, if it is there, window, sinks, causal and "
            f"depth_model, and in {DEPTH_FILE}, if it is there, Live2Diff's convolutions. Check the folder, or choose "
            "another memory."
        ) from error
    if not motion.causal:
        log.warning("motion modules in %s were trained to see the future too: what they paint is an experiment", folder)
    return motion


def _described(
    adapter: MotionAdapter,
    folder: Path,
    window: int = 16,
    sinks: int = 8,
    causal: bool = False,
    depth_model: str = DEPTH_MODEL,
) -> Motion:
    return Motion(adapter, Window(window, sinks), causal, load_depth(folder, depth_model))


def save_motion(motion: Motion, folder: Path) -> None:
    """Write motion modules so that `load_motion` reads them again."""
    motion.adapter.save_pretrained(folder)
    described: Mapping[str, Any] = {
        "window": motion.window.length,
        "sinks": motion.window.sinks,
        "causal": motion.causal,
    }
    if motion.depth is not None:
        described = {**described, "depth_model": motion.depth.model}
        save_depth(motion.depth, folder)
    (folder / DESCRIPTION_FILE).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def untrained_motion(unet: UNet2DConditionModel, window: Window, heads: int = 8, seed: int = 0) -> Motion:
    """Motion modules that fit a UNet and change nothing yet: their last projections are zero.

    `heads` divides every width of the UNet's blocks; `seed` is that of all other weights, float32 on the CPU.
    """
    config = unet.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapter = MotionAdapter(
            block_out_channels=config.block_out_channels,
            motion_layers_per_block=config.layers_per_block,
            motion_num_attention_heads=heads,
            motion_norm_num_groups=config.norm_num_groups,
            motion_max_seq_length=window.length,
        )
    for each in placed(adapter, unet):
        nn.init.zeros_(each.module.proj_out.weight)
        nn.init.zeros_(each.module.proj_out.bias)
    return Motion(adapter.eval(), window, causal=True)
