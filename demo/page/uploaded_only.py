"""A page that takes files from those who send them, and fetches none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import gradio as gr

from demo.words import word

ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class UploadedOnly(gr.Blocks):
    """Blocks whose inputs name files that were uploaded. Gradio downloads whatever address stands as a file's path,
    whole, into any component; every way to call an event goes through `preprocess_data`."""

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any) -> Any:
        """As Gradio does it; raises `gr.Error` for an address in the place of a file."""
        if any(ADDRESS.match(path) for path in file_paths(inputs)):
            raise gr.Error(word("doors.no_address"), print_exception=False)
        return await super().preprocess_data(block_fn, inputs, *args, **kwargs)


def file_paths(data: Any) -> Iterator[str]:
    """What stands as the path of a file in `data`, at any depth of its lists and dicts."""
    left = [data]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            if isinstance(each.get("path"), str):
                yield each["path"]
            left.extend(each.values())
        elif isinstance(each, list | tuple):
            left.extend(each)
