"""Long work is shared out among addresses."""

from __future__ import annotations

from demo.page.shares import Shares


def test_one_address_leaves_room_for_others() -> None:
    places = Shares(most=2, most_of_address=1)
    with places.held("a") as first, places.held("a") as second, places.held("b") as others:
        assert (first, second, others) == (True, False, True)
    with places.held("a") as again:
        assert again


def test_nobody_gets_in_where_all_is_taken() -> None:
    places = Shares(most=1, most_of_address=1)
    assert places.take("a") and not places.take("b")
    places.give_back("a")
    assert places.take("b")
