"""A visit in one small file, `.rearview`: what was drawn or filmed, every change of settings, and the seed.

A zip of `recording.json`, the frames as they were sent, and the pictures that were drawn on. Nothing of it is believed
before it is checked, and nothing of it is run.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image

from pipeline.calls.runtimes import PYTORCH
from pipeline.errors import RecordingError
from pipeline.frames.picture_file import LargePictureError, UnreadablePictureError, opened_picture
from pipeline.recording.archive import CONTENTS, SUFFIX, opened, unpacked
from pipeline.recording.json_fields import Fields, refused
from pipeline.recording.operations import LONGEST_MS, Operation, Pasted, described, operation_of, tidy
from pipeline.settings import MAXIMUM_SEED, FrameSettings, JsonError, SettingsError, parsed_json

if TYPE_CHECKING:
    from pipeline.frames.codec import Frame

FORMAT = "rearview-recording"
VERSION = 1
FRAME_NAME = r"frames/[A-Za-z0-9_-]{1,60}\.(png|jpg)"

MOST_FILE_BYTES = 256 * 2**20
MOST_EVENTS = 200_000
MOST_VALUES = 2_000_000
"""Of the JSON: a pen's point takes five, so that two hours of drawing fit; each takes up to 120 bytes in memory."""
MOST_SIDE = 4096
MOST_PIXELS = 2048 * 2048
"""Of one picture: as the live wire takes it."""
FORMATS = ("JPEG", "PNG", "WEBP")
LONGEST_NAME = 200

# What zipfile raises on a file that is broken or made up.
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError)
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class SettingsChanged:
    """From the next frame on these settings are others; `ms` since the recording began, as in every event."""

    ms: float
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Forgotten:
    """The next frame knows nothing of those before it."""

    ms: float


@dataclass(frozen=True)
class FrameSent:
    """A frame that was painted: the name of its picture among the recording's files."""

    ms: float
    image: str


@dataclass(frozen=True)
class Drawn:
    """An operation on the drawing that began now."""

    ms: float
    operation: Operation


@dataclass(frozen=True)
class Rested:
    """The picture of the last frame came once more, finer."""

    ms: float


@dataclass(frozen=True)
class Liked:
    """From the next frame on pictures are to be like this one, by its name among the recording's files; empty: like
    none."""

    ms: float
    image: str


Event: TypeAlias = SettingsChanged | Forgotten | FrameSent | Drawn | Rested | Liked


@dataclass(frozen=True, eq=False)
class Recording:
    """What happened, and what it happened to. A recording begins with a session that knows nothing of the past.

    `size` is (width, height) in pixels, `seed` the session's; `settings` are those at the start, over the defaults of
    the model; `control` names what held the pictures to the lines, if anything, `adapter` what made them like others,
    `decoder` what drew them in the place of the model's own, `runtime` what made the calls. `files` has the bytes of
    every picture that an event names.
    """

    model: str
    size: tuple[int, int]
    seed: int
    events: tuple[Event, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    memory: str = "feature-bank"
    control: str | None = None
    adapter: str | None = None
    decoder: str | None = None
    runtime: str = PYTORCH
    model_title: str = ""
    title: str = ""

    @property
    def has_frames(self) -> bool:
        """Whether it can be replayed frame by frame, exactly."""
        return any(isinstance(event, FrameSent) for event in self.events)

    @property
    def has_strokes(self) -> bool:
        """Whether it can be drawn once more."""
        return any(isinstance(event, Drawn) for event in self.events)

    def picture(self, name: str) -> Frame:
        """One of its pictures, `uint8 [H, W, 3]`, read as the live wire reads frames; raises `RecordingError`."""
        return self._pixels(name, "RGB")

    def cutting(self, name: str) -> Frame:
        """One of its pictures with its opacity, `uint8 [H, W, 4]`; raises `RecordingError`."""
        return self._pixels(name, "RGBA")

    def _pixels(self, name: str, mode: str) -> Frame:
        with _opened(name, self.files[name]) as image:
            return np.asarray(image.convert(mode))


def read_recording(source: Path | bytes) -> Recording:
    """The recording in a file, or in the bytes of one; raises `RecordingError`."""
    name = source.name if isinstance(source, Path) else "the recording"
    try:
        length = source.stat().st_size if isinstance(source, Path) else len(source)
        if length > MOST_FILE_BYTES:
            raise RecordingError(f"{name} came with {length} bytes; needed: at most {MOST_FILE_BYTES}. Record less.")
        with opened(source if isinstance(source, Path) else BytesIO(source)) as file:
            files = unpacked(name, file)
    except RecordingError:
        raise
    except _BROKEN_ZIP as error:
        why = f"{type(error).__name__}: {str(error)[:100]}"
        raise RecordingError(
            f"{name} cannot be read ({why}); needed: a whole {SUFFIX} file. Check the name, or save it again."
        ) from error
    return recording_of(_parsed(files.pop(CONTENTS)), files)


def recording_of(contents: Any, files: Mapping[str, bytes]) -> Recording:
    """The recording that `contents`, the parsed JSON, and `files` describe; raises `RecordingError`."""
    fields = Fields.of(CONTENTS, contents)
    _check_version(fields)
    model = fields.object("model")
    events = tuple(_events(fields.items("events", 1, MOST_EVENTS)))
    width, height = (int(each) for each in fields.numbers("size", 2, 1, MOST_SIDE))
    recording = Recording(
        model=model.text("name", LONGEST_NAME) or "auto",
        model_title=model.text("title", LONGEST_NAME),
        title=fields.text("title", LONGEST_NAME),
        memory=fields.text("memory", LONGEST_NAME) or "feature-bank",
        control=fields.text("control", LONGEST_NAME) or None,
        adapter=fields.text("adapter", LONGEST_NAME) or None,
        decoder=fields.text("decoder", LONGEST_NAME) or None,
        runtime=fields.text("runtime", LONGEST_NAME) or PYTORCH,
        size=(width, height),
        seed=fields.whole("seed", 0, MAXIMUM_SEED),
        settings=fields.object("settings").values,
        events=events,
        files={name: _found(name, files) for name in sorted(_named(events))},
    )
    _check_settings(recording)
    for name, data in recording.files.items():
        with _opened(name, data):
            pass
    return recording


def packed(recording: Recording) -> bytes:
    """The bytes of a file that holds a recording: the same ones for the same recording."""
    contents = json.dumps(_contents(recording), separators=(",", ":"), allow_nan=False)
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        _add(archive, CONTENTS, contents.encode(), zipfile.ZIP_DEFLATED)
        for name, data in recording.files.items():
            _add(archive, name, data, zipfile.ZIP_STORED)
    return buffer.getvalue()


def _contents(recording: Recording) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "title": recording.title,
        "model": {"name": recording.model, "title": recording.model_title},
        "memory": recording.memory,
        "control": recording.control or "",
        **({"adapter": recording.adapter} if recording.adapter else {}),
        **({"decoder": recording.decoder} if recording.decoder else {}),
        **({} if recording.runtime == PYTORCH else {"runtime": recording.runtime}),
        "size": list(recording.size),
        "seed": recording.seed,
        "settings": dict(recording.settings),
        "events": [_event_json(event) for event in recording.events],
    }


