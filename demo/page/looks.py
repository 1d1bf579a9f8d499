"""What a visitor asks for: the prompt, styles as cards, times of day and a second prompt. And what the studio's scripts
know of it, so that a preset, a link or a saved picture can put all settings back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo import VERSION
from demo.page.controls import label_of, quiet, radio, send_changes, slider, textbox
from demo.page.presets import AS_DRAWN, STYLES, TIMES, chosen, compose
from demo.words import word
from pipeline.settings import DECLARATIONS, Choice, Range, Text

CARDS = "settings/styles.webp"
"""The cards' pictures in one row, a file of the studio; `python -m examples.paint_gallery --thumbnails` paints it."""
CARD_SIZE = (160, 112)
"""Width and height of one of them, in pixels."""

SUBMITTED = "(prompt) => { window.rearview?.submitted(prompt); }"
LEFT = "(prompt) => { window.rearview?.remember(prompt); }"
APPLIED = "apply"
"""The event with which the studio asks the controls to show its settings."""


@dataclass(frozen=True)
class Looks:
    """The controls of what is asked for."""

    prompt: gr.Textbox
    style: gr.Radio
    time: gr.Radio


def build_looks(settings: dict[str, Any]) -> Looks:
    """The part of the page for what is asked for, beginning with `settings`."""
    style, time = chosen(settings["prompt"])
    return Looks(
        textbox("prompt", settings),
        style=_pick("styles", {name: word(f"styles.{name}") for name in STYLES}, style, "rv-cards"),
        time=_pick("times", {name: word(f"times.{name}") for name in (AS_DRAWN, *TIMES)}, time, "rv-pills"),
    )


def _pick(name: str, labels: dict[str, str], value: str | None, look: str) -> gr.Radio:
    return gr.Radio(
        [(label, choice) for choice, label in labels.items()],
        value=value,
        label=word(f"looks.{name}"),
        show_label=False,
        container=False,
        elem_id=name,
        elem_classes=look,
    )


def build_other_prompts(settings: dict[str, Any]) -> dict[str, gr.components.Component]:
    """What is steered away from, the second prompt, and how far the picture goes towards it, by the names of their
    settings."""
    components: dict[str, gr.components.Component] = {"negative_prompt": textbox("negative_prompt", settings)}
    # Open at first: what a closed accordion holds is not on the page at all, and scripts look for every setting.
    with gr.Accordion(word("looks.blend"), open=True, elem_id="blend"):
        return components | {
            "second_prompt": textbox("second_prompt", settings),
            "prompt_blend": slider("prompt_blend", settings),
            "prompt_curve": radio("prompt_curve", settings),
        }


def wire_looks(looks: Looks) -> None:
    """Let style and time find their places in the prompt and follow it; tell the studio which prompts were meant."""
    send_changes(looks.prompt, "prompt")
    for each in (looks.style, looks.time):
        composed = each.input(compose, [looks.prompt, looks.style, looks.time], looks.prompt, **quiet)
        composed.success(fn=None, js=SUBMITTED, inputs=looks.prompt, **quiet)
    looks.prompt.submit(fn=None, js=SUBMITTED, inputs=looks.prompt, **quiet)
    looks.prompt.blur(fn=None, js=LEFT, inputs=looks.prompt, **quiet)
    looks.prompt.change(chosen, looks.prompt, [looks.style, looks.time], trigger_mode="always_last", **quiet)


def wire_applying(canvas: gr.HTML, controls: dict[str, gr.components.Component]) -> None:
    """Let `controls` (by the names of their settings) show what the studio has, whenever it asks for that."""
    getattr(canvas, APPLIED)(
        fn=None, js=f"() => window.rearview.shown({list(controls)})", outputs=list(controls.values()), **quiet
    )


def studio_facts(subjects: Sequence[str] = (), sure_guess: float | None = None) -> dict[str, Any]:
    """What the studio's scripts need for surprises, presets, links, saved pictures, for the names of things that they
    offer while a prompt is typed; and from which probability on what the server says of a drawing is sure, where it
    says anything."""
    facts = {"styles": STYLES, "times": TIMES, "declarations": declarations(), "version": VERSION}
    return facts | {"subjects": list(subjects), "sure_guess": sure_guess}


def declarations() -> dict[str, dict[str, Any]]:
    """Every setting's declaration as plain data: its label, and a range, a length, or choices."""
    return {name: _plain(name, declaration) for name, declaration in DECLARATIONS.items()}


def _plain(name: str, declaration: Range | Text | Choice) -> dict[str, Any]:
    if isinstance(declaration, Range):
        limits = {"minimum": declaration.minimum, "maximum": declaration.maximum, "integer": declaration.integer}
    elif isinstance(declaration, Text):
        limits = {"maximum_length": declaration.maximum_length}
    else:
        limits = {"choices": list(declaration.choices)}
    return {"label": label_of(name), **limits}
