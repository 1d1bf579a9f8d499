"""When the layers of a bank take in the present: all on one frame of an interval, or each on a frame of its own."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.settings import BankRenewal


def layers_due(costs: Mapping[str, int], frame: int, interval: int, renewal: BankRenewal) -> frozenset[str]:
    """The layers that are renewed with frame number `frame` of a stream, counted from 0; its first fills all of them.

    `costs` is what the renewal of each layer costs, in any unit. "together" is StreamV2V's way (arXiv 2405.15757,
    section 4.3): every layer, on every `interval`-th frame. "spread" is the same work without its slow frame: every
    layer once in `interval` frames, each frame about as many products. An interval of 1 makes them one.
    """
    turn = frame % interval
    if frame == 0 or (renewal == "together" and turn == 0):
        return frozenset(costs)
    return frozenset() if renewal == "together" else balanced_shares(costs, interval)[turn]


def balanced_shares(costs: Mapping[str, int], count: int) -> list[frozenset[str]]:
    """The names in `count` shares of about the same cost: the costliest first, each to the share that is cheapest yet.

    No share costs more than 4/3 of what the best division's largest does (Graham 1969, "Bounds on multiprocessing
    timing anomalies"). Names of one cost are taken in alphabetical order, so that the same layers always fall the same.
    """
    shares: list[list[str]] = [[] for _ in range(count)]
    sums = [0] * count
    for name in sorted(costs, key=lambda name: (-costs[name], name)):
        cheapest = sums.index(min(sums))
        shares[cheapest].append(name)
        sums[cheapest] += costs[name]
    return [frozenset(share) for share in shares]
