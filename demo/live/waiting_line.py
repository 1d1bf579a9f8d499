"""The line in front of the door: who waits, at which place, and for how long about."""

from __future__ import annotations

import math
from asyncio import Future
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from demo.live.gate import Guest
from demo.words import word


class FullError(RuntimeError):
    """There is no place for another visitor, not even in line; the message is a sentence for the person."""


@dataclass(eq=False)
class Ticket:
    """One guest's claim to the next place. `admitted` gets its result when the guest has a place.

    `tell` takes the news of the place in line, `close` a code and a sentence with which the waiting ends; `asked_at` is
    when a guest who has to ask again did so last, and `None` for one who holds a socket open.
    """

    guest: Guest
    admitted: Future[Any]
    tell: Callable[[dict[str, Any]], None]
    close: Callable[[int, str], None]
    asked_at: float | None = None
    news: dict[str, Any] = field(default_factory=dict)


class WaitingLine:
    """Tickets in the order in which their guests came, at most `length`."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._tickets: dict[str, Ticket] = {}

    def __len__(self) -> int:
        return len(self._tickets)

    def __iter__(self) -> Iterator[Ticket]:
        return iter(tuple(self._tickets.values()))

    def __contains__(self, ticket: Ticket) -> bool:
        return self._tickets.get(ticket.guest.name) is ticket

    @property
    def first(self) -> Ticket | None:
        """Whose turn is next."""
        return next(iter(self._tickets.values()), None)

    def named(self, name: str) -> Ticket | None:
        """The ticket of a guest, if they wait."""
        return self._tickets.get(name)

    def join(self, ticket: Ticket) -> Ticket | None:
        """Stand at the end, or where an older ticket of the same guest stood, which is returned; raises `FullError`."""
        older = self._tickets.get(ticket.guest.name)
        if older is None and len(self) >= self._length:
            waiting = self._length
            raise FullError(word("live.full_line", waiting=waiting) if waiting else word("live.full"))
        self._tickets[ticket.guest.name] = ticket
        return older

    def leave(self, ticket: Ticket) -> None:
        """Free the ticket's place in line; a ticket that has none frees nobody else's."""
        if ticket in self:
            del self._tickets[ticket.guest.name]

    def tell(self, places: int, stays: Sequence[float]) -> None:
        """Tell everybody whose news have changed: place, length of the line, and seconds until it is their turn."""
        for place, ticket in enumerate(self, start=1):
            news = {
                "type": "queue",
                "place": place,
                "of": len(self),
                "seconds": expected_seconds(place, places, stays),
            }
            if news != ticket.news:
                ticket.news = news
                ticket.tell(news)


def expected_seconds(place: int, places: int, stays: Sequence[float]) -> int | None:
    """Seconds until the guest at `place` (from 1) gets in: with a median stay of m seconds, one of `places` comes free
    every m / places seconds. `None` while nobody's stay has been seen."""
    return math.ceil(place * median(stays) / places) if stays else None
