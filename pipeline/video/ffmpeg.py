"""What reading and writing a video file have in common: numbers that FFmpeg knows, and its errors in words."""

from __future__ import annotations

from fractions import Fraction

from av.error import FFmpegError

GUESSED_RATE = Fraction(25)
BT709 = 1


def reason_of(error: OSError | FFmpegError) -> str:
    """What the system or FFmpeg says, in a few words without paths."""
    return error.strerror or type(error).__name__
