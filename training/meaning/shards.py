"""Shards of scenes on disk: sketches, renderings in some looks, the noise that they were drawn for, and their facts."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from pipeline.frames.paper import over_paper
from pipeline.models.conditioning import PHASE_PERIOD
from training.looks.looks import DEFAULT_LOOK, GRADES, LOOKS, looked
from training.model.model import FINER_INK
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
OFTEN = {"watercolor": 5.0, "anime": 3.0, "vangogh": 3.0, "oil": 2.0, "painting": 2.0, "papercut": 2.0}
"""How often a look is drawn beside the default one, where it is not once: what a page begins with, and those that are
learnt last."""
NAMED_PHOTOS = [name for name in TRAINING_PHOTOS if name not in ("retina.jpg", "ihc.png", "clock_motion.png")]


CLOSE = 2
"""How many times as wide a picture is that a close-up is cut out of: a picture at rest is painted as large."""
AT_REST, SOFTEST = 0.75, 4.0
"""Of close-ups, those whose paper shows what the live picture shows there, and the deviation, at most, of its blur in
px."""


Place = tuple[int, int]
"""The corner (y, x), in px, of a picture that is cut out of a canvas."""


@dataclass(frozen=True)
class Cut:
    """How the pictures of a kind of set come about: the side of the canvas for one of a picture; where they are cut out
    of it; how many are first drawings; whether crude drawings and photographs are among them, where a set is drawn in
    looks; how many sketches lie over the live picture; and whether each has the noise of its place, or, wherever it is
    cut out, the same."""

    canvas: Callable[[int], int]
    places: Callable[[np.random.Generator, Scene, SetPlan], list[Place]]
    first: float = 0.0
    mixed: bool = False
    at_rest: float = 0.0
    noise_of_place: bool = False


Kind = Literal["scenes", "first", "close", "moving"]


@dataclass(frozen=True)
class SetPlan:
    """How large a set of scenes is: side in px, shards, scenes of each, and in how many looks each is rendered; without
    looks it is the plain rendering alone. Its kind: scenes; first drawings, one large thing in outlines each; close-ups
    of both; or each scene twice, from two places, as two frames of a moving picture."""

    side: int
    shards: int
    scenes: int = SCENES_OF_A_SHARD
    looks: int = 0
    kind: Kind = "scenes"

    def __post_init__(self) -> None:
        if self.kind == "close" and self.looks != 1:
            raise ValueError(
                f"close-ups came in {self.looks} looks; needed: one, which what lies under their sketches has."
            )

    @property
    def canvas(self) -> int:
        """The side in px of what pictures are cut out of."""
        return KINDS[self.kind].canvas(self.side)


def write_shard(icons_folder: Path, base: Path, seed: int, plan: SetPlan) -> None:
    """Scenes as `BASE.sketches.npy` uint8 `[N, S, S, 3]`, `BASE.renderings.npy` (K in a row of each scene) and
    `BASE.noises.npy` float16 `[N, 16, S/8, S/8]`; and `BASE.json` with the facts, written last. Of a moving one both
    frames follow each other, with the shift (dy, dx) among its facts: frame 1 shows at (y, x) what frame 0 shows
    there plus the shift."""
    cv2.setNumThreads(1)
    icons, rng = load_icons(icons_folder), np.random.default_rng(seed)
    photos, cut = load_photos(NAMED_PHOTOS) if plan.looks else [], KINDS[plan.kind]
    sketches, renderings, noises, facts = [], [], [], []
    for _ in range(plan.scenes):
        wide = _wide_noise(rng, plan)
        scene = _drawn(rng, wide.astype(np.float32), icons, photos, plan)
        chosen = _chosen_looks(rng, scene, plan.looks)
        places = cut.places(rng, scene, plan)
        y, x = (each // 8 for each in places[0]) if cut.noise_of_place else (0, 0)
        noise = wide[:, y : y + plan.side // 8, x : x + plan.side // 8]
        frames = [_seen(scene.rendering, place, plan.side) for place in places]
        drawn = [in_looks(each, noise, chosen) if plan.looks else [each] for each in frames]
        seen = [_seen(scene.sketch, place, plan.side) for place in places]
        if rng.random() < cut.at_rest:
            seen = [over_live(rng, each, painted) for each, (painted, *_) in zip(seen, drawn, strict=True)]
        sketches.extend(as_sent(rng, each) for each in seen)
        renderings.extend(each for several in zip(*drawn, strict=True) for each in several)
        noises.append(noise)
        shift = {"shift": [int(b - a) for a, b in zip(*places, strict=True)]} if len(places) > 1 else {}
        facts.append(as_json(facts_of(scene)) | {"looks": chosen} | shift)
    for name, arrays in (("sketches", sketches), ("renderings", renderings), ("noises", noises)):
        np.save(base.with_suffix(f".{name}.npy"), np.stack(arrays))
    base.with_suffix(".json").write_text(json.dumps(facts))


def _wide_noise(rng: np.random.Generator, plan: SetPlan) -> np.ndarray:
    """Noise float16 `[16, h, w]` of the canvas; where it is the same in all places, the picture's again and again."""
    across = (plan.canvas if KINDS[plan.kind].noise_of_place else plan.side) // 8
    noise = rng.normal(size=(16, across, across)).astype(np.float16)
    more = plan.canvas // 8 - across
    return np.pad(noise, ((0, 0), (0, more), (0, more)), "wrap")


