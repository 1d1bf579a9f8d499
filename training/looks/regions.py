"""A picture in flat pieces: cells that follow its colours (SLIC), and few colours with round borders."""

from __future__ import annotations

import cv2
import numpy as np

from training.looks.fields import grid, grown, shrunk
from training.styles.filters import blur


def cells(image: np.ndarray, noise: np.ndarray, size: int, tightness: float, rounds: int = 4) -> np.ndarray:
    """Labels int32 `[H, W]` of pieces that end where colours do; where nothing is, they are diamonds of `size` px from
    corner to corner, as leaded windows have them. The noise shakes their seeds.

    Simple linear iterative clustering (Achanta et al., IEEE TPAMI 34(11), 2012); `tightness` against colour.
    """
    small = shrunk(image, 2)
    height, width = small.shape[:2]
    step = size / 2
    rows, columns = round(2 * height / step), round(width / step)
    shaken = cv2.resize(
        np.ascontiguousarray(noise[:2].transpose(1, 2, 0)), (columns, rows), interpolation=cv2.INTER_AREA
    )
    shaken = (0.08, 0.16) * np.tanh(shaken / (shaken.std() + 1e-6))
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    x += 0.25 + 0.5 * (y % 2)
    centres = np.stack([(x + shaken[..., 0]) * width / columns, (y + 0.5 + shaken[..., 1]) * height / rows], 2)
    centres = centres.reshape(-1, 2)
    at = np.clip(centres, 0, [width - 1, height - 1]).astype(np.intp)
    features = np.concatenate([centres * (tightness / step), small[at[:, 1], at[:, 0]]], 1).astype(np.float32)
    for _ in range(rounds):
        labels = _nearest(small, features, rows, columns, tightness / step)
        features = _means(small, labels, features, tightness / step)
    return _nearest(image, features, rows, columns, tightness / step / 2)


def _nearest(image: np.ndarray, features: np.ndarray, rows: int, columns: int, scale: float) -> np.ndarray:
    """For each pixel the number of the nearest of the nine centres around it."""
    height, width = image.shape[:2]
    x, y = grid(height, width)
    lattice = cv2.copyMakeBorder(features.reshape(rows, columns, 5)[..., :4].copy(), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    blue = cv2.copyMakeBorder(features.reshape(rows, columns, 5)[..., 4].copy(), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    numbers = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    numbers = cv2.copyMakeBorder(numbers, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    best = np.full((height, width), np.inf, np.float32)
    labels = np.zeros((height, width), np.float32)
    for down in range(3):
        for right in range(3):
            window = slice(down, down + rows), slice(right, right + columns)
            size = (width, height)
            each = cv2.resize(lattice[window], size, interpolation=cv2.INTER_NEAREST)
            last = cv2.resize(blue[window], size, interpolation=cv2.INTER_NEAREST)
            number = cv2.resize(numbers[window], size, interpolation=cv2.INTER_NEAREST)
            distance = (x * scale - each[..., 0]) ** 2 + (y * scale - each[..., 1]) ** 2
            distance += (image[..., 0] - each[..., 2]) ** 2 + (image[..., 1] - each[..., 3]) ** 2
            distance += (image[..., 2] - last) ** 2
            closer = distance < best
            best = np.where(closer, distance, best)
            labels = np.where(closer, number, labels)
    return labels.astype(np.int32)


def _means(image: np.ndarray, labels: np.ndarray, features: np.ndarray, scale: float) -> np.ndarray:
    x, y = grid(*image.shape[:2])
    flat, count = labels.ravel(), len(features)
    sizes = np.bincount(flat, minlength=count)
    layers = (x * scale, y * scale, image[..., 0], image[..., 1], image[..., 2])
    sums = np.stack([np.bincount(flat, each.ravel(), count) for each in layers], 1)
    return np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], features).astype(np.float32)


def piece_means(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean colour of each piece, `[K, 3]`."""
    flat = labels.ravel()
    sizes = np.maximum(np.bincount(flat), 1)
    return np.stack([np.bincount(flat, image[..., channel].ravel()) / sizes for channel in range(3)], 1).astype(
        np.float32
    )


def borders(labels: np.ndarray) -> np.ndarray:
    """bool `[H, W]`: pixels whose right or lower neighbour belongs to another piece."""
    result = np.zeros(labels.shape, bool)
    result[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    result[:-1] |= labels[:-1] != labels[1:]
    return result


def flat_pieces(image: np.ndarray, count: int, roundness: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels int32 `[H, W]` of connected pieces of at most `count` colours, with borders round over `roundness` px; and
    the colour of each piece, `[K, 3]`."""
    kinds = _flat_kinds(image, count, roundness)
    labels, found = np.zeros(kinds.shape, np.int32), 0
    for kind in np.unique(kinds):
        number, parts = cv2.connectedComponents((kinds == kind).astype(np.uint8), connectivity=4)
        labels = np.where(parts > 0, parts + (found - 1), labels)
        found += number - 1
    return labels, piece_means(image, labels)


def _flat_kinds(image: np.ndarray, count: int, roundness: float) -> np.ndarray:
    """The number of each pixel's colour, uint8 `[H, W]`."""
    small = shrunk(image, 4)
    pixels = small.reshape(-1, 3)
    colours = _spread_colours(pixels, count)
    for _ in range(6):
        nearest = ((pixels[:, None] - colours) ** 2).sum(2).argmin(1)
        sizes = np.bincount(nearest, minlength=count)
        sums = np.stack([np.bincount(nearest, pixels[:, each], count) for each in range(3)], 1)
        colours = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], colours).astype(np.float32)
    colours = _apart(colours)
    distance = np.stack([((image - colour) ** 2).sum(2) for colour in colours], 2)
    near = np.exp(-60 * (distance - distance.min(2, keepdims=True)))
    votes = [grown(blur(shrunk(near[..., each], 2), roundness / 2), image) for each in range(len(colours))]
    return np.stack(votes).argmax(0).astype(np.uint8)


def _apart(colours: np.ndarray, least: float = 0.19) -> np.ndarray:
    """The colours, without those that are nearer than `least` to an earlier one."""
    kept: list[np.ndarray] = []
    for each in colours:
        if all(np.linalg.norm(each - other) >= least for other in kept):
            kept.append(each)
    return np.stack(kept)


def heights(labels: np.ndarray, levels: tuple[float, ...] = (0.2, 0.06, 0.015, 0.004)) -> np.ndarray:
    """A level for each piece: 0 for what covers most of the picture, higher the smaller it is, `[K]`."""
    shares = np.bincount(labels.ravel()) / labels.size
    return (shares[:, None] < np.array(levels)).sum(1)


def _spread_colours(pixels: np.ndarray, count: int) -> np.ndarray:
    """Begin with the mean, then always the colour that is farthest from all before."""
    chosen = [pixels.mean(0)]
    nearest = ((pixels - chosen[0]) ** 2).sum(1)
    for _ in range(count - 1):
        chosen.append(pixels[int(nearest.argmax())])
        nearest = np.minimum(nearest, ((pixels - chosen[-1]) ** 2).sum(1))
    return np.stack(chosen)
