"""The row above the pictures: paint live on a lent GPU, see how long it lasts, stop, go on."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo.live.live import Live
from demo.space.lent.call import CALL_S, PAINTED_S
from demo.space.lent.engine import Call, LentSession
from demo.words import word
from demo.words.engine import told
from pipeline.errors import RearviewError

DUPLICATE = "https://huggingface.co/spaces/{space}?duplicate=true"

WHEN_LIVE = """(status) => {
  const live = status.includes('data-live="yes"');
  if (live && !window.rearviewLent) window.rearview?.again();
  window.rearviewLent = live;
}"""
"""The newest drawing is sent once more as soon as somebody paints it."""


@dataclass(frozen=True)
class Row:
    """The parts of the row."""

    start: gr.Button
    stop: gr.Button
    status: gr.HTML


def built_row(space: str) -> Row:
    """The row, at rest; `space` is the Space's own name (USER/NAME), which can be duplicated."""
    with gr.Row(elem_id="lent_row", equal_height=False):
        small: dict[str, Any] = {"size": "md", "scale": 0}
        name = word("lent.start", seconds=CALL_S)
        start = gr.Button(name, variant="primary", elem_id="lent_start", min_width=190, **small)
        stop = gr.Button(word("lent.stop"), interactive=False, elem_id="lent_stop", min_width=90, **small)
        status = gr.HTML(status_html(word("lent.quota")), apply_default_css=False, elem_id="lent_status", min_width=320)
        link = DUPLICATE.format(space=space)
        gr.Button(word("zero.duplicate"), link=link, link_target="_blank", elem_id="duplicate", min_width=230, **small)
    return Row(start, stop, status)


def wire_row(row: Row, page: gr.Blocks, live: Live, call: Call, calls: int) -> None:
    """Let the row's buttons lend a GPU to their visitor, for at most `calls` visitors at once."""

    def session_of(request: gr.Request) -> LentSession | None:
        visitor = live.reception.visitors.get(str(request.session_hash))
        return visitor.session if visitor and isinstance(visitor.session, LentSession) else None

    def paint(request: gr.Request) -> Iterator[dict[Any, Any]]:
        session = session_of(request)
        if session is None:
            yield updates(row, word("lent.no_place"))
            return
        yield updates(row, word("lent.waiting"), runs=True)
        try:
            for sentence, is_live in sentences(session, call):
                yield updates(row, sentence, runs=is_live, live=is_live)
        except RearviewError as error:
            yield updates(row, told(error))
        except gr.Error as error:
            # Of the host: no time left for today, or no GPU within a minute. It shows that by itself as well.
            yield updates(row, str(error.message))
            raise

    def stop(request: gr.Request) -> None:
        session = session_of(request)
        if session is not None:
            session.stop()

    row.start.click(
        paint,
        None,
        [row.start, row.stop, row.status],
        show_progress="hidden",
        api_visibility="private",
        concurrency_limit=calls,
        trigger_mode="once",
    )
    row.stop.click(stop, queue=False, show_progress="hidden", api_visibility="private")
    row.status.change(fn=None, js=WHEN_LIVE, inputs=row.status, show_progress="hidden", api_visibility="private")


def sentences(session: LentSession, call: Call) -> Iterator[tuple[str, bool]]:
    """What the row says while a call paints, once a second, and at last; and whether it is still live."""
    told, rested = -1, False
    for news in session.painted(call, PAINTED_S):
        if isinstance(news, bool):
            rested = news
        elif (left := max(0, math.ceil(news))) != told:
            told = left
            yield word("lent.left", seconds=left), True
    yield word("lent.rested" if rested else "lent.over"), False


def updates(row: Row, sentence: str, runs: bool = False, live: bool = False) -> dict[Any, Any]:
    """What a moment changes on the page."""
    return {
        row.start: gr.update(interactive=not runs),
        row.stop: gr.update(interactive=live),
        row.status: status_html(sentence, live),
    }


def status_html(sentence: str, live: bool = False) -> str:
    """A polite line for whoever sees or hears it."""
    state = "yes" if live else "no"
    return f'<p class="rv-note" role="status" data-live="{state}">{html.escape(sentence)}</p>'
