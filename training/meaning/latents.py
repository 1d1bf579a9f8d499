"""Scenes as latents on disk, so that a step of training encodes nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.meaning.shards import looks_of
from training.model.progress import Progress
from training.model.tensors import as_tensor, half_precision
from training.things.phrases import Facts, from_json

AT_ONCE = 8


@dataclass(frozen=True)
class Latents:
    """Of N scenes: sketches and noises `[N, 16, h, w]` float16, and facts; of their M renderings: latents of the same
    shape, colours float16 `[M, 3, h, w]` (the mean of each latent's cell, -1..1), the scene that each shows, and its
    look and grade."""

    sketches: Tensor
    renderings: Tensor
    noises: Tensor
    colours: Tensor
    facts: list[Facts]
    scenes: Tensor
    looks: list[tuple[str, str]]

    def __len__(self) -> int:
        return len(self.looks)


def write_latents(codec: AutoencoderTiny, scenes: Path, folder: Path) -> None:
    """Encode every shard of `scenes` whose latents `folder` lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [file.stem for file in sorted(scenes.glob("*.json"))]
    missing = [name for name in names if not (folder / f"{name}.safetensors").exists()]
    progress = Progress("latents", len(missing))
    for done, name in enumerate(missing, start=1):
        sketches, renderings, noises = (
            np.load(scenes / f"{name}.{what}.npy", mmap_mode="r") for what in ("sketches", "renderings", "noises")
        )
        tensors = {
            "sketches": encoded(codec, sketches),
            "renderings": encoded(codec, renderings),
            "noises": torch.from_numpy(np.array(noises)),
            "colours": torch.cat(
                [cell_colours(renderings[at : at + AT_ONCE]) for at in range(0, len(renderings), AT_ONCE)]
            ),
        }
        partial = folder / f"{name}.partial"
        save_file(tensors, partial)
        partial.rename(folder / f"{name}.safetensors")
        progress.show(done)


@torch.no_grad()
def encoded(codec: AutoencoderTiny, pictures: np.ndarray) -> Tensor:
    """Latents float16 `[N, 16, S/8, S/8]` of pictures uint8 `[N, S, S, 3]`."""
    device = next(codec.parameters()).device
    rows = []
    for start in range(0, len(pictures), AT_ONCE):
        with half_precision(device):
            rows.append(codec.encoder(as_tensor(np.array(pictures[start : start + AT_ONCE]), device)).half().cpu())
    return torch.cat(rows).contiguous()


def cell_colours(pictures: np.ndarray, cell: int = 8) -> Tensor:
    """Mean colours float16 `[N, 3, S/8, S/8]` in -1..1 of the cells of pictures uint8 `[N, S, S, 3]`."""
    count, side, _, _ = pictures.shape
    means = pictures.reshape(count, side // cell, cell, side // cell, cell, 3).mean((2, 4)) / 127.5 - 1
    return torch.from_numpy(means.transpose(0, 3, 1, 2).astype(np.float16).copy())


def read_latents(scenes: Path, folder: Path) -> Latents:
    """All latents of `folder`, with the facts that lie in `scenes`. Raises `FileNotFoundError` where there are none."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(f"no latents in {folder}; needed: encoded shards. Run the data stage first.")
    shards = [load_file(file) for file in files]
    entries = [entry for file in files for entry in json.loads((scenes / f"{file.stem}.json").read_text())]
    looks = [looks_of(entry) for entry in entries]
    joined = {name: torch.cat([shard[name] for shard in shards]) for name in shards[0]}
    return Latents(
        joined["sketches"],
        joined["renderings"],
        joined["noises"],
        joined["colours"],
        [from_json(entry) for entry in entries],
        torch.tensor([number for number, several in enumerate(looks) for _ in several]),
        [each for several in looks for each in several],
    )


def colour_map(latents: Latents, count: int = 1000) -> Tensor:
    """The linear map `[3, 16, 1, 1]` from latents to mean colours that fits best, by least squares."""
    chosen = torch.randperm(len(latents), generator=torch.Generator().manual_seed(0))[:count]
    channels = latents.renderings.shape[1]
    inputs = latents.renderings[chosen].float().permute(0, 2, 3, 1).reshape(-1, channels)
    wanted = latents.colours[chosen].float().permute(0, 2, 3, 1).reshape(-1, 3)
    with_bias = torch.cat([inputs, torch.ones(len(inputs), 1)], 1)
    solution = torch.linalg.lstsq(with_bias, wanted).solution
    return solution[:channels].T[:, :, None, None].contiguous()
