"""A language is a file: it says all that the first one does, and a visitor's browser picks it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.words import ENGINE, FIRST, LANGUAGES, language_of, spoken, word, word_or
from demo.words.engine import told
from pipeline.errors import RearviewError
from pipeline.frames.codec import as_frame
from pipeline.prompts.parsing import parsed
from pipeline.recording.recording import read_recording
from pipeline.settings import DECLARATIONS, RANGES, FrameSettings, SettingsError, resting
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
    own = {each for each in paths(LANGUAGES[language]) if not each.startswith(("resting.", f"{ENGINE}."))}
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


def said_by_the_engine() -> Iterator[str]:
    """Every text in its sources, with {} for whatever differs."""
    for file in sorted(Path("pipeline").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


@pytest.mark.parametrize("language", OTHERS)
def test_the_sentences_of_the_engine_are_those_that_it_says(language: str) -> None:
    places = re.compile(r"\{\w*\}")
    # Two places without a word between them are one to who reads the sentence.
    own = {re.sub(r"\(\{\}: \{\}\)", "({})", places.sub("{}", each)) for each in said_by_the_engine()}
    for sentence, text in LANGUAGES[language][ENGINE].items():
        assert places.sub("{}", sentence) in own
        assert set(places.findall(text)) <= set(places.findall(sentence))


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: parsed("a cat ("), "Im Prompt fehlt zu einer ( die andere."),
        (lambda: parsed("(cat)9000"), "das Gewicht 9000"),
        (lambda: read_recording(b"none"), "the recording ist nicht zu lesen"),
        (lambda: as_frame(b"none"), "Das Bild ist nicht zu lesen"),
        (lambda: FrameSettings().changed(memory="shelf"), "kann nicht 'shelf' sein"),
    ],
)
def test_what_the_engine_refuses_is_said_in_the_language_that_is_spoken(act: Callable[[], object], words: str) -> None:
    with pytest.raises((RearviewError, SettingsError)) as refused:
        act()
    assert told(refused.value) == str(refused.value)
    with spoken("de"):
        assert words in told(refused.value)


def test_a_sentence_inside_another_is_told_too_and_one_that_is_not_known_as_it_came() -> None:
    inside = "the recording's steps came as 9; needed: a whole number from 1 to 8 (steps). Move it into the range."
    with spoken("de"):
        label = word("settings.steps.label")
        assert told(inside).startswith(f"In der Aufnahme: „{label}“ liegt mit 9 außerhalb")
        assert told("a {braced} sentence") == "a {braced} sentence"
