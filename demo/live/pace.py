"""How fast somebody may go."""

from __future__ import annotations


class TokenBucket:
    """Grants `rate` a second on average, and up to `capacity` at once after a rest (RFC 2697's token bucket, with one
    colour)."""

    def __init__(self, rate: float, capacity: float, now: float) -> None:
        self._rate = rate
        self._capacity = capacity
        self._level = capacity
        self._at = now

    def take(self, now: float) -> bool:
        """Whether one more is granted at `now`, in seconds of a clock that never goes back."""
        self._level = min(self._capacity, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True
