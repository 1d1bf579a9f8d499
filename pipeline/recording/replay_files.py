"""Where a replay goes: a folder of pictures, a video, a GIF, or the last picture alone."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
from PIL import Image

from pipeline.errors import RecordingError
from pipeline.video.targets import TARGETS
from pipeline.video.writer import Silent, VideoWriter, even

if TYPE_CHECKING:
    from pipeline.frames.codec import Frame

LAST_MS = 1000
"""How long the last picture of a video or a GIF is shown."""
FASTEST_GIF_MS = 40
MOST_GIF_FRAMES = 1000
"""A GIF is put together at its end, from pictures that are kept until then."""
KINDS = f"a folder, or a file of {', '.join((*TARGETS, '.gif', '.png'))}"


class ReplayFile(Protocol):
    """What pictures are written to; a context manager that leaves no half of a file."""

    def __enter__(self) -> ReplayFile: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, ms: float, picture: Frame) -> None:
        """Take the picture `[H, W, 3]` that is shown from `ms` on; all are of one size, and `ms` only grows."""

    def commit(self) -> None:
        """Finish, with what there is."""


def check_out(out: Path) -> None:
    """Raise `RecordingError` unless a replay can be written to `out`."""
    if out.suffix.lower() not in ("", *TARGETS, ".gif", ".png"):
        raise RecordingError(f"{out.name} came with the suffix {out.suffix!r}; needed: {KINDS}. Rename it.")
    if not out.parent.is_dir():
        raise RecordingError(f"the folder {out.parent} is not there; needed: a folder to write {out.name} to. Make it.")
    if out.suffix and out.is_dir():
        raise RecordingError(f"{out} is a folder; needed: the name of a file. Choose another name.")
    if not out.suffix and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RecordingError(f"{out} is there already; needed: a new or an empty folder. Choose another name.")


def opened_file(out: Path) -> ReplayFile:
    """The way to write to `out`, which its suffix says."""
    kinds: dict[str, Callable[[Path], ReplayFile]] = {"": Folder, ".gif": Gif, ".png": LastPicture}
    return kinds.get(out.suffix.lower(), Video)(out)


class _Made:
    """A file that is made at its end, or not at all."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class Folder(_Made):
    """A folder of PNG files, numbered from 1 on."""

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self._count = 0

    def __enter__(self) -> Folder:
        self._out.mkdir(exist_ok=True)
        return self

    def write(self, ms: float, picture: Frame) -> None:
        """Write the next file."""
        self._count += 1
        Image.fromarray(picture).save(self._out / f"{self._count:05d}.png")

    def commit(self) -> None:
        """Nothing is left to do."""


class LastPicture(_Made):
    """A PNG of the last picture."""

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self._picture: Frame | None = None

    def __enter__(self) -> LastPicture:
        return self

    def write(self, ms: float, picture: Frame) -> None:
        """Keep the picture until the next one comes."""
        self._picture = picture

    def commit(self) -> None:
        """Write the file."""
        if self._picture is not None:
            self._out.write_bytes(encoded(Image.fromarray(self._picture), "PNG"))


class Gif(_Made):
    """An animated GIF, which goes round for ever."""

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self._times: list[float] = []
        self._pictures: list[Image.Image] = []

    def __enter__(self) -> Gif:
        return self

    def write(self, ms: float, picture: Frame) -> None:
        """Take a picture; one that comes too soon after the last takes its place. Raises `RecordingError` for more than
        a GIF may have."""
        image = Image.fromarray(picture).quantize(256)
        if self._times and ms - self._times[-1] < FASTEST_GIF_MS:
            self._pictures[-1] = image
            return
        if len(self._times) == MOST_GIF_FRAMES:
            raise RecordingError(
                f"the replay has more than {MOST_GIF_FRAMES} pictures; needed: fewer for a GIF. Write .mp4 or .webm."
            )
        self._times.append(ms)
        self._pictures.append(image)

    def commit(self) -> None:
        """Write the file."""
        if self._pictures:
            ends = [*self._times[1:], self._times[-1] + LAST_MS]
            shown = [round(end - start) for start, end in zip(self._times, ends, strict=True)]
            first, *others = self._pictures
            self._out.write_bytes(encoded(first, "GIF", append_images=others, duration=shown))


def encoded(image: Image.Image, kind: str, **more: object) -> bytes:
    """The bytes of an image file; those of an animation where `more` has other pictures."""
    buffer = BytesIO()
    animated = {"save_all": True, "loop": 0, **more} if more else {}
    image.save(buffer, kind, **animated)
    return buffer.getvalue()


class Video(_Made):
    """A video in which every picture has its own time; it begins with the first one."""

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self._writer: VideoWriter | None = None
        self._held: tuple[int, Frame] | None = None
        self._first: float | None = None

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.__exit__(kind, error, trace)

    def write(self, ms: float, picture: Frame) -> None:
        """Encode the last picture, whose end is known now, and hold this one."""
        self._first = ms if self._first is None else self._first
        time = round(ms - self._first)
        if self._held is not None:
            # Two of one millisecond cannot both be shown in turn.
            time = max(time, self._held[0] + 1)
            self._encode(time)
        self._held = time, picture

    def commit(self) -> None:
        """Finish the file."""
        if self._held is not None:
            self._encode(self._held[0] + LAST_MS)
        if self._writer is not None:
            self._writer.commit()

    def _encode(self, end: int) -> None:
        assert self._held is not None
        time, picture = self._held
        if self._writer is None:
            size = even((picture.shape[1], picture.shape[0]))
            self._writer = VideoWriter(self._out, size, None, Silent()).__enter__()
        self._writer.write(picture, time, end - time)


def beside(frame: Frame, picture: Frame) -> Frame:
    """The frame, at the picture's height, and the picture `[H, W, 3]` side by side."""
    height, width = picture.shape[:2]
    shown = frame
    if frame.shape != picture.shape:
        way = cv2.INTER_AREA if frame.shape[0] > height else cv2.INTER_CUBIC
        shown = np.asarray(cv2.resize(frame, (width, height), interpolation=way), np.uint8)
    return np.hstack([shown, picture])
