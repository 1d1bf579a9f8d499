"""A visitor's whole state, and what a visitor can do with it. Nothing of a visitor lives anywhere else."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace
from threading import Lock
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pipeline.calls.runtimes import PYTORCH
from pipeline.engine.parcel import Parcel, packed, unpacked
from pipeline.engine.sizes import Sizes
from pipeline.engine.stream import StreamState
from pipeline.errors import FrameError, ModelError, PictureError, SessionClosedError
from pipeline.frames.codec import Frame, Picture, as_frame, fitted
from pipeline.guides.adapter import LikePicture, PictureAdapter
from pipeline.memory import Memory
from pipeline.settings import FINER_TIMES, FrameSettings


@dataclass(frozen=True, eq=False)
class Translation:
    """One finished frame: `picture` `[H, W, 3]`, the engine's seconds, the bank's fill (0..1), the frame's number, a
    sentence where the visitor has to know something, whether the picture was flagged and is blurred, how often the
    session had forgotten everything before it, and, if that was asked and the memory can say, how well it knew each
    place: float32 `[h, w]` in 0..1, the best cosine of the bank, which counts as the same from the fusion threshold on.
    `runtime` names what has made the calls since the last picture.

    Frames of one number of `resets` look back at each other, in the order of their numbers; a reset may overtake frames
    that were sent before it."""

    picture: Frame
    seconds: float
    bank_fill: float
    frame: int
    notice: str = ""
    flagged: bool = False
    resets: int = 0
    bank_map: NDArray[np.float32] | None = None
    runtime: str = PYTORCH


def without_bank(settings: FrameSettings) -> FrameSettings:
    """The same settings for a session that may have no bank."""
    return settings.changed(bank_frames=0.0)


class Server(Protocol):
    """Who serves sessions, as one of them sees it: `pipeline.engine.engine.Engine`, whose methods say more."""

    @property
    def memory(self) -> Memory: ...

    @property
    def memory_name(self) -> str: ...

    @property
    def has_map(self) -> bool: ...

    @property
    def finer_steps(self) -> int: ...

    @property
    def sizes(self) -> Sizes: ...

    @property
    def adapter(self) -> PictureAdapter | None: ...

    def submit(
        self, session: Session, frame: Frame, settings: FrameSettings, with_map: bool, like: LikePicture | None
    ) -> Future[Translation]: ...

    def submit_resting(
        self, session: Session, frame: Frame, settings: FrameSettings, shown: Frame | None
    ) -> Future[Frame | None]: ...

    def release(self, session: Session) -> None: ...

    def forget(self, session: Session) -> None: ...


class Session:
    """One visitor's stream. Made by `Engine.open`; its methods may be called from any thread.

    `party` names whom it is served for: who leaves and comes back as another session is owed nothing for that. Empty
    where nobody knows."""

    def __init__(self, engine: Server, seed: int, size: tuple[int, int], party: str = "") -> None:
        self.seed = seed
        self.size = size
        self.party = party
        self.last_frame_at = time.monotonic()
        self._engine = engine
        self._lock = Lock()
        self._state = StreamState()
        self._frames = 0
        self._flagged = 0
        self._closed = False
        self._parked = False
        self._notice = ""
        self._like: LikePicture | None = None

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

    def submit(
        self, picture: Picture, settings: FrameSettings | None = None, with_map: bool = False
    ) -> Future[Translation]:
        """Put a picture into the mailbox, which holds one: a picture that still waits there is dropped, its future
        cancelled. The picture is read in the caller's thread, so that a large one keeps nobody else waiting.
        `with_map`: its translation comes with a `bank_map`, and is the same otherwise.

        Raises `SessionClosedError`; any other error comes with the future: `PictureError`, `PromptError`, `FrameError`,
        `NoRoomError` where what the settings ask for does not fit beside the other sessions, or `SettingsError` where
        it is a memory that the engine has not loaded.
        """
        self._refuse_if_closed()
        settings = settings or FrameSettings()
        if self._notice:
            settings = without_bank(settings)
        try:
            frame = fitted(as_frame(picture), self.size, settings.fit)
        except PictureError as error:
            failed: Future[Translation] = Future()
            failed.set_exception(error)
            return failed
        return self._engine.submit(self, frame, settings, with_map, self._like)

    def be_like(self, picture: Picture | None) -> None:
        """Let the next pictures be like this one, as strongly as `FrameSettings.like_strength` says; `None`: like none.
        It is read in the caller's thread.

        Raises `PictureError`, or `ModelError` where the engine has no adapter.
        """
        if picture is None:
            self._like = None
            return
        adapter = self._engine.adapter
        if adapter is None:
            raise ModelError(
                "a picture to be like came, and this engine has no adapter that reads one; needed: an adapter. Load a "
                "model of the hub and one that fits it, such as load_adapter('like-sd15', model)."
            )
        self._like = adapter.picture(picture)

    @property
    def like(self) -> LikePicture | None:
        """The picture that the next ones are to be like, if there is one."""
        return self._like

    @property
    def finer_steps(self) -> int:
        """In how many steps a picture at rest is painted once more."""
        return self._engine.finer_steps

    def submit_finer(
        self, picture: Picture, shown: Frame, settings: FrameSettings | None = None
    ) -> Future[Frame | None]:
        """Paint a picture at rest once more, at twice the width and height and in `finer_steps`, in the tones of
        `shown`, which is what the session has made of it and lies under the drawing. It is painted while
        nothing else waits, with no memory, and leaves none.

        The future is cancelled by the session's next picture. Its result is `None` as soon as anybody's picture waits,
        or where the others leave no room for it. Raises `SessionClosedError`; any other error comes with the future:
        `PictureError`, `PromptError`, `FrameError` or `SettingsError`.
        """
        height, width = shown.shape[:2]
        settings = (settings or FrameSettings()).changed(steps=self.finer_steps)
        return self._rest(picture, settings, (FINER_TIMES * width, FINER_TIMES * height), shown)

    def submit_still(self, picture: Picture, settings: FrameSettings | None = None) -> Future[Frame | None]:
        """Paint a picture by itself, as other settings would have it: at the session's size, with no memory, leaving
        none. When it is painted, and how its future ends, is as of `submit_finer`; the session's next one cancels what
        waits, a finer picture as well."""
        return self._rest(picture, settings or FrameSettings(), self.size, None)

    def _rest(
        self, picture: Picture, settings: FrameSettings, size: tuple[int, int], shown: Frame | None
    ) -> Future[Frame | None]:
        self._refuse_if_closed()
        try:
            frame = fitted(as_frame(picture), size, settings.fit)
        except PictureError as error:
            failed: Future[Frame | None] = Future()
            failed.set_exception(error)
            return failed
        return self._engine.submit_resting(self, frame, settings, shown)

    def resize(self, size: tuple[int, int]) -> None:
        """Work at `size`, (width, height) in pixels, from the next picture on; raises `SettingsError`.

        The first frame of another size clears the memory.
        """
        self.size = self._engine.sizes.checked(size)

    def reset(self) -> int:
        """Forget all past frames, also one that is being translated now: the next is as if it were the first.

        Returns how often the session has forgotten everything by now: the `resets` of the translations to come.
        """
        with self._lock:
            self._state, self._notice = self._state.forgotten(), ""
            return self._state.resets

    def refuse_bank(self, notice: str) -> None:
        """The engine's call where the device has too little memory: forget all, and go on without a bank, with `notice`
        in every translation, until `reset`."""
        with self._lock:
            self._state, self._notice = self._state.forgotten(), notice

    def repaint(self) -> None:
        """The engine's call when its model has changed: the next picture holds on to nothing of the last; the memory
        stays, but for what a frame under way would leave."""
        with self._lock:
            self._state = self._state.without_picture()

    @property
    def notice(self) -> str:
        """Why the session has no bank; empty where it may have one."""
        return self._notice

    def park(self, keep: bool) -> None:
        """Free the device of an idle session's state: `keep` moves it to the CPU, else it is forgotten. It comes back
        with the next frame, unless others needed its room meanwhile; one that is being translated now leaves nothing.
        """
        with self._lock:
            state = self._state.moved(self._engine.memory, torch.device("cpu")) if keep else self._state.forgotten()
            # Another object in any case: a frame under way must not commit what it began with.
            self._state, self._parked = replace(state), True
        self._engine.release(self)

    def forget_parked(self) -> bool:
        """The engine's call where others need the room: forget what is parked. Returns whether the session waits
        parked."""
        with self._lock:
            if self._parked:
                self._state = self._state.forgotten()
            return self._parked

    def unpark(self, device: torch.device) -> StreamState:
        """The engine's call before a frame: the state, on `device`."""
        with self._lock:
            if self._parked:
                self._state, self._parked = self._state.moved(self._engine.memory, device), False
            return self._state

    def packed(self) -> Parcel:
        """All that the next frame would look back at, for `resume` in another process of this program. No frame may be
        under way."""
        with self._lock:
            return packed(self._state, self._engine.memory)

    def resume(self, parcel: Parcel) -> None:
        """Go on where the session that `packed` this was: with the same model, memory and size."""
        with self._lock:
            self._state, self._parked = unpacked(parcel), True

    @property
    def parked(self) -> bool:
        """Whether the session waits beside the device for its next frame."""
        return self._parked

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
    def flagged(self) -> int:
        """Of how many frames since the session was opened the safety checker flagged the picture."""
        return self._flagged

    @property
    def memory_name(self) -> str:
        """The memory of frames whose settings choose none."""
        return self._engine.memory_name

    @property
    def has_map(self) -> bool:
        """Whether `submit` can tell how well the memory knows each place."""
        return self._engine.has_map

    @property
    def bank_fill(self) -> float:
        """How full the bank was after the last frame, 0..1."""
        return self._state.bank_fill

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays of this session: its memory rows, its noise, the picture that it is to be like, and what
        it keeps of its last frame."""
        return self._state.nbytes(self._engine.memory) + (0 if self._like is None else self._like.nbytes)

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
            self._flagged += after.flagged
            self.last_frame_at = time.monotonic()
            return self._frames

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise SessionClosedError("the session is closed; needed: an open one. Open a new one with engine.open().")
