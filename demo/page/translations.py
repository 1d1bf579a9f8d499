"""The page in other languages: it is built once more in each, and what differs goes into what Gradio tells of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from jinja2.utils import htmlsafe_json_dumps

from demo.words import FIRST, LANGUAGES, spoken

Differences = list[tuple[int, str, Any]]
"""The place of a component among all, the name of what differs, and what it is."""

BEGINS, ENDS = "window.gradio_config = ", ";</script>"


def translations(build: Callable[[], gr.Blocks], first: gr.Blocks) -> dict[str, Callable[[bytes], bytes]]:
    """For each other language what makes the page, or its description, of the `first` language's one."""
    plain = _parts(first)
    made: dict[str, Callable[[bytes], bytes]] = {}
    for language in LANGUAGES.keys() - {FIRST}:
        with spoken(language):
            other = build()
            parts = _parts(other)
        differences = [
            (at, name, value)
            for at, (ours, theirs) in enumerate(zip(plain, parts, strict=True))
            for name, value in theirs.items()
            if ours.get(name) != value
        ]
        made[language] = _translator(language, differences)
    return made


def _parts(page: gr.Blocks) -> list[Mapping[str, Any]]:
    async def described() -> Any:
        return page.get_config_file()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        # Gradio makes a loop that it never closes where none is running.
        config: Any = asyncio.run(described())
    else:
        config = page.get_config_file()
    return [each["props"] for each in json.loads(json.dumps(config, default=str))["components"]]


def _translator(language: str, differences: Differences) -> Callable[[bytes], bytes]:
    def translated(content: bytes) -> bytes:
        text = content.decode()
        before, begins, rest = text.partition(BEGINS)
        if not begins:
            return json.dumps(_with(json.loads(text), differences)).encode()
        config, ends, after = rest.partition(ENDS)
        said = str(htmlsafe_json_dumps(_with(json.loads(config), differences)))
        return (before.replace('lang="en"', f'lang="{language}"', 1) + begins + said + ends + after).encode()

    return translated


def _with(config: dict[str, Any], differences: Differences) -> dict[str, Any]:
    # Whoever has yet to sign in is told of no components.
    if "components" not in config:
        return config
    for at, name, value in differences:
        config["components"][at]["props"][name] = value
    return config
