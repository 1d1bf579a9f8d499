"""The tab that paints a recording again: with more steps, larger, under other words, by the model of this page."""

from __future__ import annotations

import html
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from demo.page.shares import Shares
from demo.words import word
from demo.words.engine import told
from pipeline.compute.host import give_freed_memory_back
from pipeline.errors import RearviewError
from pipeline.recording.archive import SUFFIX
from pipeline.recording.moments import moment_count
from pipeline.recording.recording import Recording, read_recording
from pipeline.recording.replay import replaying, written
from pipeline.settings import RANGES, SettingsError

if TYPE_CHECKING:
    from pipeline import Engine

logger = logging.getLogger(__name__)

MOST_FRAMES = 1800
SIDES = (256, 384, 512, 768)
LOOK_EVERY_S = 0.5
AT_ONCE = 2
OF_ADDRESS = 1
"""Recordings that are painted at once, of all visitors together and of one address."""
READABLE = (RearviewError, SettingsError)


@dataclass(frozen=True)
class Wanted:
    """How a recording is to be painted; `None` and empty words stand for what was recorded."""

    steps: int | None = None
    side: int | None = None
    memory: str | None = None
    prompt: str = ""
    strokes: bool = False
    side_by_side: bool = False

    @property
    def changes(self) -> dict[str, Any]:
        """The settings that go before the recorded ones."""
        named = {"steps": self.steps, "memory": self.memory, "prompt": self.prompt.strip() or None}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True)
class View:
    """What the tab shows at one moment: a sentence, and at the end the video and the last picture."""

    status: str
    running: bool = False
    video: Path | None = None
    picture: Path | None = None


def painted_again(
    engine: Engine, file: Path, wanted: Wanted, every_s: float = LOOK_EVERY_S, party: str = ""
) -> Iterator[View]:
    """Paint the recording in `file` for a party of the fair order, and tell how far it is, at most once in `every_s`
    seconds. The files of the last view are there until the next is asked for."""
    try:
        recording = read_recording(file)
        total = moment_count(recording, strokes=wanted.strokes)
        if total is not None and total > MOST_FRAMES:
            yield View(word("render.too_long", frames=MOST_FRAMES))
            return
        with TemporaryDirectory(prefix="rearview-") as folder:
            yield from _painted_into(Path(folder), engine, recording, wanted, total, every_s, party)
    except READABLE as error:
        yield View(told(error))
    except Exception:  # the person gets a sentence, the log the rest
        logger.exception("a recording failed")
        yield View(word("render.failed"))
    finally:
        give_freed_memory_back()


def _painted_into(
    folder: Path, engine: Engine, recording: Recording, wanted: Wanted, total: int | None, every_s: float, party: str
) -> Iterator[View]:
    video, picture = folder / "painted-again.mp4", folder / "painted-again.png"
    side = wanted.side
    size = (side, side) if side else recording.size
    frames = replaying(engine, recording, wanted.changes, size=size, strokes=wanted.strokes, party=party)
    count, told_at, last, began = 0, 0.0, None, time.monotonic()
    with closing(frames), closing(written(frames, video, side_by_side=wanted.side_by_side)) as painted:
        for each in painted:
            if each is None:
                # Nothing is new, but whoever has turned away is found out only by a view.
                if time.monotonic() - max(told_at, began) >= LOOK_EVERY_S:
                    told_at = time.monotonic()
                    yield View(_progress(count, total), running=True)
                continue
            count, last = count + 1, each.translation.picture
            if count > MOST_FRAMES:
                yield View(word("render.too_long", frames=MOST_FRAMES))
                return
            if time.monotonic() - told_at >= every_s:
                told_at = time.monotonic()
                yield View(_progress(count, total), running=True)
    if last is not None:
        Image.fromarray(last).save(picture)
    yield View(_outcome(count, recording, engine), video=video, picture=picture)


def _progress(done: int, total: int | None) -> str:
    return word("render.progress", done=done) if total is None else word("render.progress_of", done=done, all=total)


