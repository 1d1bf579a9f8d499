"""What a script can ask of the app with `gradio_client`: a picture, a list of frames with one memory, or a video.

    client = Client("http://127.0.0.1:7860")
    client.predict(picture=handle_file("sketch.png"), prompt="oil painting", api_name="/translate_picture")

`client.view_api()` lists every setting with its default and its range, as `pipeline.settings` declares them. `like` is
the file of a picture that the painted ones are to be like, where the server has an adapter that reads one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.components.api_component import Api
from PIL import Image

from demo.page.shares import Shares
from demo.page.video import LOOK_EVERY_S, last_view
from demo.page.video_jobs import READABLE, BusyError, VideoJobs
from pipeline.errors import PictureError
from pipeline.settings import DECLARATIONS, FIT, Choice, FrameSettings, Range, Text

if TYPE_CHECKING:
    from pipeline import Session

CALLS_AT_ONCE, CALLS_AT_ONCE_OF_ADDRESS = 2, 1
"""Calls for pictures that are worked on at once; others wait."""
CALLS_WAITING, CALLS_WAITING_OF_ADDRESS = 16, 4
"""Those that wait and those that are worked on, together."""
CALLS_IN_LINE = 64
"""In Gradio's queue, from which they come at once."""
TURN_EVERY_S = 0.1
MAXIMUM_PICTURES = 300
FIRST_FIT = "pad"
"""All of a picture is painted, and it comes back in its own size."""

PICTURE_HELP = (
    "One picture under a prompt. It comes back as a PNG file as large as the picture, at most 2048 pixels a side; with "
    "fit crop, as large as what was not cut. The same call gives the same picture."
)
FRAMES_HELP = (
    f"At most {MAXIMUM_PICTURES} pictures, painted one after another with one memory through them all, so that they "
    "hold still beside each other. They come back in their order, as PNG files as large as they came. A job that is "
    "cancelled ends after the frame under way."
)
VIDEO_HELP = (
    "A video file, painted frame by frame with one memory through it. It comes back as MP4 with the frames' own times "
    "and its sound, beside a sentence on how far it came. A job that is cancelled ends after the frame under way."
)


def build_api(
    page: gr.Blocks,
    open_session: Callable[[str], Session],
    jobs: VideoJobs,
    first_settings: Mapping[str, Any],
    address_of: Callable[[gr.Request], str],
) -> None:
    """Give `page` the endpoints that scripts may call; `first_settings` are what they begin with, `address_of` says
    whose share a call counts in, and `open_session` opens a session for a party.

    Each call has a session of its own, which is closed with it, also when its caller cancels it or leaves. Calls come
    through Gradio's queue, which is bounded and which nobody gets past; videos share the places of `jobs` with the
    page's.
    """
    page.queue(max_size=CALLS_IN_LINE, api_open=False)
    shown = gr.Progress()
    line = Line()

    # Each is asked for its next value several times a second, and ends there if its caller is gone. None begins with
    # anything before its first: only from then on does Gradio know what it has to close.
    def translate_picture(request: gr.Request, picture: str, like: str | None = None, **values: Any) -> Iterator[Any]:
        address = address_of(request)
        painted = painted_files(partial(open_session, address), [picture], values, like)
        for files in line.in_turn(address, painted):
            yield files[0] if files else gr.skip()

    def translate_frames(
        request: gr.Request,
        frames: Sequence[str],
        like: str | None = None,
        progress: gr.Progress = shown,
        **values: Any,
    ) -> Iterator[Any]:
        address = address_of(request)
        painted = painted_files(partial(open_session, address), frames, values, like)
        for files in line.in_turn(address, painted):
            progress((len(files), len(frames)), unit="frames")
            yield files if len(files) == len(frames) else gr.skip()

    def translate_video(
        request: gr.Request,
        video: str,
        like: str | None = None,
        progress: gr.Progress = shown,
        **values: Any,
    ) -> Iterator[tuple[Any, Any]]:
        yield gr.skip(), gr.skip()
        with told_as_errors():
            wanted = FrameSettings(**values)
            other = None if like is None else Path(like).read_bytes()
            job = jobs.start(str(request.session_hash), Path(video), wanted, address_of(request), like=other)
        with closing(job):
            while not job.ended.wait(LOOK_EVERY_S):
                progress((job.frames, job.expected), unit="frames")
                yield gr.skip(), gr.skip()
            view = last_view(job)
            if view.result is None:
                raise gr.Error(view.status, print_exception=False)
            yield str(view.result), view.status

    inputs = {**setting_parameters(first_settings), "like": _file("like")}
    asked: dict[str, Any] = {"inputs_kwargs": inputs, "show_progress": "hidden", "api_visibility": "public"}
    together: dict[str, Any] = {"concurrency_limit": CALLS_WAITING, "concurrency_id": "pictures"}
    gr.on(
        [],
        translate_picture,
        _file("picture"),
        _file("painted"),
        api_name="translate_picture",
        api_description=PICTURE_HELP,
        **asked,
        **together,
    )
    gr.on(
        [],
        translate_frames,
        _file("frames", "multiple"),
        _file("painted", "multiple"),
        api_name="translate_frames",
        api_description=FRAMES_HELP,
        **asked,
        **together,
    )
    gr.on(
        [],
        translate_video,
        _file("video"),
        [_file("painted"), gr.Textbox(label="outcome", visible=False)],
        api_name="translate_video",
        api_description=VIDEO_HELP,
        # The jobs count themselves.
        concurrency_limit=None,
        **asked,
    )


