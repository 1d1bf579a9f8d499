"""The page of a Space that is lent its GPU: single pictures and short videos, and why nothing is live there."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
import numpy as np
from gradio.data_classes import ImageData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from demo.live import wire
from demo.live.doors.closed_routes import closed_routes
from demo.live.live import HEALTH_PATH, POST_PATH, SOCKET_PATH, json_response
from demo.page.page import FIRST_SEED
from demo.page.uploaded_only import UploadedOnly
from demo.page.video import KEPT_FILES
from demo.space.zero import DUPLICATE, READABLE, Calls, Outcome, check_video, frames_within_a_call
from demo.words import word
from pipeline.settings import DECLARATIONS, RANGES, FrameSettings
from pipeline.video.translate import outcome as outcome_sentence

WORDS = ("prompt", "negative_prompt")
SLIDERS = ("steps", "strength", "fusion_strength", "steadiness")
HEIGHT = 384
"""Of a picture's place, in pixels: nothing moves when one comes."""


def build(calls: Calls, title: str, defaults: FrameSettings, space: str) -> gr.Blocks:
    """The page of the Space `space` (USER/NAME), whose model is called `title` and begins with `defaults`."""
    with UploadedOnly(title=word("page.title"), analytics_enabled=False, delete_cache=KEPT_FILES) as page:
        notice = f'<p role="note">{html.escape(word("zero.why"))}</p>'
        gr.HTML(notice, apply_default_css=False, elem_id="zero_notice")
        gr.Button(word("zero.duplicate"), link=DUPLICATE.format(space=space), link_target="_blank", size="md")
        # Above the settings, which have to be there before what reads them.
        pictures = gr.Column()
        settings = _settings(defaults)
        with pictures, gr.Tabs(elem_id="tabs"):
            with gr.Tab(word("zero.picture"), elem_id="picture_tab"):
                _picture_tab(calls, settings, defaults)
            with gr.Tab(word("page.video"), elem_id="video_tab"):
                _video_tab(calls, settings, defaults)
        gr.HTML(f"<p>{html.escape(word('zero.model', model=title))}</p>", apply_default_css=False)
    return page


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


def _settings(defaults: FrameSettings) -> dict[str, gr.components.Component]:
    settings: dict[str, gr.components.Component] = {}
    with gr.Row():
        for name in WORDS:
            text = DECLARATIONS[name]
            settings[name] = gr.Textbox(
                getattr(defaults, name), label=text.label, info=text.help, elem_id=name, min_width=260
            )
    with gr.Row():
        for name in SLIDERS:
            each = RANGES[name]
            settings[name] = gr.Slider(
                each.minimum,
                each.maximum,
                value=getattr(defaults, name),
                step=each.step,
                label=each.label,
                info=each.help,
                elem_id=name,
                min_width=200,
            )
    return settings


def _picture_tab(calls: Calls, settings: Mapping[str, gr.components.Component], defaults: FrameSettings) -> None:
    with gr.Row():
        source = picture_file()
        painted = gr.Image(label=word("zero.painted"), interactive=False, height=HEIGHT)
    start = gr.Button(word("zero.paint_picture"), variant="primary", elem_id="paint_picture")

    def paint(source: str | None, *values: Any) -> np.ndarray | None:
        if source is None:
            raise gr.Error(word("zero.no_picture"), print_exception=False)
        return answered(lambda: calls.picture(opened_frame(source), asked(settings, values, defaults))).picture

    start.click(paint, [source, *settings.values()], painted, api_name="paint_picture")


def _video_tab(calls: Calls, settings: Mapping[str, gr.components.Component], defaults: FrameSettings) -> None:
    with gr.Row():
        source = gr.Video(label=word("zero.original"), sources=["upload"], height=HEIGHT)
        painted = gr.Video(label=word("zero.painted"), interactive=False, height=HEIGHT)
    start = gr.Button(word("zero.paint_video"), variant="primary", elem_id="paint_video")
    frames = frames_within_a_call(defaults.steps)
    status = gr.Markdown(word("zero.limits", frames=frames, steps=defaults.steps), elem_id="video_status")

    def paint(source: str | None, *values: Any) -> Iterator[tuple[str | None, str]]:
        if source is None:
            raise gr.Error(word("zero.no_video"), print_exception=False)
        with TemporaryDirectory(prefix="rearview-") as folder:
            out = Path(folder) / f"{Path(source).stem[:60]}-painted.mp4"
            sentence = painted_video(calls, Path(source), out, asked(settings, values, defaults))
            # Gradio has copied the file when it comes back for more.
            yield str(out) if out.is_file() else None, sentence

    start.click(paint, [source, *settings.values()], [painted, status], api_name="paint_video")


def asked(names: Mapping[str, Any], values: Sequence[Any], defaults: FrameSettings) -> FrameSettings:
    """The settings of the page over those that the model begins with; raises `gr.Error`."""
    try:
        return defaults.changed(seed=FIRST_SEED, fit="pad", **dict(zip(names, values, strict=True)))
    except READABLE as error:
        raise gr.Error(str(error), print_exception=False) from error


def answered(call: Callable[[], Outcome]) -> Outcome:
    """What a call came to; raises `gr.Error` with the sentence that it came to."""
    try:
        came = call()
    except READABLE as error:
        raise gr.Error(str(error), print_exception=False) from error
    if came.error:
        raise gr.Error(came.error, print_exception=False)
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


class NotLive:
    """The routes of the live wire, where nothing can be live: whoever comes is told why. Health is still asked."""

    def routes(self) -> list[BaseRoute]:
        """What comes in front of the routes of the page, whose last one takes every address."""
        return [
            WebSocketRoute(SOCKET_PATH, self.socket, name="rearview-live"),
            Route(POST_PATH, self.post, methods=["POST"], name="rearview-frame"),
            Route(HEALTH_PATH, self.health, name="rearview-health"),
            *closed_routes(),
        ]

    async def socket(self, socket: WebSocket) -> None:
        """Closed with a code after which a page does not come again by itself."""
        await socket.accept()
        await socket.close(wire.CLOSE_OVER, word("zero.not_live"))

    async def post(self, request: Request) -> Response:
        """Answered as a visit that is over."""
        return json_response({"type": "over", "message": word("zero.not_live")}, 410)

    async def health(self, request: Request) -> Response:
        """Always well: there is no engine that could fail between two calls."""
        return json_response({"status": "ok"})