def _outcome(frames: int, recording: Recording, engine: Engine) -> str:
    count = word("render.one_frame") if frames == 1 else word("render.frames", frames=frames)
    if recording.model == engine.model.name:
        return word("render.done", count=count)
    return word("render.done_other", count=count, recorded=recording.model, model=engine.model.title)


def build_replay_tab(engine: Engine, address_of: Callable[[gr.Request], str]) -> None:
    """The components of the tab, and what they do; `address_of` says whose share an event counts in."""
    places = Shares(AT_ONCE, OF_ADDRESS)
    same = word("render.as_recorded")
    idle = word("render.idle", frames=MOST_FRAMES, model=engine.model.title)
    steps_range = RANGES["steps"]
    steps_choices = [same, *(str(each) for each in range(int(steps_range.minimum), int(steps_range.maximum) + 1))]
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            file = gr.File(label=word("render.file"), file_types=[SUFFIX], elem_id="render_file")
            prompt = gr.Textbox(label=word("render.prompt"), info=word("render.prompt_help"), elem_id="render_prompt")
            with gr.Row():
                steps = gr.Dropdown(steps_choices, value=same, label=word("render.steps"), elem_id="render_steps")
                size = gr.Dropdown(
                    [same, *(str(side) for side in SIDES if engine.sizes.allows((side, side)))],
                    value=same,
                    label=word("render.size"),
                    info=word("render.size_help"),
                    elem_id="render_size",
                )
                memory = gr.Dropdown(
                    [same, *engine.memory_names], value=same, label=word("render.memory"), elem_id="render_memory"
                )
            strokes = gr.Checkbox(
                label=word("render.strokes"), info=word("render.strokes_help"), elem_id="render_strokes"
            )
            beside = gr.Checkbox(label=word("render.side_by_side"), elem_id="render_beside")
            with gr.Row():
                start = gr.Button(word("render.start"), variant="primary", elem_id="render_start", min_width=140)
                stop = gr.Button(word("render.stop"), interactive=False, elem_id="render_stop", min_width=80)
            status = gr.HTML(_status_html(idle), elem_id="render_status")
        with gr.Column(scale=3, min_width=320):
            video = gr.Video(
                label=word("render.result"),
                interactive=False,
                visible=False,
                buttons=["download"],
                elem_id="render_video",
            )
            picture = gr.DownloadButton(word("render.picture"), visible=False, elem_id="render_picture")

    def updates(view: View) -> tuple[Any, ...]:
        files = [str(each) if each else None for each in (view.video, view.picture)]
        return (
            gr.update(interactive=not view.running),
            gr.update(interactive=view.running),
            _status_html(view.status),
            *(gr.update(value=each, visible=each is not None) for each in files),
        )

    def paint(
        request: gr.Request,
        source: str | None,
        words: str | None,
        chosen_steps: str,
        chosen_size: str,
        chosen_memory: str,
        draws: bool,
        both: bool,
    ) -> Iterator[tuple[Any, ...]]:
        if source is None:
            yield updates(View(word("render.no_file")))
            return
        numbers = [None if each == same else int(each) for each in (chosen_steps, chosen_size)]
        kept = None if chosen_memory == same else chosen_memory
        # A script's call may hold nothing where the page holds a text.
        wanted = Wanted(*numbers, kept, words or "", draws, both)
        with places.held(address_of(request)) as has_place:
            if not has_place:
                yield updates(View(word("render.busy")))
                return
            for view in painted_again(engine, Path(source), wanted, party=address_of(request)):
                yield updates(view)

    outputs = [start, stop, status, video, picture]
    run = start.click(
        paint,
        [file, prompt, steps, size, memory, strokes, beside],
        outputs,
        show_progress="hidden",
        api_visibility="private",
        # The places count themselves: Gradio would let one address fill its line.
        concurrency_limit=None,
    )
    stop.click(
        lambda: updates(View(idle)), None, outputs, cancels=[run], show_progress="hidden", api_visibility="private"
    )


def _status_html(sentence: str) -> str:
    """The sentence, read out by screen readers when it changes."""
    return f'<p class="rv-video-status" role="status">{html.escape(sentence)}</p>'
