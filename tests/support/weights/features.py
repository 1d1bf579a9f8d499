"""Features of few channels that need no package: random convolutions in the shape of the real ones."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from training.texture.features import LAYERS


def write_small_features(file: Path) -> None:
    """Weights that `load_features` reads."""
    generator = torch.Generator().manual_seed(0)
    weights, before = {}, 3
    for block, count in enumerate(LAYERS):
        for number in range(count):
            width = 4 + 2 * block
            weight = torch.randn(width, before, 3, 3, generator=generator) / (3 * before**0.5)
            weights[f"{block}.{number}.weight"] = weight.half()
            weights[f"{block}.{number}.bias"] = torch.zeros(width).half()
            before = width
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, file)