def _event_json(event: Event) -> dict[str, Any]:
    time = {"t": tidy(event.ms)}
    if isinstance(event, SettingsChanged):
        return {**time, "type": "set", "settings": dict(event.settings)}
    if isinstance(event, FrameSent):
        return {**time, "type": "frame", "image": event.image}
    if isinstance(event, Liked):
        return {**time, "type": "like", "image": event.image}
    if isinstance(event, Drawn):
        return {**time, "type": "draw", "op": described(event.operation)}
    return {**time, "type": "rest" if isinstance(event, Rested) else "reset"}


def _add(archive: zipfile.ZipFile, name: str, data: bytes, method: int) -> None:
    archive.writestr(zipfile.ZipInfo(name, _ZIP_DATE), data, method)


def _parsed(text: bytes) -> Any:
    try:
        return parsed_json(text, MOST_VALUES)
    except JsonError as error:
        raise RecordingError(f"{CONTENTS} is no JSON of ours ({error}); needed: JSON. Record it again.") from error


def _check_version(fields: Fields) -> None:
    if fields.values.get("format") != FORMAT:
        raise refused(fields.of_name("format"), fields.values.get("format"), FORMAT)
    version = fields.whole("version", 1, 10**6)
    if version > VERSION:
        raise RecordingError(
            f"the recording came in version {version}; needed: at most {VERSION}. Replay it with a newer Rearview."
        )


def _events(items: Iterable[Any]) -> Iterable[Event]:
    """The events, whose times may not go back."""
    last = 0.0
    for number, item in enumerate(items):
        fields = Fields.of(f"event {number + 1}", item)
        last = fields.number("t", last, LONGEST_MS)
        kind = fields.word("type", ("set", "reset", "frame", "rest", "like", "draw"))
        if kind == "set":
            yield SettingsChanged(last, fields.object("settings").values)
        elif kind == "reset":
            yield Forgotten(last)
        elif kind == "frame":
            yield FrameSent(last, fields.name("image", FRAME_NAME))
        elif kind == "rest":
            yield Rested(last)
        elif kind == "like":
            yield Liked(last, fields.name("image", FRAME_NAME) if fields.values.get("image") else "")
        else:
            yield Drawn(last, operation_of(f"the operation of event {number + 1}", fields.values.get("op")))


def _named(events: Iterable[Event]) -> set[str]:
    """The names of all pictures that are needed."""
    frames = {event.image for event in events if isinstance(event, FrameSent | Liked) and event.image}
    operations = (event.operation for event in events if isinstance(event, Drawn))
    return frames | {each.image for each in operations if isinstance(each, Pasted)}


def _found(name: str, files: Mapping[str, bytes]) -> bytes:
    if name not in files:
        raise RecordingError(f"the recording came without {name}, which it names; needed: all of it. Record it again.")
    return files[name]


def _check_settings(recording: Recording) -> None:
    try:
        settings = FrameSettings().changed(**recording.settings)
        for event in recording.events:
            if isinstance(event, SettingsChanged):
                settings = settings.changed(**event.settings)
    except (SettingsError, TypeError) as error:
        raise RecordingError(f"the recording's {error}") from error


@contextmanager
def _opened(name: str, data: bytes) -> Iterator[Image.Image]:
    """A picture whose header was read; raises `RecordingError` where its pixels are not to be, or cannot."""
    try:
        with opened_picture(data, FORMATS, MOST_PIXELS, MOST_SIDE) as image:
            yield image
    except LargePictureError as error:
        raise RecordingError(
            f"{name} came with {error}; needed: at most {MOST_SIDE} a side and "
            f"{MOST_PIXELS} in all. Record smaller pictures."
        ) from error
    except UnreadablePictureError as error:
        raise _unreadable(name) from error


def _unreadable(name: str) -> RecordingError:
    return RecordingError(
        f"{name} cannot be read as a picture; needed: a whole {', '.join(FORMATS)} file. Record it again."
    )
