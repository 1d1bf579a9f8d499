"""One visitor: a session of the engine, the settings of the next frame, and how many frames are under way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from demo.live import wire
from demo.live.gate import Guest
from demo.live.limits import HostLimits
from demo.live.metrics import Metrics
from demo.live.output import Output, Outputs, hidden_reply, output_reply, watched_reply
from demo.live.pace import TokenBucket
from demo.live.rest import REST_S, Shown
from demo.words import word, word_or
from demo.words.engine import told
from pipeline.calls.runtimes import PYTORCH
from pipeline.errors import FrameError, ModelError, NoRoomError, PictureError, PromptError, SessionClosedError
from pipeline.settings import FrameSettings, SettingsError, resting

if TYPE_CHECKING:
    from pipeline import Session, SketchClassifier, Translation

logger = logging.getLogger(__name__)

FRAMES_BESIDE = 1
"""How many frames may be decoded or encoded while the engine has all it takes."""

BURST_S = 0.5
SMALLEST_BURST = 4.0
FLOOD_FACTOR = 10
"""How many times faster than its frame rate a visitor may send messages of any kind before it is closed."""

STILLS_S = 5.0
"""How long all stills that are asked for at once may well take, as the picture that is shown did."""
MOST_STILLS = 32
STILLS_PER_SECOND, STILLS_AT_ONCE = 0.5, 2.0

GUESSES_PER_SECOND, GUESSES_AT_ONCE = 2.0, 3.0

LIKES_PER_SECOND, LIKES_AT_ONCE = 1.0, 3.0
"""How many pictures to be like a visitor may send: an image encoder reads each while everybody waits."""

READABLE = (wire.WireError, PictureError, PromptError, SettingsError, FrameError, NoRoomError)
Reply = bytes | dict[str, Any]
T = TypeVar("T")


class OpenSocket(Protocol):
    """The socket of a visitor's page: `demo.live.connection.Connection`, whose methods say more."""

    def say(self, news: dict[str, Any]) -> None: ...

    def close(self, code: int, sentence: str) -> None: ...

    async def finish(self, code: int, sentence: str, within_s: float) -> None: ...


