"""Between the pictures of the training set and tensors, and how tensors are computed with."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.models.load import cpu_computes_bfloat16


def fast_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes it; float32 elsewhere, where emulating it takes many times as long."""
    return torch.bfloat16 if device.type != "cpu" or cpu_computes_bfloat16() else torch.float32


def half_precision(device: torch.device, cache_enabled: bool = True) -> torch.autocast:
    """Autocast to the fast precision; where that is float32, nothing."""
    halves = fast_precision(device) is torch.bfloat16
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=halves, cache_enabled=cache_enabled)


def as_tensor(pictures: np.ndarray, device: torch.device) -> Tensor:
    """uint8 `[B, H, W, 3]` to `[B, 3, H, W]` in -1..1."""
    tensor = torch.from_numpy(np.ascontiguousarray(pictures)).to(device).permute(0, 3, 1, 2).float()
    return (tensor / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def as_pictures(tensor: Tensor) -> np.ndarray:
    """`[B, 3, H, W]` in -1..1 to uint8 `[B, H, W, 3]`."""
    scaled = ((tensor.float().clamp(-1, 1) + 1) * 127.5).round()
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
