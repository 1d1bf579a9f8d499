"""The app on Ray Serve: its plans, its files, and real replicas of which one is killed.

Ray and its replicas are processes of their own, started by the very command that the README gives.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import yaml
from PIL import Image
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from demo.live import wire
from demo.live.limits import variable_of
from demo.live.live import SOCKET_PATH
from demo.words import LANGUAGES
from deploy.__main__ import cpus_of_each, environment, parse
from deploy.plan import AUTH_VARIABLE, SECRET_VARIABLE, Engines, PlanError, Replica, planned, shared_secret
from pipeline.engine.memory_choice import loadable_memories

ROOT = Path(__file__).resolve().parents[2]
SECRET = "a secret of the tests, known to all replicas"
REPLICAS = 2
VISITORS = 8
STARTED_WITHIN_S = 600.0
PAINTED_WITHIN_S = 20.0
RETRY_S = 0.4
"""How long the page waits before it connects again for the first time."""

pytestmark = pytest.mark.timeout(900)  # three replicas import torch at once, and on a busy machine that takes minutes

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="Ray is not installed: python -m pip install -r requirements-deploy.txt",
)


@dataclass(frozen=True)
class Server:
    """A running `python -m deploy`."""

    process: psutil.Process
    address: str

    def engines(self) -> list[psutil.Process]:
        """The processes of the replicas that paint."""
        title = "ray::ServeReplica:engines:engine"
        return [each for each in self.process.children(recursive=True) if "".join(each.cmdline()).startswith(title)]


@dataclass
class Visitor:
    """A page, as far as the wire is concerned: a frame for each answer, and a new socket for each that broke."""

    name: str
    stays: list[list[int]] = field(default_factory=list)
    """For each connection that was greeted, the numbers that the engine gave to the frames painted there."""

    @property
    def painted(self) -> int:
        return sum(map(len, self.stays))

    async def stay(self, address: str) -> None:
        """Send frames until cancelled."""
        while True:
            try:
                async with connect(f"ws://{address}{SOCKET_PATH}") as connection:
                    await self._stay(connection)
            except (OSError, WebSocketException):
                await asyncio.sleep(RETRY_S)

    async def _stay(self, connection: Any) -> None:
        await connection.send(json.dumps({"token": wire.Tokens(SECRET.encode()).mint(self.name)}))
        assert json.loads(await connection.recv())["type"] == "hello"
        self.stays.append([])
        await connection.send(encoded_frame())
        while True:
            answer = await connection.recv()
            if isinstance(answer, bytes):
                *_, number, _ = wire.PICTURE_HEADER.unpack_from(answer)
                self.stays[-1].append(number)
            await connection.send(encoded_frame())


def encoded_frame() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), 200, np.uint8)).save(buffer, "JPEG")
    return wire.FRAME_HEADER.pack(wire.VERSION, wire.KIND_FRAME, 0, 1, 0.0) + buffer.getvalue()


async def eventually(is_so: Callable[[], bool], within_s: float) -> None:
    async def wait() -> None:
        while not is_so():
            await asyncio.sleep(0.02)

    await asyncio.wait_for(wait(), within_s)


@pytest.fixture(scope="module")
def server(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two engines of a tiny model on the CPU, and the page."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("deploy") / "log"
    command = [sys.executable, "-m", "deploy", "--model", str(tiny_folder), "--port", str(port)]
    command += ["--replicas", str(REPLICAS), "--at-once", str(REPLICAS), "--places", str(VISITORS)]
    variables = {SECRET_VARIABLE: SECRET, variable_of("visitors_per_address"): str(VISITORS)}
    still = {variable_of("finer_seconds"): "0", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment = os.environ | variables | still
    with log.open("w") as out:
        started = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT)
    process = psutil.Process(started.pid)
    try:
        deadline = time.monotonic() + STARTED_WITHIN_S
        while "Rearview is open at" not in log.read_text():
            assert started.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield Server(process, f"127.0.0.1:{port}")
        everything = process.children(recursive=True)
        started.send_signal(signal.SIGTERM)
        assert started.wait(30) == 0
        _, left = psutil.wait_procs(everything, timeout=10)
        assert left == []
    finally:
        kill([*(process.children(recursive=True) if process.is_running() else []), process])
        started.wait(10)


def kill(processes: Sequence[psutil.Process]) -> None:
    for each in processes:
        try:
            each.kill()
        except psutil.NoSuchProcess:
            continue


@needs_ray
def test_a_replica_that_dies_takes_only_its_own_visitors_and_they_are_painted_again(server: Server) -> None:
    asyncio.run(outlive_a_replica(server))


async def outlive_a_replica(server: Server) -> None:
    visitors = [Visitor(f"visitor {index}") for index in range(VISITORS)]
    tasks = []
    for visitor in visitors:
        tasks.append(asyncio.create_task(visitor.stay(server.address)))
        await eventually(lambda each=visitor: each.painted >= 3, PAINTED_WITHIN_S)  # type: ignore[misc]
    engines = server.engines()
    assert len(engines) == REPLICAS

    os.kill(engines[0].pid, signal.SIGKILL)
    before = [visitor.painted for visitor in visitors]
    # One picture may have been on its way.
    await eventually(
        lambda: all(visitor.painted >= count + 3 for visitor, count in zip(visitors, before, strict=True)),
        PAINTED_WITHIN_S,
    )
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
    moved = [visitor for visitor in visitors if len(visitor.stays) > 1]
    assert 0 < len(moved) < VISITORS
    # A session counts its frames from 1: who stayed has one session, who moved has a new one.
    for visitor in visitors:
        for stay in visitor.stays:
            assert stay == list(range(1, len(stay) + 1))


@needs_ray
def test_the_page_and_its_tokens(server: Server) -> None:
    page = httpx.get(f"http://{server.address}/").raise_for_status()
    scripts = re.findall(r"rearview/studio/[0-9a-f]+/main\.js", page.text)
    assert scripts and f"/{scripts[0]}" not in page.text
    script = httpx.get(f"http://{server.address}/{scripts[0]}").raise_for_status()
    assert script.headers["content-type"].startswith("text/javascript")
    token = token_of(server.address)
    assert wire.Tokens(SECRET.encode()).visitor(token) == "anna"
    german = httpx.get(f"http://{server.address}/", headers={"accept-language": "de"}).raise_for_status()
    assert LANGUAGES["de"]["page"]["video"] in german.text
    assert LANGUAGES["de"]["page"]["video"] not in page.text


def token_of(address: str) -> str:
    """What the page's load event answers."""
    events = httpx.get(f"http://{address}/config").raise_for_status().json()["dependencies"]
    load = next(each for each in events if each["backend_fn"] and "load" in [event for _, event in each["targets"]])
    request = {"fn_index": load["id"], "data": [], "session_hash": "anna"}
    answer = httpx.post(f"http://{address}/gradio_api/run/predict", json=request).raise_for_status().json()
    return str(answer["data"][0])


