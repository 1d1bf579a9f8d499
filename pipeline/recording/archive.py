"""The zip of a recording, which a stranger wrote: what it announces is checked before any of it is unpacked."""

from __future__ import annotations

import re
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import RecordingError
from pipeline.recording.json_fields import refused

SUFFIX = ".rearview"
CONTENTS = "recording.json"
_NAME = re.compile(r"recording\.json|(frames|images)/[A-Za-z0-9_-]{1,60}\.(png|jpg|webp)")

MOST_BYTES = 512 * 2**20
"""Of all files of the zip together, unpacked."""
MOST_TEXT_BYTES = 32 * 2**20
MOST_FILES = 20_000
MOST_GROWTH = 32
GROWTH_FREE_BYTES = 4 * 2**20
"""Pictures are packed already: all together they unpack to so many bytes for each of the file, and these besides."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Others are unpacked by zipfile without a bound (BZIP2 and LZMA take no greatest length)."""
_MOST_ENTRY_BYTES = 512
"""Of a file's line in the directory: our names have 70, and tools add times and owners."""

_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE, _ENTRY_SIGNATURE, _ZIP64_SIGNATURE = b"PK\x05\x06", b"PK\x01\x02", b"PK\x06\x07"
_ZIP64_LOCATOR_BYTES = 20
_ENCRYPTED = 0x1


def unpacked(name: str, file: BinaryIO) -> dict[str, bytes]:
    """The files of the zip `name` by their names, each and all together no larger than they may be. Raises
    `RecordingError`, and what zipfile raises on what is none."""
    length = _check_directory(name, file)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        _check_entries(name, entries, length)
        # No more than announced is unpacked, and what differs fails its checksum.
        files = {entry.filename: _content(archive, entry) for entry in entries}
    if CONTENTS not in files:
        raise RecordingError(f"{name} came without {CONTENTS}; needed: a {SUFFIX} file. Choose another file.")
    return files


def opened(source: Path | BinaryIO) -> BinaryIO:
    """A file to read, from where it lies or as it is."""
    return source.open("rb") if isinstance(source, Path) else source


def _check_directory(name: str, file: BinaryIO) -> int:
    """The length of the file, if its directory is as long as its files need: zipfile reads all of it at once."""
    length = file.seek(0, 2)
    tail_at = max(0, length - _END.size - _ZIP64_LOCATOR_BYTES)
    file.seek(tail_at)
    tail = file.read()
    if len(tail) < _END.size or not tail[-_END.size :].startswith(_END_SIGNATURE) or tail[-2:] != b"\0\0":
        raise zipfile.BadZipFile("its end is missing")
    *_, count, size, offset, _ = _END.unpack(tail[-_END.size :])
    if tail[: -_END.size].startswith(_ZIP64_SIGNATURE):
        raise refused(f"the zip of {name}", "ZIP64", "an ordinary zip, which holds all that a recording may")
    _check_count(name, count)
    if size > count * _MOST_ENTRY_BYTES:
        raise refused(f"the directory of {name}", f"{size} bytes", f"at most {count * _MOST_ENTRY_BYTES}")
    file.seek(max(0, length - _END.size - size))
    _check_count(name, file.read(size).count(_ENTRY_SIGNATURE))
    file.seek(0)
    return length


def _check_count(name: str, count: int) -> None:
    if count > MOST_FILES + 1:
        raise RecordingError(f"{name} came with {count} files; needed: at most {MOST_FILES}. Record less.")


def _check_entries(name: str, entries: list[zipfile.ZipInfo], length: int) -> None:
    names: set[str] = set()
    for entry in entries:
        if _NAME.fullmatch(entry.filename) is None or entry.filename in names:
            raise refused(f"a file in {name}", entry.filename, f"{CONTENTS}, frames/ and images/, each name once")
        names.add(entry.filename)
        if entry.compress_type not in METHODS or entry.flag_bits & _ENCRYPTED:
            came = f"packed by method {entry.compress_type}" + ", encrypted" * (entry.flag_bits & _ENCRYPTED)
            raise refused(f"{entry.filename} of {name}", came, "stored or deflated, without a password")
        if entry.filename == CONTENTS and entry.file_size > MOST_TEXT_BYTES:
            raise refused(f"{CONTENTS} of {name}", f"{entry.file_size} bytes", f"at most {MOST_TEXT_BYTES}")
    pictures = sum(entry.file_size for entry in entries if entry.filename != CONTENTS)
    most = min(MOST_BYTES, GROWTH_FREE_BYTES + MOST_GROWTH * length)
    if pictures > most:
        raise RecordingError(f"{name} unpacks to more than {most} bytes; needed: at most that. Record less.")


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    # With a length: without one zipfile inflates up to a gigabyte before it looks at what was announced.
    with archive.open(entry) as packed:
        return packed.read(entry.file_size)
