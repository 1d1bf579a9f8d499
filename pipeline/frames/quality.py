"""How steady and how prompt a translation of a moving scene is, against what is known to be true of the scene.

Steadiness alone is no virtue: a frozen picture is the steadiest. So an error of motion (`warp_error`, `flicker`) always
stands beside what holding on to the past costs (`lag`, `ghost`) and beside what is lost (`structure_error`).
All arithmetic is in floats: differences of uint8 wrap around.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pictures: TypeAlias = NDArray[Any]
"""Values in 0..255, uint8 or floats, the last axis RGB."""
Mask: TypeAlias = NDArray[np.bool_]

GHOST_AFTER = (1, 2, 4, 8)
"""Pictures of the new scene."""
HALF_WAY = 0.5
LUMA = (0.299, 0.587, 0.114)
"""Rec. ITU-R BT.601."""
WINDOW, WINDOW_SIGMA = 11, 1.5
STABILITY = (0.03 * 255) ** 2
"""The window and the constant C2 of SSIM, Wang et al., IEEE TIP 13(4), 2004."""


def warped(previous: Pictures, flow: NDArray[Any]) -> NDArray[np.float32]:
    """previous `[H, W, 3]` read bilinearly where the backward flow `[H, W, 2]`, (x, y) in pixels, points: `[H, W, 3]`.

    Pixel p of the result is `previous(p + flow(p))`; points outside are read at the nearest border.
    """
    height, width = previous.shape[:2]
    _require(flow.shape == (height, width, 2), "flow", flow.shape, f"({height}, {width}, 2)")
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    x = np.clip(columns + flow[..., 0], 0, width - 1, dtype=np.float32)
    y = np.clip(rows + flow[..., 1], 0, height - 1, dtype=np.float32)
    left, top = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = ((each - np.floor(each))[..., None] for each in (x, y))
    values = previous.astype(np.float32)
    upper = values[top, left] * (1 - across) + values[top, right] * across
    lower = values[bottom, left] * (1 - across) + values[bottom, right] * across
    read: NDArray[np.float32] = upper * (1 - down) + lower * down
    return read


def warp_errors(outputs: Pictures, flow: NDArray[Any], visible: Mask) -> NDArray[np.float64]:
    """Mean |O_t - warped(O_(t-1), F_t)| of each frame t, in 0..255, over the pixels that are visible in both: `[T]`.

    outputs `[T, H, W, 3]`, true backward flow `[T, H, W, 2]`, visible `[T, H, W]`. NaN where nothing is visible, as
    in frame 0 and at a cut. This is the warp error of StreamV2V's section 5 (arXiv 2405.15757; Lai et al., ECCV 2018)
    as an absolute difference in floats and with the true flow in the place of an estimate. The scores published there
    come from differences of uint8, which wrap around: they do not compare.
    """
    _require(flow.shape == (*outputs.shape[:3], 2), "flow", flow.shape, f"{(*outputs.shape[:3], 2)}")
    _require(visible.shape == outputs.shape[:3], "visible", visible.shape, f"{outputs.shape[:3]}")
    errors = np.full(len(outputs), np.nan)
    for time in range(1, len(outputs)):
        if visible[time].any():
            error = np.abs(_floats(outputs[time]) - warped(outputs[time - 1], flow[time]))
            errors[time] = error[visible[time]].mean(dtype=np.float64)
    return errors


def warp_error(outputs: Pictures, flow: NDArray[Any], visible: Mask) -> float:
    """The mean of `warp_errors` over the frames that have one; NaN if none has."""
    errors = warp_errors(outputs, flow, visible)
    known = errors[~np.isnan(errors)]
    return float(known.mean()) if known.size else math.nan


def flicker(outputs: Pictures) -> float:
    """Mean |O_t - O_(t-1)| in 0..255 of outputs `[T, H, W, 3]`: the warp error of a scene in which nothing moves."""
    _require(outputs.ndim == 4 and len(outputs) > 1, "outputs", outputs.shape, "(T, H, W, 3) with T of 2 or more")
    return float(np.mean([distance_from(one, other) for one, other in zip(outputs[1:], outputs[:-1], strict=True)]))


def distance_from(output: Pictures, memory_off: Pictures) -> float:
    """Mean |difference| in 0..255 of pictures of one shape: how far a memory moves the picture itself."""
    _require(output.shape == memory_off.shape, "output", output.shape, f"{memory_off.shape}")
    return float(np.abs(_floats(output) - _floats(memory_off)).mean(dtype=np.float64))


def old_shares(outputs: Pictures, without_memory: Pictures, at: int, region: Mask) -> NDArray[np.float64]:
    """How much of the old scene each output from frame `at` on, the first of the new one, still shows: `[T - at]`.

    With O the outputs and N the memory-off outputs `[T, H, W, 3]`, both over the region `[H, W]`, old = N_(at-1):

        share_t = <O_t - N_t, old - N_t> / <old - N_t, old - N_t>

    This is the least-squares coefficient s of `O_t = N_t + s (old - N_t)`, an exposure of old and new on one film:
    0 for a translation that remembers nothing, 1 for one that has stopped. Between the two scenes it sees mixtures
    alone, so a change of colour or of light that is at right angles to them does not count.
    Raises `ValueError` where the region is empty or the scene does not change in it.
    """
    _require(outputs.shape == without_memory.shape, "outputs", outputs.shape, f"{without_memory.shape}")
    _require(region.shape == outputs.shape[1:3], "region", region.shape, f"{outputs.shape[1:3]}")
    if not 0 < at < len(outputs):
        raise ValueError(f"at came as {at}; needed: 1 to {len(outputs) - 1}, a frame with one before it. Correct it.")
    old = _floats(without_memory[at - 1])[region]
    return np.array([_old_share(outputs[t][region], old, without_memory[t][region]) for t in range(at, len(outputs))])


def _old_share(output: Pictures, old: NDArray[np.float32], new: Pictures) -> float:
    back = old.astype(np.float64) - new
    length = float((back * back).sum())
    if length == 0:
        raise ValueError(
            "the scene came without any change in the region; needed: memory-off pictures that differ before and "
            "after. Check the frame and the region of the event."
        )
    return float(((output.astype(np.float64) - new) * back).sum()) / length


def lag(outputs: Pictures, without_memory: Pictures, at: int, region: Mask) -> float:
    """Frames until a change of the input shows; arguments as for `old_shares`.

    It is the first n >= 0 for which the picture of frame at + n has gone at least half of the way from the old
    picture to the one that a memoryless translation gives for the same input: `old_shares[n] <= 0.5`. Half is the
    level at which a step is said to happen (the 50 % reference level of IEEE Std 181), and the point from which on
    the picture is nearer to the new scene than to the old. 0 without a memory; infinity if that never comes.
    """
    shown = np.flatnonzero(old_shares(outputs, without_memory, at, region) <= HALF_WAY)
    return float(shown[0]) if shown.size else math.inf


def ghost(
    outputs: Pictures, without_memory: Pictures, at: int, region: Mask, after: Sequence[int] = GHOST_AFTER
) -> dict[int, float]:
    """What is left of a vanished thing, or of the scene before a cut: `old_shares` held to 0..1, by number of pictures.

    `result[n]` is of the n-th picture of the new scene, that of frame at + n - 1; numbers that the clip is too short
    for are left out.
    """
    shares = np.clip(old_shares(outputs, without_memory, at, region), 0, 1)
    return {number: float(shares[number - 1]) for number in after if number <= len(shares)}


def structure_error(output: Pictures, style_rendering: Pictures) -> float:
    """How far edges and textures of an output `[H, W, 3]` are from those of the style's own rendering `[H, W, 3]`.

    One minus the mean product of contrast and structure of SSIM (Wang et al., IEEE TIP 13(4), 2004), which is

        (2 cov(x, y) + C2) / (var(x) + var(y) + C2)

    of luma in Gaussian windows of 11 pixels that lie inside. 0 for the same picture, also if it is brighter; about 1
    where one is flat or both are unrelated; up to 2 where light and dark are exchanged.
    """
    _require(output.shape == style_rendering.shape, "output", output.shape, f"{style_rendering.shape}")
    _require(min(output.shape[:2]) >= WINDOW, "output", output.shape, f"sides of at least {WINDOW} pixels")
    one, other = (picture.astype(np.float64) @ np.array(LUMA) for picture in (output, style_rendering))
    mean_one, mean_other = _windowed(one), _windowed(other)
    covariance = _windowed(one * other) - mean_one * mean_other
    variances = _windowed(one * one) - mean_one**2 + _windowed(other * other) - mean_other**2
    return float(1 - np.mean((2 * covariance + STABILITY) / (variances + STABILITY)))


def _windowed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian means of values `[H, W]` over all windows that lie inside: `[H - 10, W - 10]`."""
    places = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(places**2) / (2 * WINDOW_SIGMA**2))
    weights /= weights.sum()
    height, width = (side - WINDOW + 1 for side in values.shape)
    down = sum(weight * values[shift : shift + height] for shift, weight in enumerate(weights))
    across: NDArray[np.float64] = sum(weight * down[:, shift : shift + width] for shift, weight in enumerate(weights))
    return across


def _floats(values: Pictures) -> NDArray[np.float32]:
    return values.astype(np.float32)


def _require(holds: bool, name: str, came: tuple[int, ...], needed: str) -> None:
    if not holds:
        raise ValueError(f"{name} came as {came}; needed: {needed}. Pass what belongs to the same clip.")
