"""How fast and how evenly pictures come to those who wait for them: pure functions over the moments they came at."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

WINDOW_S = 5.0


@dataclass(frozen=True)
class Stay:
    """What came to one visitor, of whom a frame waited all the time from `since` until `until`.

    `sent` and `received` say of each picture when its frame was sent and when it came; `received` ascends. All are
    seconds of one clock.
    """

    since: float
    until: float
    sent: tuple[float, ...]
    received: tuple[float, ...]

    def during(self, start: float, end: float) -> Stay:
        """The part of it from `start` until `end`: a picture belongs where it was received."""
        first, stop = bisect_left(self.received, start), bisect_left(self.received, end)
        since, until = max(self.since, start), min(self.until, end)
        return Stay(since, max(since, until), self.sent[first:stop], self.received[first:stop])

    @property
    def rate(self) -> float:
        """Pictures a second; of a stay without length, 0."""
        return len(self.received) / (self.until - self.since) if self.until > self.since else 0.0

    @property
    def latencies(self) -> list[float]:
        """Milliseconds from sending a frame to receiving its picture."""
        return [(back - sent) * 1000 for sent, back in zip(self.sent, self.received, strict=True)]


def jitter(stays: Sequence[Stay]) -> float | None:
    """The mean absolute difference between successive intervals of a visitor's pictures, in milliseconds, over all
    visitors; `None` where nobody got three pictures."""
    changes = [change for stay in stays for change in _interval_changes(stay.received)]
    return fmean(changes) * 1000 if changes else None


def _interval_changes(moments: Sequence[float]) -> list[float]:
    intervals = [later - earlier for earlier, later in zip(moments, moments[1:], strict=False)]
    return [abs(later - earlier) for earlier, later in zip(intervals, intervals[1:], strict=False)]


def fairness(stays: Sequence[Stay], window: float = WINDOW_S) -> float | None:
    """The least share of any visitor in any `window` seconds, over the mean share of all who waited all through them.

    1 is even, 0 is somebody who got nothing while others did. `None` where there is nothing to compare: no such time
    with two visitors and a picture. With `n` pictures each in a window, one picture more or less is `1 / n`.
    """
    starts = _starts(stays, window)
    least: NDArray[np.float64] = np.full(len(starts), np.inf)
    total: NDArray[np.float64] = np.zeros(len(starts))
    waiting: NDArray[np.float64] = np.zeros(len(starts))
    for stay in stays:
        waits = (stay.since <= starts) & (starts + window <= stay.until)
        pictures = np.diff(np.searchsorted(stay.received, [starts, starts + window]), axis=0)[0]
        least = np.where(waits, np.minimum(least, pictures), least)
        total += np.where(waits, pictures, 0)
        waiting += waits
    judged = (waiting > 1) & (total > 0)
    shares = least[judged] * waiting[judged] / total[judged]
    return float(shares.min()) if len(shares) else None


def _starts(stays: Sequence[Stay], window: float) -> NDArray[np.float64]:
    """One start `[N]` for each different window: who waits and what they get change only where an edge of the window
    meets a picture or an end of a stay."""
    moments = np.array([each for stay in stays for each in (stay.since, stay.until, *stay.received)])
    edges = np.unique(np.concatenate([moments, moments - window]))
    middles: NDArray[np.float64] = (edges[:-1] + edges[1:]) / 2
    return middles