@needs_ray
def test_engines_refuse_a_token_of_another_secret(server: Server) -> None:
    async def closed_with() -> int | None:
        async with connect(f"ws://{server.address}{SOCKET_PATH}") as connection:
            await connection.send(json.dumps({"token": wire.Tokens().mint("anna")}))
            await connection.wait_closed()
            return connection.close_code

    assert asyncio.run(closed_with()) == wire.CLOSE_TOKEN


@needs_ray
# Ray, when it is imported, uses what its own libraries advise against.
@pytest.mark.filterwarnings("ignore")
def test_a_page_that_is_closed_ends_its_requests_without_an_error() -> None:
    from ray.exceptions import TaskCancelledError

    from deploy.serve import SayingGoodbye

    heard = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.append((await receive())["type"])

    async def receive() -> Any:
        raise TaskCancelledError

    async def send(message: Any) -> None: ...

    asyncio.run(SayingGoodbye(app)({"type": "http"}, receive, send))
    assert heard == ["http.disconnect"]


def test_a_plan_takes_the_arguments_of_a_serve_config() -> None:
    plan = planned(Engines, {"model": "somewhere", "places": 4, "gpus": 0.5, "maximum_replicas": 3})
    assert plan == Engines("somewhere", places=4, gpus=0.5, minimum_replicas=1, maximum_replicas=3)


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        (Replica, {"place": 4}, "came with place; needed: names among model"),
        (Replica, {"maximum_replicas": 4}, "maximum_replicas"),
        (Replica, {"places": 0}, "1 or more"),
        (Replica, {"cpus": -1}, "0 or more"),
        (Replica, {"gpus": -0.5}, "0 or more"),
        (Replica, {"few_steps": "many"}, "needed: one of auto, lcm"),
        (Engines, {"minimum_replicas": 0}, "1 or more"),
        (Engines, {"minimum_replicas": 3, "maximum_replicas": 2}, "3 and 2"),
    ],
)
def test_a_plan_that_makes_no_sense_gets_a_sentence(kind: type[Replica], arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        planned(kind, arguments)


def test_the_secret_is_long_and_from_the_environment() -> None:
    assert shared_secret({SECRET_VARIABLE: SECRET}) == SECRET.encode()
    for given in ({}, {SECRET_VARIABLE: "short"}):
        with pytest.raises(PlanError, match=SECRET_VARIABLE):
            shared_secret(given)


def test_a_shared_token_needs_no_login_where_it_is_shown() -> None:
    token = wire.Tokens(b"one").mint("anna's page", user="anna")
    assert wire.Tokens(b"one").visitor(token) == "anna's page"
    alone = wire.Tokens()
    assert alone.visitor(alone.mint("anna's page", user="anna")) is None


@needs_ray
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own, when it is imported
def test_a_replica_offers_every_memory_that_its_model_has_the_weights_for() -> None:
    from deploy.serve import closed, opened

    live = opened(Replica(memory="none"), on_gpu=False, secret=SECRET.encode())
    try:
        assert live.engine.memory_names[0] == "none"
        assert set(live.engine.memory_names) == set(loadable_memories(live.engine.model))
    finally:
        closed(live)


def test_servers_with_one_secret_know_each_others_tokens() -> None:
    token = wire.Tokens(b"one").mint("anna")
    assert wire.Tokens(b"one").visitor(token) == "anna"
    assert wire.Tokens(b"another").visitor(token) is None
    assert wire.Tokens().visitor(token) is None


@pytest.mark.parametrize(("cpus", "replicas", "each"), [(8, 1, 8), (8, 3, 2), (2, 2, 1), (2, 4, 0.5)])
def test_replicas_share_the_cpus(cpus: int, replicas: int, each: float) -> None:
    assert cpus_of_each(cpus, replicas) == each


def test_a_wrong_number_of_replicas_gets_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--replicas", "0"])
    assert "1 or more" in capsys.readouterr().err


def test_serve_has_patience_unless_told_otherwise() -> None:
    name = "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S"
    assert float(environment(parse([]), {})[name]) >= 60
    assert environment(parse([]), {name: "9"})[name] == "9"


def test_secrets_are_drawn_where_none_are_given() -> None:
    first, second = (environment(parse([]), {}) for _ in range(2))
    for name in (SECRET_VARIABLE, "RAY_AUTH_TOKEN"):
        assert first[name] != second[name]
        assert environment(parse([]), {name: SECRET})[name] == SECRET
    assert len(shared_secret(first)) >= 32


def test_what_asks_visitors_for_a_password_reaches_the_page() -> None:
    assert AUTH_VARIABLE not in environment(parse([]), {})
    assert environment(parse(["--auth", "anna:a:b"]), {})[AUTH_VARIABLE] == "anna:a:b"


def test_the_command_line_needs_no_ray() -> None:
    code = "import sys, deploy.__main__; assert not {'ray', 'torch', 'gradio', 'demo'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def serve_config() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "deploy" / "serve.yaml").read_text())


def test_the_serve_config_names_both_applications() -> None:
    functions = {
        each.name
        for each in ast.parse((ROOT / "deploy" / "serve.py").read_text()).body
        if isinstance(each, ast.FunctionDef)
    }
    kinds = {"engines": Engines, "page": Replica}
    prefixes = {"engines": "/rearview", "page": "/"}
    applications = serve_config()["applications"]
    assert {each["name"]: each["route_prefix"] for each in applications} == prefixes
    for each in applications:
        module, function = each["import_path"].split(":")
        assert (module, function) == ("deploy.serve", each["name"])
        assert function in functions
        planned(kinds[function], each["args"])


def test_kuberay_serves_the_same_as_the_serve_config() -> None:
    service = yaml.safe_load((ROOT / "deploy" / "rayservice.yaml").read_text())
    assert (service["apiVersion"], service["kind"]) == ("ray.io/v1", "RayService")
    assert yaml.safe_load(service["spec"]["serveConfigV2"]) == serve_config()


def test_kuberay_gives_each_replica_what_it_asks_for() -> None:
    cluster = yaml.safe_load((ROOT / "deploy" / "rayservice.yaml").read_text())["spec"]["rayClusterConfig"]
    engines = planned(Engines, serve_config()["applications"][0]["args"])
    group = cluster["workerGroupSpecs"][0]
    head, worker = (
        spec["template"]["spec"]["containers"][0] for spec in (cluster["headGroupSpec"], cluster["workerGroupSpecs"][0])
    )
    assert group["maxReplicas"] >= engines.maximum_replicas
    assert int(worker["resources"]["limits"]["nvidia.com/gpu"]) == engines.gpus
    assert int(worker["resources"]["limits"]["cpu"]) >= engines.cpus
    for container in (head, worker):
        assert SECRET_VARIABLE in [each["name"] for each in container["env"]]
        assert 8000 in [each["containerPort"] for each in container["ports"]]


def test_one_version_of_ray_everywhere() -> None:
    pinned = next(
        line.split("==")[1]
        for line in (ROOT / "requirements-deploy.txt").read_text().splitlines()
        if line.startswith("ray[")
    )
    service = yaml.safe_load((ROOT / "deploy" / "rayservice.yaml").read_text())
    assert service["spec"]["rayClusterConfig"]["rayVersion"] == pinned
    assert f"FROM rayproject/ray:{pinned}-" in (ROOT / "deploy" / "Dockerfile").read_text()
