"""The frames under way of all sessions: who passes a step together at the next tick, and what becomes of each.

A lane holds one session's frames in the order in which they came, and in that order they leave it. The row of a frame
at step s reads what the frame before it left at step s: so a lane of several frames, each at a step of its own
(pipelined denoising), gives the very pictures that one frame after another gives.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch

from pipeline.engine.session import Session, Translation, without_bank
from pipeline.engine.stream import StreamState
from pipeline.engine.translator import Asked, Decoded, Past, Translator, UnderWay
from pipeline.errors import SessionClosedError
from pipeline.frames.codec import Frame
from pipeline.guides.safety import FLAGGED

NO_BANK = (
    "The device's memory is full: your pictures go on without a memory of the past. Reset the memory to try again "
    "when others have left."
)
FINISHERS = 8
"""Frames whose pictures are steadied at once; they wait for nothing but cores."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Request:
    """A frame that a session sent, and the future of its picture."""

    session: Session
    asked: Asked
    future: Future[Translation]


Outcome = tuple[Request, Translation | Exception]


@dataclass(frozen=True)
class Tick:
    """One UNet call: how many rows it had, of how many sessions, and how many seconds it took; where a device is only
    given its work, how many it took to give it."""

    rows: int
    sessions: int
    seconds: float


@dataclass(eq=False)
class Entry:
    """A frame in a lane. `origin` is the session's state that its stream began from: frames of one origin look back at
    each other, and a reset in between gives later frames another. `decoded` is its picture, or why there is none, from
    when it has been decoded on."""

    request: Request
    frame: UnderWay
    origin: StreamState
    since: float
    decoded: Decoded | Exception | None = None


@dataclass(frozen=True, eq=False)
class Place:
    """Where a frame sets out: what it looks back at, the state that its stream began from, and when."""

    request: Request
    past: Past
    origin: StreamState
    since: float


Observer = Callable[[Tick], None]


