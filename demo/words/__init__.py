"""The words that a visitor reads, a file a language: `en.json`, by their path, such as "status.idle".

Another language is another file, with all paths of `en.json`. Of settings, whose own words stand beside their ranges,
it has `settings.NAME.label`, `.help` and `.unit`, and `resting.NAME` for those that do nothing now; of what the engine
says, `engine` (`demo.words.engine`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

FIRST = "en"
LANGUAGES: dict[str, dict[str, Any]] = {
    each.stem: json.loads(each.read_text(encoding="utf-8")) for each in Path(__file__).resolve().parent.glob("*.json")
}
WORDS = LANGUAGES[FIRST]
ENGINE = "engine"

_spoken: ContextVar[str] = ContextVar("spoken", default=FIRST)


@contextmanager
def spoken(language: str) -> Iterator[None]:
    """While entered, and in whatever begins meanwhile, words are those of this language."""
    before = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(before)


def language_spoken() -> str:
    """The name of the language that is spoken."""
    return _spoken.get()


def words() -> dict[str, Any]:
    """All words of the language that is spoken, but for what the engine says."""
    return {name: group for name, group in LANGUAGES[language_spoken()].items() if name != ENGINE}


def word(path: str, **values: object) -> str:
    """The text at `path`, with `{name}` filled from `values`; raises `KeyError` for a path that there is not."""
    found: Any = words()
    for name in path.split("."):
        if not isinstance(found, dict):
            raise KeyError(f"{path} goes on behind a word; needed: a path that ends with one")
        found = found[name]
    if not isinstance(found, str):
        raise KeyError(f"{path} is a group of words; needed: one of {', '.join(found)}")
    return found.format(**values) if values else found


def word_or(path: str, otherwise: str) -> str:
    """The text at `path`, or `otherwise` where this language has none."""
    try:
        return word(path)
    except KeyError:
        return otherwise


def language_of(asked: str, accepted: str) -> str:
    """The language of a visitor: what they `asked` for if there is such a file, else the first that there is of what
    their browser `accepted` (RFC 9110, section 12.5.4)."""
    wishes = []
    for wish in accepted[:500].split(","):
        tag, _, weight = wish.partition(";")
        try:
            wishes.append((-float(weight.strip().removeprefix("q=") or 1), tag.strip()))
        except ValueError:
            continue
    names = [asked, *(tag for _, tag in sorted(wishes, key=lambda each: each[0]))]
    spoken_here = (name.partition("-")[0].lower() for name in names)
    return next((name for name in spoken_here if name in LANGUAGES), FIRST)
