"""A prompt in the notation of the web UIs, written as Compel reads it: `(word:1.3)`, `[word]`, `<lora:name:0.8>`.

Compel's own notation passes through. Signs that Compel would take for its own where they are plain are masked by signs
that no text has, until it has parsed: `plain` puts them back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.errors import PromptError

LESS = 0.909
"""What a pair of square brackets weighs: `1 / 1.1`, as in the web UIs."""
LONGEST_QUOTE = 40

_MASKED = '()[]"=+-'
_MASKS = str.maketrans({sign: chr(0xE000 + index) for index, sign in enumerate(_MASKED)})
_SIGNS = str.maketrans({chr(0xE000 + index): sign for index, sign in enumerate(_MASKED)})
_ESCAPES = str.maketrans({chr(0xE000 + index): f"\\{sign}" for index, sign in enumerate('()[]"')}) | {
    each: sign for each, sign in _SIGNS.items() if sign in "=+-"
}

_ESCAPED = re.compile(r"\\([()\[\]])")
_TAG = re.compile(r"<(lora|lyco|hypernet):([^<>:]+)((?::[^<>:]*)*)>")
_SCALE = re.compile(r":(?:unet=)?([+-]?(?:\d+\.?\d*|\.\d+))\s*(?=:|$)")
_PIECE = re.compile(r"[()\[\]]|[^()\[\]]+")
_WEIGHED = re.compile(r"(.*\S)\s*:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*", re.DOTALL)
_RATIO = re.compile(r".*\d:\d+\s*", re.DOTALL)
"""A clock's time, or a picture's shape."""
_CALL = re.compile(r"(?:[)\"]\s*\.\w+|\w\.(?:swap|attend)|(?:with|use)Lora)\s*$")
"""What stands before the parentheses of an operator of Compel's."""
_SIGNED = re.compile(r"[+-]+(?:\d|\.\d)[\d.]*")
_WEIGHT = re.compile(r"\d|\.\d|[+-]")
_HYPHEN = re.compile(r"[+-](?=\w)")
_OPERATOR = re.compile(r"\s*\.\w")
_PLAIN_SIGNS = re.compile(r"(\.\w+\s*\([^()]*\))|=|(?<![^\s(,])[+-]+")
_KEYWORD = re.compile(r"(?<!\S)(?:BREAK|AND)(?!\S)")


@dataclass(frozen=True)
class StyleTag:
    """A LoRA that a prompt asks for, and how much of it."""

    name: str
    scale: float


@dataclass(frozen=True)
class Reading:
    """A prompt as Compel is to parse it, with masks, the LoRA that it asks for, and a sentence for each notation that
    is read otherwise than it looks."""

    text: str
    styles: tuple[StyleTag, ...] = ()
    notes: tuple[str, ...] = ()


def plain(text: str) -> str:
    """A text with its masked signs put back."""
    return text.translate(_SIGNS)


def escaped(text: str) -> str:
    """The same as a person would write it for Compel."""
    return text.translate(_ESCAPES)


def reading(prompt: str) -> Reading:
    """How a prompt is read; raises `PromptError` for weights that there are not."""
    text, styles, notes = without_tags(prompt)
    text = _ESCAPED.sub(lambda match: match[1].translate(_MASKS), text)
    if text.count('"') == 1:
        text = text.translate({ord('"'): '"'.translate(_MASKS)})
    text, more = _Brackets(text).read()
    notes += more
    if keyword := _KEYWORD.search(text):
        notes.append(f'{keyword[0]} is read as a word. Write ("one", "other").and() for parts of a prompt.')
    text = _PLAIN_SIGNS.sub(lambda match: match[1] or match[0].translate(_MASKS), text)
    return Reading(text, tuple(styles), tuple(dict.fromkeys(notes)))


def without_tags(prompt: str) -> tuple[str, list[StyleTag], list[str]]:
    """A prompt without what stands in angle brackets, the LoRA in those, and sentences about the others."""
    styles, notes = [], []
    for kind, name, rest in _TAG.findall(prompt):
        scale = _SCALE.search(rest)
        if kind == "hypernet":
            notes.append(f"{quoted(f'<{kind}:{name}{rest}>')} does not act: there are no hypernetworks here.")
        else:
            styles.append(StyleTag(name.strip(), float(scale[1]) if scale else 1.0))
    return (_TAG.sub(" ", prompt).strip() if styles or notes else prompt), styles, notes


