"""Train the embedded model from nothing: `python -m training.train --work build/training`.

Stages: tokenizer, data, codec, joint, export. Each resumes where it stopped; the same seed gives the same order.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import CLIPTokenizer

from training.model.codec import train_codec
from training.model.data import Shards, write_shards
from training.model.export import export, load_parts, mixed
from training.model.joint import Phase, train_joint
from training.model.model import new_codec, new_text_encoder, new_unet, parameters_in_millions
from training.model.painter import Parts
from training.model.tokenizer import train_tokenizer


@dataclass(frozen=True)
class Plan:
    """How large a run is."""

    shards: int
    examples_of_a_shard: int
    codec_width: int
    codec_steps: int
    codec_batch: int
    codec_side: int
    unet_channels: tuple[int, int, int]
    phases: tuple[Phase, ...]
    rate: float = 1.2e-3
    shares: tuple[float, ...] = (0.75, 0.25)
    """How much of the finished weights comes from the end of each phase (`mixed`)."""


FULL = Plan(
    shards=72,
    examples_of_a_shard=40,
    codec_width=40,
    codec_steps=2500,
    codec_batch=8,
    codec_side=128,
    unet_channels=(64, 128, 192),
    phases=(Phase(3000, 16, 128, 0.1, 5), Phase(2500, 5, 256, 0.25, 2)),
)
PLANS = {
    "full": FULL,
    "further": replace(FULL, phases=(Phase(1650, 16, 128, 0.1, 5), Phase(900, 5, 256, 0.25, 2)), rate=7e-4),
    "look-back": replace(FULL, phases=(Phase(450, 16, 128, 0.8, 5), Phase(160, 5, 256, 0.8, 2)), rate=7e-4),
    "gpu": replace(
        FULL,
        shards=120,
        codec_steps=6000,
        codec_batch=32,
        phases=(Phase(6000, 64, 128, 0.1, 32), Phase(5000, 32, 256, 0.3, 16)),
    ),
    "tiny": Plan(
        shards=1,
        examples_of_a_shard=4,
        codec_width=8,
        codec_steps=12,
        codec_batch=4,
        codec_side=64,
        unet_channels=(16, 32, 32),
        phases=(Phase(8, 4, 64, 0.0, 4), Phase(4, 2, 64, 1.0, 1)),
    ),
}


def train(
    plan: Plan, work: Path, out: Path, device: torch.device, seed: int, workers: int, start: Path | None = None
) -> tuple[list[float], list[float]]:
    """Run every stage that is not done yet; the finished model lies in `out`.

    `start` is an exported model to go on from: then its tokenizer and its encoder stay as they are.
    Returns the losses of the steps taken: of the codec, and of everything together.
    """
    write_shards(work / "shards", plan.shards, seed, workers, plan.examples_of_a_shard)
    shards = Shards(work / "shards")
    torch.manual_seed(seed)
    parts = _new_parts(plan, work) if start is None else load_parts(start)
    for name, module in parts.modules.items():
        print(f"{name}: {parameters_in_millions(module):.2f} M parameters")
    codec_losses: list[float] = []
    if start is None:
        codec_losses = train_codec(
            parts.codec, shards, work / "codec.pt", plan.codec_steps, plan.codec_batch, plan.codec_side, device, seed
        )
    ends = [work / f"phase_{number}" for number in range(len(plan.phases))]
    joint_losses = train_joint(
        parts,
        shards,
        work / "joint.pt",
        list(plan.phases),
        device,
        seed,
        plan.rate,
        phase_done=lambda number: export(parts, ends[number]),
    )
    export(mixed([load_parts(end) for end in ends], plan.shares), out)
    return codec_losses, joint_losses


def _new_parts(plan: Plan, work: Path) -> Parts:
    """Untrained, but for the tokenizer."""
    tokenizer = _tokenizer(work / "tokenizer")
    return Parts(new_unet(plan.unet_channels), new_codec(plan.codec_width), new_text_encoder(tokenizer), tokenizer)


def _tokenizer(folder: Path) -> CLIPTokenizer:
    if (folder / "tokenizer_config.json").exists():
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    return train_tokenizer(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the data and the checkpoints")
    parser.add_argument("--out", type=Path, help="folder for the finished model (WORK/model)")
    parser.add_argument("--plan", choices=PLANS, default="full", help="how large the run is; gpu suits one large GPU")
    parser.add_argument("--start", type=Path, help="a trained model to go on from, instead of from nothing")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seed", type=int, default=0, help="of the drawings, the weights and their order")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that draw the data")
    chosen = parser.parse_args(arguments)
    began = time.monotonic()
    out = chosen.out or chosen.work / "model"
    train(PLANS[chosen.plan], chosen.work, out, torch.device(chosen.device), chosen.seed, chosen.workers, chosen.start)
    print(f"the model is in {out}; this run took {(time.monotonic() - began) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