class Lanes:
    """A lane for each session that has frames under way. It belongs to one thread."""

    def __init__(
        self,
        translator: Translator,
        maximum_rows: int,
        observer: Observer,
        make_room: Callable[[Session | None], Session | None],
        ordinary_pixels: int,
    ) -> None:
        """`make_room` takes the bank from a session, which it returns, where the device's memory is not enough even for
        one frame: from the one that it is given, or from any; `None` where there is none to take. A frame of
        `ordinary_pixels` or less counts as its rows, a larger one as so many times more."""
        self._translator = translator
        self._device = translator.model.device
        self._maximum_rows = maximum_rows
        self._observer = observer
        self._make_room = make_room
        self._ordinary_pixels = ordinary_pixels
        self._most_passed = 0.0
        # The virtual time of the fair order: the least that anybody in the last call had been served before it.
        self._now = 0.0
        self._lanes: dict[Session, list[Entry]] = {}
        self._finishers = ThreadPoolExecutor(FINISHERS, thread_name_prefix="rearview-finisher")
        self._served: WeakKeyDictionary[Session, float] = WeakKeyDictionary()
        self._served_parties: dict[str, float] = {}

    def close(self) -> None:
        """End the threads beside that of the lanes."""
        self._finishers.shutdown()

    def __bool__(self) -> bool:
        """Whether any frame is under way."""
        return bool(self._lanes)

    def has_room(self, request: Request, before: int = 0) -> bool:
        """Whether the frame may set out now, beside those of its session that are under way, and behind `before` more.
        One whose picture is on its way from the device leaves its place to the next."""
        under_way = [each for each in self._lanes.get(request.session, ()) if each.decoded is None]
        return len(under_way) + before < request.asked.settings.frames_under_way

    def served(self, session: Session) -> float:
        """How many rows a session has had, in the fair order: who was idle is not owed those of that time, and who is
        new begins where others of the same party are."""
        had = self._served.get(session)
        return max(self._served_parties.get(session.party, 0.0) if had is None else had, self._now)

    def charge(self, session: Session, rows: float) -> None:
        """Count what was done for a session beside its rows."""
        had = self._served[session] = self.served(session) + rows
        if session.party:
            self._served_parties[session.party] = max(had, self._served_parties.get(session.party, 0.0))

    def enter(self, requests: Sequence[Request]) -> list[Outcome]:
        """Let frames set out, each of another session and behind those of it; the outcomes of those that could not."""
        outcomes: list[Outcome] = []
        settled = [
            each
            for group in together(requests, lambda request: request.asked.frame.shape)
            for each in settled_apart(self._begun, [self._place(request) for request in group])
        ]
        for place, frame in settled:
            if isinstance(frame, Exception):
                outcomes.append((place.request, frame))
            else:
                self._take_in(Entry(place.request, frame, place.origin, place.since))
        return outcomes

    def _place(self, request: Request) -> Place:
        request, state = self._brought_back(request)
        lane = self._lanes.get(request.session, [])
        follows = bool(lane) and lane[-1].origin is state
        return Place(request, lane[-1].frame if follows else state, state, time.perf_counter())

    def _brought_back(self, request: Request) -> tuple[Request, StreamState]:
        """A session's state on the device, and its frame: without a bank where the device has no memory left for that
        of a session that comes back."""
        session = request.session
        try:
            return request, session.unpark(self._device)
        except torch.OutOfMemoryError:
            session.refuse_bank(NO_BANK)
        asked = replace(request.asked, settings=without_bank(request.asked.settings))
        return replace(request, asked=asked), session.unpark(self._device)

    def _begun(self, places: Sequence[Place]) -> list[UnderWay]:
        return self._translator.begun_together([(place.request.asked, place.past) for place in places])

    def _take_in(self, entry: Entry) -> None:
        session = entry.request.session
        lane = self._lanes.get(session, [])
        self._lanes[session] = [*lane, entry]
        if not lane:
            self._served[session] = self.served(session)

    def give_up(self) -> None:
        """Drop all frames under way."""
        self._lanes.clear()

    def tick(self) -> list[Outcome]:
        """Let the frames that are ready pass their next step; the outcomes of those that came to an end.

        Where launched work leaves time, the pictures of this tick are waited for in the next, behind its work.
        """
        outcomes = self._left_behind()
        chosen = self._chosen()
        self._now = max(self._now, min((self._served[each.request.session] for each in chosen), default=0.0))
        self._served_parties = {party: had for party, had in self._served_parties.items() if had > self._now}
        for entry in chosen:
            self.charge(entry.request.session, self._cost(entry.frame))
        for group in by_shape(chosen):
            outcomes += self._step(group)
        outcomes += self._finish(self._heads(decoded=True))
        while heads := self._heads(decoded=False):
            for group in by_shape(heads):
                self._decode(group)
            if self._translator.streams.overlap and chosen:
                break
            outcomes += self._finish(heads)
        return outcomes

    def _left_behind(self) -> list[Outcome]:
        """The outcomes of frames whose visitors have left: they pass no further step."""
        gone = [session for session in self._lanes if session.closed]
        error = "the session was closed while a frame was painted; needed: an open one. Open a new one."
        return [(entry.request, SessionClosedError(error)) for session in gone for entry in self._lanes.pop(session)]

    def _heads(self, decoded: bool) -> list[Entry]:
        """The first frame of each lane, if it has passed all of its steps and has, or has not, been decoded."""
        heads = [lane[0] for lane in self._lanes.values() if lane[0].frame.is_denoised]
        return [head for head in heads if (head.decoded is not None) is decoded]

    def _past(self, entry: Entry) -> Past:
        lane = self._lanes[entry.request.session]
        index = lane.index(entry)
        follows = index > 0 and lane[index - 1].origin is entry.origin
        return lane[index - 1].frame if follows else entry.origin

    def _cost(self, frame: UnderWay) -> float:
        """Rows of a frame's next step, as many times as its area is that of an ordinary frame."""
        height, width = frame.frame_size
        return frame.batch_rows * max(1.0, height * width / self._ordinary_pixels)

    def _chosen(self) -> list[Entry]:
        """The entries of the next tick: first the oldest frame of each lane, then the second ones, and so on; lanes
        that have had the fewest rows first (start-time fair queueing: Goyal, Vin, Cheng, SIGCOMM 1996)."""
        chosen: list[Entry] = []
        rows = 0.0
        fewest_first = sorted(self._lanes, key=lambda session: self._served[session])
        for place in zip_longest(*(self._lanes[session] for session in fewest_first)):
            for entry in place:
                if entry is None or not entry.frame.is_ready(self._past(entry)):
                    continue
                rows += self._cost(entry.frame)
                if chosen and rows > self._maximum_rows:
                    return chosen
                chosen.append(entry)
        return chosen

    def _step(self, entries: list[Entry]) -> list[Outcome]:
        start = time.perf_counter()
        # Counted first: another step of the same frame may take fewer.
        rows = sum(entry.frame.batch_rows for entry in entries)
        outcomes: list[Outcome] = []
        # What fails rewinds the frames behind it, which may be in this very call: results first, failures after them.
        costs = [self._cost(entry.frame) for entry in entries]
        settled = [
            (entry, self._stepped_in_less(entry) if isinstance(result, torch.OutOfMemoryError) else result)
            for entry, result in settled_apart(self._stepped, entries)
        ]
        for (entry, result), cost in zip(settled, costs, strict=True):
            if isinstance(result, UnderWay):
                entry.frame = result
                self._most_passed = max(self._most_passed, cost)
        for entry, result in settled:
            if isinstance(result, Exception):
                outcomes += self._failed(entry, result)
        sessions = len({entry.request.session for entry in entries})
        self._observer(Tick(rows, sessions, time.perf_counter() - start))
        return outcomes

    def _stepped(self, entries: Sequence[Entry]) -> list[UnderWay]:
        return self._translator.stepped([(entry.frame, self._past(entry)) for entry in entries])

    def _stepped_in_less(self, entry: Entry) -> UnderWay | Exception:
        """A step of a frame for which there was no memory, once more after each bank that is given up: those of others
        only for a frame no larger than one that has passed a step before, because what never fits would take all."""
        only = None if self._cost(entry.frame) <= self._most_passed else entry.request.session
        result: UnderWay | Exception = torch.OutOfMemoryError("the device has no memory left for one frame")
        while isinstance(result, torch.OutOfMemoryError) and (refused := self._make_room(only)) is not None:
            if refused is entry.request.session:
                self._begin_without_bank(entry)
            ((_, result),) = settled_apart(self._stepped, [entry])
        return result

    def _begin_without_bank(self, entry: Entry) -> None:
        asked = entry.frame.asked
        asked = replace(asked, settings=without_bank(asked.settings))
        entry.origin = entry.request.session.unpark(self._device)
        entry.frame = self._translator.rebased(replace(entry.frame, asked=asked), entry.origin)

    def _decode(self, entries: list[Entry]) -> None:
        """Send the pictures of some frames on their way."""

        def decoded(entries: Sequence[Entry]) -> list[Decoded]:
            return self._translator.decoded([(entry.frame, entry.origin) for entry in entries])

        for entry, picture in settled_apart(decoded, entries):
            entry.decoded = picture

    def _done(self, entry: Entry) -> tuple[Frame, StreamState] | Exception:
        """The picture of a frame and what it leaves, or why there is none."""
        try:
            if entry.decoded is None or isinstance(entry.decoded, Exception):
                raise entry.decoded or RuntimeError("a frame came to its end that was never decoded")
            return self._translator.done(entry.frame, entry.origin, entry.decoded)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for this frame
            return error

    def _finish(self, heads: list[Entry]) -> list[Outcome]:
        """Commit the first frames of some lanes, whose pictures arrive."""
        if not heads:
            return []
        outcomes: list[Outcome] = []
        runtime = self._translator.used.taken()
        # The last stage of a frame is one core's work: those of several visitors share the cores.
        ends = self._finishers.map(self._done, heads) if len(heads) > 1 else map(self._done, heads)
        for entry, end in list(zip(heads, ends, strict=True)):
            if isinstance(end, Exception):
                outcomes += self._failed(entry, end)
                continue
            picture, state = end
            number = entry.request.session.commit(entry.origin, state)
            self._leave(entry)
            for behind in self._lanes.get(entry.request.session, ()):
                if behind.origin is entry.origin:
                    behind.origin = state
            seconds = time.perf_counter() - entry.since
            said = (entry.request.session.notice, entry.frame.notice)
            notice = FLAGGED if state.flagged else " ".join(filter(None, said))
            known = None if entry.frame.known is None else entry.frame.known.numpy().copy()
            translation = Translation(
                picture, seconds, state.bank_fill, number, notice, state.flagged, state.resets, known, runtime
            )
            outcomes.append((entry.request, translation))
        return outcomes

    def _failed(self, entry: Entry, error: Exception) -> list[Outcome]:
        """Take a frame out; those that looked back at it begin again with the past that it had."""
        lane = self._lanes[entry.request.session]
        behind = [each for each in lane[lane.index(entry) + 1 :] if each.origin is entry.origin]
        self._leave(entry)
        for each in behind:
            each.frame, each.decoded = self._translator.rebased(each.frame, self._past(each)), None
        return [(entry.request, error)]

    def _leave(self, entry: Entry) -> None:
        lane = self._lanes[entry.request.session]
        lane.remove(entry)
        if not lane:
            del self._lanes[entry.request.session]


def by_shape(entries: Iterable[Entry]) -> list[list[Entry]]:
    """The entries whose frames can share a call, together."""
    return together(entries, lambda entry: entry.frame.shape)


def together(items: Iterable[Item], key: Callable[[Item], Hashable]) -> list[list[Item]]:
    """The items of one key together, in their order."""
    groups: dict[Hashable, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())


def settled_apart(
    function: Callable[[Sequence[Item]], Sequence[Result]], items: Sequence[Item]
) -> list[tuple[Item, Result | Exception]]:
    """What `function` makes of each item: of all at once, or, where that fails, of each half by itself, until what
    fails stands alone with its exception. So one bad frame spoils no other, and a call too large for the device becomes
    several."""
    try:
        return list(zip(items, function(items), strict=True))
    except Exception as error:  # noqa: BLE001 - it belongs to the frame that caused it, which is looked for
        if len(items) == 1:
            return [(items[0], error)]
    # Outside of the handler, which would keep the tensors of the failed call alive.
    half = len(items) // 2
    return settled_apart(function, items[:half]) + settled_apart(function, items[half:])
