"""Long work of many visitors, shared out: so much at once in all, and so much of one address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class Shares:
    """`most` places, of which one address may have `most_of_address`. May be used from any thread."""

    def __init__(self, most: int, most_of_address: int) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._taken: Counter[str] = Counter()
        self._lock = Lock()

    def take(self, address: str) -> bool:
        """Take a place for `address`; returns whether there is one."""
        with self._lock:
            if self._taken.total() >= self._most or self._taken[address] >= self._most_of_address:
                return False
            self._taken[address] += 1
            return True

    def give_back(self, address: str) -> None:
        """Give back a place that `address` has taken."""
        with self._lock:
            self._taken -= Counter([address])

    @contextmanager
    def held(self, address: str) -> Iterator[bool]:
        """While entered, `address` has a place, if there is one: the value says so."""
        taken = self.take(address)
        try:
            yield taken
        finally:
            if taken:
                self.give_back(address)
