"""What the page of a Space has that is lent its GPU: live minutes, single pictures, short videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
import numpy as np
from gradio.data_classes import ImageData

from demo.live.live import Live
from demo.space.lent.row import built_row, wire_row
from demo.space.zero import READABLE, Calls, Outcome, check_video, frames_within_a_call
from demo.words import word
from demo.words.engine import told
from pipeline.settings import FrameSettings
from pipeline.video.translate import outcome as outcome_sentence

HEIGHT = 384
"""Of a picture's place, in pixels: nothing moves when one comes."""


@dataclass(frozen=True)
class Tab:
    """A tab for what is painted in one call."""

    source: gr.components.Component
    painted: gr.components.Component
    start: gr.Button
    status: gr.Markdown | None = None


class ZeroPage:
    """What the page has on a Space that is lent its GPU: the row that lends it, and tabs for pictures and videos."""

    def __init__(self, calls: Calls, space: str, most_calls: int) -> None:
        """`space` is the Space's own name (USER/NAME), and `most_calls` how many visitors may be lent a GPU at once."""
        self._calls, self._space, self._most_calls = calls, space, most_calls

    def build_row(self) -> None:
        """The row that lends the GPU."""
        self._row = built_row(self._space)

    def build_tabs(self) -> list[gr.Tab]:
        """Single pictures and short videos."""
        with gr.Tab(word("zero.picture"), elem_id="picture_tab") as picture_tab:
            self._picture = _picture_tab()
        with gr.Tab(word("page.video"), elem_id="video_tab") as video_tab:
            self._video = _video_tab()
        return [picture_tab, video_tab]

    def wire(self, page: gr.Blocks, live: Live, settings: Mapping[str, gr.components.Component]) -> None:
        """Let the buttons act under the values of these components, by the names of settings."""
        wire_row(self._row, page, live, self._calls.live, self._most_calls)
        _wire_picture(self._picture, self._calls, settings)
        _wire_video(self._video, self._calls, settings)


def picture_file() -> gr.Image:
    """A place for a picture whose file comes as it is: Gradio opens and decodes whatever a file announces."""
    place = gr.Image(label=word("zero.original"), type="filepath", height=HEIGHT)
    # No class of its own: beside the module of one, Gradio writes a file as it is imported.
    place.preprocess = path_of  # type: ignore[method-assign]
    return place


def path_of(payload: ImageData | None) -> str | None:
    """Where an uploaded picture lies."""
    return None if payload is None else payload.path


def opened_frame(source: str) -> np.ndarray:
    """The picture in a file as a frame `[H, W, 3]`; raises `PictureError`."""
    # Here, not above: it imports torch, which has to wait for the host's library. As bytes: the words of an error would
    # tell where files lie here.
    from pipeline.frames.codec import as_frame

    return as_frame(Path(source).read_bytes())


def _picture_tab() -> Tab:
    with gr.Row():
        source = picture_file()
        painted = gr.Image(label=word("zero.painted"), interactive=False, height=HEIGHT)
    return Tab(source, painted, gr.Button(word("zero.paint_picture"), variant="primary", elem_id="paint_picture"))


def _wire_picture(tab: Tab, calls: Calls, settings: Mapping[str, gr.components.Component]) -> None:
    def paint(source: str | None, *values: Any) -> np.ndarray | None:
        if source is None:
            raise gr.Error(word("zero.no_picture"), print_exception=False)
        return answered(lambda: calls.picture(opened_frame(source), asked(settings, values))).picture

    tab.start.click(paint, [tab.source, *settings.values()], tab.painted, api_name="paint_picture")


def _video_tab() -> Tab:
    with gr.Row():
        source = gr.Video(label=word("zero.original"), sources=["upload"], height=HEIGHT)
        painted = gr.Video(label=word("zero.painted"), interactive=False, height=HEIGHT)
    start = gr.Button(word("zero.paint_video"), variant="primary", elem_id="paint_video")
    steps = FrameSettings().steps
    limits = word("zero.limits", frames=frames_within_a_call(steps), steps=steps)
    return Tab(source, painted, start, gr.Markdown(limits, elem_id="video_status"))


def _wire_video(tab: Tab, calls: Calls, settings: Mapping[str, gr.components.Component]) -> None:
    def paint(source: str | None, *values: Any) -> Iterator[tuple[str | None, str]]:
        if source is None:
            raise gr.Error(word("zero.no_video"), print_exception=False)
        with TemporaryDirectory(prefix="rearview-") as folder:
            out = Path(folder) / f"{Path(source).stem[:60]}-painted.mp4"
            sentence = painted_video(calls, Path(source), out, asked(settings, values))
            # Gradio has copied the file when it comes back for more.
            yield str(out) if out.is_file() else None, sentence

    outputs = [tab.painted, tab.status]
    tab.start.click(paint, [tab.source, *settings.values()], outputs, api_name="paint_video")  # type: ignore[arg-type]


def asked(names: Mapping[str, Any], values: Sequence[Any]) -> FrameSettings:
    """The settings that the page's components hold; raises `gr.Error`."""
    try:
        return FrameSettings(**dict(zip(names, values, strict=True)), fit="pad")
    except READABLE as error:
        raise gr.Error(told(error), print_exception=False) from error


def answered(call: Callable[[], Outcome]) -> Outcome:
    """What a call came to; raises `gr.Error` with the sentence that it came to."""
    try:
        came = call()
    except READABLE as error:
        raise gr.Error(told(error), print_exception=False) from error
    if came.error:
        raise gr.Error(told(came.error), print_exception=False)
    return came


def painted_video(calls: Calls, source: Path, out: Path, settings: FrameSettings) -> str:
    """Paint the video `source` into the file `out` in one call; a sentence on what came of it. Raises `gr.Error`."""

    def call() -> Outcome:
        check_video(source, settings)
        return calls.video(source, out, settings)

    report = answered(call).report
    if report is None:
        return word("zero.nothing")
    return " ".join([outcome_sentence(report, out), *report.notes])
