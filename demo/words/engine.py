"""What the engine says, in other languages: it knows none, so its sentences are found again by what never changes in
them. A language has them in its file under `engine`, by the engine's own, with a `{name}` for whatever differs."""

from __future__ import annotations

import re
from functools import cache

from demo.words import ENGINE, LANGUAGES, language_spoken, word_or

_PLACE = re.compile(r"\{(\w+)\}")
REASON, SETTING = "reason", "setting"
"""The places in which another of the engine's sentences may stand, and the name of a setting."""


def told(said: object) -> str:
    """What an error or a notice of the engine says, in the language that is spoken, or as it came, where that has no
    such sentence."""
    sentence = str(said)
    for pattern, text in _sentences(language_spoken()):
        if found := pattern.fullmatch(sentence):
            places = found.groupdict()
            if REASON in places:
                places[REASON] = told(places[REASON])
            if SETTING in places:
                places[SETTING] = word_or(f"settings.{places[SETTING]}.label", places[SETTING])
            return text.format(**places)
    return sentence


@cache
def _sentences(language: str) -> list[tuple[re.Pattern[str], str]]:
    known: dict[str, str] = LANGUAGES[language].get(ENGINE, {})
    return [(re.compile(_pattern(sentence), re.DOTALL), text) for sentence, text in known.items()]


def _pattern(sentence: str) -> str:
    pieces = _PLACE.split(sentence)
    return "".join(f"(?P<{piece}>.+?)" if number % 2 else re.escape(piece) for number, piece in enumerate(pieces))
