"""The memory learns to carry: a colour that only the first frame shows, in every frame after it, however many."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pipeline.memory.spatial import BlockMemory, anchored

SEGMENT = 3
ROWS = 16
STEPS = 120
SHARE = 0.3
NOISE = 0.3


class Toy(nn.Module):
    """A frame's two tokens to two colours, with one memory between."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.memory, self.out = nn.Linear(3, 16), BlockMemory(16, 2), nn.Linear(16, 3)

    def forward(self, frame: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        features, following = self.memory(self.into(frame), memory)
        return self.out(features), following


def clips(count: int, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Colours `[rows, 1, 3]`, corners of the cube of colours, and frames `[rows, count, 2, 3]`: the first shows the
    colour, all others are noise."""
    colours = 2.0 * torch.randint(0, 2, (rows, 1, 3), generator=generator) - 1
    frames = NOISE * torch.randn(rows, count, 2, 3, generator=generator)
    frames[:, 0] = colours
    return colours, frames


def passed(
    toy: Toy, memory: Tensor, anchor: Tensor | None, frames: Tensor, colours: Tensor, share: float
) -> tuple[list[Tensor], Tensor, Tensor | None]:
    """The mean square error of each frame, and the memory and the anchor that they leave."""
    found: list[Tensor] = []
    for frame in frames.unbind(1):
        colour, following = toy(frame, memory)
        found.append((colour - colours).square().mean())
        memory = following if anchor is None else anchored(following, anchor, share)
        anchor = memory if anchor is None else anchor
    return found, memory, anchor


@pytest.fixture(scope="module")
def toy() -> Toy:
    """Trained on clips of two segments, the memory handed on between them without its gradients."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        toy = Toy()
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(toy.parameters())
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 1e-2 * min(1, (step + 1) / 20) * (0.2 if step > 0.8 * STEPS else 1)
        colours, frames = clips(2 * SEGMENT, ROWS, generator)
        memory, anchor = toy.memory.first().expand(ROWS, -1, -1), None
        for segment in frames.split(SEGMENT, dim=1):
            found, memory, anchor = passed(toy, memory, anchor, segment, colours, SHARE)
            optimizer.zero_grad()
            (sum(found) / SEGMENT).backward()
            nn.utils.clip_grad_norm_(toy.parameters(), 1.0)
            optimizer.step()
            memory, anchor = memory.detach(), anchor.detach()
    return toy


def errors_of(toy: Toy, count: int, share: float, carries: bool = True) -> list[float]:
    """The error of each of `count` frames, for held-out clips."""
    colours, frames = clips(count, 64, torch.Generator().manual_seed(2))
    memory, anchor, found = toy.memory.first().expand(64, -1, -1), None, []
    with torch.no_grad():
        for frame in frames.split(1, dim=1):
            (error,), following, anchor = passed(toy, memory, anchor, frame, colours, share)
            memory = following if carries else memory
            found.append(float(error))
    return found


def test_a_colour_of_the_first_frame_alone_is_carried(toy: Toy) -> None:
    carried, forgotten = (errors_of(toy, 2 * SEGMENT, SHARE, carries) for carries in (True, False))
    assert max(carried) < 0.3
    assert min(forgotten[1:]) > 0.9


def test_drawn_back_to_its_anchor_it_does_not_drift_past_its_training(toy: Toy) -> None:
    """The paper's own memory, which nothing draws back, fades."""
    held, free = (errors_of(toy, 40 * SEGMENT, share) for share in (SHARE, 0.0))
    assert max(held[-20:]) < 0.4
    assert min(free[-20:]) > 2 * max(held[-20:])
