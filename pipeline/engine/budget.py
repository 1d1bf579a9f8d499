"""How many bytes all sessions together may take, and what each of them has put aside."""

from __future__ import annotations

from collections.abc import Hashable
from threading import Lock

from pipeline.errors import NoRoomError

MIB = 2**20


class ByteBudget:
    """Bytes put aside by their holders, never more than `nbytes` in all. May be used from any thread."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self._held: dict[Hashable, int] = {}
        self._lock = Lock()

    @property
    def taken(self) -> int:
        """Bytes put aside by all holders."""
        with self._lock:
            return sum(self._held.values())

    @property
    def free(self) -> int:
        """Bytes that nobody has put aside."""
        return max(0, self.nbytes - self.taken)

    def held_by(self, holder: Hashable) -> int:
        """Bytes that `holder` has put aside."""
        with self._lock:
            return self._held.get(holder, 0)

    def hold(self, holder: Hashable, nbytes: int) -> None:
        """Let `holder` have `nbytes` from now on, in the place of what it had; raises `NoRoomError` and changes nothing
        where the others leave less."""
        with self._lock:
            free = self.nbytes - sum(self._held.values()) + self._held.get(holder, 0)
            if nbytes > free:
                left = max(0, free) / MIB
                raise NoRoomError(
                    f"a memory of {nbytes / MIB:.1f} MiB was asked for; needed: at most the {left:.1f} MiB that other "
                    "visitors leave. Choose a smaller bank, fewer steps or a smaller size, or try again in a minute."
                )
            self._held[holder] = nbytes

    def settle(self, holder: Hashable, nbytes: int) -> None:
        """Count `nbytes` of `holder` from now on: what lives already, and is refused no more."""
        with self._lock:
            self._held[holder] = nbytes

    def give_back(self, holder: Hashable) -> None:
        """Free what `holder` has, if anything."""
        with self._lock:
            self._held.pop(holder, None)
