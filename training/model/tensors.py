"""Between the pictures of the training set and tensors, and how tensors are computed with."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.models.load import cpu_computes_bfloat16


def half_precision(device: torch.device, cache_enabled: bool = True) -> torch.autocast:
    """bfloat16 where the device computes it; nothing elsewhere, where emulating it takes many times as long."""
    computed = device.type != "cpu" or cpu_computes_bfloat16()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=computed, cache_enabled=cache_enabled)


def as_tensor(pictures: np.ndarray, device: torch.device) -> Tensor:
    """uint8 `[B, H, W, 3]` to `[B, 3, H, W]` in -1..1."""
    tensor = torch.from_numpy(np.ascontiguousarray(pictures)).to(device).permute(0, 3, 1, 2).float()
    return (tensor / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def as_pictures(tensor: Tensor) -> np.ndarray:
    """`[B, 3, H, W]` in -1..1 to uint8 `[B, H, W, 3]`."""
    scaled = ((tensor.float().clamp(-1, 1) + 1) * 127.5).round()
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
