"""Flat layers that move by affine maps: frames drawn from them, and the optical flow and occlusion that follow exactly.

Pixel centres lie at whole numbers; points are (x, y, 1), so that a map is a 3 x 3 matrix and maps compose by `@`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

ALONE = 1 - 1 / 255
"""A layer that covers this much of a pixel is all that is seen there."""
MIXED = -1
"""The owner of a pixel in which an edge mixes two layers."""
SOFTNESS = 0.7
"""Pixels of blur, as a lens has it: sharper pictures change when they are resampled between pixels."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A picture that moves as one piece.

    `canvas` float32 [h, w, 4] is RGB in 0..1, multiplied by coverage, then coverage. `places` float64 [T, 3, 3] maps
    points of the canvas to points of each frame, in pixels. `shown` bool [T] says in which frames it is there.
    """

    canvas: np.ndarray
    places: np.ndarray
    shown: np.ndarray


def layer(
    canvas: np.ndarray, places: Sequence[np.ndarray] | np.ndarray, shown: Sequence[bool] | np.ndarray | None = None
) -> Layer:
    """A layer, its canvas softened by `SOFTNESS`, shown always unless `shown` says otherwise."""
    soft = cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), SOFTNESS, borderType=cv2.BORDER_REPLICATE)
    all_places = np.asarray(places, np.float64)
    return Layer(soft, all_places, np.ones(len(all_places), bool) if shown is None else np.asarray(shown, bool))


def opaque(picture: np.ndarray) -> np.ndarray:
    """A canvas [h, w, 4] that a picture uint8 [h, w, 3] fills."""
    return np.dstack([picture.astype(np.float32) / 255, np.ones(picture.shape[:2], np.float32)])


def moved(x: float, y: float) -> np.ndarray:
    """The map that adds (x, y)."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def scaled(x: float, y: float, centre: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """The map that multiplies by x across and y down around `centre`."""
    return moved(*centre) @ np.diag([x, y, 1.0]) @ moved(-centre[0], -centre[1])


def turned(angle: float, centre: tuple[float, float]) -> np.ndarray:
    """The map that turns by `angle` in radians, clockwise on the screen, around `centre`."""
    cos, sin = np.cos(angle), np.sin(angle)
    return moved(*centre) @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ moved(-centre[0], -centre[1])


def drawn(layers: Sequence[Layer], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames uint8 [T, S, S, 3] of the layers, far to near, and which layer owns each pixel, int8 [T, S, S].

    The first layer has to fill every frame in which it is shown. Canvases are sampled bilinearly.
    """
    count = len(layers[0].places)
    frames, owners = np.empty((count, size, size, 3), np.uint8), np.empty((count, size, size), np.int8)
    for time in range(count):
        picture, owners[time] = _drawn_once(layers, time, size)
        frames[time] = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    return frames, owners


def _drawn_once(layers: Sequence[Layer], time: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    picture, owner = np.zeros((size, size, 3), np.float32), np.full((size, size), MIXED, np.int8)
    for index, each in enumerate(layers):
        if not each.shown[time]:
            continue
        seen = coverage_and_colour(each, time, size)
        coverage = seen[..., 3:]
        picture = picture * (1 - coverage) + seen[..., :3]
        owner = np.where(coverage[..., 0] > ALONE, index, np.where(coverage[..., 0] > 1 / 255, MIXED, owner))
    return picture, owner.astype(np.int8)


def coverage_and_colour(one: Layer, time: int, size: int) -> np.ndarray:
    """What a layer puts into frame `time`, float32 [S, S, 4] as a canvas; nothing outside its canvas."""
    inverse = np.linalg.inv(one.places[time])[:2]
    return cv2.warpAffine(one.canvas, inverse, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def flow_and_visibility(layers: Sequence[Layer], owners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Backward flow float32 [T, S, S, 2] as (x, y) and visibility bool [T, S, S], from owners int8 [T, S, S].

    With P_t the place of the layer that owns pixel p in frame t: `flow_t(p) = P_(t-1) P_t^-1 p - p`. A point is visible
    where one layer alone is seen at p, and alone at all pixels of frame t-1 that a bilinear reading of the source
    takes. Flow is 0 where no layer is alone, and in frame 0.
    """
    count, size = owners.shape[:2]
    flow, visible = np.zeros((count, size, size, 2), np.float32), np.zeros((count, size, size), bool)
    y, x = np.mgrid[0:size, 0:size].astype(np.float64)
    points = np.stack([x, y, np.ones_like(x)], -1)
    for time in range(1, count):
        for index, each in enumerate(layers):
            own = owners[time] == index
            if not own.any():
                continue
            back = each.places[time - 1] @ np.linalg.inv(each.places[time])
            source = points[own] @ back.T[:, :2]
            flow[time][own] = source - points[own][:, :2]
            visible[time][own] = _alone_around(owners[time - 1] == index, source)
    return flow, visible


def _alone_around(owned: np.ndarray, points: np.ndarray) -> np.ndarray:
    """bool [N]: whether each point (x, y) [N, 2] lies inside, and is read from `owned` [S, S] pixels alone."""
    last = owned.shape[0] - 1
    # Places are products of matrices, so a point that lies on a pixel may come out a rounding beside it.
    points = np.where(np.abs(points - points.round()) < 1e-9, points.round(), points)
    inside = ((points >= 0) & (points <= last)).all(axis=1)
    low, high = (np.clip(each(points), 0, last).astype(int) for each in (np.floor, np.ceil))
    corners = [owned[y, x] for y in (low[:, 1], high[:, 1]) for x in (low[:, 0], high[:, 0])]
    return inside & np.logical_and.reduce(corners)
