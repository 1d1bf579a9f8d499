"""A stream of events that nobody has asked for ends without a word in the log."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from demo.live.doors.streams import EndedStreams


def client_of(error: Exception) -> TestClient:
    """A client of an app that breaks its answer off with `error`."""

    async def broken() -> AsyncIterator[str]:
        yield "told"
        raise error

    async def answer(request: Request) -> StreamingResponse:
        return StreamingResponse(broken())

    return TestClient(Starlette(routes=[Route("/", answer)], middleware=[Middleware(EndedStreams)]))


def test_a_stream_that_is_broken_off_with_a_status_ends() -> None:
    assert client_of(HTTPException(404)).get("/").text == "told"


def test_other_errors_are_nobodys_to_hide() -> None:
    with pytest.raises(RuntimeError, match="surprise"):
        client_of(RuntimeError("surprise")).get("/")
