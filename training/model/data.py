"""The training set: sources (sketches, camera pictures, photos) and their translations, drawn once, kept as shards.

Every example is seen twice, from two places a few pixels apart, as two frames of a moving picture are.
"""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from training.model.progress import Progress
from training.scenes.captions import canonical_prompt, caption
from training.scenes.scenes import as_camera_picture, draw_scene
from training.styles.styles import GRADES, STYLES, styled

FRAME = 256
CANVAS = 320
STYLES_OF_AN_EXAMPLE = 3
EXAMPLES_OF_A_SHARD = 40
LEARNING_SHARES = {"comic": 3.0, "pixel": 3.0, "ukiyoe": 3.0, "vangogh": 3.0, "anime": 2.5, "photo": 0.6, "glass": 0.5}
"""How often a style is drawn, against 1: more where it is learnt late, less where it is learnt at once."""
SHARE_OF_SKETCHES = 0.6
"""Of the samples of drawn scenes; the others begin from a camera's picture of the rendering."""
TRAINING_PHOTOS = (
    "rocket.jpg|motorcycle_left.png|motorcycle_right.png|hubble_deep_field.jpg|retina.jpg|ihc.png|camera.png|coins.png|"
    "grass.png|gravel.png|brick.png|horse.png|clock_motion.png|moon.png"
).split("|")
HELD_OUT_PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png")


@dataclass(frozen=True)
class Translation:
    """One style of one example: what it is, and what a visitor might have asked."""

    style: str
    grade: str
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Example:
    """sources uint8 `[kinds, 2, 256, 256, 3]`, targets uint8 `[styles, 2, 256, 256, 3]`; the 2 are the two frames.

    `shift` is (dy, dx) in pixels: frame 1 shows at (y, x) what frame 0 shows at (y + dy, x + dx).
    """

    sources: np.ndarray
    targets: np.ndarray
    translations: tuple[Translation, ...]
    shift: tuple[int, int]


def draw_example(rng: np.random.Generator, photos: list[np.ndarray]) -> Example:
    """A drawn scene (four in five) or a crop of a photo, in a few styles."""
    if rng.random() < 0.8:
        scene = draw_scene(rng, CANVAS)
        camera = as_camera_picture(scene.rendering, rng)
        return _example(rng, [scene.sketch, camera], scene.rendering, scene.subject, scene.words)
    photo = photo_crop(rng, photos, CANVAS)
    return _example(rng, [photo], photo, "", ())


def _example(
    rng: np.random.Generator, sources: list[np.ndarray], rendering: np.ndarray, subject: str, words: tuple[str, ...]
) -> Example:
    places = _two_places(rng)
    pictures = [np.stack([_frame(each, place) for place in places]) for each in sources]
    sources_seen = np.stack([_as_sent(rng, each) for each in pictures])
    translations, targets = [], []
    for style in rng.choice(list(STYLES), STYLES_OF_AN_EXAMPLE, replace=False):
        grade = list(GRADES)[int(rng.integers(1, len(GRADES)))] if rng.random() < 0.4 else ""
        frames = [_frame(rendering, place).astype(np.float32) / 255 for place in places]
        targets.append(np.stack([as_bytes(styled(frame, str(style), grade)) for frame in frames]))
        captions = tuple(caption(rng, subject, words, str(style), grade) for _ in range(4))
        translations.append(Translation(str(style), grade, captions))
    (y0, x0), (y1, x1) = places
    return Example(sources_seen, np.stack(targets), tuple(translations), (y1 - y0, x1 - x0))


def _two_places(rng: np.random.Generator) -> list[tuple[int, int]]:
    """Corners of two frames in the canvas: the same one a quarter of the time, else up to 24 px apart."""
    first = rng.integers(0, CANVAS - FRAME + 1, 2)
    moved = first if rng.random() < 0.25 else np.clip(first + rng.integers(-24, 25, 2), 0, CANVAS - FRAME)
    return [(int(first[0]), int(first[1])), (int(moved[0]), int(moved[1]))]


