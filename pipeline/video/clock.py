"""One running clock over a file's own: it starts where picture or sound first comes, and goes on where that jumps."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av.packet import Packet
from av.video.frame import VideoFrame

SMALLEST_STEP_BACK = Fraction(1, 10)
"""Seconds that FFmpeg's program lets a clock go back before it takes it for another one."""
LONGEST_OVERLAP = Fraction(10)


@dataclass
class _Place:
    """How far a stream has come: in which run of the file's clock, and in seconds of that clock the time of its last
    packet, how long that lasts, and the end of what is shown or heard so far."""

    run: int
    last: Fraction
    step: Fraction
    shown: Fraction

    @property
    def due(self) -> Fraction:
        return self.last + self.step


class Clock:
    """Moves the packets of a file to one clock that starts at 0 at `start` seconds and never jumps.

    Where a stream's times go back, or forward by more than `longest_gap` seconds, another run of the file's clock
    begins: what follows goes on where the stream was, and picture and sound of one run are moved as one.
    """

    def __init__(self, start: Fraction, longest_gap: Fraction) -> None:
        self._longest_gap = longest_gap
        self._offsets = [-start]
        self._places: dict[int, _Place] = {}

    def moved(self, packet: Packet[Any]) -> Packet[Any]:
        """`packet` with its times on the running clock."""
        key, base = packet.stream.index, packet.time_base
        place = self._places.get(key)
        ticks = packet.dts if packet.dts is not None else None if place else packet.pts
        if ticks is None:
            run = place.run if place else len(self._offsets) - 1
        else:
            time, shown = ticks * base, (ticks if packet.pts is None else packet.pts) * base
            run = self._run_of(place, time, shown)
            step = (packet.duration or 0) * base
            if not step and place:
                step = time - place.last if place.run == run and time > place.last else place.step
            end = max(shown + step, place.shown) if place and place.run == run else shown + step
            self._places[key] = _Place(run, time, step, end)
        return _shifted(packet, self._offsets[run])

    def _run_of(self, place: _Place | None, time: Fraction, shown: Fraction) -> int:
        """The run in which a packet stands that comes at `time`, to be shown at `shown`, on a stream at `place`."""
        if place is None:
            return len(self._offsets) - 1
        if place.last - SMALLEST_STEP_BACK <= time <= place.due + self._longest_gap:
            return place.run
        due = place.due + self._offsets[place.run]
        # Another stream may have come to the next run before: its offset is that of all.
        known = [
            run
            for run in range(place.run + 1, len(self._offsets))
            if time + self._offsets[run] >= due - LONGEST_OVERLAP
        ]
        if known:
            return min(known, key=lambda run: abs(time + self._offsets[run] - due))
        end = place.shown + self._offsets[place.run]
        late = max(each.shown + self._offsets[each.run] for each in self._places.values()) - end
        self._offsets.append(max(due - time, end - shown) + (late if late > SMALLEST_STEP_BACK else 0))
        return len(self._offsets) - 1


def _shifted(packet: Packet[Any], seconds: Fraction) -> Packet[Any]:
    ticks = round(seconds / packet.time_base)
    if packet.pts is not None:
        packet.pts += ticks
    if packet.dts is not None:
        packet.dts += ticks
    return packet


class FrameTimes:
    """When decoded frames are to be shown, in ticks: by their own times, or, where those go back more often than
    FFmpeg's times of decoding do, by the latter. Of files that know one time of a packet, `by_order`, all frames are
    timed so."""

    def __init__(self, by_order: bool) -> None:
        self._by_order = by_order
        self._first: int | None = None
        self._delay: int | None = None
        self._last: tuple[int | None, int | None] = (None, None)
        self._faults = [0, 0]

    def begin(self, packet: Packet[Any]) -> None:
        """Take note of a packet that is to be decoded."""
        if self._first is None:
            self._first = packet.dts

    def time_of(self, frame: VideoFrame, longest_delay: int) -> int | None:
        """The time of the next frame, `None` where nothing tells; a decoder holds frames back for `longest_delay`
        ticks at most."""
        times = (frame.pts, frame.dts)
        for which, (time, last) in enumerate(zip(times, self._last, strict=True)):
            self._faults[which] += time is not None and last is not None and time <= last
        self._last = times
        if frame.dts is None:
            return None if self._by_order else frame.pts
        if self._delay is None:
            self._delay = min(frame.dts - (frame.dts if self._first is None else self._first), longest_delay)
        if frame.pts is None or self._by_order or self._faults[0] > self._faults[1]:
            return frame.dts - self._delay
        return frame.pts


def following_time(time: int | None, last: int | None, step: int) -> int:
    """A frame's time in ticks: its own, or `step` after the `last` where it has none; always later than the last,
    because no file can hold two frames at once."""
    if time is None:
        return 0 if last is None else last + max(1, step)
    return time if last is None or time > last else last + 1
