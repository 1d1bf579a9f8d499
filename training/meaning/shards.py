"""Shards of scenes on disk: sketches, renderings, the noise that they were drawn for, and their facts."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import cv2
import numpy as np

from training.model.progress import Progress
from training.things.catalogue import HELD_OUT
from training.things.icons import load_icons
from training.things.phrases import as_json, facts_of
from training.things.scene import draw_scene

SCENES_OF_A_SHARD = 400


def write_shard(icons_folder: Path, base: Path, seed: int, count: int, side: int) -> None:
    """`count` scenes of `side` px: `BASE.npz` with sketches and renderings uint8 `[N, S, S, 3]` and noises float16
    `[N, 16, S/8, S/8]`, and `BASE.json` with the facts, written last."""
    cv2.setNumThreads(1)
    icons, rng = load_icons(icons_folder), np.random.default_rng(seed)
    sketches, renderings, noises, facts = [], [], [], []
    for _ in range(count):
        noise = rng.normal(size=(16, side // 8, side // 8)).astype(np.float16)
        scene = draw_scene(rng, noise.astype(np.float32), icons, side, HELD_OUT)
        sketches.append(as_sent(rng, scene.sketch))
        renderings.append(scene.rendering)
        noises.append(noise)
        facts.append(as_json(facts_of(scene)))
    arrays = {"sketches": np.stack(sketches), "renderings": np.stack(renderings), "noises": np.stack(noises)}
    np.savez(base.with_suffix(".npz"), **arrays)
    base.with_suffix(".json").write_text(json.dumps(facts))


def as_sent(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """A picture uint8 `[S, S, 3]` as the live wire brings it: four times in ten through JPEG."""
    if rng.random() >= 0.4:
        return picture
    quality = int(rng.integers(70, 96))
    _, code = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1]


def _write_one(job: tuple[Path, Path, int, int, int]) -> None:
    write_shard(*job)


def write_shards(icons: Path, folder: Path, shards: int, seed: int, workers: int, side: int, count: int) -> None:
    """Draw the shards that are not there yet, on `workers` processes."""
    folder.mkdir(parents=True, exist_ok=True)
    bases = [folder / f"{number:04d}" for number in range(shards)]
    jobs = [
        (icons, base, seed * 100_000 + number, count, side)
        for number, base in enumerate(bases)
        if not base.with_suffix(".json").exists()
    ]
    progress = Progress("scenes", len(jobs))
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for done, _ in enumerate(pool.imap_unordered(_write_one, jobs), start=1):
            progress.show(done)