def _drawn(rng: np.random.Generator, noise: np.ndarray, icons: Icons, photos: list[np.ndarray], plan: SetPlan) -> Scene:
    """A scene on the canvas."""
    side, cut = plan.canvas, KINDS[plan.kind]
    kind = rng.random() if plan.looks and cut.mixed else 1.0
    if kind < CRUDE:
        return draw_crude(rng, noise, side)
    if kind < CRUDE + PHOTOS:
        photo = photo_crop(rng, photos, side)
        return Scene(photo, photo, (), "photo", "day", "", "render", bare=False)
    manner = FIRST_DRAWINGS if rng.random() < cut.first else SCENES
    return draw_scene(rng, noise, icons, side, HELD_OUT, manner)


def _everything(_: np.random.Generator, __: Scene, ___: SetPlan) -> list[Place]:
    """The whole canvas."""
    return [(0, 0)]


def _close_to_a_thing(rng: np.random.Generator, scene: Scene, plan: SetPlan) -> list[Place]:
    """The place of a picture whose middle lies on a thing, or anywhere where there is none; whole periods of the
    phase channels from the canvas's own."""
    room, period = plan.canvas - plan.side, 8 * PHASE_PERIOD
    corner = rng.uniform(0, room, 2)
    if scene.things:
        thing = scene.things[int(rng.integers(len(scene.things)))]
        middle = np.array([thing.y, thing.x]) + thing.size * rng.uniform(-0.5, 0.5, 2)
        corner = middle * plan.canvas / 256 - plan.side / 2
    y, x = np.clip(np.round(corner / period) * period, 0, room // period * period)
    return [(int(y), int(x))]


def _two_places(rng: np.random.Generator, _: Scene, plan: SetPlan) -> list[Place]:
    """The places of two frames: the same one a quarter of the time, else a few pixels apart."""
    room = plan.canvas - plan.side
    first = rng.integers(0, room + 1, 2)
    near = np.clip(first + rng.integers(-24, 25, 2), 0, room)
    second = first if rng.random() < 0.25 else near
    return [(int(y), int(x)) for y, x in (first, second)]


KINDS: dict[Kind, Cut] = {
    "scenes": Cut(lambda side: side, _everything, mixed=True),
    "first": Cut(lambda side: side, _everything, first=1.0),
    "close": Cut(
        lambda side: CLOSE * side, _close_to_a_thing, first=0.5, mixed=True, at_rest=AT_REST, noise_of_place=True
    ),
    "moving": Cut(lambda side: side + side // 32 * 8, _two_places),
}


def over_live(rng: np.random.Generator, sketch: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """A sketch over what the live picture has made of it, both uint8 `[S, S, 3]`, as a picture at rest begins: soft,
    since it was painted half as large."""
    soft = cv2.GaussianBlur(painted, (0, 0), rng.uniform(1, SOFTEST))
    shade = rng.normal(1, 0.03, 3) + rng.normal(0, 0.03)
    ink = FINER_INK * rng.uniform(0.7, 1.3)
    return over_paper(sketch, np.clip(np.rint(soft * shade), 0, 255).astype(np.uint8), ink)


def _seen(picture: np.ndarray, place: Place, side: int) -> np.ndarray:
    y, x = place
    return np.ascontiguousarray(picture[y : y + side, x : x + side])


def _chosen_looks(rng: np.random.Generator, scene: Scene, count: int) -> list[tuple[str, str]]:
    """`count` different looks with a grade each, most often none: a scene at night stays so. The default one is always
    among them, or half of the time where there is only one: it shows a thing in its colours."""
    others = [name for name in LOOKS if name != DEFAULT_LOOK]
    shares = np.array([OFTEN.get(name, 1.0) for name in others])
    chosen = [str(each) for each in rng.choice(others, max(1, count - 1), replace=False, p=shares / shares.sum())]
    names = chosen if count == 1 and rng.random() < 0.5 else [DEFAULT_LOOK, *chosen][:count]
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
        (icons, base, seed * 100_000 + plan.side * 1000 + 250 * list(KINDS).index(plan.kind) + number, plan)
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
