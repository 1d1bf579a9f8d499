"""The tab that translates a video file: choose one, watch it being painted, play it, keep it."""

from __future__ import annotations

import base64
import html
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from PIL import Image

from demo.live import wire
from pipeline.errors import RearviewError, VideoError
from pipeline.settings import FrameSettings, SettingsError
from pipeline.video.reader import VideoFacts, facts_of
from pipeline.video.translate import VideoReport, outcome, translate_video

if TYPE_CHECKING:
    from pipeline import Session

logger = logging.getLogger(__name__)

MAXIMUM_JOBS = 2
MAXIMUM_FRAMES = 1800
MAXIMUM_SIDE = 4096
MAXIMUM_UPLOAD = "100mb"
KEPT_FILES = (600, 3600)
"""Seconds between two looks at the page's files, and the age at which they are deleted."""

LOOK_EVERY_S = 0.25
FETCH_WITHIN_S = 60.0
PREVIEW_SIDE = 480

FAILED_SENTENCE = "The video could not be translated; the server's log says why. Try another file."
NO_FILE_SENTENCE = "Choose a video file first."
FIRST_SENTENCE = "The first frame is on its way."
IDLE_SENTENCE = (
    f"At most {MAXIMUM_FRAMES} frames and {MAXIMUM_UPLOAD.upper()}. "
    "The command line, python -m pipeline.video, has no limit."
)
READABLE = (RearviewError, SettingsError)


class BusyError(RearviewError):
    """No place is free for another video; the message is a sentence for the person."""


