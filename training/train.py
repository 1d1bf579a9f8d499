"""Train the embedded model: `python -m training.train --plan cpu --work build/painter --from pipeline/embedded`.

The stages of a plan follow each other, and each resumes where it stopped: icons and scenes are drawn, then the codec
learns to draw (with its encoder where nothing was trained before), then the model what things are (`meaning`), all
looks in latents, and pictures; last the decoder learns to be crisp and another one to remember, and a classifier what
drawings look like. WORK/sheets shows what each can do, WORK/model is the end.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from transformers import CLIPTokenizer

from pipeline.guides.sketches import SKETCHES_FILE
from pipeline.models.parts import DECODER_FILE
from training.meaning.latents import write_latents
from training.meaning.shards import Kind, SetPlan, write_shards
from training.meaning.stage import Folders, MeaningPlan, train_meaning
from training.model.export import export, load_parts, name_subjects
from training.model.model import new_codec, new_text_encoder, new_unet
from training.model.painter import Parts
from training.model.team import Team, run_team
from training.model.tokenizer import train_tokenizer
from training.sketches.stage import WIDTH, Sketching
from training.texture.decoding import Decoding
from training.texture.features import write_features
from training.texture.guiding import Guiding
from training.texture.looking_back import LookingBack
from training.texture.loop import Learner, Pace, train
from training.texture.painting import Material, Painting, PaintingPlan
from training.texture.remembering import Remembering
from training.texture.sharpening import Sharpening
from training.things.carried import unpack_icons
from training.things.icons import load_icons, write_icons
from training.things.phrases import subjects

STEADIER_FILE = "steadier.safetensors"
"""In the finished model: the decoder that remembers, which is softer and not taken unasked."""


FIRST_TURNS, FIRST_TURNS_JUDGED = 2, 1
"""Steps on first drawings before each round of the others, where a stage has them, and where it judges pictures."""


Learns = Literal["codec", "painting", "looking back", "guidance", "sharpening", "remembering", "sketches"]


@dataclass(frozen=True)
class Stage:
    """A part of the training after the first meaning: its pace, the side of its pictures in px, and what learns. Where
    looks are painted: a smaller side that takes turns with it (0: none), the sides of first drawings and of close-ups
    that do (0: none), how many samples of a batch are judged as pictures, the share of them that are later steps, and
    whether a judge sees the latents of all of them."""

    name: str
    pace: Pace
    side: int = 256
    beside: int = 0
    first: int = 0
    close: int = 0
    judged: int = 0
    later: float = 0.15
    latents_judged: bool = False
    learns: Learns = "painting"

    @property
    def sides(self) -> tuple[int, ...]:
        """From small to large."""
        return (self.beside, self.side) if self.beside else (self.side,)


@dataclass(frozen=True)
class Plan:
    """How large a run is: sets of scenes in looks, the first stage on plain renderings of 128 px, the others, the last,
    which needs a finished model, and the classifier's (none: it stays as it was)."""

    sets: tuple[SetPlan, ...]
    stages: tuple[Stage, ...]
    remembering: Stage
    meaning: tuple[SetPlan, MeaningPlan] | None = None
    channels: tuple[int, int, int] = (64, 128, 192)
    codec_width: int = 40
    sketches: Stage | None = None
    sketch_width: int = WIDTH


