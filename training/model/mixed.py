"""A mean of two models of one descent, part by part: `python -m training.model.mixed BEFORE AFTER OUT`.

Weights that were trained further from others can be averaged with them ("model soups", Wortsman et al., ICML 2022):
what the longer training forgot comes back, and most of what it learnt stays.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

SHARES = {
    "unet": 0.5,
    "causal": 0.5,
    "recurrent": 0.5,
    "vae": 0.6,
    "steadier.safetensors": 0.6,
    "text_encoder": 0.4,
}
"""How much of each part, by its folder or file, is the later model's, 0..1: found by `benchmarks.pictures`. Colours'
names, which the text encoder knows, were forgotten most; a decoder sharpens by what it had before."""


def mixed(before: Path, after: Path, out: Path, shares: Mapping[str, float] = SHARES) -> None:
    """Write the mean of the models in two folders into a third; what has no share is the later one's.

    Raises `ValueError` where a file of weights holds other tensors in the other model.
    """
    shutil.copytree(after, out, dirs_exist_ok=True)
    for file in sorted(out.rglob("*.safetensors")):
        place = file.relative_to(out)
        with safe_open(file, framework="pt") as opened:
            notes = opened.metadata()
        save_file(_means(before / place, after / place, shares.get(place.parts[0], 1.0)), file, notes)


def _means(before: Path, after: Path, share: float) -> dict[str, Tensor]:
    earlier, later = load_file(before), load_file(after)
    if {name: each.shape for name, each in earlier.items()} != {name: each.shape for name, each in later.items()}:
        raise ValueError(f"{before} and {after} hold different tensors; needed: one model, trained further.")
    return {name: torch.lerp(earlier[name].float(), each.float(), share).to(each) for name, each in later.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and write the model."""
    parser = argparse.ArgumentParser(
        prog="python -m training.model.mixed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, words in (
        ("before", "the model that was trained further"),
        ("after", "what came out"),
        ("out", "a folder"),
    ):
        parser.add_argument(name, type=Path, help=words)
    chosen = parser.parse_args(arguments)
    mixed(chosen.before, chosen.after, chosen.out)


if __name__ == "__main__":
    main()
