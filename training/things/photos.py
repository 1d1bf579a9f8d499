"""Photographs that scikit-image brings along, as a camera before a visitor would show such things."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from training.styles.filters import as_bytes

TRAINING_PHOTOS = (
    "rocket.jpg|motorcycle_left.png|motorcycle_right.png|hubble_deep_field.jpg|retina.jpg|ihc.png|camera.png|coins.png|"
    "grass.png|gravel.png|brick.png|horse.png|clock_motion.png|moon.png"
).split("|")
HELD_OUT_PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png")
HELD_OUT_SIDE = 256


def load_photos(names: tuple[str, ...] | list[str]) -> list[np.ndarray]:
    """Photos that scikit-image bundles, uint8 `[H, W, 3]`."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    return [np.array(Image.open(folder / name).convert("RGB")) for name in names]


def held_out_photos() -> list[np.ndarray]:
    """Square middles of photos that training never saw, uint8 `[256, 256, 3]`: a face, a cat, a cup."""
    corners = {"astronaut.png": (0, 90, 280), "chelsea.png": (0, 80, 300), "coffee.png": (0, 100, 400)}
    crops = []
    for name, photo in zip(HELD_OUT_PHOTOS, load_photos(HELD_OUT_PHOTOS), strict=True):
        y, x, side = corners[name]
        middle, size = photo[y : y + side, x : x + side], (HELD_OUT_SIDE, HELD_OUT_SIDE)
        crops.append(cv2.resize(middle, size, interpolation=cv2.INTER_AREA))
    return crops


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
