"""The outbox against a reader that reads, one that is slow, and one that never does."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from demo.live import wire
from demo.live.metrics import Metrics
from demo.live.outbox import UNSENT_WORDS, Outbox, Picture


class Reader:
    """The other side of a socket, which reads only while it is `open`."""

    def __init__(self) -> None:
        self.read: list[Any] = []
        self.open = asyncio.Event()
        self.open.set()
        self.gone = False

    async def send_bytes(self, data: bytes) -> None:
        await self._take(data)

    async def send_text(self, text: str) -> None:
        await self._take(json.loads(text))

    async def close(self, code: int, reason: str) -> None:
        await self._take((code, reason))

    async def _take(self, item: Any) -> None:
        await self.open.wait()
        if self.gone:
            raise WebSocketDisconnect(1006)
        self.read.append(item)


def picture(sequence: int) -> Picture:
    facts: dict[str, Any] = {"revision": 5, "seconds": 0.1, "bank_fill": 0.0, "count": 10 * sequence, "resets": 2}
    return Picture(wire.pack_picture(wire.Frame(sequence, 0.0, b""), b"", **facts), 0.0)


def sequences(read: list[Any]) -> list[int | None]:
    return [wire.sequence_of(each) for each in read if isinstance(each, bytes)]


def outbox_of(reader: Reader, patience_s: float = 60.0) -> Outbox:
    return Outbox(reader, patience_s, Metrics())  # type: ignore[arg-type]


def test_all_is_sent_and_the_close_last() -> None:
    async def story() -> list[Any]:
        reader = Reader()
        outbox = outbox_of(reader)
        outbox.say({"type": "hello"})
        outbox.show(picture(1), at_most=2)
        outbox.close(1012, "Goodbye.")
        outbox.close(1000, "too late")
        outbox.say({"type": "too late"})
        await outbox.run()
        return reader.read

    assert asyncio.run(story()) == [{"type": "hello"}, picture(1).message, (1012, "Goodbye.")]


def test_a_newer_picture_takes_the_place_of_an_unsent_one_and_its_page_hears_of_it() -> None:
    async def story() -> list[Any]:
        reader = Reader()
        outbox = outbox_of(reader)
        reader.open.clear()
        running = asyncio.create_task(outbox.run())
        for sequence in range(1, 7):
            outbox.show(picture(sequence), at_most=2)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        reader.open.set()
        outbox.close(1000, "")
        await running
        return reader.read

    read = asyncio.run(story())
    assert sequences(read) == [1, 5, 6]
    assert [each for each in read if isinstance(each, dict)] == [
        {"type": "dropped", "sequence": number, "frame": 10 * number, "revision": 5, "resets": 2}
        for number in (2, 3, 4)
    ]


def test_a_reader_that_never_reads_ends_the_sending() -> None:
    async def story() -> list[Any]:
        reader = Reader()
        reader.open.clear()
        outbox = outbox_of(reader, patience_s=0.01)
        outbox.show(picture(1), at_most=2)
        await outbox.run()
        return reader.read

    assert asyncio.run(story()) == []


def test_a_reader_that_has_left_ends_the_sending() -> None:
    async def story() -> None:
        reader = Reader()
        reader.gone = True
        outbox = outbox_of(reader)
        outbox.show(picture(1), at_most=2)
        await outbox.run()

    asyncio.run(story())


def test_who_reads_no_answers_asks_no_more_questions() -> None:
    async def story() -> None:
        reader = Reader()
        reader.open.clear()
        outbox = outbox_of(reader)
        running = asyncio.create_task(outbox.run())
        for _ in range(UNSENT_WORDS + 1):
            outbox.say({"type": "ping"})
            await asyncio.sleep(0)
        asking = asyncio.create_task(outbox.room())
        await asyncio.sleep(0.01)
        assert not asking.done()
        reader.open.set()
        await asyncio.wait_for(asking, 5)
        outbox.close(1000, "")
        await running
        assert len(reader.read) == UNSENT_WORDS + 2

    asyncio.run(story())


@pytest.mark.parametrize("sentence", ["", "short", "ä" * 100, "a" * 500])
def test_a_close_reason_fits_its_frame(sentence: str) -> None:
    reason = wire.close_reason(sentence)
    assert len(reason.encode()) <= 123
    assert sentence.startswith(reason)
