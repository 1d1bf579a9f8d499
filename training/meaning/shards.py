"""Shards of scenes on disk: sketches, renderings in some looks, the noise that they were drawn for, and their facts."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from training.looks.looks import DEFAULT_LOOK, GRADES, LOOKS, looked
from training.model.progress import Progress
from training.things.catalogue import HELD_OUT
from training.things.crude import draw_crude
from training.things.icons import Icons, load_icons
from training.things.photos import TRAINING_PHOTOS, load_photos, photo_crop
from training.things.phrases import as_json, facts_of
from training.things.scene import FIRST_DRAWINGS, SCENES, Scene, draw_scene

SCENES_OF_A_SHARD = 400
CRUDE, PHOTOS = 0.11, 0.09
"""Shares of what no icon stands in, where a set is drawn in looks."""
GRADED = 0.3
NAMED_PHOTOS = [name for name in TRAINING_PHOTOS if name not in ("retina.jpg", "ihc.png", "clock_motion.png")]


@dataclass(frozen=True)
class SetPlan:
    """How large a set of scenes is: side in px, shards, scenes of each, and in how many looks each is rendered; without
    looks it is the plain rendering alone."""

    side: int
    shards: int
    scenes: int = SCENES_OF_A_SHARD
    looks: int = 0
    moving: bool = False
    """Each scene twice, from two places, as two frames of a moving picture."""
    first: bool = False
    """First drawings alone: one large thing in outlines."""


def write_shard(icons_folder: Path, base: Path, seed: int, plan: SetPlan) -> None:
    """Scenes as `BASE.sketches.npy` uint8 `[N, S, S, 3]`, `BASE.renderings.npy` (K in a row of each scene) and
    `BASE.noises.npy` float16 `[N, 16, S/8, S/8]`; and `BASE.json` with the facts, written last. Of a moving one both
    frames follow each other, with the shift (dy, dx) among its facts: frame 1 shows at (y, x) what frame 0 shows
    there plus the shift."""
    cv2.setNumThreads(1)
    icons, rng = load_icons(icons_folder), np.random.default_rng(seed)
    photos = load_photos(NAMED_PHOTOS) if plan.looks else []
    sketches, renderings, noises, facts = [], [], [], []
    for _ in range(plan.scenes):
        noise = rng.normal(size=(16, plan.side // 8, plan.side // 8)).astype(np.float16)
        scene = _drawn(rng, noise.astype(np.float32), icons, photos, plan)
        chosen = _chosen_looks(rng, scene, plan.looks)
        places = _two_places(rng, plan) if plan.moving else [(0, 0)]
        frames = [_seen(scene.rendering, place, plan.side) for place in places]
        drawn = [in_looks(each, noise, chosen) if plan.looks else [each] for each in frames]
        sketches.extend(as_sent(rng, _seen(scene.sketch, place, plan.side)) for place in places)
        renderings.extend(each for several in zip(*drawn, strict=True) for each in several)
        noises.append(noise)
        shift = {"shift": [int(b - a) for a, b in zip(*places, strict=True)]} if plan.moving else {}
        facts.append(as_json(facts_of(scene)) | {"looks": chosen} | shift)
    for name, arrays in (("sketches", sketches), ("renderings", renderings), ("noises", noises)):
        np.save(base.with_suffix(f".{name}.npy"), np.stack(arrays))
    base.with_suffix(".json").write_text(json.dumps(facts))


def _drawn(rng: np.random.Generator, noise: np.ndarray, icons: Icons, photos: list[np.ndarray], plan: SetPlan) -> Scene:
    if plan.moving:
        larger = _canvas(plan)
        wide = np.pad(noise, ((0, 0), (0, larger // 8 - plan.side // 8), (0, larger // 8 - plan.side // 8)), "wrap")
        return draw_scene(rng, wide, icons, larger, HELD_OUT)
    kind = rng.random() if plan.looks and not plan.first else 1.0
    if kind < CRUDE:
        return draw_crude(rng, noise, plan.side)
    if kind < CRUDE + PHOTOS:
        photo = photo_crop(rng, photos, plan.side)
        return Scene(photo, photo, (), "photo", "day", "", "render", bare=False)
    return draw_scene(rng, noise, icons, plan.side, HELD_OUT, FIRST_DRAWINGS if plan.first else SCENES)


def _canvas(plan: SetPlan) -> int:
    """The side of what two frames are cut out of."""
    return plan.side + plan.side // 32 * 8


def _two_places(rng: np.random.Generator, plan: SetPlan) -> list[tuple[int, int]]:
    """Corners (y, x) of two frames: the same one a quarter of the time, else a few pixels apart."""
    room = _canvas(plan) - plan.side
    first = rng.integers(0, room + 1, 2)
    near = np.clip(first + rng.integers(-24, 25, 2), 0, room)
    second = first if rng.random() < 0.25 else near
    return [(int(y), int(x)) for y, x in (first, second)]


def _seen(picture: np.ndarray, place: tuple[int, int], side: int) -> np.ndarray:
    y, x = place
    return np.ascontiguousarray(picture[y : y + side, x : x + side])


def _chosen_looks(rng: np.random.Generator, scene: Scene, count: int) -> list[tuple[str, str]]:
    """`count` different looks with a grade each, most often none: a scene at night stays so. The default one is always
    among them: it shows a thing in its colours, and is what most visitors see."""
    others = [name for name in LOOKS if name != DEFAULT_LOOK]
    names = [DEFAULT_LOOK, *(str(each) for each in rng.choice(others, max(0, count - 1), replace=False))][:count]
    grades = [name for name in GRADES if name]
    mayhave = scene.light == "day" and scene.place not in ("under water", "space") and not scene.ground
    return [
        (name, grades[int(rng.integers(len(grades)))] if mayhave and rng.random() < GRADED else "") for name in names
    ]


def in_looks(rendering: np.ndarray, noise: np.ndarray, looks: list[tuple[str, str]]) -> list[np.ndarray]:
    """The rendering uint8 `[S, S, 3]` in each (look, grade)."""
    picture = rendering.astype(np.float32) / 255
    drawn = [looked(picture, noise.astype(np.float32), look, grade) for look, grade in looks]
    return [(each * 255 + 0.5).astype(np.uint8) for each in drawn]


def looks_of(entry: dict) -> list[tuple[str, str]]:
    """(look, grade) of each rendering of a scene, by its facts as JSON; one without looks is as the default one."""
    return [(look, grade) for look, grade in entry.get("looks") or [(DEFAULT_LOOK, "")]]


def as_sent(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """A picture uint8 `[S, S, 3]` as the live wire brings it: four times in ten through JPEG."""
    if rng.random() >= 0.4:
        return picture
    quality = int(rng.integers(70, 96))
    _, code = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1]


def _write_one(job: tuple[Path, Path, int, SetPlan]) -> None:
    write_shard(*job)


def write_shards(icons: Path, folder: Path, plan: SetPlan, seed: int, workers: int) -> None:
    """Draw the shards that are not there yet, on `workers` processes."""
    folder.mkdir(parents=True, exist_ok=True)
    bases = [folder / f"{number:04d}" for number in range(plan.shards)]
    jobs = [
        (icons, base, seed * 100_000 + plan.side * 1000 + number, plan)
        for number, base in enumerate(bases)
        if not base.with_suffix(".json").exists()
    ]
    progress = Progress(f"scenes of {plan.side} px", len(jobs))
    if len(jobs) < 2 or workers < 2:
        for done, job in enumerate(jobs, start=1):
            _write_one(job)
            progress.show(done)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for done, _ in enumerate(pool.imap_unordered(_write_one, jobs), start=1):
            progress.show(done)
