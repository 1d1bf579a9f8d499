"""Each measure of steadiness gives what is known by hand, and a frozen picture does not win."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.frames.quality import (
    distance_from,
    flicker,
    ghost,
    lag,
    old_shares,
    structure_error,
    warp_error,
    warp_errors,
    warped,
)

SIDE, COUNT, AT = 32, 12, 4
EVERYWHERE = np.ones((SIDE, SIDE), bool)


def waves(x: float = 0.0, side: int = SIDE) -> np.ndarray:
    """A smooth picture uint8 [side, side, 3], moved right by x pixels."""
    rows, columns = np.mgrid[0:side, 0:side]
    values = 128 + 100 * np.sin((columns - x) / 6) * np.cos(rows / 7)
    return np.repeat(values[..., None].round().astype(np.uint8), 3, axis=2)


def noise(rng: np.random.Generator, sigma: float, count: int = COUNT) -> np.ndarray:
    """count unrelated pictures uint8 [count, 64, 64, 3] of grey with noise."""
    return (128.5 + rng.normal(0, sigma, (count, 64, 64, 3))).astype(np.uint8)


def shifting(speed: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures that move right by `speed` pixels a frame, their backward flow and visibility."""
    outputs = np.stack([waves(speed * time) for time in range(COUNT)])
    flow = np.zeros((COUNT, SIDE, SIDE, 2), np.float32)
    flow[1:, ..., 0] = -speed
    visible = np.broadcast_to(np.arange(SIDE)[None, None, :] >= speed, (COUNT, SIDE, SIDE)).copy()
    visible[0] = False
    return outputs, flow, visible


