"""`python -m training.sketches --work build/painter`: draw and train; resumes. The weights are in WORK/sketches."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from training.model.team import Team, run_team
from training.sketches.stage import WIDTH, Sketching
from training.texture.loop import Pace, train
from training.things.icons import write_icons


def train_sketches(team: Team, icons: Path, out: Path, pace: Pace, seed: int) -> None:
    """One process of the stage; its checkpoint lies beside `out`."""
    (out.parent / "sheets").mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    learner = Sketching(icons, out, pace.batch, WIDTH, torch.device("cpu"))
    train(team, learner, pace, out.with_suffix(".safetensors"), seed)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the icons, the checkpoint and the weights")
    parser.add_argument("--minutes", type=float, default=30, help="in all, of a run that resumes (30)")
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each (2)")
    parser.add_argument("--seed", type=int, default=0, help="of the drawings, their order and the first weights")
    chosen = parser.parse_args(arguments)
    write_icons(chosen.work / "packs", chosen.work / "icons", chosen.workers)
    pace = Pace(1_000_000, 96, 2e-3, chosen.minutes)
    icons, out = chosen.work / "icons", chosen.work / "sketches"
    run_team(chosen.workers, chosen.work, train_sketches, icons, out, pace, chosen.seed)


if __name__ == "__main__":
    main()
