"""What the host counts, and that the dashboard asks for nothing else."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.testclient import TestClient

from demo.live.limits import HostLimits
from demo.live.live import HEALTH_PATH, METRICS_PATH, SOCKET_PATH, STUCK_S, Live
from tests.support.standin import StandInEngine, eventually, frame, greet

DASHBOARD = Path(__file__).resolve().parents[3] / "docs" / "grafana.json"


@pytest.fixture
def engine() -> StandInEngine:
    return StandInEngine()


@pytest.fixture
def live(engine: StandInEngine) -> Iterator[Live]:
    served = Live(engine, HostLimits(visitors=1))  # type: ignore[arg-type]
    yield served
    served.close()


@pytest.fixture
def client(live: Live) -> Iterator[TestClient]:
    app = Starlette(routes=live.routes())
    with TestClient(app) as connected:
        yield connected


def samples(client: TestClient) -> dict[str, float]:
    """Every sample without labels by its name, and `name{reason}` for those with a reason."""
    answer = client.get(METRICS_PATH)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            label = sample.labels.get("reason") or sample.labels.get("le")
            found[f"{sample.name}{{{label}}}" if label else sample.name] = sample.value
    return found


def test_a_visit_is_counted(client: TestClient, live: Live, engine: StandInEngine) -> None:
    engine.observers[0](SimpleNamespace(rows=3, sessions=2, seconds=0.02))
    with client.websocket_connect(SOCKET_PATH) as socket, client.websocket_connect(SOCKET_PATH) as other:
        greet(socket, live, "a-visitor-of-this-name")
        assert greet(other, live, "waiter")["type"] == "queue"
        for sequence, data in enumerate([None, b"no picture", None]):
            socket.send_bytes(frame(sequence, data))
            socket.receive()
        found = samples(client)
        assert "a-visitor-of-this-name" not in client.get(METRICS_PATH).text
    assert found["rearview_visitors"] == 1
    assert found["rearview_queue_length"] == 1
    assert found["rearview_session_bytes"] == 1000
    assert found["rearview_frames_in_total"] == 3
    assert found["rearview_frames_out_total"] == found["rearview_latency_seconds_count"] == 2
    assert found["rearview_frames_failed_total{refused}"] == 1
    assert found["rearview_frames_dropped_total{rate}"] == 0
    assert (found["rearview_tick_rows_bucket{2.0}"], found["rearview_tick_rows_bucket{3.0}"]) == (0, 1)


def test_two_hosts_in_one_process_count_apart(live: Live) -> None:
    other = Live(StandInEngine())  # type: ignore[arg-type]
    other.metrics.frame_came()
    assert b"rearview_frames_in_total 0.0" in live.metrics.exposition()
    other.close()


def test_health_follows_the_engine(client: TestClient, live: Live, engine: StandInEngine) -> None:
    assert client.get(HEALTH_PATH).json() == {"status": "ok"}
    engine.alive = False
    answer = client.get(HEALTH_PATH)
    assert answer.status_code == 503
    assert "thread has ended" in answer.json()["problem"]


def test_an_engine_that_answers_no_frame_is_not_healthy(client: TestClient, live: Live, engine: StandInEngine) -> None:
    engine.held = threading.Event()
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        socket.send_bytes(frame(1))
        visitor = live.reception.visitors["anna"]
        assert eventually(lambda: visitor.under_way == 1)
        assert live.problem(visitor.answered_at + STUCK_S - 1) is None
        assert "not been answered" in str(live.problem(visitor.answered_at + STUCK_S + 1))
        engine.held.set()
        socket.receive_bytes()
        assert eventually(lambda: visitor.under_way == 0)
        assert live.problem(visitor.answered_at + 10 * STUCK_S) is None


def queries(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel.get("targets", [])]


def test_the_dashboard_asks_for_metrics_that_exist(client: TestClient) -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = {
        name
        for panel in dashboard["panels"]
        for query in queries(panel)
        for name in re.findall(r"\brearview_\w+", query)
    }
    exposed = {name.partition("{")[0] for name in samples(client)}
    assert asked <= exposed, asked - exposed
    families = {name for name in exposed if not name.endswith(("_created", "_sum", "_count", "_bucket"))}
    assert families <= asked, families - asked
    assert all(queries(panel) for panel in dashboard["panels"])
