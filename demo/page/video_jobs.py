"""The video files that are being painted: one at most for each visitor, and so many for all of them together."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

import numpy as np

from demo.words import word
from pipeline.compute.host import give_freed_memory_back
from pipeline.errors import RearviewError, VideoError
from pipeline.settings import FrameSettings, SettingsError
from pipeline.video.reader import VideoFacts, facts_of
from pipeline.video.translate import VideoReport, translate_video

if TYPE_CHECKING:
    from pipeline import Session

logger = logging.getLogger(__name__)

MAXIMUM_JOBS = 2
JOBS_OF_ADDRESS = 1
MAXIMUM_FRAMES = 1800
MAXIMUM_SIDE = 4096
FETCH_WITHIN_S = 60.0

READABLE = (RearviewError, SettingsError)


class BusyError(RearviewError):
    """No place is free for another video; the message is a sentence for the person."""


class VideoJob:
    """One video on its way, in a thread and a temporary folder of its own, both gone soon after it has ended.

    What it shows is replaced, never queued: `frames` done, frames `expected`, and the newest `pair` of source and
    painted frame. Once `ended` is set there is either a `report` or an `error`, a sentence.
    """

    def __init__(
        self,
        open_session: Callable[[], Session],
        source: Path,
        settings: FrameSettings,
        maximum_frames: int,
        like: bytes | None = None,
    ) -> None:
        self.frames = 0
        self.expected: int | None = None
        self.pair: tuple[np.ndarray, np.ndarray] | None = None
        self.report: VideoReport | None = None
        self.error: str | None = None
        self.out: Path | None = None
        self.ended = Event()
        self.started_at = time.monotonic()
        self.maximum_frames = maximum_frames
        self._stopped = Event()
        self._fetched = Event()
        arguments = (open_session, source, settings, like)
        self._thread = Thread(target=self._run, args=arguments, name="rearview-video", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the file after the frame under way."""
        self._stopped.set()

    def close(self) -> None:
        """Stop, and give everything back: nobody wants the file any more, or whoever wants it has it."""
        self._stopped.set()
        self._fetched.set()

    def join(self) -> None:
        """Wait until everything is given back."""
        self._thread.join()

    def _run(
        self, open_session: Callable[[], Session], source: Path, settings: FrameSettings, like: bytes | None
    ) -> None:
        with TemporaryDirectory(prefix="rearview-") as folder:
            try:
                out = Path(folder) / f"{source.stem[:60]}-painted.mp4"
                with closing(open_session()) as session:
                    if like is not None:
                        session.be_like(like)
                    self.report = translate_video(
                        session,
                        source,
                        out,
                        settings,
                        progress=self._count,
                        preview=self._show,
                        stop=self._should_stop,
                        longest_side=MAXIMUM_SIDE,
                        kinds=(out.suffix,),
                    )
                self.out = out if self.report.frames else None
            except READABLE as error:
                self.error = str(error)
            except Exception:  # the person gets a sentence, the log the rest; a thread has nobody else to tell
                logger.exception("a video failed")
                self.error = word("video.failed")
            finally:
                self.ended.set()
                give_freed_memory_back()
            # The page copies the file to where it serves it from; a page that has gone never does.
            self._fetched.wait(FETCH_WITHIN_S)
            self.pair = None

    def _count(self, frames: int, expected: int | None) -> None:
        self.frames, self.expected = frames, expected

    def _show(self, source: np.ndarray, painted: np.ndarray) -> None:
        self.pair = (source, painted)

    def _should_stop(self) -> bool:
        return self._stopped.is_set() or self.frames >= self.maximum_frames


class VideoJobs:
    """The videos of all visitors: at most one each, `maximum_jobs` together, and `JOBS_OF_ADDRESS` of one address."""

    def __init__(
        self,
        open_session: Callable[[str], Session],
        *,
        maximum_jobs: int = MAXIMUM_JOBS,
        maximum_frames: int = MAXIMUM_FRAMES,
    ) -> None:
        self._open_session = open_session
        self._maximum_jobs = maximum_jobs
        self._maximum_frames = maximum_frames
        self._jobs: dict[str, VideoJob] = {}
        self._beginning: set[str] = set()
        self._address_of: dict[str, str] = {}
        self._lock = Lock()

    def start(
        self, visitor: str, source: Path, settings: FrameSettings, address: str = "", *, like: bytes | None = None
    ) -> VideoJob:
        """Begin with the video `source` of `visitor`, who counts for `address`, if that is known; `like` is the file of
        a picture that its own are to be like. Raises `VideoError` or `BusyError`."""
        # Looking into a file decodes a frame of it, so that only whoever has a place may.
        with self._place_for(visitor, address):
            check_limits(source.name, facts_of(source, MAXIMUM_SIDE), self._maximum_frames)
            open_session = partial(self._open_session, address)
            job = self._jobs[visitor] = VideoJob(open_session, source, settings, self._maximum_frames, like)
        return job

    @contextmanager
    def _place_for(self, visitor: str, address: str) -> Iterator[None]:
        """Hold a place while a job of `visitor` is made; raises `BusyError` where there is none."""
        with self._lock:
            self._jobs = {name: job for name, job in self._jobs.items() if not job.ended.is_set()}
            if visitor in self._jobs or visitor in self._beginning:
                raise BusyError(word("video.yours_runs"))
            busy = {*self._jobs, *self._beginning}
            self._address_of = {name: self._address_of[name] for name in busy}
            if address and list(self._address_of.values()).count(address) >= JOBS_OF_ADDRESS:
                raise BusyError(word("video.address_runs"))
            if len(busy) >= self._maximum_jobs:
                places = self._maximum_jobs
                raise BusyError(word("video.place_taken") if places == 1 else word("video.places_taken", places=places))
            self._beginning.add(visitor)
            self._address_of[visitor] = address
        try:
            yield
        finally:
            with self._lock:
                self._beginning.discard(visitor)

    def stop(self, visitor: str) -> None:
        """Finish the video of `visitor` with what there is."""
        job = self._jobs.get(visitor)
        if job is not None:
            job.stop()

    def leave(self, visitor: str) -> None:
        """The page of `visitor` was closed: nobody waits for the video."""
        job = self._jobs.get(visitor)
        if job is not None:
            job.close()


def check_limits(name: str, facts: VideoFacts, maximum_frames: int) -> None:
    """Raise `VideoError` for a video that is too long or too large for a page that many share."""
    if facts.frames is not None and facts.frames > maximum_frames:
        raise VideoError(word("video.too_long", name=name, frames=facts.frames, most=maximum_frames))
    if max(facts.size) > MAXIMUM_SIDE:
        width, height = facts.size
        raise VideoError(word("video.too_large", name=name, width=width, height=height, most=MAXIMUM_SIDE))
