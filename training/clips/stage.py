"""What a clip is, and the stage on which it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal

import cv2
import numpy as np

from training.clips.layers import Layer, drawn, flow_and_visibility, moved, opaque
from training.scenes.scenes import Scene, draw_scene
from training.scenes.shapes import UNIT
from training.styles.filters import as_bytes

FRAME = 256
"""Pixels of a side of a clip, unless it is asked for otherwise."""

LEAST_DETAIL = {"rendering": 4.0, "sketch": 2.5}
"""`detail` of a scene worth a clip: on a plain one every motion looks alike."""

LEAST_SIDE = 128
"""Pixels: scenes of smaller frames are drawn larger and shrunk: on few pixels no scene has detail."""


@dataclass(frozen=True, eq=False)
class Event:
    """Something that happens at once: `frame` is the first that shows the new state, `region` bool [S, S] where.

    "cut": another scene; "vanish": a thing is gone; "change": a shape is filled.
    """

    kind: Literal["cut", "vanish", "change"]
    frame: int
    region: np.ndarray


@dataclass(frozen=True, eq=False)
class Clip:
    """A moving scene of T frames, S x S pixels.

    `frames` uint8 [T, S, S, 3] is what a camera or a visitor sends. `clean` is the same without noise and changes of
    light. `rendering` is the illustration that a style's own rendering is made from: `clean` itself, except where the
    input is a sketch. `flow` float32 [T, S, S, 2] is backward, (x, y) in pixels: the surface point seen at pixel p of
    frame t was at p + flow[t, p] in frame t-1. `visible` bool [T, S, S] says whether it was seen there: inside the
    frame and not covered. Pixels in which an edge mixes two surfaces count as not visible. flow[0] is zero and
    visible[0] false.
    """

    name: str
    frames: np.ndarray
    clean: np.ndarray
    rendering: np.ndarray
    flow: np.ndarray
    visible: np.ndarray
    events: tuple[Event, ...] = ()

    @property
    def is_still(self) -> bool:
        """Whether nothing moves or changes but the sensor's noise."""
        return bool((self.clean == self.clean[0]).all())


def detail(picture: np.ndarray) -> float:
    """Mean change, of 255, across and down over one 256th of a square picture uint8 [S, S, 3]."""
    values = picture.astype(np.float32)
    steps = np.abs(np.diff(values, axis=0)).mean() + np.abs(np.diff(values, axis=1)).mean()
    return float(steps * len(picture) / UNIT)


@dataclass(frozen=True, eq=False)
class Stage:
    """Where a clip is drawn: its randomness, how many frames T, and their side S in pixels."""

    rng: np.random.Generator
    frames: int
    size: int

    @property
    def unit(self) -> float:
        """Pixels of one of the 256 units in which motions are thought."""
        return self.size / UNIT

    @property
    def times(self) -> range:
        """Numbers of the frames."""
        return range(self.frames)

    @property
    def middle(self) -> int:
        """The frame in which something happens at once."""
        return self.frames // 2

    def scene(self, extent: float) -> Scene:
        """A scene that reaches over `extent` units, at least a frame, with enough detail to see it move."""
        side = int(np.ceil(max(extent, UNIT) * self.unit)) + 2
        larger = max(1, LEAST_SIDE // self.size)
        scenes = (draw_scene(self.rng, side * larger) for _ in count())
        scene = next(
            each for each in scenes if all(detail(getattr(each, look)) > least for look, least in LEAST_DETAIL.items())
        )
        shrunk = {
            look: cv2.resize(getattr(scene, look), (side, side), None, 0, 0, cv2.INTER_AREA) for look in LEAST_DETAIL
        }
        return replace(scene, **shrunk)

    def canvas(self, extent: float) -> np.ndarray:
        """The same, illustrated, as the canvas of a layer."""
        return opaque(self.scene(extent).rendering)

    def at(self, x: float, y: float) -> np.ndarray:
        """The map that adds (x, y) in units."""
        return moved(x * self.unit, y * self.unit)

    def still(self) -> list[np.ndarray]:
        """The places of what does not move."""
        return [moved(0, 0)] * self.frames


def clip_of(name: str, stage: Stage, layers: Sequence[Layer], events: tuple[Event, ...] = ()) -> Clip:
    """A clip of the layers, far to near."""
    frames, owners = drawn(layers, stage.size)
    flow, visible = flow_and_visibility(layers, owners)
    return Clip(name, frames, frames, frames, flow, visible, events)


def through_sensor(clip: Clip, rng: np.random.Generator) -> Clip:
    """The clip through a sensor: noise whose variance grows with the light, anew in each frame.

    The variance is a + b I with I in 0..1, the Poissonian-Gaussian model of Foi et al., IEEE TIP 17(10), 2008.
    """
    noisy = np.empty_like(clip.frames)
    for time, frame in enumerate(clip.clean):
        intensity = frame.astype(np.float32) / 255
        noise = rng.standard_normal(frame.shape, np.float32) * np.sqrt(0.00015 + 0.0004 * intensity)
        noisy[time] = as_bytes(intensity + noise)
    return replace(clip, frames=noisy)
