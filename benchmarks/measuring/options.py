"""Words of the benchmarks' command lines that need more than a type."""

from __future__ import annotations

import argparse


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers above 0 between commas, each once; raises `ArgumentTypeError` for anything else."""
    words = text.split(",")
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise argparse.ArgumentTypeError(f"came as {text!r}; needed: whole numbers above 0, such as 1,2,4,8")
    return tuple(dict.fromkeys(int(word) for word in words))
