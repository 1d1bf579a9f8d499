"""What each open session puts aside of the byte budget, from when it is opened until it is closed.

The budget equals what lives: a session holds the most of what its state comes to and of what each of its frames will
leave; a frame's part ends with its future, whatever becomes of it, and everything ends with the session.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from concurrent.futures import Future
from threading import RLock

from pipeline.engine.budget import ByteBudget
from pipeline.engine.session import Session, Translation
from pipeline.errors import SessionClosedError

_STATE = "state"
"""The part of what the last frame left; the others are named by the futures of frames on their way."""


class Holdings:
    """The parts of all open sessions. May be used from any thread."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._parts: dict[Session, dict[Hashable, int]] = {}
        # Entered again where a future that is done already calls back at once.
        self._lock = RLock()

    def open(self, session: Session, nbytes: int) -> None:
        """Let a session have `nbytes` for its state; raises `NoRoomError`."""
        with self._lock:
            self._hold(session, nbytes)
            self._parts[session] = {_STATE: nbytes}

    def add(self, session: Session, future: Future[Translation], nbytes: int, passing: int = 0) -> None:
        """Let a session have at least `nbytes` and `passing` more until `future` is done, and `nbytes` for what its
        frame leaves from then on.

        Raises `NoRoomError`, or `SessionClosedError` for a session that is not open any more.
        """
        with self._lock:
            parts = self._parts.get(session)
            if parts is None:
                raise SessionClosedError("the session is closed; needed: an open one. Open a new one.")
            self._hold(session, max(nbytes + passing, *parts.values()))
            parts[future] = nbytes + passing
        future.add_done_callback(lambda done: self._end(session, done, nbytes))

    def park(self, session: Session, nbytes: int) -> None:
        """Let a session have only `nbytes` for its state, beside what its frames on their way will leave. It gives way
        to others where they need the room, after those that were parked before it."""
        with self._lock:
            # A frame may have brought it back already.
            parts = self._parts.pop(session, None) if session.parked else None
            if parts is not None:
                # At the end: sessions are kept in the order in which they were opened or parked.
                self._parts[session] = {**parts, _STATE: nbytes}
                self._settle(session)

    def close(self, session: Session) -> None:
        """Take back all that a session has, if anything; it gets nothing more."""
        with self._lock:
            self._parts.pop(session, None)
            self._budget.give_back(session)

    def _hold(self, session: Session, nbytes: int) -> None:
        """Put aside `nbytes`; parked memories are forgotten for it, if that is enough, those parked longest first."""
        parked = [each for each, parts in self._parts.items() if each is not session and gives_way(each, parts)]
        more = nbytes - self._budget.held_by(session) - self._budget.free
        if more <= sum(self._budget.held_by(each) for each in parked):
            for each in parked:
                if nbytes - self._budget.held_by(session) <= self._budget.free:
                    break
                if each.forget_parked():
                    self._parts[each][_STATE] = 0
                    self._settle(each)
        self._budget.hold(session, nbytes)

    def _end(self, session: Session, future: Future[Translation], nbytes: int) -> None:
        with self._lock:
            parts = self._parts.get(session)
            if parts is None or parts.pop(future, None) is None:
                return
            painted = not future.cancelled() and future.exception() is None
            if painted and not session.parked:
                parts[_STATE] = max(nbytes, session.nbytes)
            self._settle(session)

    def _settle(self, session: Session) -> None:
        self._budget.settle(session, max(self._parts[session].values()))


def gives_way(session: Session, parts: Mapping[Hashable, int]) -> bool:
    """Whether a session only keeps a memory, for a frame that has not come yet."""
    return session.parked and len(parts) == 1 and parts[_STATE] > 0