def _frame(canvas: np.ndarray, place: tuple[int, int]) -> np.ndarray:
    y, x = place
    return canvas[y : y + FRAME, x : x + FRAME]


def _as_sent(rng: np.random.Generator, frames: np.ndarray) -> np.ndarray:
    """Frames as the live wire brings them: half of the time through JPEG, each by itself."""
    if rng.random() < 0.5:
        return frames
    quality = int(rng.integers(70, 96))
    return np.stack([_through_jpeg(frame, quality) for frame in frames])


def _through_jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    _, code = cv2.imencode(".jpg", np.ascontiguousarray(frame[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1]


def photo_crop(rng: np.random.Generator, photos: list[np.ndarray], wanted: int) -> np.ndarray:
    """`wanted` px square of a photo, turned, recoloured and mirrored at random: a few photos show many things."""
    photo = photos[int(rng.integers(len(photos)))]
    side = int(min(photo.shape[:2]) * rng.uniform(0.35, 1.0))
    y, x = (int(rng.integers(0, extent - side + 1)) for extent in photo.shape[:2])
    crop = np.ascontiguousarray(photo[y : y + side, x : x + side])
    shrinks = side > wanted
    crop = cv2.resize(crop, (wanted, wanted), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    picture = crop.astype(np.float32) / 255
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    if rng.random() < 0.2:
        picture = np.rot90(picture, int(rng.integers(4)))
    if rng.random() < 0.3:
        picture = picture[..., rng.permutation(3)]
    if rng.random() < 0.3:
        picture = _recoloured(rng, picture)
    if rng.random() < 0.4:
        picture = np.clip(picture, 0, 1) ** rng.uniform(0.6, 1.6)
    return as_bytes(np.ascontiguousarray(picture))


def _recoloured(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Tones mapped onto a random ramp of three colours: variety, above all for grey photos."""
    tone = picture.mean(axis=2, keepdims=True)
    dark, middle, light = rng.random(3) * 0.3, rng.random(3), 0.6 + 0.4 * rng.random(3)
    lower, upper = dark + (middle - dark) * tone * 2, middle + (light - middle) * (tone * 2 - 1)
    return np.where(tone < 0.5, lower, upper).astype(np.float32)


def as_bytes(picture: np.ndarray) -> np.ndarray:
    """float 0..1 to uint8."""
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def load_photos(names: tuple[str, ...] | list[str]) -> list[np.ndarray]:
    """Photos that scikit-image bundles, uint8 `[H, W, 3]`."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    return [np.array(Image.open(folder / name).convert("RGB")) for name in names]


def write_shard(path: Path, seed: int, count: int) -> None:
    """Draw `count` examples and write `path`.npz-like files: sources, targets and a JSON beside them."""
    cv2.setNumThreads(1)
    photos = load_photos(TRAINING_PHOTOS)
    rng = np.random.default_rng(seed)
    examples = [draw_example(rng, photos) for _ in range(count)]
    source_of, sources, targets = [], [], []
    for example in examples:
        source_of.append(list(range(len(sources), len(sources) + len(example.sources))))
        sources.extend(example.sources)
        targets.extend(example.targets)
    np.save(path.with_suffix(".sources.npy"), np.stack(sources))
    np.save(path.with_suffix(".targets.npy"), np.stack(targets))
    index = [
        {"sources": kinds, "shift": each.shift, "translations": [asdict(one) for one in each.translations]}
        for kinds, each in zip(source_of, examples, strict=True)
    ]
    path.with_suffix(".json").write_text(json.dumps(index))  # written last: its presence says that the shard is whole


def _write_one(job: tuple[Path, int, int]) -> Path:
    write_shard(*job)
    return job[0]


def write_shards(folder: Path, shards: int, seed: int, workers: int, examples: int = EXAMPLES_OF_A_SHARD) -> None:
    """Draw the shards that are not there yet, on `workers` processes."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(folder / f"{number:04d}", seed + number, examples) for number in range(shards)]
    jobs = [job for job in jobs if not job[0].with_suffix(".json").exists()]
    progress = Progress("data", len(jobs))
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for done, _ in enumerate(pool.imap_unordered(_write_one, jobs), start=1):
            progress.show(done)


def _caption(rng: np.random.Generator, translation: dict) -> str:
    """The plainest prompt two times in five, so that style words are learnt early; else one of the drawn captions."""
    if rng.random() < 0.4:
        return canonical_prompt(translation["style"], translation["grade"])
    return translation["captions"][int(rng.integers(len(translation["captions"])))]


@dataclass(frozen=True)
class Batch:
    """Two frames of B examples at once, uint8; a caption, a style and a grade each; the shift between frames."""

    sources: np.ndarray  # [B, 2, P, P, 3]
    targets: np.ndarray  # [B, 2, P, P, 3]
    captions: list[str]
    styles: list[str]
    grades: list[str]
    shifts: np.ndarray  # [B, 2]


class Shards:
    """The training set as it lies on disk, read through memory maps."""

    def __init__(self, folder: Path) -> None:
        self.examples: list[tuple[np.ndarray, np.ndarray, int, dict]] = []
        for path in sorted(folder.glob("*.json")):
            sources = np.load(path.with_suffix(".sources.npy"), mmap_mode="r")
            targets = np.load(path.with_suffix(".targets.npy"), mmap_mode="r")
            for number, entry in enumerate(json.loads(path.read_text())):
                self.examples.append((sources, targets, number * len(entry["translations"]), entry))
        if not self.examples:
            raise FileNotFoundError(f"no shards in {folder}; needed: drawn examples. Run the data stage first.")

    def batch(self, rng: np.random.Generator, size: int, side: int) -> Batch:
        """`size` random pairs of frames, cropped to `side` px at multiples of 32 px, where patterns match."""
        sources, targets, captions, chosen_styles, chosen_grades, shifts = [], [], [], [], [], []
        for _ in range(size):
            all_sources, all_targets, first, entry = self.examples[int(rng.integers(len(self.examples)))]
            shares = np.array([LEARNING_SHARES.get(each["style"], 1.0) for each in entry["translations"]])
            chosen = int(rng.choice(len(shares), p=shares / shares.sum()))
            translation = entry["translations"][chosen]
            kind = entry["sources"][int(rng.random() > SHARE_OF_SKETCHES) % len(entry["sources"])]
            y, x = rng.integers(0, (FRAME - side) // 32 + 1, 2) * 32
            window = (slice(None), slice(y, y + side), slice(x, x + side))
            order = [0, 1] if rng.random() < 0.5 else [1, 0]
            sources.append(all_sources[kind][window][order])
            targets.append(all_targets[first + chosen][window][order])
            captions.append(_caption(rng, translation))
            chosen_styles.append(translation["style"])
            chosen_grades.append(translation["grade"])
            shifts.append(np.array(entry["shift"]) * (1 if order[0] == 0 else -1))
        return Batch(np.stack(sources), np.stack(targets), captions, chosen_styles, chosen_grades, np.stack(shifts))

    def pictures(self, rng: np.random.Generator, size: int, side: int) -> np.ndarray:
        """`size` random crops of any picture of the set, uint8 `[B, P, P, 3]`: what a codec learns from."""
        crops = []
        for _ in range(size):
            sources, targets, first, entry = self.examples[int(rng.integers(len(self.examples)))]
            if rng.random() < 0.4:
                picture = sources[entry["sources"][int(rng.integers(len(entry["sources"])))]]
            else:
                picture = targets[first + int(rng.integers(len(entry["translations"])))]
            y, x = rng.integers(0, FRAME - side + 1, 2)
            crop = picture[int(rng.integers(2)), y : y + side, x : x + side]
            crops.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
        return np.stack(crops)
