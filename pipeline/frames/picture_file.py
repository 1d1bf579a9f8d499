"""The one door for pictures that come as files, from anywhere: what they announce is bounded before it is decoded."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO

from PIL import Image

from pipeline.errors import RearviewError
from pipeline.frames.picture_parts import PartsError, parts_of

# What Pillow's readers raise on a file that is truncated or made up.
READ_ERRORS = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, zlib.error)
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)

_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"P": "PPM",
}
_OTHERS = {
    b"ftypavi": "AVIF",
    b"ftyphe": "HEIC",
    b"ftypmif1": "HEIF",
    b"ftypmsf1": "HEIF",
    b"ftyp": "a video",
    b"\xff\x0a": "JPEG XL",
    b"JXL \r\n": "JPEG XL",
    b"jP  \r\n": "JPEG 2000",
    b"<svg": "SVG",
    b"<?xml": "SVG or other text",
    b"\x1aE\xdf\xa3": "a video",
    b"8BPS": "a Photoshop file",
    b"%PDF": "a PDF",
}
"""What people send instead, by what its first bytes hold."""
_EXIF = struct.Struct("<10sIHHHIII")
"""One directory with one short number, and no directory after it."""
_SLOW_DECODERS = ("ppm", "ppm_plain", "bmp_rle")
MOST_SLOW_PIXELS, MOST_SLOW_BYTES = 2**20, 2**21
"""Of what Pillow decodes in Python, pixel by pixel."""

LARGE_BYTES = 64 * 2**20
LARGE_PATIENCE_S = 30.0
_LARGE = threading.Lock()
"""What takes much memory is decoded one at a time; what the live wire takes is never large, and never waits."""
_PIXEL_BYTES, _PROGRESSIVE_PIXEL_BYTES = 8, 12
"""While a picture is decoded and made RGB; a progressive one is kept as coefficients besides."""


class UnreadablePictureError(ValueError):
    """A file is no picture that is read; the message says why."""


class LargePictureError(ValueError):
    """A picture has more pixels than it may; the message says how many."""

    def __init__(self, width: int, height: int) -> None:
        """No width and height where Pillow has not told them."""
        super().__init__(f"{width} x {height} pixels" if width else "far too many pixels")
        self.width, self.height = width, height


@contextmanager
def opened_picture(
    data: bytes, formats: Sequence[str], most_pixels: int, most_side: int | None = None
) -> Iterator[Image.Image]:
    """A picture whose header was read and is in bounds, to be decoded while this is open; its Exif holds how it is
    turned, and nothing else, and its colour profile is bounded. Raises `LargePictureError` or `UnreadablePictureError`,
    for all that is raised inside too."""
    try:
        with ExitStack() as stack:
            yield _opened(data, formats, most_pixels, most_side, stack)
    except (LargePictureError, UnreadablePictureError, RearviewError):
        raise
    except _BOMBS as error:
        raise LargePictureError(0, 0) from error
    except PartsError as error:
        raise UnreadablePictureError(str(error)) from error
    except READ_ERRORS as error:
        raise UnreadablePictureError(f"{type(error).__name__}: {str(error)[:200]}") from error


def _opened(
    data: bytes, formats: Sequence[str], most_pixels: int, most_side: int | None, stack: ExitStack
) -> Image.Image:
    kind = _kind_of(data)
    if kind is None or kind not in formats:
        other = next((name for start, name in _OTHERS.items() if start in data[:32]), None)
        raise UnreadablePictureError(f"it is {other}" if other else "it begins like none of them")
    parts = parts_of(kind, data)
    if parts.size is not None:
        # Its decoder takes room for all pixels as it is opened.
        _check_size(parts.size, most_pixels, most_side)
        _wait_if_large(parts.size, _PROGRESSIVE_PIXEL_BYTES, stack)
    image = stack.enter_context(Image.open(BytesIO(parts.data), formats=(kind,)))
    _check_size(image.size, most_pixels, most_side)
    _check_slow(image, len(data))
    if parts.size is None:
        _wait_if_large(image.size, _PROGRESSIVE_PIXEL_BYTES if parts.is_progressive else _PIXEL_BYTES, stack)
    if kind != "TIFF":
        # Pillow turns a TIFF by itself, and finds its profile.
        image.info["icc_profile"] = parts.profile
        image.info["exif"] = _EXIF.pack(b"Exif\0\0II*\0", 8, 1, 0x0112, 3, 1, parts.orientation, 0)
    return image


def _kind_of(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for start, kind in _STARTS.items() if data.startswith(start)), None)


def _check_size(size: tuple[int, int], most_pixels: int, most_side: int | None) -> None:
    width, height = size
    if width * height > most_pixels or (most_side is not None and max(size) > most_side):
        raise LargePictureError(width, height)


def _check_slow(image: Image.Image, length: int) -> None:
    is_slow = any(tile[0] in _SLOW_DECODERS for tile in getattr(image, "tile", ()))
    if is_slow and (image.width * image.height > MOST_SLOW_PIXELS or length > MOST_SLOW_BYTES):
        raise UnreadablePictureError(f"it came in a slow form; needed: at most {MOST_SLOW_PIXELS} pixels of it")


def _wait_if_large(size: tuple[int, int], pixel_bytes: int, stack: ExitStack) -> None:
    if size[0] * size[1] * pixel_bytes > LARGE_BYTES:
        if not _LARGE.acquire(timeout=LARGE_PATIENCE_S):
            raise UnreadablePictureError("other large pictures are being read; needed: a moment")
        stack.callback(_LARGE.release)