def named(name: str, styles: Iterable[str]) -> str | None:
    """The style of that name, large and small letters alike; none where there is none."""
    return next((each for each in styles if each.lower() == name.lower()), None)


def quoted(text: str) -> str:
    """A short text in quotes, for a sentence."""
    return f'"{text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 1] + "…"}"'


class _Brackets:
    """Reads a text from left to right and keeps, for each bracket that is open, what came since."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._open: list[tuple[str, str]] = []
        self._since = ""
        self._notes: dict[str, str] = {}

    def read(self) -> tuple[str, list[str]]:
        """The text with the web UIs' weights as Compel's, and sentences for what is read otherwise than it looks."""
        for match in _PIECE.finditer(self._text):
            piece, rest = match[0], self._text[match.end() : match.end() + 32]
            if piece in "([":
                self._open.append((self._since, piece))
                self._since = ""
            elif piece in ")]":
                self._close(piece, rest)
            else:
                self._since += self._opened_by_weight(piece)
        while self._open:
            self._leave_open()
        return self._since, list(self._notes.values())

    def _opened_by_weight(self, piece: str) -> str:
        """The hyphen of `(semi)-realistic` is none of Compel's weights."""
        if self._since.endswith(")") and _HYPHEN.match(piece):
            return piece[0].translate(_MASKS) + piece[1:]
        return piece

    def _close(self, piece: str, rest: str) -> None:
        if piece == "]":
            if not self._open or self._open[-1][1] != "[":
                self._since += piece.translate(_MASKS)
                return
        else:
            while self._open and self._open[-1][1] == "[":
                self._leave_open()
            if not self._open:
                self._since += piece
                return
        inside, (before, _) = self._since, self._open.pop()
        self._since = before
        self._add(inside, rest) if piece == ")" else self._add_less(inside, rest)

    def _leave_open(self) -> None:
        before, bracket = self._open.pop()
        self._since = before + (bracket.translate(_MASKS) if bracket == "[" else bracket) + self._since

    def _add(self, inside: str, rest: str) -> None:
        """What stands in parentheses."""
        whole = f"({inside})"
        if _CALL.search(self._since[-32:]):
            self._since += whole
        elif (weighed := _WEIGHED.fullmatch(inside)) and not _RATIO.fullmatch(inside):
            self._add_weighed(weighed[1], weighed[2], rest)
        elif signed := _SIGNED.match(rest):
            raise _no_weight(whole, signed[0], inside)
        elif _WEIGHT.match(rest) and not _HYPHEN.match(rest):
            self._since += self._gap() + whole
        else:
            outermost = not self._open and self._since[-1:] in _BEGINNINGS and not _OPERATOR.match(rest)
            if outermost and re.search(r"\w", inside):
                self._notes.setdefault(
                    "alone",
                    f"{quoted(plain(whole))} weighs no more than other words. Write (word:1.1) for more of it, or "
                    "\\( and \\) for the signs.",
                )
            self._since += whole

    def _add_weighed(self, words: str, weight: str, rest: str) -> None:
        if weight.startswith("-"):
            raise _no_weight(f"({words}:{weight})", weight, words)
        self._since += f"{self._gap()}({words}){weight.lstrip('+')}{'' if rest[:1] in _ENDS else ' '}"

    def _add_less(self, inside: str, rest: str) -> None:
        """What stands in square brackets."""
        editing = re.search(r"[|:]", inside)
        if editing or not re.search(r"\w", inside):
            if editing and re.search(r"\w", inside):
                self._notes.setdefault(
                    "editing",
                    f"{quoted(plain(f'[{inside}]'))} is read as words: a prompt does not change while a picture is "
                    "made. Use the second prompt and its slider.",
                )
            self._since += f"{'['.translate(_MASKS)}{inside}{']'.translate(_MASKS)}"
        else:
            self._add_weighed(inside.strip(), str(LESS), rest)

    def _gap(self) -> str:
        """Compel takes parentheses for signs of the word before them."""
        return "" if self._since[-1:] in _BEGINNINGS else " "


_BEGINNINGS = {"", " ", "\n", "\t", "(", '"', ","}
_ENDS = {"", " ", "\n", "\t", ")", "]", '"', ","}


def _no_weight(whole: str, weight: str, words: str) -> PromptError:
    return PromptError(
        f"the prompt came with {quoted(plain(whole))} and a weight of {weight}; needed: a number from 0, without a "
        f"sign, as in ({quoted(plain(words))[1:-1]}:0.5). What should not be seen goes into the negative prompt."
    )
