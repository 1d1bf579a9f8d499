"""Moving scenes that a memory learns on: drawn at random, with their true motion, and small windows of them.

The clips of `training.clips.clips` stay unseen: those are drawn from other seeds and move in ways of their own.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from training.clips.layers import Layer, layer, opaque, scaled, turned
from training.clips.stage import FRAME, Clip, Stage, clip_of, through_sensor
from training.clips.things import cut_out, house, talking_head, tree
from training.scenes.shapes import UNIT

FASTEST = 6.0
"""Units a frame of a camera or a thing; half of what `training.clips.clips.fast` reaches."""
SHARE_OF_SKETCHES, SHARE_OF_HEADS, SHARE_OF_NOISE, SHARE_OF_VANISHING = 0.2, 0.1, 0.4, 0.25
MARGIN = 28
"""Units of a scene beyond a frame that turns, sways or trembles: half on each side."""


def draw_moving_scene(rng: np.random.Generator, frames: int, side: int) -> Clip:
    """A scene that moves, and things in it: `frames` windows of `side` pixels at the scale of a whole frame.

    `side` is a multiple of 32 up to 256, and so are the window's corners, because styles repeat so often. A fifth are
    sketches; two in five come through a noisy sensor.
    """
    stage = Stage(rng, frames, FRAME)
    sketched = rng.random() < SHARE_OF_SKETCHES
    layers = [_background(stage, sketched)]
    if not sketched and rng.random() < SHARE_OF_HEADS:
        layers += talking_head(rng, frames, FRAME)
    elif not sketched:
        layers += [_thing(stage) for _ in range(int(rng.integers(0, 3)))]
    clip = clip_of("moving scene", stage, layers)
    clip = through_sensor(clip, rng) if rng.random() < SHARE_OF_NOISE else clip
    y, x = (int(each) * 32 for each in rng.integers(0, (FRAME - side) // 32 + 1, 2))
    return window_of(clip, y, x, side)


def window_of(clip: Clip, y: int, x: int, side: int) -> Clip:
    """The part of a clip without events whose upper left corner is at row `y`, column `x`.

    What comes into it from outside was not visible before.
    """
    part = (slice(None), slice(y, y + side), slice(x, x + side))
    flow = clip.flow[part]
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    sources = np.stack([columns, rows], axis=-1) + flow
    inside = ((sources >= 0) & (sources <= side - 1)).all(axis=-1)
    pictures = {name: getattr(clip, name)[part] for name in ("frames", "clean", "rendering")}
    return replace(clip, **pictures, flow=flow, visible=clip.visible[part] & inside)


def _background(stage: Stage, sketched: bool) -> Layer:
    """A scene under a camera that rests, pans, trembles, zooms in or turns."""
    rng, still = stage.rng, stage.still()
    centre = (stage.size / 2, stage.size / 2)
    kind = ("rest", "pan", "pan", "tremble", "zoom", "turn")[int(rng.integers(6))]
    if kind == "rest":
        return layer(_canvas(stage, UNIT, sketched), still)
    if kind == "zoom":
        rate = 1 + float(rng.uniform(0.002, 0.015))
        return layer(_canvas(stage, UNIT, sketched), [scaled(rate**time, rate**time, centre) for time in stage.times])
    if kind == "pan":
        velocity = _velocity(rng)
        first = np.maximum(0, velocity * stage.frames)
        extent = UNIT + float(np.abs(velocity).max()) * stage.frames
        return layer(_canvas(stage, extent, sketched), [stage.at(*(velocity * time - first)) for time in stage.times])
    canvas = _canvas(stage, UNIT + 2 * MARGIN, sketched)
    if kind == "turn":
        pace, phase = rng.uniform(0.05, 0.3), rng.uniform(0, 2 * np.pi)
        angles = [0.1 * np.sin(pace * time + phase) for time in stage.times]
        return layer(canvas, [turned(angle, centre) @ stage.at(-MARGIN, -MARGIN) for angle in angles])
    wander = np.cumsum(rng.normal(0, rng.uniform(0.2, 1.5), (stage.frames, 2)), axis=0)
    wander = np.clip(wander, -MARGIN, MARGIN) - MARGIN
    return layer(canvas, [stage.at(*place) for place in wander])


def _canvas(stage: Stage, extent: float, sketched: bool) -> np.ndarray:
    scene = stage.scene(extent)
    return opaque(scene.sketch if sketched else scene.rendering)


def _velocity(rng: np.random.Generator) -> np.ndarray:
    """(x, y) in units a frame, in any direction, slow ones more often."""
    angle, speed = rng.uniform(0, 2 * np.pi), FASTEST * rng.random() ** 1.5
    return speed * np.array([np.cos(angle), np.sin(angle)])


def _thing(stage: Stage) -> Layer:
    """A tree or a house that walks, perhaps tumbles, and at times is gone from some frame on, or there at once."""
    rng = stage.rng
    side = round(rng.uniform(0.25, 0.55) * stage.size)
    canvas = cut_out(rng, (tree, house)[int(rng.integers(2))], side)
    start, velocity = rng.uniform(-0.2, 0.8, 2) * UNIT, _velocity(rng) * (rng.random() < 0.7)
    spin = float(rng.normal(0, 0.04)) * (rng.random() < 0.4)
    half = (side / 2, side / 2)
    places = [stage.at(*(start + velocity * time)) @ turned(spin * time, half) for time in stage.times]
    shown = np.ones(stage.frames, bool)
    if rng.random() < SHARE_OF_VANISHING:
        at = int(rng.integers(1, stage.frames))
        shown = (np.arange(stage.frames) < at) ^ (rng.random() < 0.5)
    return layer(canvas, places, shown)


def along_motion(pictures: np.ndarray, flow: np.ndarray, visible: np.ndarray, newest: float) -> np.ndarray:
    """Pictures float32 `[T, H, W, 3]` whose paint stays with the things: the same shape.

    Each is the mean of itself and of all before it along the true motion (`flow` and `visible` as in `Clip`), then,
    from where that mean has a share of the newest below `newest`, an exponential one: temporal accumulation with a
    known motion (Karis, "High Quality Temporal Supersampling", SIGGRAPH 2014). Where nothing was visible before it is
    the picture itself.
    """
    steadied = np.empty_like(pictures)
    steadied[0], age = pictures[0], np.ones(pictures.shape[1:3], np.float32)
    rows, columns = np.mgrid[0 : pictures.shape[1], 0 : pictures.shape[2]].astype(np.float32)
    for time in range(1, len(pictures)):
        x, y = columns + flow[time, ..., 0], rows + flow[time, ..., 1]
        # Lanczos: a bilinear reading, again and again, would blur what it keeps.
        before = cv2.remap(steadied[time - 1], x, y, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
        known = cv2.remap(age, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        age = np.where(visible[time], known + 1, 1).astype(np.float32)
        share = np.maximum(newest, 1 / age)[..., None]
        kept = before + share * (pictures[time] - before)
        steadied[time] = np.where(visible[time][..., None], kept, pictures[time])
    return steadied
