"""Routes of Gradio by which a server fetches what a caller names, or has a video cut for whoever asks: closed here."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from demo.words import word

FETCHING = ("/gradio_api/file=http{rest:path}", "/gradio_api/proxy={rest:path}")

CUTTING = "/gradio_api/process_recording"


def closed_routes() -> list[BaseRoute]:
    """What comes in front of Gradio's own routes of these addresses."""
    return [*(Route(path, no_address) for path in FETCHING), Route(CUTTING, no_recording, methods=["POST"])]


async def no_address(request: Request) -> Response:
    """Says what is needed in place of an address."""
    return PlainTextResponse(word("doors.no_address"), 403)


async def no_recording(request: Request) -> Response:
    """Says what does this here."""
    return PlainTextResponse(word("doors.recordings"), 403)