class Visitor:
    """One guest who has a place."""

    def __init__(
        self,
        guest: Guest,
        session: Session,
        pool: ThreadPoolExecutor,
        limits: HostLimits,
        metrics: Metrics,
        outputs: Outputs,
        sketches: SketchClassifier | None = None,
    ) -> None:
        now = time.monotonic()
        self.guest = guest
        self.session = session
        self._current = (0, FrameSettings())
        self.under_way = 0
        self.arrived_at = self.frame_at = self.answered_at = now
        self.connection: OpenSocket | None = None
        self.departed = False
        self._with_map = False
        self._map: dict[str, Any] = wire.map_reply(session.has_map, None)
        self.warned = False
        self._notice = self._told = ""
        self.runtime = self._told_runtime = PYTORCH
        self.goodbye: asyncio.TimerHandle | None = None
        rate = limits.frames_per_second
        self._frames = TokenBucket(rate, max(SMALLEST_BURST, BURST_S * rate), now)
        self._likes = TokenBucket(LIKES_PER_SECOND, LIKES_AT_ONCE, now)
        self._guesses = TokenBucket(GUESSES_PER_SECOND, GUESSES_AT_ONCE, now)
        self._stills = TokenBucket(STILLS_PER_SECOND, STILLS_AT_ONCE, now)
        self._messages = TokenBucket(FLOOD_FACTOR * rate, FLOOD_FACTOR * rate, now)
        self._maximum_bytes = limits.message_bytes
        self._pool = pool
        self._metrics = metrics
        self._outputs = outputs
        self._sketches = sketches
        self._output: Output | None = None
        self._submitted = 0
        self._shown: Shown | None = None
        self._finer_within_s = limits.finer_seconds
        self._finer_took_s = 0.0
        self._order = asyncio.Lock()

    @property
    def revision(self) -> int:
        """How often the settings were changed."""
        return self._current[0]

    @property
    def settings(self) -> FrameSettings:
        """The settings of the next frame."""
        return self._current[1]

    @property
    def frames_at_once(self) -> int:
        """How many frames may be under way."""
        return self.settings.frames_under_way + FRAMES_BESIDE

    def new_notice(self) -> str | None:
        """What the engine has to say since it was asked last: `None` for nothing new, empty where that is over."""
        before, self._told = self._told, self._notice
        return told(self._told) if self._told != before else None

    def new_runtime(self) -> str | None:
        """What paints, if that is another than when it was asked last."""
        before, self._told_runtime = self._told_runtime, self.runtime
        return self.runtime if self.runtime != before else None

    def asked_map(self) -> dict[str, Any]:
        """What is known of how well the bank knows each place; the next frame that comes will tell it anew."""
        self._with_map = True
        return self._map

    def floods(self) -> bool:
        """Whether one message more, which has come now, is far too many."""
        return not self._messages.take(time.monotonic())

    def takes_frame(self) -> bool:
        """Count a frame that has come now; whether it keeps to the frame rate."""
        self.frame_at = time.monotonic()
        self._metrics.frame_came()
        if self._frames.take(self.frame_at):
            return True
        self._metrics.frame_dropped("rate")
        return False

    def change(self, changes: Any) -> list[dict[str, Any]]:
        """Take each setting that is in order; the replies name what is used now, what of it rests, and what was
        refused."""
        if not isinstance(changes, dict):
            came = type(changes).__name__
            return [wire.error_reply(f"settings came as {came}; needed: names and values. Send an object.")]
        refused, (revision, settings) = [], self._current
        # Those that nobody has are refused together: a message has room for thousands.
        names = asdict(settings)
        known = {name: value for name, value in changes.items() if name in names}
        unknown = [name for name in changes if name not in known]
        for name, value in known.items():
            try:
                settings = settings.changed(**{name: value})
            except SettingsError as error:
                refused.append(wire.error_reply(told(error), setting=name))
        for name in unknown[:1]:
            sentence = f"{len(unknown)} settings came that nobody has, such as {wire.shortened(name, 40)!r}; needed: "
            refused.append(wire.error_reply(sentence + f"{', '.join(names)}.", setting=name[:40]))
        # Both at once: a codec thread that takes a frame just now must not see some of these changes, or the number of
        # others.
        self._current = (revision + 1, settings)
        return [self._applied(), *refused]

    def _applied(self) -> dict[str, Any]:
        """What is used from now on."""
        revision, settings = self._current
        return wire.applied_reply(revision, asdict(settings), self._resting(settings))

    def _resting(self, settings: FrameSettings) -> dict[str, str]:
        """The settings that do nothing now, each with a sentence on why, in the language of the page."""
        rests = resting(settings, self.session.memory_name)
        return {name: word_or(f"resting.{name}", sentence) for name, sentence in rests.items()}

    async def translate(self, message: bytes) -> Reply:
        """Answer one binary message: a picture, or what became of the frame instead.

        Raises `SessionClosedError` where the visitor has to come anew.
        """
        if self.under_way == 0:
            self.answered_at = time.monotonic()
        self.under_way += 1
        try:
            return await self._translate(wire.unpack_frame(message, self._maximum_bytes))
        except wire.WireError as error:
            return self._refused(str(error), wire.sequence_of(message))
        finally:
            self.under_way -= 1
            self.answered_at = time.monotonic()

    async def _translate(self, frame: wire.Frame) -> Reply:
        async with self._order:
            self._shown = None
            picture, submitted, revision, settings, with_map = await self._apart(lambda: self._submit(frame))
            self._submitted += 1
            number = self._submitted
        future = asyncio.wrap_future(submitted)
        # A page that is lost meanwhile waits for it no more: what becomes of the frame is nobody's then.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait([future])
        if future.cancelled():
            self._metrics.frame_dropped("newer")
            return wire.dropped_reply(frame.sequence)
        error = future.exception()
        if isinstance(error, SessionClosedError):
            raise error
        if isinstance(error, READABLE):
            return self._refused(told(error), frame.sequence)
        if error is not None:
            logger.error("a frame of %s failed", self.guest.name, exc_info=error)
            self._metrics.frame_failed("engine")
            return wire.error_reply(word("live.failed"), sequence=frame.sequence)
        translation = future.result()
        self._notice, self.runtime = translation.notice, translation.runtime
        if with_map:
            exists = translation.bank_map is not None
            self._map = wire.map_reply(exists, translation.bank_map, settings.fusion_threshold)
        jpeg = await self._apart(lambda: wire.encode_picture(translation.picture))
        if self._output is not None:
            self._output.show(number, jpeg)
        shown = Shown(frame, picture, translation, settings, revision, self.session.finer_steps)
        if number == self._submitted:
            self._shown = shown
        return shown.packed(jpeg, wire.KIND_BLURRED if translation.flagged else wire.KIND_PICTURE)

    async def finer(self) -> bytes | None:
        """The last picture once more, finer: `None` where something comes before it is there, where nobody wants it, or
        where it would take too long. Cancel it as soon as a frame comes."""
        shown, within_s = self._shown, self._finer_within_s
        if shown is None or self._finer_took_s > within_s or not shown.wants_finer(within_s):
            return None
        await asyncio.sleep(REST_S)
        if self._shown is not shown or self.under_way or self.revision != shown.revision:
            return None
        began = time.monotonic()
        submitted = await self._apart(
            lambda: self.session.submit_finer(shown.picture, shown.translation.picture, shown.settings)
        )
        picture = await asyncio.wrap_future(submitted)
        if picture is None:
            return None
        self._finer_took_s = time.monotonic() - began
        jpeg = await self._apart(lambda: wire.encode_picture(picture))
        if self._shown is not shown:
            return None
        self._submitted += 1
        if self._output is not None:
            self._output.show(self._submitted, jpeg)
        return shown.packed(jpeg, wire.KIND_FINER)

    async def stills(self, changes: Any) -> dict[str, Any]:
        """What is shown, as it would be with each of these changes of settings: small, one after another, while nobody
        waits. Cancel it as soon as a frame comes."""
        if not is_short_list_of_settings(changes):
            needed = f"a list of at most {MOST_STILLS} objects of names and values"
            return wire.error_reply(f"Stills were asked for without settings; needed: {needed}. Send one.")
        shown, pictures = self._shown, list[bytes]()
        if shown is None or shown.translation.seconds * len(changes) > STILLS_S:
            return wire.stills_reply([])
        if not self._stills.take(time.monotonic()):
            return wire.stills_reply([])
        try:
            for each in changes:
                jpeg = await self._still(shown, shown.settings.changed(**each))
                if jpeg is None:
                    return wire.stills_reply([])
                pictures.append(jpeg)
        except READABLE as error:
            return wire.error_reply(told(error))
        return wire.stills_reply(pictures)

    async def guesses(self) -> list[dict[str, Any]]:
        """What the drawing looks like whose picture is shown; no reply where nobody can tell now."""
        shown, sketches = self._shown, self._sketches
        if shown is None or sketches is None or not self._guesses.take(time.monotonic()):
            return []
        return [wire.guesses_reply(await self._apart(lambda: sketches.guesses(shown.picture)))]

    async def _still(self, shown: Shown, settings: FrameSettings) -> bytes | None:
        """A small JPEG of what is shown under other settings; `None` where somebody's frame goes before it."""
        future = asyncio.wrap_future(await self._apart(lambda: self.session.submit_still(shown.picture, settings)))
        await asyncio.wait([future])
        picture = None if future.cancelled() else future.result()
        return None if picture is None else await self._apart(lambda: wire.encode_still(picture))

    def _refused(self, sentence: str, sequence: int | None) -> Reply:
        self._metrics.frame_failed("refused")
        return wire.error_reply(sentence, sequence=sequence)

    def _submit(self, frame: wire.Frame) -> tuple[np.ndarray, Future[Translation], int, FrameSettings, bool]:
        """Decode a frame and put it into the engine's mailbox, with the newest settings; runs in a codec thread."""
        picture = wire.decode_picture(frame.data)
        revision, settings = self._current
        with_map, self._with_map = self._with_map, False
        return picture, self.session.submit(picture, settings, with_map), revision, settings, with_map

    async def reset(self) -> int:
        """Forget the past, while no frame is on its way to the engine; the `resets` of the pictures to come. Frames
        that wait at the engine already may be the first ones afterwards."""
        async with self._order:
            self._shown = None
            resets = await self._apart(self.session.reset)
        self._map = wire.map_reply(self.session.has_map, None)
        return resets

    async def be_like(self, picture: Any) -> list[dict[str, Any]]:
        """Let the next pictures be like this one, a JPEG or PNG in base64, or like none for `None`; the replies say
        from which revision on, or why all stays as it was."""
        if picture is not None and not self._likes.take(time.monotonic()):
            return [wire.not_liked_reply("Pictures to be like came too fast; needed: one a second. Send it again.")]
        try:
            # No frame is on its way to the engine meanwhile: a revision says which picture its frames are like.
            async with self._order:
                await self._apart(lambda: self._like(picture))
                self._current = (self.revision + 1, self.settings)
        except (wire.WireError, PictureError, ModelError) as error:
            return [wire.not_liked_reply(told(error))]
        return [wire.liked_reply(picture is not None, self.revision), self._applied()]

    def _like(self, picture: Any) -> None:
        """Read a picture to be like; runs in a codec thread."""
        self.session.be_like(None if picture is None else wire.decode_picture(wire.unpack_picture(picture)))

    def show_at(self, secret: object) -> dict[str, Any]:
        """Show the pictures at an address of their own from now on, at the old one where `secret` is its secret; the
        reply names it."""
        output = self._output
        if output is None or output.ended_because is not None or secret not in (None, output.secret):
            self.hide()
            self._output = self._outputs.opened(secret, self._say_watched)
        return output_reply(self._output, counted=self.connection is not None)

    def hide(self) -> None:
        """Show the pictures to nobody else any more."""
        output, self._output = self._output, None
        if output is not None:
            self._outputs.close(output)

    def _say_watched(self, watchers: int) -> None:
        if self.connection is not None:
            self.connection.say(watched_reply(watchers))

    def is_idle(self, now: float, idle_s: float) -> bool:
        """Whether no frame has come for `idle_s` seconds and the memory still lies with the engine."""
        return self.under_way == 0 and now - self.frame_at >= idle_s and not self.session.parked

    async def park(self, keep: bool) -> None:
        """Free the engine of an idle visitor's memory, in order with the frames; the next frame brings it back."""
        async with self._order:
            if self.under_way == 0:
                await self._apart(lambda: self.session.park(keep))

    async def _apart(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)