PLANS = {
    "cpu": Plan(
        meaning=(SetPlan(128, 80), MeaningPlan()),
        sets=(
            SetPlan(128, 40, looks=3),
            SetPlan(160, 40, looks=2, kind="first"),
            SetPlan(256, 16, 200, looks=2, kind="first"),
            SetPlan(256, 16, 200, looks=1, kind="close"),
            SetPlan(256, 24, 200, looks=3),
            SetPlan(256, 8, 100, looks=2, kind="moving"),
        ),
        stages=(
            Stage("codec", Pace(3_000, 6, 8e-4), 128, learns="codec"),
            Stage("looks_128", Pace(10_000, 12, 8e-4), 128),
            Stage("parts", Pace(6_000, 16, 1e-3), 128, first=160, latents_judged=True),
            Stage("looks_256", Pace(5_000, 4, 5e-4), first=256, close=256, latents_judged=True),
            Stage("pixels", Pace(6_000, 4, 4e-4), beside=128, first=256, close=256, judged=12, latents_judged=True),
            Stage("steps", Pace(1_500, 4, 2e-4), judged=4, later=0.6),
            Stage("looking_back", Pace(2_000, 4, 2e-4), judged=4, learns="looking back"),
            Stage("guidance", Pace(1_000, 8, 3e-4), beside=128, first=256, close=256, learns="guidance"),
            Stage("sharpening", Pace(800, 6, 4e-4), 128, learns="sharpening"),
        ),
        remembering=Stage("remembering", Pace(2_000, 4, 4e-4), 128, learns="remembering"),
        sketches=Stage("sketches", Pace(4_000, 96, 2e-3), learns="sketches"),
    ),
    "further": Plan(
        sets=(
            SetPlan(192, 30, looks=2),
            SetPlan(256, 16, 200, looks=2, kind="first"),
            SetPlan(256, 16, 200, looks=1, kind="close"),
            SetPlan(256, 24, 200, looks=3),
            SetPlan(256, 8, 100, looks=2, kind="moving"),
        ),
        stages=(
            Stage("parts", Pace(1_000_000, 8, 8e-4, minutes=60), beside=192, first=256, close=256, latents_judged=True),
            Stage(
                "pixels",
                Pace(1_000_000, 4, 4e-4, minutes=40),
                beside=192,
                first=256,
                close=256,
                judged=6,
                latents_judged=True,
            ),
            Stage("looking_back", Pace(1_000_000, 4, 2e-4, minutes=6), judged=4, learns="looking back"),
            Stage("guidance", Pace(1_000_000, 8, 3e-4, minutes=6), beside=192, first=256, close=256, learns="guidance"),
        ),
        remembering=Stage("remembering", Pace(1_000_000, 4, 5e-4, minutes=10), 128, learns="remembering"),
    ),
    "gpu": Plan(
        sets=(
            SetPlan(128, 96, looks=3),
            SetPlan(160, 96, looks=2, kind="first"),
            SetPlan(256, 48, 150, looks=2, kind="first"),
            SetPlan(256, 48, 150, looks=1, kind="close"),
            SetPlan(256, 64, 150, looks=3),
            SetPlan(256, 32, 60, looks=2, kind="moving"),
        ),
        stages=(
            Stage("codec", Pace(100_000, 48, 1.5e-3, minutes=1.5), 128, learns="codec"),
            Stage("looks_128", Pace(1_000_000, 256, 1.2e-3, minutes=4), 128),
            Stage("parts", Pace(1_000_000, 192, 1.2e-3, minutes=3), 128, first=160, latents_judged=True),
            Stage("looks_256", Pace(1_000_000, 96, 8e-4, minutes=3), first=256, close=256, latents_judged=True),
            Stage(
                "pixels",
                Pace(1_000_000, 48, 6e-4, minutes=5),
                beside=128,
                first=256,
                close=256,
                judged=96,
                latents_judged=True,
            ),
            Stage("steps", Pace(1_000_000, 48, 3e-4, minutes=1), judged=48, later=0.6),
            Stage("looking_back", Pace(1_000_000, 32, 3e-4, minutes=1.5), judged=32, learns="looking back"),
            Stage("guidance", Pace(1_000_000, 96, 4e-4, minutes=0.5), first=256, close=256, learns="guidance"),
            Stage("sharpening", Pace(100_000, 32, 4e-4, minutes=0.5), 128, learns="sharpening"),
        ),
        remembering=Stage("remembering", Pace(100_000, 24, 6e-4, minutes=1.5), 128, learns="remembering"),
        sketches=Stage("sketches", Pace(100_000, 96, 2e-3, minutes=4), learns="sketches"),
    ),
    "tiny": Plan(
        meaning=(SetPlan(32, 1, 6), MeaningPlan(steps=2, batch=2)),
        sets=(
            SetPlan(32, 1, 6, looks=2),
            SetPlan(32, 1, 6, looks=1, kind="first"),
            SetPlan(32, 1, 3, looks=1, kind="close"),
            SetPlan(64, 1, 4, looks=2),
            SetPlan(64, 1, 3, looks=2, kind="moving"),
        ),
        stages=(
            Stage("codec", Pace(3, 2, 1e-3), 32, learns="codec"),
            Stage("parts", Pace(3, 2, 1e-3), 32, first=32),
            Stage(
                "pixels", Pace(3, 2, 1e-3), 64, beside=32, first=32, close=32, judged=1, later=0.6, latents_judged=True
            ),
            Stage("looking_back", Pace(2, 2, 1e-3), 64, judged=1, learns="looking back"),
            Stage("guidance", Pace(2, 2, 1e-3), 64, learns="guidance"),
            Stage("sharpening", Pace(2, 2, 1e-3), 32, learns="sharpening"),
        ),
        remembering=Stage("remembering", Pace(2, 2, 1e-3), 32, learns="remembering"),
        sketches=Stage("sketches", Pace(2, 4, 1e-3), learns="sketches"),
        sketch_width=4,
        channels=(16, 32, 32),
        codec_width=8,
    ),
}


