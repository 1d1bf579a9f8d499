"""What of a picture's file is handed to its decoder: the parts that make pixels, counted before any is decoded.

Metadata, texts and later frames stay outside, where neither a decoder nor Pillow unpacks them; of all that they say
only the orientation and the colour profile are kept.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.frames.colour_profile import MOST_PROFILE_BYTES, inflated

MOST_SCANS = 64
"""Of a JPEG: each is a walk over all pixels, whatever it says. Encoders write about ten."""
MOST_SEGMENTS = 4096
MOST_TAGS = 512
MOST_STRIPS = 100_000
FREE_PARTS = 64
BYTES_A_PART = 256
"""A file may have so many parts, and one more for so many bytes: encoders write parts of kilobytes."""
MOST_TILE_PIXELS = 2048 * 2048
"""Of a TIFF: a tile is decoded whole, however little of it the picture shows."""

_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\x01\xd0-\xd7]")
_ALONE = (0x01, *range(0xD0, 0xD9))
_SOS, _EOI, _APP0, _APP1, _APP2, _APP14, _COM = 0xDA, 0xD9, 0xE0, 0xE1, 0xE2, 0xEE, 0xFE
_ICC = b"ICC_PROFILE\0"
_EXIF = b"Exif\0\0"
_ORIENTATION = 0x0112
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_PNG_UNPACKED = (b"zTXt", b"iTXt", b"iCCP")
_TIFF_BYTES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
"""Of one value of each type."""
_TIFF_INNER = (34665, 34853, 40965)
"""The directories inside the first one that Pillow reads."""
_TIFF_STRIPS = (273, 279, 324, 325)
_TILE_WIDTH, _TILE_LENGTH, _COMPRESSION = 322, 323, 259
_JPEG_INSIDE = (6, 7, 34892)
"""Compressions of a TIFF: each strip could walk over the same scans again."""


class PartsError(ValueError):
    """A file has more parts than a picture needs; the message says what came and what is needed."""


@dataclass(frozen=True)
class Parts:
    """What its decoder gets of a file, how it is turned (1 to 8, as Exif says), whether a decoder keeps more of it than
    its pixels, its size where Pillow works before it looks at that, and its colour profile."""

    data: bytes
    orientation: int = 1
    is_progressive: bool = False
    size: tuple[int, int] | None = None
    profile: bytes = b""


def parts_of(kind: str, data: bytes) -> Parts:
    """What of a file of such a kind (as Pillow calls it) makes pixels. Raises `PartsError`: what cannot
    be counted is not decoded."""
    try:
        return _READERS.get(kind, Parts)(data)
    except (struct.error, IndexError) as error:
        raise PartsError("it is cut off, or its parts have no order") from error


def check_scans_of_video(packet: bytes) -> None:
    """Raise `PartsError` where a packet of JPEGs in a video may have more than `MOST_SCANS` scans. It may hold two
    fields, so that all that begins like a scan counts, also in what a field keeps beside it."""
    _check("scans", packet.count(bytes([0xFF, _SOS])), MOST_SCANS)


def check_png_of_video(packet: bytes) -> None:
    """Raise `PartsError` where a PNG in a video has texts or profiles that its decoder would unpack to any length, or
    more parts than it needs."""
    _check_chunks_of_video(packet, len(_PNG_START))


def check_apng_of_video(packet: bytes) -> None:
    """The same of a packet of an animated PNG, which is chunks alone."""
    _check_chunks_of_video(packet, 0)


def _check_chunks_of_video(packet: bytes, first: int) -> None:
    for count, (name, _, _) in enumerate(_chunks(packet, first, ">I4s", name_first=False, trailer=4)):
        _check("chunks", count, FREE_PARTS + len(packet) // BYTES_A_PART)
        _check(f"{name!r} chunks", int(name in _PNG_UNPACKED), 0)


def _jpeg(data: bytes) -> Parts:
    kept, orientation, scans, first_scan, at = [data[:2]], 1, 0, None, 2
    profile: dict[int, bytes] = {}
    for _ in range(MOST_SEGMENTS):
        found = _JPEG_MARKER.search(data, at)
        if found is None:
            break
        at, marker = found.end(), data[found.end() - 1]
        if marker == _EOI:
            break
        if marker in _ALONE:
            continue
        (length,) = struct.unpack_from(">H", data, at)
        segment = data[at + 2 : at + length]
        if marker == _SOS:
            scans += 1
            first_scan = found.start() if first_scan is None else first_scan
            _check("scans", scans, MOST_SCANS)
        elif first_scan is None:
            if marker == _APP1 and segment.startswith(_EXIF) and orientation == 1:
                orientation = _orientation(segment[len(_EXIF) :])
            if marker == _APP2 and segment.startswith(_ICC):
                profile.setdefault(segment[len(_ICC)], segment[len(_ICC) + 2 :])
            if _is_kept_of_jpeg(marker, segment):
                kept.append(data[found.start() : at + length])
        at += max(length, 2)
    else:
        raise PartsError(f"it came with more than {MOST_SEGMENTS} segments; needed: at most that")
    if first_scan is None:
        return Parts(data[:2])
    whole = _bounded(b"".join(profile[number] for number in sorted(profile)))
    return Parts(b"".join([*kept, data[first_scan:]]), orientation, is_progressive=scans > 1, profile=whole)


def _bounded(profile: bytes) -> bytes:
    return profile if len(profile) <= MOST_PROFILE_BYTES else b""


def _is_kept_of_jpeg(marker: int, segment: bytes) -> bool:
    if marker == _APP0:
        return segment.startswith(b"JFIF\0")
    # Adobe's says how colours are written.
    return (marker == _APP14 and segment.startswith(b"Adobe")) or not (_APP0 <= marker <= 0xEF or marker == _COM)


def _png(data: bytes) -> Parts:
    kept, orientation, at = [_PNG_START], 1, len(_PNG_START)
    profile = b""
    for count, (name, start, end) in enumerate(_chunks(data, at, ">I4s", name_first=False, trailer=4)):
        _check("chunks", count, FREE_PARTS + len(data) // BYTES_A_PART)
        at = end
        if name == b"eXIf" and orientation == 1:
            orientation = _orientation(data[start + 8 : end - 4])
        if name == b"iCCP" and not profile:
            # A name, an end of it, and the only way to pack that there is.
            profile = inflated(data[start + 8 : end - 4].partition(b"\0")[2][1:])
        if name in _PNG_KEPT:
            kept.append(data[start:end])
        if name == b"IEND":
            return Parts(b"".join(kept), orientation, profile=profile)
    # Cut off: what it announces may still be said.
    cut = data[at:] if data[at + 4 : at + 8] in _PNG_KEPT else b""
    return Parts(b"".join([*kept, cut]), orientation, profile=profile)


def _webp(data: bytes) -> Parts:
    orientation, size, profile = 1, None, b""
    for count, (name, start, end) in enumerate(_chunks(data, 12, "<4sI", name_first=True, trailer=0)):
        _check("chunks", count, FREE_PARTS + len(data) // BYTES_A_PART)
        body = data[start + 8 : end]
        if name == b"EXIF" and orientation == 1:
            orientation = _orientation(body.removeprefix(_EXIF))
        if name == b"ICCP" and not profile:
            profile = _bounded(body)
        if size is None:
            size = _webp_size(name, body[:10])
    if size is None:
        raise PartsError("it says no size")
    return Parts(data, orientation, is_progressive=True, size=size, profile=profile)


def _webp_size(name: bytes, body: bytes) -> tuple[int, int] | None:
    if name == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if name == b"VP8 ":
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    if name == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def _chunks(data: bytes, at: int, form: str, *, name_first: bool, trailer: int) -> Iterator[tuple[bytes, int, int]]:
    """The name of each whole chunk, and where it begins and ends."""
    while at + 8 <= len(data):
        first, second = struct.unpack_from(form, data, at)
        name, length = (first, second) if name_first else (second, first)
        end = at + 8 + length + trailer
        if end > len(data):
            return
        yield name, at, end
        at = end + (length % 2 if name_first else 0)


def _gif(data: bytes) -> Parts:
    """The first frame, and what says how it is shown."""
    at = 13 + _gif_table_bytes(data[10])
    kept = [data[:at]]
    most = FREE_PARTS + len(data) // 16
    while data[at] == 0x21:
        end, most = _after_blocks(data, at + 2, most)
        if data[at + 1] == 0xF9:
            kept.append(data[at:end])
        at = end
    if data[at] != 0x2C:
        return Parts(data[: at + 1])
    end, _ = _after_blocks(data, at + 11 + _gif_table_bytes(data[at + 9]), most)
    return Parts(b"".join([*kept, data[at:end], b";"]))


def _gif_table_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(data: bytes, at: int, most: int) -> tuple[int, int]:
    """Where a row of blocks ends, and how many more there may be."""
    while data[at]:
        at += 1 + data[at]
        most -= 1
        if most < 0:
            raise PartsError("it came in tiny blocks; needed: ordinary ones")
    return at + 1, most


def _tiff(data: bytes) -> Parts:
    """The whole file: its directories are checked to read no byte of it twice."""
    order = "<" if data[:2] == b"II" else ">"
    is_big = struct.unpack_from(order + "H", data, 2)[0] == 43
    at = struct.unpack_from(order + ("Q" if is_big else "I"), data, 8 if is_big else 4)[0]
    left, waiting = len(data), [at]
    tags: dict[int, int] = {}
    for directory in waiting:
        for tag, length, value, count in _tags(data, directory, order, is_big):
            left -= length
            if left < 0:
                raise PartsError("its tags are longer than the file; needed: each byte read once")
            if tag in _TIFF_STRIPS:
                _check("strips", count, MOST_STRIPS)
            if directory == at:
                tags[tag] = value
                waiting += [value] * (tag in _TIFF_INNER and len(waiting) <= len(_TIFF_INNER))
    _check("pixels in a tile", tags.get(_TILE_WIDTH, 1) * tags.get(_TILE_LENGTH, 1), MOST_TILE_PIXELS)
    if tags.get(_COMPRESSION) in _JPEG_INSIDE:
        raise PartsError("it holds a JPEG; needed: that JPEG as a file of its own, or a TIFF without one")
    return Parts(data, is_progressive=True)


def _tags(data: bytes, at: int, order: str, is_big: bool) -> list[tuple[int, int, int, int]]:
    """Of each tag of a directory: its number, how many bytes its values have, where they lie (or the first one, where
    it is a whole number that lies in the directory), and how many they are."""
    (count,) = struct.unpack_from(order + ("Q" if is_big else "H"), data, at)
    _check("tags", count, MOST_TAGS)
    entry = struct.Struct(order + ("HHQ8s" if is_big else "HHI4s"))
    found = []
    for number in range(count):
        tag, kind, values, content = entry.unpack_from(data, at + (8 if is_big else 2) + number * entry.size)
        size = _TIFF_BYTES[kind] if kind < len(_TIFF_BYTES) else 0
        is_short = kind == 3 and values == 1
        value = (
            struct.unpack_from(order + "H", content)[0]
            if is_short
            else int.from_bytes(content, "little" if order == "<" else "big")
        )
        found.append((tag, size * values, value, values))
    return found


def _orientation(exif: bytes) -> int:
    """How a picture is turned, 1 where its Exif does not say."""
    try:
        order = "<" if exif[:2] == b"II" else ">"
        (at,) = struct.unpack_from(order + "I", exif, 4)
        turned = [value for tag, _, value, _ in _tags(exif, at, order, False) if tag == _ORIENTATION]
    except (struct.error, PartsError):
        return 1
    return turned[0] if turned and 1 <= turned[0] <= 8 else 1


def _check(name: str, count: int, most: int) -> None:
    if count > most:
        raise PartsError(f"it came with {count} {name}; needed: at most {most}")


_READERS: dict[str, Callable[[bytes], Parts]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "GIF": _gif,
    "TIFF": _tiff,
}
