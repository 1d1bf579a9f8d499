"""What waits for the engine's thread: of each open session its newest frame, of each kind of change the newest, and,
behind these, pictures at rest that are to come finer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Condition
from typing import Any, TypeVar

from pipeline.engine.finer import Resting
from pipeline.engine.lanes import Request
from pipeline.engine.session import Session
from pipeline.errors import SessionClosedError
from pipeline.models.load import Model

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Change:
    """What is to be done with the model between two UNet calls, the future of its result, and whether it may write
    weights."""

    function: Callable[[Model], Any]
    future: Future[Any]
    of_weights: bool = True


class Mailbox:
    """Any thread puts in; one thread takes out, and waits here while there is nothing."""

    def __init__(self) -> None:
        self._changed = Condition()
        # One slot a session, oldest waiting first: a newer frame takes the place of the one it drops.
        self._waiting: dict[Session, Request] = {}
        # One slot a kind of change, the newest wins as well.
        self._changes: dict[str, Change] = {}
        # One slot a session; a frame of the session ends its rest.
        self._resting: dict[Session, Resting] = {}
        # In the order in which they were opened.
        self._sessions: dict[Session, None] = {}
        self._working = False
        self._closed = False

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Those that are open, in the order in which they were opened."""
        return tuple(self._sessions)

    @property
    def waiting(self) -> int:
        """How many frames wait."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether a frame waits, or whoever takes out is at work on what was taken."""
        return self._working or bool(self._waiting)

    @property
    def waits(self) -> bool:
        """Whether anything waits that goes before a picture at rest."""
        return bool(self._waiting or self._changes or self._closed)

    @property
    def closed(self) -> bool:
        """Whether nothing may be put in any more."""
        return self._closed

    def open(self, session: Session) -> None:
        """Let a session put in frames. Raises `SessionClosedError` on a closed mailbox."""
        with self._changed:
            self._refuse_if_closed()
            self._sessions[session] = None

    def put(self, request: Request) -> None:
        """Put in a frame, in the place of one of its session that waits. Raises `SessionClosedError`."""
        with self._changed:
            self._refuse_if_not_open(request.session)
            dropped = [self._waiting.get(request.session), self._resting.pop(request.session, None)]
            self._waiting[request.session] = request
            self._changed.notify()
        # Outside the lock: cancelling runs callbacks of whoever waits, and these may call the engine.
        for each in dropped:
            if each is not None:
                cancel(each.future)

    def put_resting(self, resting: Resting) -> None:
        """Put in a picture at rest, in the place of one of its session that waits. Raises `SessionClosedError`."""
        with self._changed:
            self._refuse_if_not_open(resting.session)
            dropped = self._resting.pop(resting.session, None)
            self._resting[resting.session] = resting
            self._changed.notify()
        if dropped is not None:
            cancel(dropped.future)

    def put_change(self, kind: str, function: Callable[[Model], T], of_weights: bool = True) -> Future[T]:
        """Put in a change, behind all others and without one of its kind that waits; one that is not `of_weights`
        leaves the model as it is. Raises `SessionClosedError`."""
        future: Future[T] = Future()
        with self._changed:
            self._refuse_if_closed()
            dropped = self._changes.pop(kind, None)
            self._changes[kind] = Change(function, future, of_weights)
            self._changed.notify()
        if dropped is not None:
            cancel(dropped.future)
        return future

    def forget(self, session: Session) -> list[Future[Any]]:
        """Drop a session and what waits of it, whose futures come back to be cancelled."""
        with self._changed:
            self._sessions.pop(session, None)
            dropped = [self._waiting.pop(session, None), self._resting.pop(session, None)]
        return [each.future for each in dropped if each is not None]

    def close(self) -> None:
        """Take in nothing any more, and drop the changes that wait."""
        with self._changed:
            self._closed = True
            changes, self._changes = list(self._changes.values()), {}
            self._changed.notify()
        for change in changes:
            cancel(change.future)

    def taken(self, may_set_out: Callable[[Request], bool], can_wait: bool) -> list[Request]:
        """The waiting frames that may set out, longest waiting first. None of a closed mailbox.

        `can_wait` until there is a frame, a change or a picture at rest, or it is closed.
        """
        with self._changed:
            if can_wait:
                self._working = False
                self._changed.wait_for(lambda: self.waits or self._resting)
            self._working = True
            chosen = [] if self._closed else [each for each in self._waiting.values() if may_set_out(each)]
            for request in chosen:
                del self._waiting[request.session]
        return [request for request in chosen if request.future.set_running_or_notify_cancel()]

    def taken_resting(self) -> Resting | None:
        """The picture that has rested longest, unless anything else waits."""
        with self._changed:
            if self.waits or not self._resting:
                return None
            return self._resting.pop(next(iter(self._resting)))

    def taken_changes(self) -> list[Change]:
        """The changes that wait, in the order in which they were put in."""
        with self._changed:
            changes, self._changes = list(self._changes.values()), {}
        return changes

    def _refuse_if_not_open(self, session: Session) -> None:
        if session not in self._sessions:
            raise SessionClosedError("the session is closed; needed: an open one. Open a new one.")

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise SessionClosedError("the engine is closed; needed: an open one. Make a new Engine.")


def cancel(future: Future[Any]) -> None:
    """Cancel a future that waits, so that everybody who waits for it knows: `concurrent.futures.wait` does not hear
    of a cancellation alone."""
    if future.cancel():
        future.set_running_or_notify_cancel()
