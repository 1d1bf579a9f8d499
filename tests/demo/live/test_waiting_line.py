"""The line in front of the door: order, news, and the time that it should take."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from demo.live.gate import Guest
from demo.live.waiting_line import FullError, Ticket, WaitingLine, expected_seconds


class Waiter:
    """A ticket whose news are kept."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self.heard: list[dict[str, Any]] = []
        guest = Guest(name, None, "10.0.0.1")
        self.ticket = Ticket(guest, loop.create_future(), self.heard.append, lambda code, sentence: None)


@pytest.fixture
def waiters() -> Any:
    loop = asyncio.new_event_loop()
    yield [Waiter(name, loop) for name in ("anna", "bert", "cleo", "anna")]
    loop.close()


def test_guests_stand_in_the_order_in_which_they_came(waiters: list[Waiter]) -> None:
    line = WaitingLine(3)
    for each in waiters[:3]:
        line.join(each.ticket)
    assert line.first is waiters[0].ticket
    line.leave(waiters[0].ticket)
    assert [ticket.guest.name for ticket in line] == ["bert", "cleo"]


def test_each_is_told_once_and_again_when_it_changes(waiters: list[Waiter]) -> None:
    line = WaitingLine(3)
    for each in waiters[:2]:
        line.join(each.ticket)
        line.tell(2, [])
    line.tell(2, [])
    line.leave(waiters[0].ticket)
    line.tell(2, [60.0])
    assert waiters[0].heard == [
        {"type": "queue", "place": 1, "of": 1, "seconds": None},
        {"type": "queue", "place": 1, "of": 2, "seconds": None},
    ]
    assert waiters[1].heard == [
        {"type": "queue", "place": 2, "of": 2, "seconds": None},
        {"type": "queue", "place": 1, "of": 1, "seconds": 30},
    ]


def test_a_newer_ticket_of_a_guest_keeps_their_place(waiters: list[Waiter]) -> None:
    anna, bert, cleo, again = waiters
    line = WaitingLine(2)
    assert line.join(anna.ticket) is None
    line.join(bert.ticket)
    assert line.join(again.ticket) is anna.ticket
    assert line.first is again.ticket
    line.leave(anna.ticket)
    assert line.first is again.ticket
    with pytest.raises(FullError, match="2 waiting"):
        line.join(cleo.ticket)


def test_a_line_of_no_length_takes_nobody(waiters: list[Waiter]) -> None:
    with pytest.raises(FullError, match="All places are taken. Try again"):
        WaitingLine(0).join(waiters[0].ticket)


@pytest.mark.parametrize(
    ("place", "places", "stays", "seconds"),
    [(1, 8, [], None), (1, 1, [120.0], 120), (1, 8, [120.0], 15), (3, 8, [10.0, 120.0, 5000.0], 45), (1, 8, [0.0], 0)],
)
def test_the_expected_time_is_the_median_stay_shared_by_the_places(
    place: int, places: int, stays: list[float], seconds: int | None
) -> None:
    assert expected_seconds(place, places, stays) == seconds
