"""The published checkpoint of Live2Diff (`Leoxing/Live2Diff`), taken apart into what diffusers can load."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from diffusers import MotionAdapter
from torch import Tensor

from pipeline.errors import ModelError
from pipeline.memory.depth import DepthWeights, conditioning_of
from pipeline.memory.motion import Motion
from pipeline.memory.window import Window

MAXIMUM_FRAMES = 24
"""Positions that its motion modules have; the first `Window.length` of them are used."""

_WRAPPER = "module."
_DEPTH = "flow_conv_in."
_RENAMED = (
    (".temporal_transformer", ""),
    (".attention_blocks.0", ".attn1"),
    (".attention_blocks.1", ".attn2"),
    (".norms.0", ".norm1"),
    (".norms.1", ".norm2"),
    (".ff_norm", ".norm3"),
)


def live2diff_adapter() -> MotionAdapter:
    """Motion modules of its shape, untrained."""
    return MotionAdapter(use_motion_mid_block=False, motion_max_seq_length=MAXIMUM_FRAMES)


def converted(checkpoint: Mapping[str, Tensor]) -> Motion:
    """The checkpoint's `state_dict`: motion modules without a mid block for Stable Diffusion 1.5, and what reads depth
    beside them. Its tensors are taken over, not copied.

    Positions are a formula, which diffusers computes itself. Raises `ModelError` where a part is missing or is of
    another shape.
    """
    named = {key.removeprefix(_WRAPPER): tensor for key, tensor in checkpoint.items() if "grid" not in key}
    depth = {key.removeprefix(_DEPTH): tensor for key, tensor in named.items() if key.startswith(_DEPTH)}
    motion = {
        renamed(key): tensor for key, tensor in named.items() if not key.startswith(_DEPTH) and "pos_encoder" not in key
    }
    adapter = live2diff_adapter()
    positions = {key: tensor for key, tensor in adapter.state_dict().items() if key.endswith(".pe")}
    try:
        adapter.load_state_dict(motion | positions, assign=True)
        conditioning = conditioning_of(depth)
    except (LookupError, RuntimeError) as error:
        raise ModelError(
            f"a checkpoint of {len(checkpoint)} tensors came that is not Live2Diff's ({error}); needed: the state_dict "
            "of live2diff.ckpt. Download that file again."
        ) from error
    return Motion(adapter.eval().requires_grad_(False), Window(), causal=True, depth=DepthWeights(conditioning))


def renamed(key: str) -> str:
    """The name that diffusers' `MotionAdapter` has for a tensor of a motion module."""
    for name, other in _RENAMED:
        key = key.replace(name, other)
    return key


def state_of(checkpoint: Mapping[str, object]) -> dict[str, Tensor]:
    """The tensors of a checkpoint, which may lie beside counters of its training under `state_dict`."""
    state = checkpoint.get("state_dict", checkpoint)
    if not isinstance(state, Mapping):
        raise ModelError(f"a checkpoint came whose state_dict is a {type(state).__name__}; needed: tensors by name.")
    return {str(key): tensor for key, tensor in state.items() if isinstance(tensor, torch.Tensor)}
