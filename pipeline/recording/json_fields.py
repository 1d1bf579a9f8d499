"""The fields of a JSON object that a stranger wrote, each checked as it is read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import RecordingError
from pipeline.settings import shown

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Fields:
    """A JSON object and where it stands, such as "event 3". Every method raises `RecordingError` for a field that is
    missing or is not what it has to be."""

    where: str
    values: Mapping[str, Any]

    @classmethod
    def of(cls, where: str, value: Any) -> Fields:
        """The fields of `value`, which has to be an object."""
        if not isinstance(value, dict):
            raise refused(where, value, "a JSON object")
        return cls(where, value)

    def of_name(self, name: str) -> str:
        """Where the field `name` stands."""
        return f"{name} of {self.where}"

    def number(self, name: str, least: float, most: float) -> float:
        """A finite number from `least` to `most`."""
        return checked_number(self.of_name(name), self.values.get(name), least, most)

    def whole(self, name: str, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise refused(self.of_name(name), value, f"a whole number from {least} to {most}")
        return value

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self.values.get(name)
        if not isinstance(value, bool):
            raise refused(self.of_name(name), value, "true or false")
        return value

    def text(self, name: str, longest: int) -> str:
        """A text of at most `longest` characters; empty where there is none."""
        value = self.values.get(name, "")
        if not isinstance(value, str) or len(value) > longest:
            raise refused(self.of_name(name), value, f"a text of at most {longest} characters")
        return value

    def word(self, name: str, words: Sequence[str]) -> str:
        """One of `words`."""
        value = self.values.get(name)
        if not isinstance(value, str) or value not in words:
            raise refused(self.of_name(name), value, f"one of {', '.join(words)}")
        return value

    def colour(self, name: str) -> tuple[int, int, int]:
        """A colour "#rrggbb" as red, green and blue, 0..255 each."""
        value = self.values.get(name)
        if not isinstance(value, str) or _COLOUR.fullmatch(value) is None:
            raise refused(self.of_name(name), value, "a colour such as #d63a34")
        return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)

    def name(self, name: str, pattern: str) -> str:
        """A name that fits `pattern`, a regular expression, as a whole."""
        value = self.values.get(name)
        if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
            raise refused(self.of_name(name), value, f"a name such as {pattern}")
        return value

    def numbers(self, name: str, count: int, least: float, most: float) -> tuple[float, ...]:
        """A list of `count` finite numbers from `least` to `most`."""
        return checked_numbers(self.of_name(name), self.values.get(name), count, least, most)

    def items(self, name: str, least: int, most: int) -> list[Any]:
        """A list of `least` to `most` items."""
        value = self.values.get(name)
        if not isinstance(value, list) or not least <= len(value) <= most:
            came = f"a list of {len(value)}" if isinstance(value, list) else value
            raise refused(self.of_name(name), came, f"a list of {least} to {most}")
        return value

    def object(self, name: str) -> Fields:
        """Another object; an empty one where there is none."""
        return Fields.of(self.of_name(name), self.values.get(name, {}))


def checked_number(where: str, value: Any, least: float, most: float) -> float:
    """`value` if it is a finite number from `least` to `most`; raises `RecordingError`."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or (isinstance(value, float) and not math.isfinite(value)) or not least <= value <= most:
        raise refused(where, value, f"a number from {least:g} to {most:g}")
    return float(value)


def checked_numbers(where: str, value: Any, count: int, least: float, most: float) -> tuple[float, ...]:
    """`value` if it is a list of `count` finite numbers from `least` to `most`; raises `RecordingError`."""
    if not isinstance(value, list) or len(value) != count:
        raise refused(where, value, f"a list of {count} numbers")
    return tuple(checked_number(where, each, least, most) for each in value)


def refused(where: str, came: Any, needed: str) -> RecordingError:
    """What to raise for a field that is not what it has to be."""
    return RecordingError(f"{where} came as {shown(came)}; needed: {needed}. Record it again, or mend the file.")
