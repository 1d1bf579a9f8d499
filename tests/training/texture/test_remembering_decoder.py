"""How a decoder learns to remember: from one that does not, on clips whose motion is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from training.model.model import new_codec
from training.model.targets import moved
from training.model.tensors import as_tensor
from training.texture.remembering import ShortClip, remembering, short_clip, unsteadiness

CPU = torch.device("cpu")
SIDE = 48


@pytest.fixture(scope="module")
def clips() -> list[ShortClip]:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (6, 96, 96, 3), dtype=np.uint8)

    def crops(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
        return noise[rng.integers(0, len(noise), count)]

    pictures: Any = SimpleNamespace(renderings=[noise], crops=crops)
    return [short_clip(rng, pictures, 4, SIDE) for _ in range(12)]


def test_at_first_it_draws_what_the_plain_one_draws_whatever_was_before() -> None:
    decoder = new_codec(8).decoder
    made, latents = remembering(decoder), torch.randn(2, 16, 4, 4)
    past = tuple(torch.randn_like(each) for each in made.nothing(latents))
    assert len(past) == 6
    with torch.no_grad():
        torch.testing.assert_close(made.after(latents, past)[0], decoder(latents))


def test_what_is_seen_in_two_frames_is_the_same_in_both(clips: list[ShortClip]) -> None:
    for time in range(1, 4):
        now, before = (as_tensor(np.stack([clip.frames[at] for clip in clips]), CPU) for at in (time, time - 1))
        assert unsteadiness(now, before, clips, time) < 1e-6
        assert unsteadiness(now, torch.randn_like(before), clips, time) > 0.1


def test_both_layers_move_and_rest_and_things_go(clips: list[ShortClip]) -> None:
    for number in range(2):
        moves = [bool(clip.layers[number].steps.any()) for clip in clips]
        assert any(moves) and not all(moves)
    gone = [clip.layers[1].alpha[-1].sum() == 0 for clip in clips]
    assert any(gone) and not all(gone)
    assert all(clip.layers[1].alpha[0].sum() > 0 for clip in clips)


def test_a_place_that_was_covered_before_is_no_loss(clips: list[ShortClip]) -> None:
    gone = next(clip for clip in clips if clip.layers[1].alpha[-1].sum() == 0)
    time = int(np.flatnonzero(gone.layers[1].alpha.sum((1, 2)) == 0)[0])
    ground, steps = gone.layers[0], gone.layers[0].steps[time][None]
    covered = 1 - moved(torch.from_numpy(ground.alpha[time - 1])[None, None], torch.zeros(1, 1, SIDE, SIDE), steps)
    now, before = (as_tensor(gone.frames[at][None], CPU) for at in (time, time - 1))
    assert unsteadiness(now + covered, before, [gone], time) < 1e-6