@dataclass(frozen=True)
class Run:
    """What all stages of a run know: its plan and folder, the model that it begins with and whether that was trained,
    and on what it computes."""

    plan: Plan
    work: Path
    start: Path
    trained: bool
    device: str
    seed: int
    workers: int

    @property
    def team(self) -> int:
        """How many processes train: one on a GPU, else one a core, two at most."""
        return min(2, self.workers) if self.device == "cpu" else 1

    def scenes(self, side: int, kind: Kind = "scenes") -> Path:
        """Where a set of scenes in looks lies."""
        return self.work / f"{kind}_{side}px"

    def turns(self, stage: Stage) -> list[Path]:
        """Whose scenes the steps of a stage of looks take in turns."""
        count = 0 if not stage.first else FIRST_TURNS_JUDGED if stage.judged else FIRST_TURNS
        first = [self.scenes(stage.first, "first")] * count
        close = [self.scenes(stage.close, "close")] if stage.close else []
        return [*first, *close, *(self.scenes(each) for each in stage.sides)]

    @property
    def features(self) -> Path:
        return self.work / "carried" / "features.safetensors"


def train_all(run: Run) -> Path:
    """Every stage that is not done yet; returns the folder of the finished model."""
    prepare(run)
    folders = Folders(run.work)
    for each in run.plan.sets:
        write_shards(folders.icons, run.scenes(each.side, each.kind), each, run.seed, run.workers)
    last = run.start
    for stage in run.plan.stages:
        if last == run.work / "codec" and run.plan.meaning is not None:
            last = _meaning(run, last)
        last = _trained(run, stage, last)
    model = run.work / "model"
    export(load_parts(last), model)
    name_subjects(model, subjects(list(load_icons(folders.icons).rows)))
    remembering = _trained(run, run.plan.remembering, model)
    shutil.copy2(remembering / DECODER_FILE, model / STEADIER_FILE)
    sketches = run.start if run.plan.sketches is None else _trained(run, run.plan.sketches, model)
    shutil.copy2(sketches / SKETCHES_FILE, model / SKETCHES_FILE)
    return model


def prepare(run: Run) -> None:
    """Icons and features are there: carried, or fetched."""
    icons = Folders(run.work).icons
    if not (icons / "icons.json").exists() and (run.work / "carried" / "icons.zip").exists():
        unpack_icons(run.work / "carried" / "icons.zip", icons)
    write_icons(run.work / "packs", icons, run.workers)
    write_features(run.features)


