"""A language is a file: it says all that the first one does, and a visitor's browser picks it."""

from __future__ import annotations

import re

import pytest

from demo.words import FIRST, LANGUAGES, language_of, spoken, word, word_or
from pipeline.settings import DECLARATIONS, RANGES, FrameSettings, resting
from tests.demo.test_studio import paths

OTHERS = sorted(LANGUAGES.keys() - {FIRST})
OWN = {f"settings.{name}.{part}" for name in DECLARATIONS for part in ("label", "help")} | {
    f"settings.{name}.unit" for name in RANGES
}


def text(language: str, path: str) -> str:
    with spoken(language):
        return word(path)


@pytest.mark.parametrize("language", OTHERS)
def test_another_language_has_every_word_with_the_same_places(language: str) -> None:
    own = {each for each in paths(LANGUAGES[language]) if not each.startswith("resting.")}
    assert own == paths(LANGUAGES[FIRST]) | OWN
    for path in paths(LANGUAGES[FIRST]):
        places = [set(re.findall(r"\{(\w+)\}", text(each, path))) for each in (FIRST, language)]
        assert places[0] == places[1], path


@pytest.mark.parametrize("language", OTHERS)
def test_another_language_says_of_every_setting_why_it_does_nothing(language: str) -> None:
    rests = resting(FrameSettings(guidance_kind="none", pipelined="on"), "none") | {"finer": ""}
    with spoken(language):
        assert all(word_or(f"resting.{name}", "") for name in rests)


@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        ("", "de-DE,de;q=0.9,en;q=0.8", "de"),
        ("", "fr;q=0.9, en;q=0.2, de;q=0.5", "de"),
        ("", "fr,*;q=0.1", "en"),
        ("", "", "en"),
        ("en", "de", "en"),
        ("de", "en", "de"),
        ("xx", "de", "de"),
        ("../en", "de;q=nothing, ;;,", "en"),
    ],
)
def test_the_browser_picks_and_the_address_goes_before_it(asked: str, accepted: str, language: str) -> None:
    assert language_of(asked, accepted) == language
