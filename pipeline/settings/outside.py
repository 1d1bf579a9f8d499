"""Words from outside: JSON with a bound on what it becomes in memory, and how a sentence shows a value."""

from __future__ import annotations

import json
import re
import reprlib
from typing import Any

_MARKS = b",[{:"
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")
_SHOWN = 60
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = _SHOWN
_BRIEF.maxlevel = 3


class JsonError(ValueError):
    """A text is no JSON, or is more than is read."""


def parsed_json(text: str | bytes, most_values: int) -> Any:
    """What a JSON text says; raises `JsonError` for more than `most_values` values (counted before it is parsed, by the
    marks between them: an empty list of three bytes takes sixty), and for half a surrogate pair, which nothing can
    send on."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    values = sum(data.count(mark) for mark in _MARKS)
    if values > most_values:
        raise JsonError(f"about {values} values came; needed: at most {most_values}")
    try:
        value = json.loads(data)
        if _HALF_PAIR.search(data):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise JsonError("it is nested too deeply") from error
    except ValueError as error:
        raise JsonError(str(error)[:100]) from error
    return value


def shown(value: Any) -> str:
    """A value as a sentence shows it: short, however long or deep it is."""
    text = _BRIEF.repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
