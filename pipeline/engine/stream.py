"""What one frame of a stream leaves to the next: features, noise, the last picture, and what its inputs have shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.engine.guidance import rows_of_frame
from pipeline.frames.codec import Frame
from pipeline.frames.cuts import Thumbnail, has_moved, is_cut
from pipeline.frames.history import History
from pipeline.frames.recurrent_decoder import Remembered
from pipeline.guides.adapter import Read
from pipeline.guides.depth import DepthRange
from pipeline.memory import Memory
from pipeline.settings import FrameSettings

RowKey = tuple[int, int]
"""(denoising step, guidance branch): 0 is the noisiest step, and the prompt's branch."""

NoiseKey = tuple[int, int, tuple[int, ...]]
"""(seed, denoising step, shape of the latents)."""

_MERGE = 1 << 32
"""The stream of merges; those of noise are numbered by their step, which is always smaller."""


def generator_for(seed: int, *stream: int) -> torch.Generator:
    """A CPU generator that depends on `seed` and `stream` alone; on the CPU, so that every device draws the same."""
    mixed = np.random.SeedSequence([seed, *stream]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed >> np.uint64(1)))


def noise_for(seed: int, step: int, shape: tuple[int, ...]) -> Tensor:
    """The noise of one denoising step, `shape` float32 on the CPU: the same for every frame."""
    return torch.randn(shape, generator=generator_for(seed, step))


def merge_generator(seed: int, frame: int, row: RowKey) -> torch.Generator:
    """What the merges of one row draw from, with one frame. Each row has its own, so that neither the other rows of a
    UNet call nor a frame that failed before change what is drawn."""
    return generator_for(seed, _MERGE, frame, *row)


@dataclass(frozen=True)
class Stillness:
    """For how many frames nothing has moved away from what `since` shows, the small copy of the first of them."""

    since: Thumbnail | None = None
    frames: int = 0

    def after(self, thumbnail: Thumbnail) -> Stillness:
        """The same, one frame later."""
        still = self.since is not None and not has_moved(self.since, thumbnail)
        return Stillness(self.since, self.frames + 1) if still else Stillness(thumbnail)

    def rests(self, settings: FrameSettings) -> bool:
        """Whether the bank has nothing to learn: nothing moves, and it has taken that in.

        Merging the same picture into the bank again and again would only make the next one tremble. Without steadiness
        it is renewed all the same, as in StreamV2V.
        """
        return settings.steadiness > 0 and self.frames >= settings.bank_interval


@dataclass(frozen=True)
class Carried:
    """Which parts of the past a frame may look back at: anything at all, features as they are, the last picture."""

    scene: bool
    features: bool
    picture: bool


@dataclass(frozen=True)
class Seen:
    """What the inputs of a stream have shown so far: known as soon as a frame comes, before it is painted."""

    size: tuple[int, int] | None = None
    thumbnail: Thumbnail | None = None
    stillness: Stillness = Stillness()
    settings: FrameSettings | None = None
    frames: int = 0
    like: str = ""

    def after(
        self, frame: Frame, thumbnail: Thumbnail, settings: FrameSettings, like: str = ""
    ) -> tuple[Seen, Carried]:
        """The same with one more frame `[H, W, 3]`, and what that frame may look back at; `like` names the picture that
        it is to be like, if there is one, which is asked for as a prompt is.

        At nothing, if the frames before were of another size (features do not fit across sizes) or showed another
        scene: the stream begins anew. At no features if something else is asked for: the old style is gone at once, but
        a memory may see the old frames again under the new prompt. And at no picture if it would be painted otherwise:
        every slider acts on the next frame.

        A blend that moves carries the features and not the picture. What one place of the slider makes of an object is
        nearly what the next one does, and fusion keeps to what is alike anyway: the bank holds shapes still while the
        style goes over. The last picture, of which most is kept, would show each place only some frames later.
        """
        size = (frame.shape[1], frame.shape[0])
        scene_stays = self.thumbnail is None or not is_cut(self.thumbnail, thumbnail)
        if not (scene_stays and self.size in (None, size)):
            anew = Seen().after(frame, thumbnail, settings, like)[0]
            return anew, Carried(scene=False, features=False, picture=False)
        same = self.settings is None or (settings.paints_as(self.settings) and like == self.like)
        asked = self.settings is None or (settings.asks_as(self.settings) and like == self.like)
        stillness = (self.stillness if same else Stillness()).after(thumbnail)
        return Seen(size, thumbnail, stillness, settings, self.frames + 1, like), Carried(
            scene=True, features=asked, picture=same
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the small copies of inputs."""
        return sum(each.nbytes for each in (self.thumbnail, self.stillness.since) if each is not None)


@dataclass(frozen=True)
class StreamState:
    """What one frame of a stream leaves to the next, and whether its picture was flagged. A new one is committed whole,
    or not at all. `resets` is how often its session had forgotten everything before the stream began, `depth_range`
    the range that its depth is shown in, where its memory reads depth, `read` what was read from the picture that its
    frames are to be like, and `drawn` what the decoder remembers of the last picture."""

    seen: Seen = Seen()
    rows: Mapping[RowKey, Any] = field(default_factory=dict)
    noise: Mapping[NoiseKey, Tensor] = field(default_factory=dict)
    history: History | None = None
    bank_fill: float = 0.0
    flagged: bool = False
    resets: int = 0
    depth_range: DepthRange | None = None
    read: Read | None = None
    drawn: Remembered = ()

    def nbytes(self, memory: Memory) -> int:
        """Bytes of all arrays: what `memory` holds in the rows, the noise, small copies of inputs, the last picture."""
        rows = sum(memory.nbytes(row) for row in self.rows.values())
        painted = 0 if self.history is None else self.history.nbytes
        read = 0 if self.read is None else self.read.nbytes
        return rows + sum(noise.nbytes for noise in self.noise.values()) + self._shown_nbytes + painted + read

    def full_nbytes(self, memory: Memory, settings: FrameSettings) -> int:
        """What `nbytes` comes to under other settings once the bank is as full as they allow; this state is of a frame
        of the same size, with a bank and with steadiness."""
        row = memory.full_nbytes(next(iter(self.rows.values())), settings)
        noise = next(iter(self.noise.values())).nbytes
        painted = self.history.nbytes if self.history is not None and settings.steadiness > 0 else 0
        return rows_of_frame(settings) * row + settings.steps * noise + self._shown_nbytes + painted

    @property
    def _shown_nbytes(self) -> int:
        """Bytes of what is kept of inputs and by the decoder, whatever the settings are."""
        drawn = sum(each.nbytes for each in self.drawn)
        return self.seen.nbytes + drawn + (0 if self.depth_range is None else self.depth_range.nbytes)

    def forgotten(self) -> StreamState:
        """The beginning of the next stream of the same session."""
        return StreamState(resets=self.resets + 1)

    def without_picture(self) -> StreamState:
        """The same for a model that has changed: the next picture is painted anew, and the bank learns again."""
        return replace(self, history=None, drawn=(), seen=replace(self.seen, stillness=Stillness()))

    def moved(self, memory: Memory, device: torch.device) -> StreamState:
        """The same with all tensors on another device."""
        rows = {key: memory.moved(row, device) for key, row in self.rows.items()}
        noise = {key: each.to(device) for key, each in self.noise.items()}
        shown = self.depth_range and self.depth_range.moved(device)
        read = self.read and self.read.moved(device)
        drawn = tuple(each.to(device) for each in self.drawn)
        return replace(self, rows=rows, noise=noise, depth_range=shown, read=read, drawn=drawn)