def still(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The flow and visibility of `count` pictures of 64 pixels of a scene that stands still."""
    visible = np.ones((count, 64, 64), bool)
    visible[0] = False
    return np.zeros((count, 64, 64, 2), np.float32), visible


def scene_change() -> np.ndarray:
    """Memory-off pictures uint8 of a scene up to frame AT and of another one from then on."""
    before, after = waves(), 255 - waves(9.0) // 2
    return np.stack([before if time < AT else after for time in range(COUNT)])


def test_warping_reads_where_the_flow_points() -> None:
    picture = np.zeros((4, 5, 3), np.uint8)
    picture[1, 2] = (200, 100, 40)
    flow = np.zeros((4, 5, 2), np.float32)
    flow[2, 3] = (-1, -1)
    flow[0, 0] = (1.5, 1)
    flow[3, 4] = (-2, -1.75)
    result = warped(picture, flow)
    assert result.dtype == np.float32
    assert np.allclose(result[2, 3], (200, 100, 40))
    assert np.allclose(result[0, 0], (100, 50, 20))
    assert np.allclose(result[3, 4], (150, 75, 30))


def test_warping_outside_reads_the_border() -> None:
    picture = waves(side=8)
    assert np.array_equal(warped(picture, np.full((8, 8, 2), 99.0))[0, 0], picture[7, 7])
    assert np.array_equal(warped(picture, np.full((8, 8, 2), -99.0))[0, 0], picture[0, 0])


def test_what_moves_with_the_scene_has_no_warp_error() -> None:
    outputs, flow, visible = shifting(2.0)
    assert warp_error(outputs, flow, visible) < 0.5
    assert warp_error(outputs, 0 * flow, visible) > 10


def test_an_output_that_is_the_warped_last_one_has_no_warp_error() -> None:
    _, flow, visible = shifting(1.3)
    outputs = [waves().astype(np.float32)]
    for time in range(1, COUNT):
        outputs.append(warped(outputs[-1], flow[time]))
    assert warp_error(np.stack(outputs), flow, visible) == 0


def test_only_visible_pixels_count() -> None:
    outputs, flow, visible = shifting(2.0)
    spoiled = outputs.copy()
    spoiled[::2, :, :2] = 0
    visible[:, :, :4] = False
    assert warp_error(spoiled, flow, visible) == warp_error(outputs, flow, visible)


def test_frames_without_visible_pixels_have_no_error() -> None:
    outputs, flow, visible = shifting(2.0)
    visible[5] = False
    errors = warp_errors(outputs, flow, visible)
    assert np.flatnonzero(np.isnan(errors)).tolist() == [0, 5]
    assert warp_error(outputs, flow, visible) == pytest.approx(np.nanmean(errors))
    assert math.isnan(warp_error(outputs, flow, visible & False))


@pytest.mark.parametrize("sigma", [1.0, 10.0, 25.0])
def test_differences_of_noise_do_not_wrap_around(sigma: float) -> None:
    """E |a - b| = 2 sigma / sqrt(pi) for independent normal a and b; 11.3 at sigma 10, where uint8 would give 122."""
    outputs = noise(np.random.default_rng(0), sigma)
    expected = 2 * sigma / math.sqrt(math.pi)
    assert flicker(outputs) == pytest.approx(expected, rel=0.03)
    assert warp_error(outputs, *still(COUNT)) == pytest.approx(expected, rel=0.03)
    assert distance_from(outputs[1:], outputs[:-1]) == pytest.approx(expected, rel=0.03)


def test_the_whole_range_counts_whole() -> None:
    black, white = np.zeros((2, 8, 8, 3), np.uint8), np.full((2, 8, 8, 3), 255, np.uint8)
    assert distance_from(black, white) == distance_from(white, black) == 255
    assert flicker(np.concatenate([black[:1], white[:1], black[:1]])) == 255


def test_a_memoryless_translation_has_no_lag_and_no_ghost() -> None:
    outputs = scene_change()
    assert lag(outputs, outputs, AT, EVERYWHERE) == 0
    assert ghost(outputs, outputs, AT, EVERYWHERE) == {1: 0, 2: 0, 4: 0, 8: 0}


def test_a_frozen_output_never_shows_the_change() -> None:
    without_memory = scene_change()
    frozen = np.repeat(without_memory[:1], COUNT, axis=0)
    assert lag(frozen, without_memory, AT, EVERYWHERE) == math.inf
    assert ghost(frozen, without_memory, AT, EVERYWHERE) == pytest.approx({1: 1, 2: 1, 4: 1, 8: 1})


def test_a_frozen_output_flickers_least_and_may_win_the_warp_error_yet_it_lags() -> None:
    rng = np.random.default_rng(1)
    pictures, flow, visible = shifting(0.2)
    restless = np.clip(pictures + rng.normal(0, 8, pictures.shape), 0, 255)
    frozen = np.repeat(restless[:1], COUNT, axis=0)
    smooth = np.repeat(pictures[:1], COUNT, axis=0)
    assert flicker(frozen) == 0 < flicker(restless)
    assert warp_error(smooth, flow, visible) < warp_error(frozen, flow, visible) < warp_error(restless, flow, visible)
    changing = scene_change()
    stuck = np.repeat(changing[:1], COUNT, axis=0)
    assert lag(stuck, changing, AT, EVERYWHERE) > lag(changing, changing, AT, EVERYWHERE)
    assert ghost(stuck, changing, AT, EVERYWHERE)[8] > ghost(changing, changing, AT, EVERYWHERE)[8]


def test_a_fading_past_is_measured_as_it_fades() -> None:
    """Old and new mixed with 0.8^(n+1) of the old: 0.8, 0.64, 0.512, 0.41: more than half of the way at n = 3."""
    without_memory = scene_change().astype(np.float64)
    outputs = without_memory.copy()
    for time in range(AT, COUNT):
        share = 0.8 ** (time - AT + 1)
        outputs[time] = share * without_memory[AT - 1] + (1 - share) * without_memory[time]
    assert lag(outputs, without_memory, AT, EVERYWHERE) == 3
    shares = ghost(outputs, without_memory, AT, EVERYWHERE)
    assert shares == pytest.approx({1: 0.8, 2: 0.64, 4: 0.8**4, 8: 0.8**8})


def test_only_the_region_counts() -> None:
    without_memory = scene_change()
    region = np.zeros((SIDE, SIDE), bool)
    region[8:16, 8:16] = True
    outputs = without_memory.copy()
    outputs[AT:, region] = without_memory[0, region]
    assert ghost(outputs, without_memory, AT, region)[4] == pytest.approx(1)
    assert ghost(outputs, without_memory, AT, ~region)[4] == 0


def test_a_ghost_is_a_share_while_the_projection_is_free() -> None:
    without_memory = scene_change().astype(np.float64)
    overshooting = without_memory.copy()
    overshooting[AT:] += 0.5 * (without_memory[AT:] - without_memory[AT - 1])
    assert old_shares(overshooting, without_memory, AT, EVERYWHERE) == pytest.approx(-0.5)
    assert set(ghost(overshooting, without_memory, AT, EVERYWHERE).values()) == {0.0}


def test_numbers_that_the_clip_is_too_short_for_are_left_out() -> None:
    outputs = scene_change()[: AT + 3]
    assert sorted(ghost(outputs, outputs, AT, EVERYWHERE)) == [1, 2]


def test_a_scene_that_does_not_change_is_refused() -> None:
    same = np.repeat(waves()[None], COUNT, axis=0)
    with pytest.raises(ValueError, match="without any change"):
        lag(same, same, AT, EVERYWHERE)
    with pytest.raises(ValueError, match="without any change"):
        ghost(scene_change(), scene_change(), AT, ~EVERYWHERE)
    with pytest.raises(ValueError, match="at came as 0"):
        old_shares(same, same, 0, EVERYWHERE)


def test_structure_of_the_same_picture() -> None:
    picture = waves(side=48)
    assert structure_error(picture, picture) == pytest.approx(0, abs=1e-9)
    brighter = picture.astype(np.float64) + 20
    assert structure_error(brighter, picture) == pytest.approx(0, abs=1e-9)


def test_structure_of_what_is_lost_unrelated_or_inverted() -> None:
    rng = np.random.default_rng(2)
    one, other = noise(rng, 40, 2)
    flat = np.full_like(one, 128)
    assert structure_error(flat, one) == pytest.approx(1, abs=0.1)
    assert structure_error(one, other) == pytest.approx(1, abs=0.1)
    assert structure_error(255 - one, one) == pytest.approx(2, abs=0.1)


def test_structure_counts_what_is_displaced() -> None:
    errors = [structure_error(waves(x, 48), waves(0, 48)) for x in (0, 1, 3, 6)]
    assert errors == sorted(errors) and errors[-1] > 0.4


def test_what_does_not_belong_together_is_refused() -> None:
    outputs, flow, visible = shifting(1.0)
    with pytest.raises(ValueError, match="flow came as"):
        warp_error(outputs, flow[1:], visible)
    with pytest.raises(ValueError, match="visible came as"):
        warp_error(outputs, flow, visible[:, 1:])
    with pytest.raises(ValueError, match="flow came as"):
        warped(outputs[0], flow[0, 1:])
    with pytest.raises(ValueError, match="output came as"):
        distance_from(outputs, outputs[1:])
    with pytest.raises(ValueError, match="region came as"):
        ghost(outputs, outputs, AT, EVERYWHERE[1:])
    with pytest.raises(ValueError, match="sides of at least 11"):
        structure_error(waves(side=8), waves(side=8))
    with pytest.raises(ValueError, match="T of 2 or more"):
        flicker(outputs[:1])