class VideoJob:
    """One video on its way, in a thread and a temporary folder of its own, both gone soon after it has ended.

    What it shows is replaced, never queued: `frames` done, frames `expected`, and the newest `pair` of source and
    painted frame. Once `ended` is set there is either a `report` or an `error`, a sentence.
    """

    def __init__(
        self, open_session: Callable[[], Session], source: Path, settings: FrameSettings, maximum_frames: int
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
        arguments = (open_session, source, settings)
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

    def _run(self, open_session: Callable[[], Session], source: Path, settings: FrameSettings) -> None:
        with TemporaryDirectory(prefix="rearview-") as folder:
            try:
                out = Path(folder) / f"{source.stem[:60]}-painted.mp4"
                with closing(open_session()) as session:
                    self.report = translate_video(
                        session,
                        source,
                        out,
                        settings,
                        progress=self._count,
                        preview=self._show,
                        stop=self._should_stop,
                    )
                self.out = out if self.report.frames else None
            except READABLE as error:
                self.error = str(error)
            except Exception:  # the person gets a sentence, the log the rest; a thread has nobody else to tell
                logger.exception("a video failed")
                self.error = FAILED_SENTENCE
            finally:
                self.ended.set()
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
    """The videos of all visitors: at most one each, and `maximum_jobs` together."""

    def __init__(
        self,
        open_session: Callable[[], Session],
        *,
        maximum_jobs: int = MAXIMUM_JOBS,
        maximum_frames: int = MAXIMUM_FRAMES,
    ) -> None:
        self._open_session = open_session
        self._maximum_jobs = maximum_jobs
        self._maximum_frames = maximum_frames
        self._jobs: dict[str, VideoJob] = {}
        self._lock = Lock()

    def start(self, visitor: str, source: Path, settings: FrameSettings) -> VideoJob:
        """Begin with the video `source` of `visitor`; raises `VideoError` or `BusyError`."""
        check_limits(source.name, facts_of(source), self._maximum_frames)
        with self._lock:
            self._jobs = {name: job for name, job in self._jobs.items() if not job.ended.is_set()}
            if visitor in self._jobs:
                raise BusyError("Your last video is still being painted. Wait for it, or stop it.")
            if len(self._jobs) >= self._maximum_jobs:
                places = "The one place" if self._maximum_jobs == 1 else f"All {self._maximum_jobs} places"
                raise BusyError(f"{places} for videos are taken. Try again in a minute.")
            job = self._jobs[visitor] = VideoJob(self._open_session, source, settings, self._maximum_frames)
        return job

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
        raise VideoError(
            f"{name} came with {facts.frames} frames; needed: at most {maximum_frames}. Cut it, or run "
            "`python -m pipeline.video` on your own machine."
        )
    if max(facts.size) > MAXIMUM_SIDE:
        raise VideoError(
            f"{name} came with {facts.size[0]} x {facts.size[1]} pixels; needed: at most {MAXIMUM_SIDE} a side. "
            "Shrink it."
        )


@dataclass(frozen=True)
class View:
    """What the tab shows at one moment: a sentence, the newest pictures as HTML (`None`: as they were), whether the
    video is still on its way, and the file to play."""

    status: str
    pictures: str | None = None
    running: bool = False
    result: Path | None = None


def views(job: VideoJob, every_s: float = LOOK_EVERY_S) -> Iterator[View]:
    """What is to be seen of `job`: each new pair of pictures, at most one in `every_s` seconds, and how it ended."""
    shown = 0
    yield View(FIRST_SENTENCE, "", running=True)
    while not job.ended.wait(every_s):
        if job.frames != shown:
            shown = job.frames
            status = status_line(shown, job.expected, time.monotonic() - job.started_at)
            yield View(status, pictures_html(job.pair), running=True)
    yield last_view(job)


def last_view(job: VideoJob) -> View:
    """What is to be seen of a job that has ended."""
    if job.report is None:
        return View(job.error or FAILED_SENTENCE)
    sentences = [outcome(job.report, job.out or Path()), *(f"Note: {note}" for note in job.report.notes)]
    if job.report.ending == "stopped" and job.frames >= job.maximum_frames:
        sentences.append(f"This page translates at most {job.maximum_frames} frames of a video.")
    return View(" ".join(sentences), pictures_html(job.pair), result=job.out)


def status_line(frames: int, expected: int | None, seconds: float) -> str:
    """How far a video is after `seconds`, how fast, and how long it will take: `expected` may be wrong or unknown."""
    rate = frames / seconds if seconds > 0 else 0.0
    if expected is None or expected < frames or not rate:
        return f"frame {frames}, {rate:.1f} frames/s"
    left = round((expected - frames) / rate)
    return f"frame {frames} of {expected}, {rate:.1f} frames/s, {left // 60}:{left % 60:02d} left"


def pictures_html(pair: tuple[np.ndarray, np.ndarray] | None) -> str:
    """Source and painted frame side by side. The pictures lie in the HTML itself: as files of the page, hundreds of
    them would stay on the disk."""
    if pair is None:
        return ""
    figures = [
        f'<figure><img src="data:image/jpeg;base64,{_small_jpeg(picture)}" alt="{name}">'
        f"<figcaption>{name}</figcaption></figure>"
        for name, picture in zip(("Original", "Painted"), pair, strict=True)
    ]
    return f'<div class="rv-pair">{"".join(figures)}</div>'


def _small_jpeg(picture: np.ndarray) -> str:
    image = Image.fromarray(picture)
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    return base64.b64encode(wire.encode_picture(np.asarray(image))).decode("ascii")


def status_html(status: str) -> str:
    """The status line, read out by screen readers when it changes."""
    return f'<p class="rv-video-status" role="status">{html.escape(status)}</p>'


@dataclass(frozen=True)
class VideoTab:
    """The components of the tab."""

    file: gr.File
    start: gr.Button
    stop: gr.Button
    status: gr.HTML
    pictures: gr.HTML
    result: gr.Video
    download: gr.DownloadButton


def build_video_tab() -> VideoTab:
    """The components of the tab, where they are to stand; `wire_video_tab` makes them work."""
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            file = gr.File(label="Video file", file_types=["video", ".mkv", ".ts", ".gif"], elem_id="video_file")
            with gr.Row():
                start = gr.Button("Paint this video", variant="primary", elem_id="video_start", min_width=140)
                stop = gr.Button("Stop", interactive=False, elem_id="video_stop", min_width=80)
            status = gr.HTML(status_html(IDLE_SENTENCE), elem_id="video_status")
        with gr.Column(scale=3, min_width=320):
            pictures = gr.HTML("", elem_id="video_pictures")
            result = gr.Video(
                label="Painted video", interactive=False, visible=False, buttons=["download"], elem_id="video_result"
            )
            download = gr.DownloadButton("Download", visible=False, elem_id="video_download")
    return VideoTab(file, start, stop, status, pictures, result, download)


def wire_video_tab(
    page: gr.Blocks, tab: VideoTab, jobs: VideoJobs, settings: Mapping[str, gr.components.Component]
) -> None:
    """Let `tab` translate with the values that the components of `settings`, by name, have when the button is
    pressed."""

    def paint(request: gr.Request, source: str | None, *values: Any) -> Iterator[dict[Any, Any]]:
        if source is None:
            yield updates(tab, View(NO_FILE_SENTENCE))
            return
        try:
            wanted = FrameSettings(**dict(zip(settings, values, strict=True)), fit="pad")
            job = jobs.start(str(request.session_hash), Path(source), wanted)
        except READABLE as error:
            yield updates(tab, View(str(error)))
            return
        with closing(job):
            for view in views(job):
                yield updates(tab, view)

    def stop(request: gr.Request) -> None:
        jobs.stop(str(request.session_hash))

    def leave(request: gr.Request) -> None:
        jobs.leave(str(request.session_hash))

    tab.start.click(
        paint,
        [tab.file, *settings.values()],
        [tab.start, tab.stop, tab.status, tab.pictures, tab.result, tab.download],
        show_progress="hidden",
        api_visibility="private",
        # The jobs count themselves: Gradio would let the next visitor wait without a word.
        concurrency_limit=None,
    )
    tab.stop.click(stop, queue=False, show_progress="hidden", api_visibility="private")
    page.unload(leave)


def updates(tab: VideoTab, view: View) -> dict[Any, Any]:
    """What `view` changes on the page."""
    file = str(view.result) if view.result else None
    changed = {
        tab.start: gr.update(interactive=not view.running),
        tab.stop: gr.update(interactive=view.running),
        tab.status: status_html(view.status),
        tab.result: gr.update(value=file, visible=file is not None),
        tab.download: gr.update(value=file, visible=file is not None),
    }
    if view.pictures is not None:
        changed[tab.pictures] = view.pictures
    return changed
