"""Gradio's controls for settings, made from their declarations, and how what they say gets onto the live wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from demo.words import word, word_or
from pipeline.settings import CHOICES, DECLARATIONS, RANGES

quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""How an event of this page runs: at once, and unseen."""


def textbox(name: str, settings: dict[str, Any]) -> gr.Textbox:
    """The box of a text."""
    declaration = DECLARATIONS[name]
    return gr.Textbox(
        settings[name],
        label=label_of(name),
        info=word_or(f"settings.{name}.help", declaration.help),
        lines=1,
        max_lines=3,
        elem_id=name,
        min_width=240,
    )


def slider(name: str, settings: dict[str, Any]) -> gr.Slider:
    """The slider of a number."""
    each = RANGES[name]
    return gr.Slider(
        each.minimum,
        each.maximum,
        value=settings[name],
        step=each.step,
        label=label_of(name),
        info=help_of(name),
        elem_id=name,
        min_width=220,
        buttons=["reset"],
    )


def radio(name: str, settings: Mapping[str, Any], choices: Sequence[str] | None = None) -> gr.Radio:
    """The buttons of a choice: of all that is declared, or of those `choices` of it that there are."""
    declaration = CHOICES[name]
    return gr.Radio(
        list(choices or declaration.choices),
        value=settings[name],
        label=label_of(name),
        info=word_or(f"settings.{name}.help", declaration.help),
        elem_id=name,
        min_width=220,
    )


def label_of(name: str) -> str:
    """What a setting is called."""
    return word_or(f"settings.{name}.label", DECLARATIONS[name].label)


def help_of(name: str) -> str:
    """What a number does, and its unit."""
    each = RANGES[name]
    unit = word("page.unit", unit=word_or(f"settings.{name}.unit", each.unit))
    return f"{word_or(f'settings.{name}.help', each.help)} {unit}"


def send_changes(component: Any, name: str) -> None:
    """Let every change of `component`, by hand or by the page, go straight to the live wire."""
    js = f"(value) => {{ window.rearview?.set({{ {name}: value }}); }}"
    for event in (component.input, component.change):
        event(fn=None, js=js, inputs=component, **quiet)