def is_short_list_of_settings(changes: Any) -> bool:
    """Whether this is a list of JSON objects, and not too long."""
    is_list = isinstance(changes, list) and len(changes) <= MOST_STILLS
    return is_list and all(isinstance(each, dict) for each in changes)


async def obey(visitor: Visitor, message: dict[str, Any]) -> list[dict[str, Any]]:
    """Do what a JSON message asks; the replies to it."""
    kind = message.get("type")
    if kind == "set":
        return visitor.change(message.get("settings"))
    if kind == "reset":
        return [wire.reset_reply(await visitor.reset())]
    if kind == "output" and message.get("on") is False:
        visitor.hide()
        return [hidden_reply()]
    if kind == "output":
        return [visitor.show_at(message.get("secret"))]
    if kind == "map":
        return [visitor.asked_map()]
    if kind == "like":
        return await visitor.be_like(message.get("picture"))
    if kind == "stills":
        return [await visitor.stills(message.get("changes"))]
    if kind == "guess":
        return await visitor.guesses()
    if kind in ("hello", "ping"):
        return [{"type": kind}]
    if kind == "bye":
        visitor.departed = True
        return []
    came = wire.shortened(repr(kind), 40)
    needed = "set, reset, output, map, like, stills, guess, hello, ping or bye"
    return [wire.error_reply(f"A message came with type {came}; needed: {needed}. Reload the page.")]
