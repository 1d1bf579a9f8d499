"""`python -m training.meaning --work build/painter --from pipeline/embedded`: draw, encode, train; resumes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from training.meaning.latents import write_latents
from training.meaning.shards import SCENES_OF_A_SHARD, SetPlan, write_shards
from training.meaning.stage import Folders, MeaningPlan, train_meaning
from training.model.export import load_parts
from training.model.team import run_team
from training.things.icons import write_icons


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the icons, the scenes and the checkpoints")
    parser.add_argument("--from", dest="start", type=Path, required=True, help="the exported model to begin from")
    parser.add_argument("--shards", type=int, default=80, help=f"of {SCENES_OF_A_SHARD} scenes each (80)")
    parser.add_argument("--steps", type=int, default=MeaningPlan.steps, help="in all, of a run that resumes")
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each (2)")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes, their order and the noise")
    chosen = parser.parse_args(arguments)
    folders = Folders(chosen.work)
    write_icons(chosen.work / "packs", folders.icons, chosen.workers)
    write_shards(folders.icons, folders.scenes, SetPlan(128, chosen.shards), chosen.seed, chosen.workers)
    codec = load_parts(chosen.start).codec.to(memory_format=torch.channels_last)
    write_latents(codec, folders.scenes, folders.latents)
    plan = MeaningPlan(steps=chosen.steps)
    run_team(chosen.workers, chosen.work, train_meaning, plan, folders, chosen.start, chosen.seed)


if __name__ == "__main__":
    main()
