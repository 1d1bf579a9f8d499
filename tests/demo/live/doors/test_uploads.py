"""Bodies of requests are bounded: by address, in all, in time; what breaks off leaves nothing on the disk."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.routes import App
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from demo.live.doors import uploads
from demo.live.doors.leftovers import LEFT_FOR_S
from demo.live.doors.uploads import (
    COUNTED_FOR_S,
    FILE_COSTS,
    LEAST_BYTES_A_SECOND,
    PATIENCE_S,
    UPLOAD_PATH,
    BoundedBodies,
    Sent,
    patience_s,
)
from demo.live.limits import HostLimits
from demo.words import word

MEGABYTE = 1024 * 1024
LIMITS = HostLimits(upload_mb=3, upload_mb_per_address=2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def app(folder: Path) -> App:
    async def made() -> App:
        with gr.Blocks(analytics_enabled=False) as blocks:
            gr.File()
        # As `launch` leaves it.
        blocks.max_file_size = None
        bounded = Middleware(BoundedBodies, limits=LIMITS, behind_proxy=True)
        return App.create_app(blocks, app_kwargs={"middleware": [bounded]})

    # In a running loop, because Gradio makes one that it never closes where there is none.
    return asyncio.run(made())


@pytest.fixture
def client(app: App) -> Iterator[TestClient]:
    yield TestClient(app)


def files_in(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file()]


def uploaded(client: TestClient, address: str, size: int) -> Any:
    return client.post(UPLOAD_PATH, files={"files": ("a.bin", bytes(size))}, headers={"x-forwarded-for": address})


def test_an_address_uploads_its_share_and_others_theirs(client: TestClient, folder: Path) -> None:
    assert uploaded(client, "1.1.1.1", MEGABYTE).status_code == 200
    refused = uploaded(client, "1.1.1.1", MEGABYTE)
    assert (refused.status_code, refused.text) == (400, word("doors.uploads"))
    assert uploaded(client, "2.2.2.2", MEGABYTE // 2).status_code == 200
    assert len(files_in(folder)) == 2


def test_what_was_sent_counts_for_an_hour_and_in_all() -> None:
    now = 0.0
    sent = Sent(10, 6, lambda: now)
    sent.add("a", 2)
    sent.add("a", 3)
    sent.add("b", 4)
    assert (sent.room_for("a"), sent.room_for("b"), sent.room_for("c")) == (1, 1, 1)
    now = COUNTED_FOR_S + 61
    assert (sent.room_for("a"), sent.room_for("c")) == (6, 6)
    assert not sent._of_address


def asgi_upload(app: App, *chunks: bytes, then: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What the app sends to a peer that begins an upload of these chunks, and then says `then`, or nothing more."""
    head = b'--X\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
    told = [{"type": "http.request", "body": each, "more_body": True} for each in (head, *chunks)]
    answers: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if told:
            return told.pop(0)
        return then or await asyncio.Event().wait()  # type: ignore[return-value]

    async def send(message: Any) -> None:
        answers.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": UPLOAD_PATH,
        "raw_path": UPLOAD_PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"a"), (b"content-type", b"multipart/form-data; boundary=X")],
        "client": ("1.1.1.1", 1),
        "server": ("a", 80),
    }
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    return answers


def test_an_upload_that_breaks_off_leaves_nothing(app: App, folder: Path) -> None:
    asgi_upload(app, bytes(1000), bytes(1000), then={"type": "http.disconnect"})
    assert files_in(folder) == []


def test_an_upload_that_stands_still_is_ended(app: App, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PATIENCE_S", 0.05)
    answers = asgi_upload(app, bytes(1000), then=None)
    assert word("doors.slow").encode() in answers[1]["body"]
    assert files_in(folder) == []


def posted(client: TestClient, body: bytes, content_type: str = "multipart/form-data; boundary=X") -> Any:
    return client.post(UPLOAD_PATH, content=body, headers={"content-type": content_type})


def part(disposition: str, content: bytes) -> bytes:
    return f"--X\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content + b"\r\n"


FILE = part('name="files"; filename="a.bin"', b"whole")


@pytest.mark.parametrize(
    "body",
    [
        FILE + part('name="text"', bytes(1000)) + b"--X--\r\n",
        FILE + part('name="files"', b"no file") + b"--X--\r\n",
        FILE + part('name="other"; filename="b.bin"', b"nobody takes it") + b"--X--\r\n",
        FILE + b"--X\r\nNo-Disposition: a\r\n\r\nb\r\n--X--\r\n",
        FILE,
        FILE + b"--X",
        b"no parts",
    ],
)
@pytest.mark.parametrize("kind", ["multipart/form-data", "Multipart/Form-Data"])
def test_an_upload_is_whole_files_and_else_leaves_nothing(
    body: bytes, kind: str, client: TestClient, folder: Path
) -> None:
    refused = posted(client, body, f"{kind}; boundary=X")
    assert (refused.status_code, refused.text) == (400, word("doors.parts"))
    assert files_in(folder) == []


def test_a_form_without_a_boundary_is_refused(client: TestClient) -> None:
    assert posted(client, FILE, "multipart/form-data").status_code == 400


def test_empty_files_count_too(client: TestClient) -> None:
    refused = posted(client, (2 * MEGABYTE // FILE_COSTS) * part('name="files"; filename="a"', b"") + b"--X--\r\n")
    assert (refused.status_code, refused.text) == (400, word("doors.uploads"))


def test_what_uploads_leave_is_swept_after_an_hour(client: TestClient, folder: Path) -> None:
    now = time.time()
    for name, age in (("tmpabcd1234", 2), ("tmpabcd1235", 0.5), ("mine.txt", 2)):
        (folder / name).touch()
        os.utime(folder / name, 2 * (now - age * LEFT_FOR_S,))
    for name, file in ((64 * "a", None), (64 * "b", "kept.png")):
        (folder / name).mkdir()
        if file:
            (folder / name / file).touch()
        os.utime(folder / name, 2 * (now - 2 * LEFT_FOR_S,))
    uploaded(client, "1.1.1.1", 1)
    left = {each.name for each in folder.iterdir()}
    assert {"tmpabcd1235", "mine.txt", 64 * "b"} <= left
    assert not {"tmpabcd1234", 64 * "a"} & left


def test_a_sender_is_waited_for_who_keeps_up() -> None:
    assert patience_s(0, 0.0) == PATIENCE_S
    assert patience_s(100 * LEAST_BYTES_A_SECOND, 80.0) == PATIENCE_S
    assert patience_s(100 * LEAST_BYTES_A_SECOND, 110.0) == pytest.approx(PATIENCE_S - 10)
    # A byte a second, and a byte every 19 seconds.
    assert patience_s(20, 20.1) == patience_s(2, 38.0) == 0


def test_words_are_no_way_to_send_much(client: TestClient) -> None:
    body = b'"' + bytes(5 * MEGABYTE) + b'"'
    refused = client.post("/gradio_api/run/predict", content=body, headers={"content-type": "application/json"})
    assert (refused.status_code, refused.json()["detail"]) == (413, word("doors.large", size=4096))
