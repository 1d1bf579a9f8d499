"""The real app in a process of its own, and what can be seen of it from outside."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.measuring import report
from demo.live.limits import DEFAULTS
from pipeline.models.load import Precision, default_device, default_dtype, dtype_of, find_entry

ROOT = Path(__file__).resolve().parent.parent.parent
HOST = "127.0.0.1"
START_SECONDS = 120
STOP_SECONDS = 30
HELD_BYTES = "rearview_session_bytes"
"""The metric that says how many bytes all sessions hold."""

_COMPLAINT = re.compile(r"traceback|exception|error|critical", re.IGNORECASE)
_SAMPLE = re.compile(r"(?P<name>[A-Za-z_:][\w:]*)(?:\{.*\})?\s+(?P<value>\S+)")


class LoadError(RuntimeError):
    """The app did not do what the measurement needs; the message says what came."""


@dataclass(frozen=True)
class Server:
    """A running app: its address, host:port, and its process."""

    address: str
    process: int

    def resident_bytes(self) -> int | None:
        """Bytes of memory of its process; `None` on a system that does not tell."""
        pages = Path(f"/proc/{self.process}/statm")
        if not pages.is_file():
            return None
        return int(pages.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def held_bytes(self) -> float | None:
        """Bytes that it says all sessions hold; `None` of an app that has no such metric."""
        try:
            answer = httpx.get(f"http://{self.address}/metrics")
        except httpx.TransportError as error:
            raise LoadError(f"the app did not answer when it was asked for its metrics ({error})") from error
        return metrics(answer.text).get(HELD_BYTES) if answer.is_success else None


def metrics(text: str) -> dict[str, float]:
    """Each metric of a page in Prometheus' text format, summed over its labels; other lines are passed over."""
    values: dict[str, float] = {}
    for line in text.splitlines():
        sample = _SAMPLE.match(line)
        if sample is not None:
            try:
                value = float(sample["value"])
            except ValueError:
                continue
            values[sample["name"]] = values.get(sample["name"], 0.0) + value
    return values


def complaints(log: Path) -> list[str]:
    """The lines of an app's log that speak of an exception or an error."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if _COMPLAINT.search(line)]


def name_and_machine(source: str, precision: Precision = "auto") -> tuple[str, str]:
    """The model's name and the machine's line; the model itself is loaded by the app alone. Raises `ModelError`."""
    device = default_device()
    return find_entry(source).name, report.machine(device, dtype_of(precision) or default_dtype(device))


def limits(visitors: int) -> dict[str, str]:
    """The environment in which the app has places for `visitors` who all come from this machine, takes every frame, and
    lets as many wait in line while it keeps the places of some who were cut off."""
    return {
        "REARVIEW_VISITORS": str(visitors),
        "REARVIEW_VISITORS_PER_ADDRESS": str(2 * visitors),
        "REARVIEW_CONNECTIONS_PER_ADDRESS": str(max(DEFAULTS["connections_per_address"], 4 * visitors)),
        "REARVIEW_CONNECTIONS": str(max(DEFAULTS["connections"], 4 * visitors)),
        "REARVIEW_FRAMES_PER_SECOND": "1000",
    }


@contextmanager
def serving(model: str, log: Path | None = None, arguments: Sequence[str] = (), visitors: int = 1) -> Iterator[Server]:
    """A fresh app that serves `model` to that many `visitors` at once, started with more `arguments`; what it says goes
    into the file `log`.

    Raises `LoadError` where it does not start.
    """
    port = _free_port()
    command = [sys.executable, "app.py", "--model", model, "--host", HOST, "--port", str(port)]
    # A picture that comes by itself answers no frame.
    command += ["--finer-seconds", "0", *arguments]
    with open(log or os.devnull, "wb") as said:
        app = subprocess.Popen(
            command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, env=os.environ | limits(visitors)
        )
    try:
        _wait_until_open(app, f"http://{HOST}:{port}")
        yield Server(f"{HOST}:{port}", app.pid)
    finally:
        app.terminate()
        app.wait(timeout=STOP_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_until_open(app: subprocess.Popen[bytes], address: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if app.poll() is not None:
            raise LoadError(f"app.py ended with status {app.returncode} before it served. Start it by hand to see why.")
        try:
            httpx.get(f"{address}/config").raise_for_status()
        except (httpx.TransportError, httpx.HTTPStatusError):
            time.sleep(0.2)
        else:
            return
    raise LoadError(f"app.py did not serve within {START_SECONDS} s. Start it by hand to see why.")


async def token_of(client: httpx.AsyncClient, address: str, page: str) -> str:
    """A token for the page of that name, as the page gets it: from the event that runs when the page loads."""
    events = (await client.get(f"http://{address}/config")).raise_for_status().json()["dependencies"]
    load = next(each for each in events if each["backend_fn"] and "load" in [event for _, event in each["targets"]])
    request = {"fn_index": load["id"], "data": [], "session_hash": page}
    answer = await client.post(f"http://{address}/gradio_api/run/predict", json=request)
    return str(answer.raise_for_status().json()["data"][0])
