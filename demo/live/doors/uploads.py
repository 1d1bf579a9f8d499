"""What strangers may send to Gradio's routes: how much, how slowly, and that what breaks off leaves nothing."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from gradio.utils import get_upload_folder
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.live import gate
from demo.live.doors.leftovers import sweep
from demo.live.doors.parts import Parts, parts_of
from demo.live.limits import HostLimits
from demo.words import word

UPLOAD_PATH = "/gradio_api/upload"
COUNTED_FOR_S = 3600.0
"""How long what was sent counts for its sender; the page keeps files for about as long."""

PATIENCE_S = 20.0
SENT_WITHIN_S = 900.0
LEAST_BYTES_A_SECOND = 2048
"""What a sender we have waited for longer than `PATIENCE_S` in all has to have come up to: the slowest of phones do."""

FILE_COSTS = 64 * 1024
"""What each file of an upload counts for at least: an empty one takes its place on the disk too."""

SWEEP_EVERY_S = 600.0
LARGEST_WORDS = 4 * 1024 * 1024
"""Of a request that is no upload, unless the page's own messages may be larger."""


class Sent:
    """How many bytes each address has sent lately, and all of them together."""

    def __init__(self, most: int, most_of_address: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._clock = clock
        # By the minute, so that a thousand small pieces are no more to remember than a large one.
        self._minutes: dict[int, Counter[str]] = {}
        self._of_address: Counter[str] = Counter()

    def room_for(self, address: str) -> int:
        """How many bytes more `address` may send now."""
        self._forget_before(self._clock() - COUNTED_FOR_S)
        return min(self._most - self._of_address.total(), self._most_of_address - self._of_address[address])

    def add(self, address: str, size: int) -> None:
        """Count what came now."""
        minute = int(self._clock() // 60)
        self._minutes.setdefault(minute, Counter())[address] += size
        self._of_address[address] += size

    def _forget_before(self, moment: float) -> None:
        for minute in [each for each in self._minutes if 60 * (each + 1) < moment]:
            # Whoever has nothing left to count is forgotten.
            self._of_address -= self._minutes.pop(minute)


class BoundedBodies:
    """ASGI middleware around Gradio's app: the body of every request is bounded in bytes and in time."""

    def __init__(self, app: ASGIApp, limits: HostLimits, behind_proxy: bool) -> None:
        self._app = app
        self._behind_proxy = behind_proxy
        self._largest_words = max(LARGEST_WORDS, limits.message_bytes)
        self._sent = Sent(limits.upload_bytes, limits.upload_bytes_per_address)
        self._swept_at = -SWEEP_EVERY_S

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, self._bounded(scope, receive), send)
        finally:
            if is_upload(scope):
                await self._sweep()

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """`receive` that raises as soon as a body is too large, too slow or broken off, and says nothing of what comes
        after it. Gradio deletes what it has written of an upload only where the parser of its parts fails."""
        address = gate.address_of(HTTPConnection(scope), self._behind_proxy)
        content_type = Headers(scope=scope).get("content-type", "")
        is_form = content_type.lower().lstrip().startswith("multipart/")
        uploads = is_upload(scope)
        parts = parts_of(content_type) if uploads else None
        until = time.monotonic() + SENT_WITHIN_S
        size, waited_s, is_whole = 0, 0.0, False

        async def received() -> Message:
            nonlocal size, waited_s, is_whole
            if is_whole:
                return await receive()
            begun = time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), min(patience_s(size, waited_s), max(0.0, until - begun)))
            except asyncio.TimeoutError:
                raise refusal(is_form, 408, word("doors.slow")) from None
            # Only while we wait: how long we take ourselves is not the sender's pace.
            waited_s += time.monotonic() - begun
            if message["type"] == "http.disconnect":
                if is_form:
                    raise MultiPartException("The upload broke off.")
                return message
            is_whole = not message.get("more_body", False)
            body = message.get("body", b"")
            size += len(body)
            if uploads:
                self._take(address, len(body), is_form)
                if parts is not None:
                    self._read(parts, body, address, is_whole)
            elif size > self._largest_words:
                raise refusal(is_form, 413, word("doors.large", size=self._largest_words // 1024))
            return message

        return received

    def _read(self, parts: Parts, body: bytes, address: str, is_last: bool) -> None:
        """Raises `MultiPartException` where an upload is more than files, or ends before its end: Gradio would keep
        what it has written of a file that has no end."""
        files = parts.files
        parts.read(body)
        self._take(address, FILE_COSTS * (parts.files - files), is_form=True)
        if is_last and not parts.is_whole:
            raise MultiPartException(word("doors.parts"))

    async def _sweep(self) -> None:
        """Now and then after an upload, so that what uploads leave goes as long as there are any."""
        if time.monotonic() - self._swept_at >= SWEEP_EVERY_S:
            self._swept_at = time.monotonic()
            await asyncio.to_thread(sweep, Path(get_upload_folder()), time.time())

    def _take(self, address: str, size: int, is_form: bool) -> None:
        if size > self._sent.room_for(address):
            raise refusal(is_form, 413, word("doors.uploads"))
        self._sent.add(address, size)


def is_upload(scope: Scope) -> bool:
    """Whether a request sends files."""
    return bool(scope["path"].rstrip("/").endswith(UPLOAD_PATH))


def patience_s(size: int, waited_s: float) -> float:
    """How long to wait for the next piece of a body of which `size` bytes have come in `waited_s` seconds of waiting:
    until its sender has fallen behind for `PATIENCE_S`, which whoever keeps up never does."""
    return max(0.0, min(PATIENCE_S, PATIENCE_S + size / LEAST_BYTES_A_SECOND - waited_s))


def refusal(is_form: bool, status: int, sentence: str) -> Exception:
    """What ends the reading of a body."""
    return MultiPartException(sentence) if is_form else HTTPException(status, sentence)
