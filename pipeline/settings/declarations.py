"""What is known of one setting: its range or its choices, its words, and how a value is checked."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pipeline.settings.outside import shown


class SettingsError(ValueError):
    """A setting is out of its range or of the wrong type; the message says what came, what is needed, what to do."""


@dataclass(frozen=True)
class Range:
    """The declaration of one number: what a slider, a command line and a check need to know about it."""

    minimum: float
    maximum: float
    step: float
    unit: str
    label: str
    help: str
    integer: bool = False

    def check(self, name: str, value: Any) -> None:
        """Raise `SettingsError` unless `value` is a number inside the range."""
        wanted = "a whole number" if self.integer else "a number"
        need = f"{wanted} from {self.minimum:g} to {self.maximum:g}"
        # Not asked of a whole number: one of 400 digits is finite too, but no float.
        is_finite = isinstance(value, int) or (isinstance(value, float) and not self.integer and math.isfinite(value))
        if isinstance(value, bool) or not is_finite:
            raise SettingsError(f"{name} came as {shown(value)}; needed: {need} ({self.unit}). Send such a number.")
        if not self.minimum <= value <= self.maximum:
            came = f"{value:g}" if isinstance(value, float) else shown(value)
            raise SettingsError(f"{name} came as {came}; needed: {need} ({self.unit}). Move it into the range.")

    def parsed(self, name: str, text: str) -> float:
        """The number that a person wrote; raises `SettingsError`."""
        value: str | float = text
        # What is no number gets the sentence of `check`.
        with suppress(ValueError):
            value = int(text) if self.integer else float(text)
        self.check(name, value)
        return float(value) if not self.integer else int(value)


@dataclass(frozen=True)
class Text:
    """The declaration of one text."""

    maximum_length: int
    label: str
    help: str

    def check(self, name: str, value: Any) -> None:
        """Raise `SettingsError` unless `value` is a text that is short enough."""
        if not isinstance(value, str):
            raise SettingsError(f"{name} came as {type(value).__name__}; needed: text. Send a string.")
        if len(value) > self.maximum_length:
            raise SettingsError(
                f"{name} came with {len(value)} characters; needed: at most {self.maximum_length}. Shorten it."
            )
        if not _is_whole(value):
            raise SettingsError(f"{name} came with half a character; needed: whole ones. Write it again.")

    def parsed(self, name: str, text: str) -> str:
        """The text that a person wrote; raises `SettingsError`."""
        self.check(name, text)
        return text


@dataclass(frozen=True)
class Choice:
    """The declaration of one choice among a few words."""

    choices: tuple[str, ...]
    label: str
    help: str

    def check(self, name: str, value: Any) -> None:
        """Raise `SettingsError` unless `value` is one of the choices."""
        if value not in self.choices:
            raise SettingsError(f"{name} came as {shown(value)}; needed: one of {', '.join(self.choices)}. Choose one.")

    def parsed(self, name: str, text: str) -> str:
        """The choice that a person wrote; raises `SettingsError`."""
        self.check(name, text)
        return text


def _is_whole(text: str) -> bool:
    """Whether a text has no half of a surrogate pair, which no tokenizer and no socket takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def number_field(default: float | None, *args: Any, **kwargs: Any) -> Any:
    """A setting that is a number; the rest are the arguments of `Range`."""
    return field(default=default, metadata={"declaration": Range(*args, **kwargs)})


def choice_field(default: str, *args: Any) -> Any:
    """A setting that is a choice; the rest are the arguments of `Choice`."""
    return field(default=default, metadata={"declaration": Choice(*args)})


def text_field(default: str, *args: Any) -> Any:
    """A setting that is a text; the rest are the arguments of `Text`."""
    return field(default=default, metadata={"declaration": Text(*args)})
