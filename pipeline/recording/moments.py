"""A recording as the frames that it is to be painted from, one after another, each with what is asked of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import RecordingError
from pipeline.recording.drawing import Drawing
from pipeline.recording.operations import Operation
from pipeline.recording.recording import Drawn, Forgotten, FrameSent, Liked, Recording, Rested, SettingsChanged

if TYPE_CHECKING:
    from pipeline.frames.codec import Frame

DRAWN_FPS = 12.0
SLOWEST_FPS, FASTEST_FPS = 1.0, 60.0
SETTLE_FRAMES = 8
"""How often a drawing at rest is painted once more, so that the picture comes to rest too: as the page does it."""


@dataclass(frozen=True, eq=False)
class Moment:
    """A frame `[H, W, 3]` to paint, `ms` after the recording began; before it these settings change, and the session
    `forgets` everything. One that `rests` is the last once more, whose picture came finer. `like` is the picture that
    is to be followed from then on, by its name, empty for none; `None` where that stays as it is."""

    ms: float
    settings: Mapping[str, Any]
    forgets: bool
    frame: Frame
    rests: bool = False
    like: str | None = None


def moments_of(recording: Recording, side: int, *, strokes: bool, fps: float) -> Iterator[Moment | None]:
    """The frames of a recording, or, where it has none or `strokes` says so, those of its drawing while it is drawn:
    squares of `side` pixels, `fps` a second, and `None` now and then while one is
    drawn, for whoever may turn away. Raises `RecordingError` where there is nothing of what is asked for."""
    if strokes and not recording.has_strokes:
        raise RecordingError("the recording came without strokes; needed: some. Replay its frames, without --strokes.")
    if not (recording.has_strokes or recording.has_frames):
        raise RecordingError("the recording came without frames and strokes; needed: one at least. Record it again.")
    if strokes or not recording.has_frames:
        if not SLOWEST_FPS <= fps <= FASTEST_FPS:
            raise RecordingError(
                f"fps came as {fps:g}; needed: a number from {SLOWEST_FPS:g} to {FASTEST_FPS:g}. Choose one."
            )
        return _drawn_moments(recording, side, fps)
    return _sent_moments(recording)


def moment_count(recording: Recording, *, strokes: bool) -> int | None:
    """How many frames `moments_of` gives, where that is known before they are drawn."""
    if strokes or not recording.has_frames:
        return None
    return sum(isinstance(event, FrameSent | Rested) for event in recording.events)


def _sent_moments(recording: Recording) -> Iterator[Moment]:
    settings: dict[str, Any] = {}
    forgets = False
    like: str | None = None
    name, frame = "", None
    for event in recording.events:
        if isinstance(event, SettingsChanged):
            settings |= event.settings
        elif isinstance(event, Forgotten):
            forgets = True
        elif isinstance(event, Liked):
            like = event.image
        elif isinstance(event, FrameSent):
            # A drawing at rest is sent again and again.
            if frame is None or event.image != name:
                name, frame = event.image, recording.picture(event.image)
            yield Moment(event.ms, settings, forgets, frame, like=like)
            settings, forgets, like = {}, False, None
        elif isinstance(event, Rested) and frame is not None:
            yield Moment(event.ms, {}, False, frame, rests=True)


class _Hand:
    """Who draws a recording once more: what is done, what goes on, and what is still to come."""

    def __init__(self, recording: Recording, side: int) -> None:
        self._drawing = Drawing(side, recording.cutting)
        self._events = deque(event for event in recording.events if not isinstance(event, FrameSent | Rested))
        self._going: tuple[float, Operation] | None = None
        self._picture = self._drawing.picture()
        self.settings: dict[str, Any] = {}
        self.forgets = False
        self.like: str | None = None

    @property
    def next_ms(self) -> float | None:
        """When something comes next: at once while a stroke goes on; `None` after the last."""
        if self._going is not None:
            return 0.0
        return self._events[0].ms if self._events else None

    def draw_until(self, ms: float) -> Generator[None, None, Frame]:
        """What is to be seen `ms` after the beginning, with moments to turn away before."""
        while self._events and self._events[0].ms <= ms:
            event = self._events.popleft()
            if isinstance(event, SettingsChanged):
                self.settings |= event.settings
            elif isinstance(event, Forgotten):
                self.forgets = True
            elif isinstance(event, Liked):
                self.like = event.image
            elif isinstance(event, Drawn):
                yield from self._finish()
                self._going = event.ms, event.operation
        if self._going is not None:
            began, operation = self._going
            if ms - began >= operation.ms:
                yield from self._finish()
            else:
                yield from self._drawing.on_the_way(operation, ms - began)
                self._picture = self._drawing.during(operation, ms - began)
        return self._picture

    def _finish(self) -> Iterator[None]:
        if self._going is not None:
            _, operation = self._going
            yield from self._drawing.on_the_way(operation, operation.ms)
            self._drawing.do(operation)
            self._going, self._picture = None, self._drawing.picture()
            yield


def _drawn_moments(recording: Recording, side: int, fps: float) -> Iterator[Moment | None]:
    hand = _Hand(recording, side)
    tick, still, last = 0, 0, None
    while hand.next_ms is not None or still <= SETTLE_FRAMES:
        ms = tick * 1000 / fps
        frame = yield from hand.draw_until(ms)
        same = frame is last and not hand.settings and not hand.forgets and hand.like is None
        still, last = still + 1 if same else 0, frame
        if still <= SETTLE_FRAMES:
            yield Moment(ms, hand.settings, hand.forgets, frame, like=hand.like)
            hand.settings, hand.forgets, hand.like = {}, False, None
            tick += 1
        else:
            # Nothing happens until the next event: nothing is painted, as on the page.
            tick = max(tick + 1, int((hand.next_ms or 0.0) * fps / 1000))
