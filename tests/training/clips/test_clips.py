"""Clips: the flow is the truth, occlusion is where it must be, and the same seed draws the same."""

from __future__ import annotations

from dataclasses import fields

import cv2
import numpy as np
import pytest

from training.clips.clips import CLIPS, FRAMES, SEED_STREAM, Clip, clips, draw_clip
from training.clips.layers import drawn, flow_and_visibility, layer, moved, opaque, scaled, turned
from training.clips.stage import detail

SIDE, COUNT = 128, 12
MOVING = [name for name in CLIPS if name not in ("cut", "vanish", "frozen", "drawing")]


@pytest.fixture(scope="module")
def drawn_clips() -> dict[str, Clip]:
    return {clip.name: clip for clip in clips(seed=3, frames=COUNT, size=SIDE)}


def carried(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The picture [S, S, 3] as float32, read at each pixel where the flow [S, S, 2] points."""
    y, x = np.mgrid[0 : len(picture), 0 : len(picture)].astype(np.float32)
    return cv2.remap(picture.astype(np.float32), x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)


def difference(clip: Clip, time: int, flow: np.ndarray) -> np.ndarray:
    """|frame - last frame carried by the flow| of the clean frames, [S, S, 3]."""
    return np.abs(carried(clip.clean[time - 1], flow) - clip.clean[time])


def coloured_by_place(side: int) -> np.ndarray:
    """A picture whose red and green are 2 x and 2 y: what is read from it says exactly where it was read."""
    y, x = np.mgrid[0:side, 0:side]
    return np.stack([2 * x, 2 * y, 0 * x], -1).astype(np.uint8)


@pytest.mark.parametrize("name", CLIPS)
def test_the_last_frame_carried_by_the_flow_is_this_frame(drawn_clips: dict[str, Clip], name: str) -> None:
    clip = drawn_clips[name]
    errors = [difference(clip, time, clip.flow[time])[clip.visible[time]] for time in range(1, COUNT)]
    errors = [each for each in errors if each.size]
    # What remains is that a picture sampled twice is a little softer than one sampled once.
    assert np.mean([each.mean() for each in errors]) < 1.2
    assert np.mean([np.percentile(each, 99) for each in errors]) < 12


@pytest.mark.parametrize("name", MOVING)
def test_no_other_flow_would_do(drawn_clips: dict[str, Clip], name: str) -> None:
    clip = drawn_clips[name]
    seen = clip.visible[1:]
    true = np.mean([difference(clip, t, clip.flow[t])[seen[t - 1]].mean() for t in range(1, COUNT)])
    for wrong in (0.0, 0.5, -1.0):
        other = np.mean([difference(clip, t, wrong * clip.flow[t])[seen[t - 1]].mean() for t in range(1, COUNT)])
        assert other > 1.5 * true


@pytest.mark.parametrize("place", [moved(1.37, -0.61), turned(0.05, (30.0, 40.0)), scaled(1.02, 0.97, (9.0, 50.0))])
def test_flow_is_exact_to_the_rounding_of_colours(place: np.ndarray) -> None:
    base = moved(-20, -20)
    ramp = layer(opaque(coloured_by_place(120)), [base, place @ base])
    frames, owners = drawn([ramp], 64)
    flow, visible = flow_and_visibility([ramp], owners)
    errors = np.abs(carried(frames[0], flow[1]) - frames[1])[visible[1]]
    # Half a level of rounding in each frame; a level is half a pixel.
    assert errors.max() <= 1.01
    assert errors.mean() < 0.4
    assert visible[1].mean() > 0.9


def test_flow_is_where_the_map_says() -> None:
    """Known by hand: everything moves right by 2.5 and down by 1, so each point came from the left and above."""
    shifting = layer(opaque(coloured_by_place(64)), [moved(-10, -10), moved(-7.5, -9)])
    _, owners = drawn([shifting], 32)
    flow, visible = flow_and_visibility([shifting], owners)
    assert np.allclose(flow[1], (-2.5, -1.0))
    assert not flow[0].any() and not visible[0].any()
    assert not visible[1, 0].any() and not visible[1, :, :3].any()
    assert visible[1, 1:, 3:].all()


def covered_square() -> tuple[np.ndarray, np.ndarray]:
    """Flow and visibility in the second frame of a square of 10 px that moves right by 6 before a still ground."""
    square = np.zeros((20, 20, 4), np.float32)
    square[5:15, 5:15] = 1
    ground = layer(opaque(coloured_by_place(40)), [moved(0, 0)] * 2)
    mover = layer(square, [moved(0, 10), moved(6, 10)])
    _, owners = drawn([ground, mover], 40)
    flow, visible = flow_and_visibility([ground, mover], owners)
    return flow[1], visible[1]


def test_uncovered_ground_was_not_visible() -> None:
    flow, visible = covered_square()
    uncovered = (slice(18, 22), slice(6, 9))
    assert not flow[uncovered].any()
    assert not visible[uncovered].any()


def test_what_covers_was_visible_beside_what_it_covers() -> None:
    flow, visible = covered_square()
    covering = (slice(18, 22), slice(15, 18))
    assert np.allclose(flow[covering], (-6, 0))
    assert visible[covering].all()


def test_ground_far_from_the_mover_is_visible() -> None:
    _, visible = covered_square()
    assert visible[30:].all() and visible[:, 30:].all()


def test_edges_that_mix_two_surfaces_are_not_visible() -> None:
    _, visible = covered_square()
    assert not visible[18:22, 11].any()


@pytest.mark.parametrize("name", ["crossing", "parallax", "talking"])
def test_things_hide_and_uncover_what_lies_behind(drawn_clips: dict[str, Clip], name: str) -> None:
    clip = drawn_clips[name]
    inner = (slice(8, -8), slice(8, -8))
    hidden = ~clip.visible[1:][:, inner[0], inner[1]]
    assert 0.005 < hidden.mean() < 0.5
    misled = np.mean([difference(clip, t, clip.flow[t])[inner][hidden[t - 1]].mean() for t in range(1, COUNT)])
    assert misled > 5


def test_at_a_cut_nothing_was_visible(drawn_clips: dict[str, Clip]) -> None:
    clip = drawn_clips["cut"]
    (event,) = clip.events
    assert event.kind == "cut" and event.region.all()
    assert not clip.visible[event.frame].any()
    assert np.delete(clip.visible, [0, event.frame], axis=0).all()


def test_what_a_vanished_thing_hid_was_not_visible(drawn_clips: dict[str, Clip]) -> None:
    clip = drawn_clips["vanish"]
    (event,) = clip.events
    assert event.kind == "vanish" and 0.02 < event.region.mean() < 0.4
    assert not clip.visible[event.frame][event.region].any()
    change = np.abs(clip.clean[event.frame].astype(float) - clip.clean[event.frame - 1]).max(axis=2)
    assert (change[event.region] > 0).mean() > 0.9
    assert change[clip.visible[event.frame]].max() <= 1


def test_a_drawing_only_grows(drawn_clips: dict[str, Clip]) -> None:
    clip = drawn_clips["drawing"]
    (event,) = clip.events
    inked = (clip.frames < 250).any(axis=3)
    assert (inked[1:] >= inked[:-1]).mean() > 0.999
    assert inked[-1].sum() > inked[0].sum()
    for time in range(1, COUNT):
        assert np.array_equal(clip.frames[time][clip.visible[time]], clip.frames[time - 1][clip.visible[time]])
    assert event.kind == "change" and 0 < event.frame < COUNT
    before, after = (clip.frames[time][event.region].astype(float) for time in (event.frame - 1, event.frame))
    assert np.abs(after - before).mean() > 20


def test_nothing_moves_in_the_frozen_clip_but_noise(drawn_clips: dict[str, Clip]) -> None:
    clip = drawn_clips["frozen"]
    assert clip.is_still and not clip.flow.any() and clip.visible[1:].all()
    noise = clip.frames.astype(float) - clip.clean
    assert 2 < noise.std() < 8
    assert abs(np.corrcoef(noise[1].ravel(), noise[2].ravel())[0, 1]) < 0.05
    assert [name for name, each in drawn_clips.items() if each.is_still] == ["frozen"]


def test_light_and_noise_change_the_frames_alone(drawn_clips: dict[str, Clip]) -> None:
    disturbed = {name for name, clip in drawn_clips.items() if (clip.frames != clip.clean).any()}
    assert disturbed == {"frozen", "handheld", "light"}
    brightness = drawn_clips["light"].frames.mean(axis=(1, 2, 3)) / drawn_clips["light"].clean.mean(axis=(1, 2, 3))
    assert np.ptp(brightness) > 0.05


def test_a_sketch_and_its_rendering_move_as_one(drawn_clips: dict[str, Clip]) -> None:
    clip = drawn_clips["sketch"]
    assert (clip.rendering != clip.clean).any()
    for time in range(1, COUNT):
        error = np.abs(carried(clip.rendering[time - 1], clip.flow[time]) - clip.rendering[time])
        assert error[clip.visible[time]].mean() < 1.0


@pytest.mark.parametrize("name", CLIPS)
def test_shapes_and_ranges(drawn_clips: dict[str, Clip], name: str) -> None:
    clip = drawn_clips[name]
    pictures = (COUNT, SIDE, SIDE, 3)
    assert all(each.shape == pictures and each.dtype == np.uint8 for each in (clip.frames, clip.clean, clip.rendering))
    assert clip.flow.shape == (COUNT, SIDE, SIDE, 2) and clip.flow.dtype == np.float32
    assert clip.visible.shape == (COUNT, SIDE, SIDE) and clip.visible.dtype == bool
    assert np.isfinite(clip.flow).all() and np.abs(clip.flow).max() < 0.1 * SIDE
    assert not clip.flow[0].any() and not clip.visible[0].any()
    assert clip.visible[1:].mean() > 0.7
    assert clip.frames.std() > 15
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    source = np.stack([x, y], -1) + clip.flow
    assert (source[clip.visible] > -1e-4).all() and (source[clip.visible] < SIDE - 1 + 1e-4).all()


def test_there_are_twelve_and_more(drawn_clips: dict[str, Clip]) -> None:
    assert len(drawn_clips) >= 12 and FRAMES == 48
    assert list(drawn_clips) == list(CLIPS)


@pytest.mark.parametrize("name", ["crossing", "talking", "handheld", "drawing"])
def test_same_seed_same_bytes(drawn_clips: dict[str, Clip], name: str) -> None:
    again = draw_clip(name, seed=3, frames=COUNT, size=SIDE)
    for field in fields(Clip):
        if field.name not in ("name", "events"):
            assert getattr(again, field.name).tobytes() == getattr(drawn_clips[name], field.name).tobytes()
    assert draw_clip(name, seed=4, frames=COUNT, size=SIDE).frames.tobytes() != again.frames.tobytes()


def test_seeds_are_of_another_stream_than_training_and_held_out_scenes() -> None:
    own = np.random.default_rng([SEED_STREAM, 0, 1]).random(4)
    for seed in (0, 1, 300, 1_000_003, SEED_STREAM):
        assert not np.allclose(np.random.default_rng(seed).random(4), own)


def test_detail_counts_change_over_the_picture() -> None:
    """A ramp of one level a pixel across 256 pixels changes by one level in each 256th, at any resolution."""
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (256, 256, 3))
    assert detail(ramp) == pytest.approx(1.0)
    assert detail(np.ascontiguousarray(ramp[::2, ::2])) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "frames", "size", "words"),
    [("fog", 8, 64, "'fog'"), ("pan", 3, 64, "3 frames"), ("pan", 8, 50, "50 pixels"), ("pan", 8, 0, "0 pixels")],
)
def test_what_cannot_be_drawn_is_said(name: str, frames: int, size: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        draw_clip(name, frames=frames, size=size)
