"""The words that a visitor reads, in one file: `en.json`, by their path, such as "status.idle"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WORDS: dict[str, Any] = json.loads((Path(__file__).resolve().parent / "en.json").read_text(encoding="utf-8"))


def word(path: str, **values: object) -> str:
    """The text at `path`, with `{name}` filled from `values`; raises `KeyError` for a path that there is not."""
    found: Any = WORDS
    for name in path.split("."):
        found = found[name]
    if not isinstance(found, str):
        raise KeyError(f"{path} is a group of words; needed: one of {', '.join(found)}")
    return found.format(**values) if values else found
