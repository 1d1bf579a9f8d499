"""Names of uploads are short, and kept no longer than their page asks for them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gradio.routes import file_upload_statuses

from demo.live.doors import upload_names
from demo.live.doors.upload_names import LONGEST_NAME, BoundedUploadNames


async def status_of(path: str, query: str) -> int | None:
    """What a request is answered whose name Gradio notes; `None` for what the app answers."""
    said: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        file_upload_statuses.track(query.rpartition("=")[2])

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"type": "http", "path": path, "query_string": query.encode(), "method": "GET", "headers": []}
    await BoundedUploadNames(app)(scope, None, send)  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    return said[0]["status"] if said else None


@pytest.mark.parametrize("path", ["/gradio_api/upload", "/gradio_api/upload/", "/gradio_api/upload_progress"])
def test_a_name_is_short_and_forgotten_after_its_time(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_names, "KEPT_FOR_S", 0.0)
    assert asyncio.run(status_of(path, "upload_id=" + (LONGEST_NAME + 1) * "a")) == 400
    assert asyncio.run(status_of(path, "upload_id=" + LONGEST_NAME * "a")) is None
    assert asyncio.run(status_of(path, "a=b&upload_id=follows")) is None
    assert not {"follows", LONGEST_NAME * "a"} & {*file_upload_statuses._statuses, *file_upload_statuses._signals}


def test_while_a_page_follows_an_upload_its_name_is_kept() -> None:
    assert asyncio.run(status_of("/gradio_api/upload", "upload_id=kept")) is None
    assert "kept" in file_upload_statuses._statuses
    upload_names.forget("kept")
    upload_names.forget("kept")


def test_other_requests_may_say_what_they_like() -> None:
    assert asyncio.run(status_of("/gradio_api/queue/data", f"upload_id={100 * 'a'}")) is None
    upload_names.forget(100 * "a")
