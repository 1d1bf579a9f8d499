"""The parts of a multipart upload: files, and nothing beside them that would be held in memory."""

from __future__ import annotations

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.formparsers import MultiPartException

from demo.words import word

FORM = b"multipart/form-data"
FILES_FIELD = b"files"
"""Gradio's word. A part of another name is a file that nobody takes and nobody deletes, or a text that is held."""

DISPOSITION = b"content-disposition"


class Parts:
    """Reads a body before Gradio does, piece by piece, and keeps nothing of it but the head of the part it is at."""

    def __init__(self, boundary: bytes) -> None:
        self.files = 0
        self.is_whole = False
        self._name, self._value, self._disposition = b"", b"", b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._read_name,
                "on_header_value": self._read_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_head,
                "on_end": self._end,
            },
        )

    def read(self, piece: bytes) -> None:
        """Raises `MultiPartException` for what is no part of an upload of files."""
        try:
            self._parser.write(piece)
        except MultipartParseError as error:
            raise MultiPartException(word("doors.parts")) from error

    def _begin(self) -> None:
        self._disposition = b""

    def _read_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _read_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._name.lower() == DISPOSITION:
            self._disposition = self._value
        self._name, self._value = b"", b""

    def _end_head(self) -> None:
        _, options = parse_options_header(self._disposition)
        if options.get(b"name") != FILES_FIELD or b"filename" not in options:
            raise MultiPartException(word("doors.parts"))
        self.files += 1

    def _end(self) -> None:
        self.is_whole = True


def parts_of(content_type: str) -> Parts | None:
    """The reader of an upload's body, or `None` where its header does not say how its parts are parted."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    return Parts(boundary) if kind == FORM and boundary else None
