"""A visitor's whole state, and what a visitor can do with it. Nothing of a visitor lives anywhere else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline.codec import Frame, Picture, as_frame, fitted
from pipeline.cuts import Thumbnail, has_moved, is_cut
from pipeline.errors import FrameError, PictureError, SessionClosedError
from pipeline.history import History
from pipeline.settings import FrameSettings

if TYPE_CHECKING:
    from pipeline.engine import Engine
    from pipeline.memory import Memory

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
class StreamState:
    """What one frame of a stream leaves to the next. A new one is committed whole, or not at all."""

    rows: Mapping[RowKey, Any] = field(default_factory=dict)
    noise: Mapping[NoiseKey, Tensor] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    thumbnail: Thumbnail | None = None
    stillness: Stillness = Stillness()
    settings: FrameSettings | None = None
    history: History | None = None
    frames: int = 0
    bank_fill: float = 0.0

    def before(self, frame: Frame, thumbnail: Thumbnail, settings: FrameSettings) -> StreamState:
        """What a frame `[H, W, 3]` may look back at.

        Nothing, if this state's own frames were of another size (features do not fit across sizes) or showed another
        scene. No features of the past if something else is asked for: the old style is gone at once. And no picture of
        the past if it would be painted otherwise: every slider acts on the next frame.
        """
        size_stays = self.size in (None, (frame.shape[1], frame.shape[0]))
        scene_stays = self.thumbnail is None or not is_cut(self.thumbnail, thumbnail)
        if not (size_stays and scene_stays):
            return StreamState()
        if self.settings is None or settings.paints_as(self.settings):
            return self
        rows = self.rows if settings.prompts == self.settings.prompts else {}
        return replace(self, rows=rows, stillness=Stillness(), history=None)

    def nbytes(self, memory: Memory) -> int:
        """Bytes of all arrays: what `memory` holds in the rows, the noise, small copies of inputs, the last picture."""
        rows = sum(memory.nbytes(row) for row in self.rows.values())
        seen = sum(each.nbytes for each in (self.thumbnail, self.stillness.since) if each is not None)
        painted = 0 if self.history is None else self.history.nbytes
        return rows + sum(noise.nbytes for noise in self.noise.values()) + seen + painted

    def merge_generator(self, seed: int) -> torch.Generator:
        """Made anew for each frame, so that a frame that fails leaves nothing drawn."""
        return generator_for(seed, _MERGE, self.frames)


@dataclass(frozen=True, eq=False)
class Translation:
    """One finished frame: `picture` `[H, W, 3]`, the engine's seconds, the bank's fill (0..1), the frame's number."""

    picture: Frame
    seconds: float
    bank_fill: float
    frame: int


class Session:
    """One visitor's stream. Made by `Engine.open`; its methods may be called from any thread."""

    def __init__(self, engine: Engine, seed: int, size: tuple[int, int]) -> None:
        self.seed = seed
        self.size = size
        self.last_frame_at = time.monotonic()
        self._engine = engine
        self._lock = Lock()
        self._state = StreamState()
        self._frames = 0
        self._closed = False

    def translate(self, picture: Picture, settings: FrameSettings | None = None) -> Image.Image:
        """Translate one picture and wait for it; it comes back at the size that the session works at.

        Raises `PictureError`, `PromptError`, `SessionClosedError` or `FrameError`.
        """
        try:
            return Image.fromarray(self.submit(picture, settings).result().picture)
        except CancelledError as error:
            self._refuse_if_closed()
            raise FrameError(
                "the frame was dropped because a newer one came; needed: one frame of a session at a time. "
                "Wait for the last, or open a session for each stream."
            ) from error

    def submit(self, picture: Picture, settings: FrameSettings | None = None) -> Future[Translation]:
        """Put a picture into the mailbox, which holds one: a picture that still waits there is dropped, its future
        cancelled. The picture is read in the caller's thread, so that a large one keeps nobody else waiting.

        Raises `SessionClosedError`; any other error comes with the future.
        """
        self._refuse_if_closed()
        settings = settings or FrameSettings()
        try:
            frame = fitted(as_frame(picture), self.size, settings.fit)
        except PictureError as error:
            failed: Future[Translation] = Future()
            failed.set_exception(error)
            return failed
        return self._engine.submit(self, frame, settings)

    def resize(self, size: tuple[int, int]) -> None:
        """Work at `size`, (width, height) in pixels, from the next picture on; raises `SettingsError`.

        The first frame of another size clears the memory.
        """
        self.size = self._engine.checked_size(size)

    def reset(self) -> None:
        """Forget all past frames, also one that is being translated now: the next is as if it were the first."""
        with self._lock:
            self._state = StreamState()

    def close(self) -> None:
        """Give back everything; may be called twice."""
        with self._lock:
            self._closed = True
            self._state = StreamState()
        self._engine.forget(self)

    @property
    def closed(self) -> bool:
        """Whether `close` was called, here or on the engine."""
        return self._closed

    @property
    def frames(self) -> int:
        """How many frames were translated since the session was opened."""
        return self._frames

    @property
    def bank_fill(self) -> float:
        """How full the bank was after the last frame, 0..1."""
        return self._state.bank_fill

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays of this session: its memory rows, its noise, and what it keeps of its last frame."""
        return self._state.nbytes(self._engine.memory)

    @property
    def state(self) -> StreamState:
        """What the last frame left. Replaced, never changed: a frame may keep working from it."""
        return self._state

    def commit(self, before: StreamState, after: StreamState) -> int:
        """The engine's call after a frame that went well: `after` was made from `before`. Returns the frame's number.

        If the session was reset or closed meanwhile, `before` is no longer its state and `after` is dropped.
        """
        with self._lock:
            if self._state is before:
                self._state = after
            self._frames += 1
            self.last_frame_at = time.monotonic()
            return self._frames

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise SessionClosedError("the session is closed; needed: an open one. Open a new one with engine.open().")
