"""What stands behind the live wire in the place of an engine: sessions whose frames are painted while a GPU is lent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any

from demo.space.lent.call import Left, Lent, News, Painted
from demo.space.lent.slot import Asked, Slot
from demo.words import word
from pipeline.errors import FrameError, ModelError, NoRoomError, PictureError, SessionClosedError
from pipeline.settings import FrameSettings

if TYPE_CHECKING:
    from pipeline import Model, Translation
    from pipeline.engine.parcel import Parcel

KERNEL = "ZeroGPU"
MAPPED_MEMORY = "feature-bank"
"""The memory that can say how well it knows each place."""

Call = Callable[[Lent], Iterator[News]]


class NotLentError(FrameError):
    """A frame came while no GPU is lent to its visitor; the message says what to press."""


class LentSession:
    """One visitor's stream. Between two calls it holds what the last one left; frames that come then are refused with a
    sentence. Its methods may be called from any thread."""

    parked = False
    notice = ""
    finer_steps = 1  # of a picture at rest, which is never painted here

    def __init__(self, engine: LentEngine, seed: int) -> None:
        self.seed, self.size, self.party = seed, engine.size, ""
        self.memory_name, self.has_map = engine.memory_name, engine.has_map
        self.frames = self.flagged = 0
        self._engine = engine
        self._lock = Lock()
        self._slot: Slot | None = None
        self._lent = False
        self._asked = 0
        self._resets = 0
        self._waiting: dict[int, Future[Translation]] = {}
        self._parcel: Parcel | None = None
        self._closed = False

    def submit(
        self, picture: Any, settings: FrameSettings | None = None, with_map: bool = False
    ) -> Future[Translation]:
        """Put a picture into the slot, in the place of one that waits there. Raises `SessionClosedError`; any other
        error comes with the future, `NotLentError` where no GPU is lent."""
        # Here, not above: it imports torch, which has to wait for the host's library.
        from pipeline.frames.codec import as_frame, fitted

        settings, future = settings or FrameSettings(), Future["Translation"]()
        try:
            frame = fitted(as_frame(picture), self.size, settings.fit)
        except PictureError as error:
            future.set_exception(error)
            return future
        with self._lock:
            if self._closed:
                raise SessionClosedError("the session is closed; needed: an open one. Open a new one.")
            if self._slot is None or not self._lent:
                future.set_exception(NotLentError(word("lent.press")))
                return future
            self._asked += 1
            self._waiting[self._asked] = future
            self._slot.write(Asked(self._asked, self._resets, frame, settings, with_map))
        return future

    def submit_finer(self, picture: Any, shown: Any, settings: FrameSettings | None = None) -> Future[Any]:
        """No finer picture of one that rests: a GPU's time is the visitor's, and is for what moves."""
        nothing: Future[Any] = Future()
        nothing.set_result(None)
        return nothing

    def submit_still(self, picture: Any, settings: FrameSettings | None = None) -> Future[Any]:
        """No picture of other settings either."""
        return self.submit_finer(picture, None, settings)

    def painted(self, call: Call, seconds: float) -> Iterator[float | bool]:
        """Have frames painted by one call of at most so many seconds; gives how many are left, again and again, and at
        the end whether it was for want of frames. Raises `NoRoomError`, and what the call raises."""
        with self._engine.slot_for(self) as (place, number, slot):
            try:
                for news in call(Lent(place, number, self.seed, seconds, self._parcel)):
                    self._begin(slot)
                    if isinstance(news, Left):
                        self._keep(news)
                        yield news.rested
                        break
                    if isinstance(news, Painted):
                        self._take(news)
                    yield news.left
            finally:
                self._end(slot)

    def _begin(self, slot: Slot) -> None:
        with self._lock:
            self._slot, self._lent = slot, not self._closed

    def _keep(self, left: Left) -> None:
        with self._lock:
            # What was forgotten after the newest frame that the call has seen is forgotten.
            if not self._closed and left.resets == self._resets:
                self._parcel = left.parcel

    def _take(self, news: Painted) -> None:
        with self._lock:
            done = [(number, self._waiting.pop(number)) for number in sorted(self._waiting) if number <= news.number]
            self.frames += 1
            self.flagged += bool(news.translation and news.translation.flagged)
            frame = self.frames
        for number, future in done:
            if number < news.number:
                future.cancel()
            elif news.translation is None:
                future.set_exception(FrameError(news.error))
            else:
                future.set_result(replace(news.translation, frame=frame))

    def _end(self, slot: Slot) -> None:
        slot.stop()
        with self._lock:
            self._slot, self._lent = None, False
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.cancel()

    def stop(self) -> None:
        """Let the call that paints end, if there is one."""
        with self._lock:
            if self._slot is not None:
                self._slot.stop()

    def reset(self) -> int:
        """Forget all past frames; returns how often that was done by now."""
        with self._lock:
            self._resets, self._parcel = self._resets + 1, None
            return self._resets

    def be_like(self, picture: Any) -> None:
        """Raises `ModelError` for a picture to be like: a lent GPU has no adapter that reads one."""
        if picture is not None:
            raise ModelError(
                "a picture to be like came, and this host has no adapter that reads one; needed: words. Describe it."
            )

    def park(self, keep: bool) -> None:
        """Between two calls nothing of it lies on a device, and during one nobody is idle: it stays as it is."""

    @property
    def nbytes(self) -> int:
        """Bytes of what the last call left."""
        return 0 if self._parcel is None else self._parcel.nbytes

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """End its call and give everything back; may be called twice."""
        self.stop()
        with self._lock:
            self._closed, self._parcel = True, None
        self._engine.forget(self)


class LentEngine:
    """Opens sessions for the live wire of a host that is lent its GPU for a call at a time."""

    control_name = adapter_name = decoder_name = None
    kernel = KERNEL
    alive = True

    def __init__(self, model: Model, size: tuple[int, int], memory: str, calls: int) -> None:
        """`calls` may run at once, and each has a slot; all slots are made here, since a call's process has the memory
        alone that was there before it was forked."""
        self.model, self.size = model, size
        self.memory_name, self.memory_names, self.has_map = memory, (memory,), memory == MAPPED_MEMORY
        self.slots = tuple(Slot(size) for _ in range(calls))
        self._free = list(range(calls))
        self._numbers = count(time.time_ns() % 2**32 + 1)
        self._sessions: set[LentSession] = set()
        self._painting: set[LentSession] = set()
        self._lock = Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of what all sessions hold between their calls."""
        with self._lock:
            return sum(session.nbytes for session in self._sessions)

    def open(self, seed: int = 7) -> LentSession:
        """A new session."""
        session = LentSession(self, seed)
        with self._lock:
            self._sessions.add(session)
        return session

    @contextmanager
    def slot_for(self, session: LentSession) -> Iterator[tuple[int, int, Slot]]:
        """An empty slot, its place and the number of the call that may read it; raises `NoRoomError` where all are
        taken, or one is the session's already."""
        with self._lock:
            if session in self._painting:
                raise NoRoomError(word("lent.already"))
            if not self._free:
                raise NoRoomError(word("lent.full", calls=len(self.slots)))
            place, number = self._free.pop(0), next(self._numbers)
            self._painting.add(session)
        self.slots[place].open_for(number)
        try:
            yield place, number, self.slots[place]
        finally:
            with self._lock:
                self._free.append(place)
                self._painting.discard(session)

    def forget(self, session: LentSession) -> None:
        """Drop a session; `LentSession.close` is the way in."""
        with self._lock:
            self._sessions.discard(session)

    def watch(self, observer: Callable[[Any], None]) -> None:
        """Nothing: UNet calls are counted where they are made, and that process is gone before anybody asks."""
