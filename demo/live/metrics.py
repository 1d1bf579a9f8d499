"""What the host counts, in Prometheus' text format. It counts and sums; it names no visitor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from pipeline.engine.engine import Tick

CONTENT_TYPE = CONTENT_TYPE_LATEST
LATENCY_BUCKETS_S = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)
TICK_BUCKETS_ROWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
TICK_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)

Drop = Literal["newer", "rate", "unsent"]
DROPS: tuple[Drop, ...] = ("newer", "rate", "unsent")
"""Why a frame gets no picture: a newer one took its place, it came too soon, or nobody read its picture."""

Failure = Literal["refused", "engine"]
FAILURES: tuple[Failure, ...] = ("refused", "engine")
"""Whose fault it was that a frame failed: it could not be taken, or the engine could not make its picture."""


class Metrics:
    """The counters of one host, in a registry of their own. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._frames_in = Counter("rearview_frames_in", "Frames that came.", registry=self.registry)
        self._frames_out = Counter("rearview_frames_out", "Pictures that were sent.", registry=self.registry)
        self._dropped = Counter(
            "rearview_frames_dropped", "Frames that got no picture, by reason.", ["reason"], registry=self.registry
        )
        self._failed = Counter("rearview_frames_failed", "Frames that failed.", ["reason"], registry=self.registry)
        self._latency = Histogram(
            "rearview_latency_seconds",
            "From a frame's arrival to its picture sent.",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._tick_rows = Histogram(
            "rearview_tick_rows", "Rows of one UNet call.", buckets=TICK_BUCKETS_ROWS, registry=self.registry
        )
        self._tick_seconds = Histogram(
            "rearview_tick_seconds", "Seconds of one UNet call.", buckets=TICK_BUCKETS_S, registry=self.registry
        )
        # All there from the start: a rate over a series that begins with its first event misses that event.
        for drop in DROPS:
            self._dropped.labels(drop)
        for failure in FAILURES:
            self._failed.labels(failure)

    def watch(
        self,
        visitors: Callable[[], float],
        parked: Callable[[], float],
        queue: Callable[[], float],
        session_bytes: Callable[[], float],
    ) -> None:
        """Ask these functions whenever the metrics are read."""
        for name, words, function in (
            ("rearview_visitors", "Visitors that have a place.", visitors),
            ("rearview_visitors_parked", "Visitors whose memory is parked.", parked),
            ("rearview_queue_length", "Guests that wait in line.", queue),
            ("rearview_session_bytes", "Bytes that the memories of all visitors hold.", session_bytes),
        ):
            Gauge(name, words, registry=self.registry).set_function(function)

    def frame_came(self) -> None:
        """Count a frame that came."""
        self._frames_in.inc()

    def picture_sent(self, seconds: float) -> None:
        """Count a picture that left `seconds` after its frame came."""
        self._frames_out.inc()
        self._latency.observe(seconds)

    def frame_dropped(self, reason: Drop) -> None:
        """Count a frame that gets no picture."""
        self._dropped.labels(reason).inc()

    def frame_failed(self, reason: Failure) -> None:
        """Count a frame that failed."""
        self._failed.labels(reason).inc()

    def tick(self, tick: Tick) -> None:
        """Count one UNet call; `Engine.watch` takes this."""
        self._tick_rows.observe(tick.rows)
        self._tick_seconds.observe(tick.seconds)

    def exposition(self) -> bytes:
        """All of them as text."""
        return generate_latest(self.registry)
