"""The words that call a LoRA's style, by a file beside it or by its own notes."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST_TRIGGERS = 6
LONGEST_TRIGGER = 60
LARGEST_SIDECAR = 64 * 1024


def triggers_of(file: Path, notes: Mapping[str, str]) -> tuple[str, ...]:
    """The words that call a style: from a `.txt` or `.json` beside the file, else the file's trigger phrase, else the
    most frequent tags of its training."""
    for phrases in (beside(file), listed(notes.get("modelspec.trigger_phrase", "")), frequent_tags(notes)):
        cleaned = dict.fromkeys(" ".join(each.split())[:LONGEST_TRIGGER] for each in phrases)
        triggers = tuple(each for each in cleaned if each and each.isprintable())
        if triggers:
            return triggers[:MOST_TRIGGERS]
    return ()


def listed(text: str) -> list[str]:
    """The phrases of a text that has them in lines or between commas."""
    return re.split(r"[,\n]", text)


def beside(file: Path) -> list[str]:
    """The phrases in a file of the same name that ends in `.txt` or `.json`; the latter as A1111's page or Civitai
    write them."""
    for suffix in (".txt", ".json"):
        text = _text_of(file.with_suffix(suffix))
        if text and suffix == ".txt":
            return listed(text)
        described = _json_of(text) if text else {}
        for key in ("activation text", "trainedWords", "trigger_words"):
            value = described.get(key)
            if isinstance(value, str):
                return listed(value)
            if isinstance(value, list):
                return [each for each in value if isinstance(each, str)]
    return []


def frequent_tags(notes: Mapping[str, str]) -> list[str]:
    """The tags that sd-scripts counted in all sets of training pictures, most frequent first."""
    counts: Counter[str] = Counter()
    for tags in _json_of(notes.get("ss_tag_frequency", "")).values():
        if isinstance(tags, dict):
            counts.update({tag: count for tag, count in tags.items() if isinstance(count, int)})
    return [tag for tag, _ in counts.most_common(MOST_TRIGGERS)]


def _text_of(file: Path) -> str:
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            return opened.read(LARGEST_SIDECAR)
    except OSError:
        return ""


def _json_of(text: str) -> dict[str, Any]:
    """The object that `text` holds; an empty one where it holds none: notes are only suggestions."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