def _meaning(run: Run, start: Path) -> Path:
    assert run.plan.meaning is not None
    scenes, plan = run.plan.meaning
    folders = Folders(run.work)
    if (run.work / "meaning.done").exists():
        return folders.model
    write_shards(folders.icons, folders.scenes, scenes, run.seed, run.workers)
    write_latents(load_parts(start).codec.to(memory_format=torch.channels_last), folders.scenes, folders.latents)
    run_team(run.team, run.work, train_meaning, plan, folders, start, run.seed)
    export(replace(load_parts(folders.model), codec=load_parts(start).codec), folders.model)
    (run.work / "meaning.done").touch()
    return folders.model


def _trained(run: Run, stage: Stage, start: Path) -> Path:
    out = run.work / stage.name
    if (run.work / f"{stage.name}.done").exists():
        return out
    (run.work / "sheets").mkdir(exist_ok=True)
    if stage.learns in ("painting", "looking back", "guidance"):
        codec = load_parts(start).codec.to(run.device, memory_format=torch.channels_last)
        for scenes in dict.fromkeys(run.turns(stage)):
            write_latents(codec, scenes, scenes.with_name(f"{scenes.name}_latents"))
    run_team(run.team, run.work, _member, run, stage, start, out)
    (run.work / f"{stage.name}.done").touch()
    return out


def _member(team: Team, run: Run, stage: Stage, start: Path, out: Path) -> None:
    """One process of a stage."""
    torch.manual_seed(run.seed)
    train(team, _learner(run, stage, start, out), stage.pace, run.work / f"{stage.name}.safetensors", run.seed)


def _learner(run: Run, stage: Stage, start: Path, out: Path) -> Learner:
    device, icons = torch.device(run.device), Folders(run.work).icons
    batch, largest = stage.pace.batch, run.scenes(max(each.side for each in run.plan.sets if each.kind == "scenes"))
    if stage.learns == "sketches":
        return Sketching(icons, out, batch, run.plan.sketch_width, device)
    if stage.learns == "codec":
        return Decoding(start, largest, run.features, out, batch, stage.side, encoder=not run.trained, device=device)
    if stage.learns == "sharpening":
        return Sharpening(start, largest, out, batch, stage.side, device)
    if stage.learns == "remembering":
        return Remembering(start, largest, run.features, out, batch, stage.side, device)
    plan = PaintingPlan(stage.name, batch, stage.judged, stage.later, stage.latents_judged)
    data = Material(run.turns(stage), icons, run.features)
    if stage.learns == "looking back":
        return LookingBack(plan, start, run.scenes(stage.side, "moving"), data, out, device)
    if stage.learns == "guidance":
        return Guiding(plan, start, data, out, device)
    return Painting(plan, start, data, out, device)


def new_model(plan: Plan, folder: Path, seed: int) -> Path:
    """An untrained model, exported into `folder`, but for its tokenizer; one that is there stays."""
    if (folder / "rearview.json").exists():
        return folder
    torch.manual_seed(seed)
    tokenizer: CLIPTokenizer = train_tokenizer(folder / "learnt")
    export(Parts(new_unet(plan.channels), new_codec(plan.codec_width), new_text_encoder(tokenizer), tokenizer), folder)
    return folder


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the data, the checkpoints and the model")
    parser.add_argument("--plan", choices=PLANS, default="cpu", help="how large the run is; gpu: for one H100")
    parser.add_argument("--from", dest="start", type=Path, help="a trained model to go on from; none: from nothing")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes, the weights and their order")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that draw the scenes")
    chosen = parser.parse_args(arguments)
    began, plan = time.monotonic(), PLANS[chosen.plan]
    chosen.work.mkdir(parents=True, exist_ok=True)
    start = chosen.start or new_model(plan, chosen.work / "start", chosen.seed)
    trained = chosen.start is not None
    run = Run(plan, chosen.work, start, trained, chosen.device, chosen.seed, chosen.workers)
    print(f"the model is in {train_all(run)}; this run took {(time.monotonic() - began) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
