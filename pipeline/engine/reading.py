"""Where frames wait whose prompts are new: these are read a few at a time, and their senders pay for them in rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.engine.guidance import branch_prompts
from pipeline.engine.lanes import Outcome, Request
from pipeline.engine.session import Session
from pipeline.errors import SessionClosedError
from pipeline.prompts.encoder import PromptEncoder
from pipeline.settings import FrameSettings

READINGS_A_ROW = 16
"""By a text encoder, for what a row costs in a UNet call: SD 1.5's take 30 to 40, those of the embedded model about 20.
So many are read between two UNet calls, and then the prompt at hand to its end."""


class ReadingRoom:
    """Frames that wait for their prompts, in the order in which they came. It belongs to one thread."""

    def __init__(self, prompts: PromptEncoder) -> None:
        self._prompts = prompts
        self._waiting: dict[Request, set[str]] = {}

    def __bool__(self) -> bool:
        """Whether any frame waits."""
        return bool(self._waiting)

    def waiting(self, session: Session) -> int:
        """How many frames of a session wait."""
        return sum(request.session is session for request in self._waiting)

    def enter(self, requests: Sequence[Request]) -> None:
        """Let frames wait, behind those of their sessions."""
        self._waiting.update((request, set()) for request in requests)

    def give_up(self) -> None:
        """Drop all frames."""
        self._waiting.clear()

    def closed(self) -> list[Outcome]:
        """The outcomes of frames whose visitors have left: nothing is read for them."""
        gone = [request for request in self._waiting if request.session.closed]
        for request in gone:
            del self._waiting[request]
        error = "the session was closed while a prompt was read; needed: an open one. Open a new one."
        return [(request, SessionClosedError(error)) for request in gone]

    def read(self, served: Callable[[Session], float], charge: Callable[[Session, float], None]) -> list[Request]:
        """Read some prompts, first those of sessions that were `served` the fewest rows, and `charge` these for them in
        rows; the frames that may set out now, one a session."""
        heads: dict[Session, Request] = {}
        for request in self._waiting:
            heads.setdefault(request.session, request)
        left = READINGS_A_ROW
        ready = []
        for request in sorted(heads.values(), key=lambda each: served(each.session)):
            while (prompt := self._next_prompt(request)) is not None and left > 0:
                readings = self._readings_of(prompt)
                self._waiting[request].add(prompt)
                left -= readings
                charge(request.session, readings / READINGS_A_ROW)
            if prompt is None:
                ready.append(request)
        for request in ready:
            del self._waiting[request]
        return ready

    def _next_prompt(self, request: Request) -> str | None:
        """The first of a frame's prompts that is new, if any is."""
        unread = (
            each
            for each in prompts_of(request.asked.settings)
            if each not in self._waiting[request] and not self._prompts.knows(each)
        )
        return next(unread, None)

    def _readings_of(self, prompt: str) -> int:
        """Read a prompt; how many readings it took. What it cannot be read for, its frame is told when it sets out."""
        before = self._prompts.readings
        try:
            self._prompts.encode(prompt)
        except Exception:  # noqa: BLE001 - it belongs to whoever waits for this frame
            return READINGS_A_ROW
        return max(1, self._prompts.readings - before)


def prompts_of(settings: FrameSettings) -> list[str]:
    """All prompts that a frame of these settings needs."""
    blend = settings.blend
    return [*branch_prompts(settings), *([] if blend is None else [blend.prompt])]
