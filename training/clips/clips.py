"""Moving scenes with the truth known: their exact optical flow and occlusion, and what happens when.

Nothing is estimated: pictures lie on flat layers that move by affine maps, and the flow is those maps. Light and noise
change the frames and never the flow.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from training.clips.layers import Layer, coverage_and_colour, drawn, layer, opaque, scaled, turned
from training.clips.stage import FRAME, Clip, Event, Stage, clip_of, through_sensor
from training.clips.things import cut_out, growing_drawing, house, talking_head, tree
from training.scenes.shapes import UNIT
from training.styles.filters import as_bytes

__all__ = ["CLIPS", "Clip", "Event", "clips", "draw_clip"]

FRAMES = 48
FEWEST_FRAMES = 4
MULTIPLE = 32
"""Of pixels: styles are drawn on patterns that repeat so often."""
SEED_STREAM = 0x434C4950
"""First of the numbers that seed a clip. Training sets are drawn from seeds of one number: other entropy, so other
scenes."""


def pan(stage: Stage) -> Clip:
    """A camera that pans over an illustrated scene."""
    return clip_of("pan", stage, [_panned(stage, 2.3, 0.6)])


def _panned(stage: Stage, x: float, y: float) -> Layer:
    """A scene under a camera that moves by (x, y) units a frame, both >= 0."""
    canvas = stage.canvas(UNIT + max(x, y) * stage.frames)
    return layer(canvas, [stage.at(-x * time, -y * time) for time in stage.times])


def crossing(stage: Stage) -> Clip:
    """Two things cross before a still scene and before each other; one of them tumbles."""
    side = round(0.42 * stage.size)
    half = (side / 2, side / 2)
    walk = [stage.at(4 + 3.1 * time, 130 + 5 * np.sin(0.3 * time)) for time in stage.times]
    tumble = [stage.at(146 - 2.7 * time, 60 + 1.1 * time) @ turned(0.07 * time, half) for time in stage.times]
    layers = [
        layer(stage.canvas(UNIT), stage.still()),
        layer(cut_out(stage.rng, tree, side), walk),
        layer(cut_out(stage.rng, house, side), tumble),
    ]
    return clip_of("crossing", stage, layers)


def cut(stage: Stage) -> Clip:
    """A still scene, then at once another one."""
    before = np.arange(stage.frames) < stage.middle
    layers = [layer(stage.canvas(UNIT), stage.still(), shown) for shown in (before, ~before)]
    everywhere = np.ones((stage.size, stage.size), bool)
    return clip_of("cut", stage, layers, (Event("cut", stage.middle, everywhere),))


def vanish(stage: Stage) -> Clip:
    """A thing stands in a still scene, then at once it is gone."""
    thing = layer(
        cut_out(stage.rng, house, round(0.55 * stage.size)),
        [stage.at(60, 90)] * stage.frames,
        np.arange(stage.frames) < stage.middle,
    )
    region = coverage_and_colour(thing, 0, stage.size)[..., 3] > 0.5
    layers = [layer(stage.canvas(UNIT), stage.still()), thing]
    return clip_of("vanish", stage, layers, (Event("vanish", stage.middle, region),))


def frozen(stage: Stage) -> Clip:
    """Nothing moves; the sensor is noisy."""
    return through_sensor(clip_of("frozen", stage, [layer(stage.canvas(UNIT), stage.still())]), stage.rng)


def talking(stage: Stage) -> Clip:
    """A cartoon head talks, blinks, looks about and sways before a still room."""
    wall = layer(stage.canvas(UNIT), stage.still())
    return clip_of("talking", stage, [wall, *talking_head(stage.rng, stage.frames, stage.size)])


def drawing(stage: Stage) -> Clip:
    """A drawing grows stroke by stroke; what was drawn stays where it is."""
    grown = growing_drawing(stage.rng, stage.frames, stage.size)
    visible = ~grown.new
    visible[0] = False
    flow = np.zeros((*visible.shape, 2), np.float32)
    change = Event("change", grown.filled_at, grown.region)
    return Clip("drawing", grown.sketch, grown.sketch, grown.rendering, flow, visible, (change,))


def sketch(stage: Stage) -> Clip:
    """A crude sketch is pushed about on the table."""
    scene = stage.scene(UNIT + 40)
    places = [stage.at(-20 + 18 * np.sin(0.16 * time), -20 + 14 * np.sin(0.23 * time)) for time in stage.times]
    clip = clip_of("sketch", stage, [layer(opaque(scene.sketch), places)])
    rendering, _ = drawn([layer(opaque(scene.rendering), places)], stage.size)
    return replace(clip, rendering=rendering)


def zoom(stage: Stage) -> Clip:
    """A camera zooms in."""
    centre = (stage.size / 2, stage.size / 2)
    places = [scaled(1.008**time, 1.008**time, centre) for time in stage.times]
    return clip_of("zoom", stage, [layer(stage.canvas(UNIT), places)])


def turn(stage: Stage) -> Clip:
    """A camera turns around its axis, to and fro."""
    centre = (stage.size / 2, stage.size / 2)
    places = [turned(0.2 * np.sin(0.12 * time), centre) @ stage.at(-32, -32) for time in stage.times]
    return clip_of("turn", stage, [layer(stage.canvas(UNIT + 64), places)])


def parallax(stage: Stage) -> Clip:
    """A camera passes trees: the near ones move faster than the far ones, and all faster than what lies behind."""
    trees = []
    for side, y, speed, starts in ((80, 120, 1.7, (20, 150, 270)), (170, 100, 4.1, (110, 330))):
        for start in starts:
            canvas = cut_out(stage.rng, tree, round(side * stage.unit))
            trees.append(layer(canvas, [stage.at(start - speed * time, y) for time in stage.times]))
    return clip_of("parallax", stage, [_panned(stage, 0.6, 0.0), *trees])


def handheld(stage: Stage) -> Clip:
    """A hand holds a noisy camera as still as it can."""
    phases, tremor = stage.rng.uniform(0, 2 * np.pi, (3, 2)), stage.rng.normal(0, 0.35, (stage.frames, 2))
    centre = (stage.size / 2, stage.size / 2)
    places = []
    for time in stage.times:
        x, y = (3 * np.sin(0.31 * time + phases[0]) + 1.5 * np.sin(0.83 * time + phases[1])) + tremor[time]
        places.append(turned(0.012 * np.sin(0.4 * time + phases[2, 0]), centre) @ stage.at(x - 12, y - 12))
    return through_sensor(clip_of("handheld", stage, [layer(stage.canvas(UNIT + 24), places)]), stage.rng)


def light(stage: Stage) -> Clip:
    """The light swells, fades and changes its colour while the camera pans slowly."""
    clip = clip_of("light", stage, [_panned(stage, 0.7, 0.3)])
    swell = np.sin(2 * np.pi * np.arange(stage.frames) / FRAMES)
    gains = 0.85 + 0.15 * swell[:, None] * np.array([1.0, 0.9, 0.6])
    return replace(clip, frames=as_bytes(clip.clean * (gains[:, None, None] / 255).astype(np.float32)))


def fast(stage: Stage) -> Clip:
    """A camera whips to and fro, up to 12 units a frame."""
    reach = 60
    places = [stage.at(-reach - reach * np.sin(0.2 * time), -reach) for time in stage.times]
    return clip_of("fast", stage, [layer(stage.canvas(UNIT + 2 * reach), places)])


CLIPS: dict[str, Callable[[Stage], Clip]] = {
    each.__name__: each
    for each in (
        crossing,
        cut,
        vanish,
        frozen,
        talking,
        drawing,
        sketch,
        pan,
        handheld,
        light,
        parallax,
        zoom,
        turn,
        fast,
    )
}
"""By name, in an order in which the first few show the most."""


def draw_clip(name: str, seed: int = 0, frames: int = FRAMES, size: int = FRAME) -> Clip:
    """One of `CLIPS`, the same for the same arguments: `frames` of `size` x `size` pixels.

    Raises `ValueError` for another name, fewer than 4 frames, or a size that is no multiple of 32.
    """
    if name not in CLIPS:
        raise ValueError(f"clip came as {name!r}; needed: one of {', '.join(CLIPS)}. Choose one.")
    if frames < FEWEST_FRAMES or size < MULTIPLE or size % MULTIPLE:
        raise ValueError(
            f"clip came with {frames} frames of {size} pixels; needed: at least {FEWEST_FRAMES} frames and a multiple "
            f"of {MULTIPLE} pixels. Change them."
        )
    rng = np.random.default_rng([SEED_STREAM, seed, zlib.crc32(name.encode())])
    return CLIPS[name](Stage(rng, frames, size))


def clips(seed: int = 0, frames: int = FRAMES, size: int = FRAME) -> list[Clip]:
    """All of `CLIPS`; about 50 MB each at 48 frames of 256 pixels."""
    return [draw_clip(name, seed, frames, size) for name in CLIPS]