def _file(name: str, count: str = "single") -> gr.File:
    return gr.File(label=name, file_count=count, visible=False)


def setting_parameters(first_settings: Mapping[str, Any]) -> dict[str, Api]:
    """The parameter of each setting, by name: its default, and what it takes as JSON schema and in words."""
    declared: dict[str, Range | Text | Choice] = {**DECLARATIONS, "fit": FIT}
    first = {"fit": FIRST_FIT, **first_settings}
    return {name: Api(first[name], schema_of(each), name) for name, each in declared.items()}


def schema_of(declaration: Range | Text | Choice) -> dict[str, Any]:
    """The JSON schema of a setting, with its help."""
    if isinstance(declaration, Range):
        span = {"minimum": declaration.minimum, "maximum": declaration.maximum}
        words = f"{declaration.minimum:g} to {declaration.maximum:.10g} {declaration.unit}. {declaration.help}"
        return {"type": "integer" if declaration.integer else "number", **span, "additional_description": words}
    if isinstance(declaration, Choice):
        return {"type": "string", "enum": list(declaration.choices), "additional_description": declaration.help}
    words = f"{declaration.help} At most {declaration.maximum_length} characters."
    return {"type": "string", "maxLength": declaration.maximum_length, "additional_description": words}


@contextmanager
def told_as_errors() -> Iterator[None]:
    """What a person can read of an error is told to the caller as it is; other errors are left to Gradio, which logs
    them and tells nothing."""
    try:
        yield
    except READABLE as error:
        raise gr.Error(str(error), print_exception=False) from error


class Line:
    """Where calls for pictures wait, each for the share of its address."""

    def __init__(self) -> None:
        self._waiting = Shares(CALLS_WAITING, CALLS_WAITING_OF_ADDRESS)
        self._at_work = Shares(CALLS_AT_ONCE, CALLS_AT_ONCE_OF_ADDRESS)

    def in_turn(self, address: str, painted: Iterator[list[str]]) -> Iterator[list[str]]:
        """What `painted` gives, once it is the turn of `address`; before that nothing, again and again, so that whoever
        iterates can turn away. Raises `gr.Error` where too many of the address wait."""
        with told_as_errors(), closing(painted), self._waiting.held(address) as may_wait:  # type: ignore[type-var]
            if not may_wait:
                raise BusyError(
                    f"a call came while others wait; needed: at most {CALLS_WAITING_OF_ADDRESS} of one address and "
                    f"{CALLS_WAITING} in all. Send it when one of them is done."
                )
            yield []
            while not self._at_work.take(address):
                time.sleep(TURN_EVERY_S)
                yield []
            try:
                yield from painted
            finally:
                self._at_work.give_back(address)


def painted_files(
    open_session: Callable[[], Session],
    files: Sequence[str] | None,
    values: Mapping[str, Any],
    like: str | None = None,
) -> Iterator[list[str]]:
    """Paint the pictures `files` with one memory, like the one in the file `like` if there is one; gives the files of
    all that are painted so far: at once, then at least every `LOOK_EVERY_S` seconds, so that whoever iterates can turn
    away, and last when it is all of them.

    They lie in a folder that is removed when the iterator ends or is closed, and so is the session. Raises `gr.Error`.
    """
    # Here, not above: the page should not wait for torch.
    from pipeline.frames.codec import as_frame, unfitted

    with told_as_errors(), TemporaryDirectory(prefix="rearview-") as folder:
        sources = checked_files(files)
        settings = FrameSettings(**values)
        painted: list[str] = []
        yield painted
        with closing(open_session()) as session:
            if like is not None:
                session.be_like(Path(like).read_bytes())
            for number, source in enumerate(sources, start=1):
                # As bytes: the words of an error would tell where files lie here.
                frame = as_frame(source.read_bytes())
                asked = session.submit(frame, settings)
                while not wait([asked], LOOK_EVERY_S).done:
                    yield painted
                picture = unfitted(asked.result().picture, (frame.shape[1], frame.shape[0]), settings.fit)
                out = Path(folder) / f"{number:04d}-{source.stem[:60]}.png"
                Image.fromarray(picture).save(out)
                painted.append(str(out))
                yield painted


def checked_files(files: Sequence[str] | None) -> list[Path]:
    """The paths of pictures; raises `PictureError` for none or too many."""
    count = len(files or ())
    if not 0 < count <= MAXIMUM_PICTURES:
        raise PictureError(
            f"{count} pictures came; needed: 1 to {MAXIMUM_PICTURES} in one call. Send a video file for more."
        )
    return [Path(each) for each in files or ()]
