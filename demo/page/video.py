"""The tab that translates a video file: choose one, watch it being painted, play it, keep it."""

from __future__ import annotations

import base64
import html
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from demo.live import wire
from demo.page.video_jobs import MAXIMUM_FRAMES, READABLE, VideoJob, VideoJobs
from demo.words import word
from demo.words.engine import told
from pipeline.settings import FrameSettings
from pipeline.video.translate import outcome

MAXIMUM_UPLOAD = "100mb"
KEPT_FILES = (600, 3600)
"""Seconds between two looks at the page's files, and the age at which they are deleted."""

WITH_WELL = '(...values) => [...values.slice(0, -1), window.rearview?.liked ?? ""]'
"""The picture of the page's well, in base64, in the place of the last input."""

LOOK_EVERY_S = 0.25
PREVIEW_SIDE = 480


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
    yield View(word("video.first"), "", running=True)
    while not job.ended.wait(every_s):
        if job.frames != shown:
            shown = job.frames
            status = status_line(shown, job.expected, time.monotonic() - job.started_at)
            yield View(status, pictures_html(job.pair), running=True)
    yield last_view(job)


def last_view(job: VideoJob) -> View:
    """What is to be seen of a job that has ended."""
    if job.report is None:
        return View(told(job.error) if job.error else word("video.failed"))
    sentences = [outcome(job.report, job.out or Path()), *(word("video.note", note=note) for note in job.report.notes)]
    if job.report.ending == "stopped" and job.frames >= job.maximum_frames:
        sentences.append(word("video.longest", frames=job.maximum_frames))
    return View(" ".join(sentences), pictures_html(job.pair), result=job.out)


def status_line(frames: int, expected: int | None, seconds: float) -> str:
    """How far a video is after `seconds`, how fast, and how long it will take: `expected` may be wrong or unknown."""
    rate = frames / seconds if seconds > 0 else 0.0
    if expected is None or expected < frames or not rate:
        return word("video.progress", done=frames, rate=f"{rate:.1f}")
    left = round((expected - frames) / rate)
    clock = f"{left // 60}:{left % 60:02d}"
    return word("video.progress_of", done=frames, all=expected, rate=f"{rate:.1f}", left=clock)


def pictures_html(pair: tuple[np.ndarray, np.ndarray] | None) -> str:
    """Source and painted frame side by side. The pictures lie in the HTML itself: as files of the page, hundreds of
    them would stay on the disk."""
    if pair is None:
        return ""
    figures = [
        f'<figure><img src="data:image/jpeg;base64,{_small_jpeg(picture)}" alt="{name}">'
        f"<figcaption>{name}</figcaption></figure>"
        for name, picture in zip((word("video.original"), word("video.painted")), pair, strict=True)
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
    like: gr.Textbox
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
            file = gr.File(label=word("video.file"), file_types=["video", ".mkv", ".ts", ".gif"], elem_id="video_file")
            like = gr.Textbox(visible=False, elem_id="video_like")
            with gr.Row():
                start = gr.Button(word("video.start"), variant="primary", elem_id="video_start", min_width=140)
                stop = gr.Button(word("video.stop"), interactive=False, elem_id="video_stop", min_width=80)
            idle = word("video.idle", frames=MAXIMUM_FRAMES, size=MAXIMUM_UPLOAD.upper())
            status = gr.HTML(status_html(idle), elem_id="video_status")
        with gr.Column(scale=3, min_width=320):
            pictures = gr.HTML("", elem_id="video_pictures")
            result = gr.Video(
                label=word("video.result"),
                interactive=False,
                visible=False,
                buttons=["download"],
                elem_id="video_result",
            )
            download = gr.DownloadButton(word("video.download"), visible=False, elem_id="video_download")
    return VideoTab(file, like, start, stop, status, pictures, result, download)


def wire_video_tab(
    page: gr.Blocks,
    tab: VideoTab,
    jobs: VideoJobs,
    settings: Mapping[str, gr.components.Component],
    address_of: Callable[[gr.Request], str],
) -> None:
    """Let `tab` translate with the values that the components of `settings`, by name, have when the button is
    pressed, like the picture that lies in the page's well then; `address_of` says whose share an event counts in."""

    def paint(request: gr.Request, source: str | None, *values: Any) -> Iterator[dict[Any, Any]]:
        *chosen, picture = values
        if source is None:
            yield updates(tab, View(word("video.no_file")))
            return
        try:
            wanted = FrameSettings(**dict(zip(settings, chosen, strict=True)), fit="pad")
            like = wire.unpack_picture(picture) if picture else None
            job = jobs.start(str(request.session_hash), Path(source), wanted, address_of(request), like=like)
        except (*READABLE, wire.WireError) as error:
            yield updates(tab, View(told(error)))
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
        [tab.file, *settings.values(), tab.like],
        [tab.start, tab.stop, tab.status, tab.pictures, tab.result, tab.download],
        js=WITH_WELL,
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
