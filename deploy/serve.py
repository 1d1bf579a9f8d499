"""The app as two Ray Serve applications: the page, and the engines that paint.

One Ray Serve application has one entrance, and Ray sends each of its requests to any replica, so pages and frames part:

- `engines`, at `/rearview`: one engine a replica, one replica a GPU. All it serves is the live wire, and a WebSocket is
  one request that lasts as long as the visitor stays: Ray gives it to the replica with fewer of them, and there it is
  until it ends, and so is the visitor's memory. `max_ongoing_requests` is the number of places, so a full replica
  gets nobody; who finds all replicas full waits in Ray's proxy, and Ray starts a replica for them if it may.
- `page`, at `/`: everything else, in one replica, because Gradio's queue wants all requests of a browser's session in
  one process. It has an engine of its own: the video tab and the POST fallback are painted there, and do not scale.

Where the parts meet:

1. Tokens. The page mints a visitor's token, any replica of the engines has to know it: all sign with one secret, from
   the environment (`REARVIEW_SECRET`), which `python -m deploy` draws where none is given. What a replica keeps of a
   token's visitor, as the rule of one socket a visitor, holds in that replica, not across all of them.
2. Paths. Ray's proxy takes the longest prefix that fits: `/rearview/live` goes to the engines, with `/rearview` as the
   ASGI root path. The page's canvas opens `rearview/live` beside its own address, so it needs to know nothing of this.
3. A replica that dies. Ray's proxy drops its sockets without a close frame (1006 in the browser); the page waits
   0.4 s, then longer, and opens a new one, which Ray gives to another replica with a free place. There the token is
   good, the session is new, its bank is empty, and the page sends its settings before its next frame. Ray starts
   another replica meanwhile. A page's replica that dies costs its videos; live visitors paint on.

A replica that Ray takes away, because there are few visitors or a new version came, gets no new ones and may finish
with those it has for `DRAIN_S`; whoever is still there then is cut off as above.

Documentation: https://docs.ray.io/en/latest/serve/http-guide.html and .../serve/autoscaling-guide.html
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ray
from fastapi import FastAPI
from ray import serve
from ray.exceptions import TaskCancelledError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute

from app import credentials
from demo import assets
from demo.live.doors.languages import Languages
from demo.live.limits import limits_from
from demo.live.live import SOCKET_PATH, Live
from deploy.plan import AUTH_VARIABLE, Engines, Replica, planned, shared_secret

if TYPE_CHECKING:
    from ray.serve import Application
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ENGINES_PREFIX = "/rearview"
PAGE_PREFIX = "/"
PAGE_REQUESTS = 1000
"""What the page's replica answers at once; each open page holds a request of Gradio's for as long as it is open."""

TARGET_SHARE = 0.75
"""How much of its places a replica has in use, on the average, before Ray starts another."""
UPSCALE_DELAY_S = 5.0
DOWNSCALE_DELAY_S = 600.0
DRAIN_S = 300.0
WAITING_PER_PLACE = 4
"""How many sockets a proxy lets wait for each place of a replica; those beyond are refused."""


def engines(arguments: dict[str, Any]) -> Application:
    """The application that paints: as many replicas as its visitors need. Raises `PlanError`."""
    plan = planned(Engines, arguments)
    gpus = plan.gpus if plan.gpus is not None else float("GPU" in ray.cluster_resources())
    deployment = serve.deployment(
        name="engine",
        max_ongoing_requests=plan.places,
        max_queued_requests=WAITING_PER_PLACE * plan.places,
        autoscaling_config={
            "min_replicas": plan.minimum_replicas,
            "max_replicas": plan.maximum_replicas,
            "target_ongoing_requests": TARGET_SHARE * plan.places,
            "upscale_delay_s": UPSCALE_DELAY_S,
            "downscale_delay_s": DOWNSCALE_DELAY_S,
        },
        graceful_shutdown_timeout_s=DRAIN_S,
        ray_actor_options={"num_cpus": plan.cpus, "num_gpus": gpus},
    )(serve.ingress()(EngineReplica))
    return deployment.bind(plan, on_gpu=gpus > 0, secret=shared_secret())


def page(arguments: dict[str, Any]) -> Application:
    """The application that serves the page, in one replica. Raises `PlanError`."""
    plan = planned(Replica, arguments)
    gpus = plan.gpus or 0.0
    words = os.environ.get(AUTH_VARIABLE)
    deployment = serve.deployment(
        name="page",
        num_replicas=1,
        max_ongoing_requests=PAGE_REQUESTS,
        ray_actor_options={"num_cpus": plan.cpus, "num_gpus": gpus},
    )(serve.ingress()(PageReplica))
    return deployment.bind(
        plan, on_gpu=gpus > 0, secret=shared_secret(), auth=credentials(words) if words is not None else None
    )


class WithEngine:
    """What all replicas are: an engine, a live wire to it, its health and its end."""

    def __init__(self, plan: Replica, *, on_gpu: bool, secret: bytes) -> None:
        self._live = opened(plan, on_gpu, secret)

    def check_health(self) -> None:
        """What Ray asks every few seconds; it replaces a replica that raises `RuntimeError` several times."""
        problem = self._live.problem(time.monotonic())
        if problem is not None:
            raise RuntimeError(problem)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(closed, self._live)


class EngineReplica(WithEngine):
    """The live wire, and the page's scripts, whose addresses begin as the wire's does."""

    def __serve_build_asgi_app__(self) -> Starlette:
        """What Ray serves; it takes `ENGINES_PREFIX` off each path."""
        wire = WebSocketRoute(SOCKET_PATH.removeprefix(ENGINES_PREFIX), self._live.socket)
        routes = [wire, *assets.routes(ENGINES_PREFIX)]
        return Starlette(routes=routes, lifespan=self._lifespan, middleware=[Middleware(Languages)])


class PageReplica(WithEngine):
    """The page, and an engine for what cannot go to the others."""

    def __init__(self, plan: Replica, *, on_gpu: bool, secret: bytes, auth: tuple[str, str] | None) -> None:
        super().__init__(plan, on_gpu=on_gpu, secret=secret)
        self._auth = auth
        self._behind_proxy = plan.behind_proxy

    def __serve_build_asgi_app__(self) -> FastAPI:
        """What Ray serves."""
        os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
        # Here, not above: the engines need no Gradio.
        from gradio import mount_gradio_app

        from demo.live.doors.crowd import BoundedCrowd
        from demo.live.doors.kept_pages import KeptPages
        from demo.live.doors.streams import EndedStreams
        from demo.live.doors.upload_names import BoundedUploadNames
        from demo.live.doors.uploads import BoundedBodies
        from demo.page import page as demo_page
        from demo.page.translations import translations

        routes = self._live.routes()
        app = FastAPI(routes=routes, lifespan=self._lifespan, docs_url=None, redoc_url=None, openapi_url=None)
        blocks = demo_page.build(self._live)
        others = translations(lambda: demo_page.build(self._live), blocks)
        mount_gradio_app(
            app,
            blocks,
            path="/",
            app_kwargs={"middleware": [Middleware(KeptPages, translations=others)]},
            auth=self._auth,
            ssr_mode=False,
            run_history=False,
            **demo_page.launch_options(),
        )
        app.add_middleware(BoundedUploadNames)
        for each in (BoundedBodies, BoundedCrowd):
            app.add_middleware(each, limits=self._live.limits, behind_proxy=self._behind_proxy)
        app.add_middleware(EndedStreams)
        app.add_middleware(Languages)
        app.add_middleware(SayingGoodbye)
        return app


class SayingGoodbye:
    """Tells an app of a browser that has gone in ASGI's words, where Ray raises an error of its own.

    Gradio learns from these words that a page was closed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def received() -> Message:
            try:
                return await receive()
            except TaskCancelledError:
                return {"type": "http.disconnect"}

        await self._app(scope, received if scope["type"] == "http" else receive, send)


