"""Which sounds a kind of file can hold, found out by beginning such a file, and a place for one in a file."""

from __future__ import annotations

import io
from collections.abc import Collection
from typing import Any

import av
from av.container.output import OutputContainer
from av.error import FFmpegError

from pipeline.video.targets import TARGETS

USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""Channels -> what FFmpeg takes them for where a file gives their number alone, as AVI and Matroska do."""

KEPT_TAGS = ("language", "title")


def added_sound(container: OutputContainer, sound: Any) -> Any:
    """A place in `container` for packets of the stream `sound`; raises `ValueError` where its kind has none for it."""
    stream = container.add_stream_from_template(sound)
    channels = sound.codec_context.channels
    if sound.codec_context.layout.name == f"{channels} channels" and channels in USUAL_LAYOUTS:
        stream.codec_context.layout = USUAL_LAYOUTS[channels]
    stream.metadata.update({name: text for name, text in sound.metadata.items() if name in KEPT_TAGS})
    stream.disposition = sound.disposition
    return stream


def can_hold(suffix: str, sound: Any) -> bool:
    """Whether files of this suffix can hold the stream `sound`. Many refuse only once they begin."""
    try:
        with av.open(io.BytesIO(), "w", format=TARGETS[suffix].container) as container:
            added_sound(container, sound)
            container.start_encoding()
    except (ValueError, FFmpegError):
        return False
    return True


def left_out(sound: Any, suffix: str, kinds: Collection[str]) -> str:
    """A sentence on a sound that files of `suffix` cannot hold, with one of `kinds` that can, if any does."""
    name = sound.codec_context.name if sound.codec_context else "unknown"
    # Matroska first: it holds most.
    others = sorted((each for each in kinds if can_hold(each, sound)), key=lambda each: each != ".mkv")
    advice = f" Write {others[0]} to keep it." if others else ""
    return f"the sound ({name}) is left out: {suffix} files cannot hold it.{advice}"
