"""The kinds of video files that are written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import VideoError


@dataclass(frozen=True)
class Target:
    """How a kind of file is written: the container's and the encoder's name for FFmpeg, and the encoder's options."""

    container: str
    encoder: str
    options: dict[str, str] = field(default_factory=dict)


_X264 = ("libx264", {"preset": "veryfast", "crf": "18"})
_VP9 = ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "6", "row-mt": "1", "crf": "24"})
TARGETS: dict[str, Target] = {
    ".mp4": Target("mp4", *_X264),
    ".m4v": Target("mp4", *_X264),
    ".mov": Target("mov", *_X264),
    ".mkv": Target("matroska", *_X264),
    ".webm": Target("webm", *_VP9),
}
"""Suffix of the file to write -> how it is written."""


def target_of(out: Path) -> Target:
    """How the file `out` is written; raises `VideoError` for a suffix that is not in `TARGETS`."""
    if out.suffix.lower() not in TARGETS:
        raise VideoError(
            f"{out.name} came with the suffix {out.suffix!r}; needed: one of {', '.join(TARGETS)}. Rename it."
        )
    return TARGETS[out.suffix.lower()]