def opened(plan: Replica, on_gpu: bool, secret: bytes) -> Live:
    """The live wire of a new engine in this process."""
    # Here, not above: what builds the applications needs no torch.
    from pipeline import Engine, load_model, load_sketches
    from pipeline.compute.host import give_freed_memory_back, hush, keep_freed_memory, now_and_then
    from pipeline.engine.memory_choice import loadable_memories

    hush()
    keep_freed_memory()
    now_and_then(give_freed_memory_back)
    # Whoever finds no place waits in Ray's proxy, not in the line of a replica while another may have a place.
    limits = replace(limits_from(os.environ), visitors=plan.places, queue_length=0)
    if isinstance(plan, Engines):
        # An output page would be asked of the page's replica, which has none of these pictures.
        limits = replace(limits, watchers=0)
    # Named, because Ray does not hide the GPUs of others from a replica that has none.
    model = load_model(plan.model, device="cuda" if on_gpu else "cpu", few_steps=plan.few_steps)  # type: ignore[arg-type]
    memories = loadable_memories(model)
    engine = Engine(
        model,
        memory=plan.memory,
        byte_budget=limits.byte_budget,
        memories=memories,
        largest_area=limits.frame_area,
    )
    return Live(engine, limits, behind_proxy=plan.behind_proxy, secret=secret, sketches=load_sketches())


def closed(live: Live) -> None:
    """End a live wire and the engine behind it."""
    live.close()
    live.engine.close()
