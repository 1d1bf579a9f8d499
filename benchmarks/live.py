"""Frames a second from socket to socket: the real app in its own process, and a client with two frames under way."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import median

import httpx
from websockets.asyncio.client import ClientConnection, connect

from benchmarks import report
from benchmarks.drawing import moving_drawing
from benchmarks.timing import percentile
from demo import wire
from demo.live import SOCKET_PATH
from pipeline import ModelError, load_model

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
START_SECONDS = 120
WARM_UP_PICTURES = 6
DRAWN_FRAMES = 32
UNDER_WAY = 2
PROMPT = "watercolor painting of a house"
TARGETS = {1: 12.0, 2: 8.0}
"""Frames a second at 256 x 256 on two CPU cores, by denoising steps."""

NOTE = (
    f"A client on the same machine keeps {UNDER_WAY} frames under way; JPEG both ways; bank of one frame. "
    "Latency is from sending a frame to having its picture. Targets: "
    + ", ".join(f"{fps:g} frames/s at {steps} step{'s' * (steps > 1)}" for steps, fps in TARGETS.items())
    + " at 256 x 256 on two CPU cores."
)


class LiveError(RuntimeError):
    """The app did not do what the measurement needs; the message says what came."""


@dataclass
class Counts:
    """What came back: milliseconds from sending to picture, the engine's own milliseconds, and frames dropped."""

    latencies: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)
    dropped: int = 0


@contextmanager
def serving(model: str) -> Iterator[str]:
    """The address (host:port) of a fresh app that serves `model`."""
    port = _free_port()
    command = [sys.executable, "app.py", "--model", model, "--host", HOST, "--port", str(port)]
    app = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_open(app, f"http://{HOST}:{port}")
        yield f"{HOST}:{port}"
    finally:
        app.terminate()
        app.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_until_open(app: subprocess.Popen[bytes], address: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if app.poll() is not None:
            raise LiveError(f"app.py ended with status {app.returncode} before it served. Start it by hand to see why.")
        try:
            httpx.get(f"{address}/config").raise_for_status()
        except (httpx.TransportError, httpx.HTTPStatusError):
            time.sleep(0.2)
        else:
            return
    raise LiveError(f"app.py did not serve within {START_SECONDS} s. Start it by hand to see why.")


def token_of(address: str) -> str:
    """A token as the page gets it: from the event that runs when the page loads."""
    events = httpx.get(f"http://{address}/config").raise_for_status().json()["dependencies"]
    load = next(each for each in events if each["backend_fn"] and "load" in [event for _, event in each["targets"]])
    request = {"fn_index": load["id"], "data": [], "session_hash": "benchmark"}
    answer = httpx.post(f"http://{address}/gradio_api/run/predict", json=request).raise_for_status().json()
    return str(answer["data"][0])


async def measured(address: str, token: str, steps: int, seconds: float) -> Counts:
    """Send a moving drawing for `seconds` after a warm-up, as fast as pictures come back."""
    async with connect(f"ws://{address}{SOCKET_PATH}", compression=None, max_size=2**22) as connection:
        await connection.send(json.dumps({"token": token}))
        hello = await _json_of(connection, "hello")
        settings = {"prompt": PROMPT, "steps": steps, "bank_frames": 1.0}
        await connection.send(json.dumps({"type": "set", "settings": settings}))
        await _json_of(connection, "applied")
        stream = _Stream(connection, [_jpeg(hello["size"], moment) for moment in range(DRAWN_FRAMES)])
        for _ in range(UNDER_WAY):
            await stream.send()
        while len(stream.counts.latencies) < WARM_UP_PICTURES:
            await stream.exchange()
        stream.counts = Counts()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await stream.exchange()
        return stream.counts


class _Stream:
    """Sends the next drawing for each answer, and counts the answers."""

    def __init__(self, connection: ClientConnection, drawings: Sequence[bytes]) -> None:
        self.counts = Counts()
        self._connection = connection
        self._drawings = cycle(drawings)
        self._sequence = 0

    async def send(self) -> None:
        self._sequence += 1
        header = wire.FRAME_HEADER.pack(wire.VERSION, wire.KIND_FRAME, 0, self._sequence, time.perf_counter() * 1000)
        await self._connection.send(header + next(self._drawings))

    async def exchange(self) -> None:
        """Take one answer and send the next frame; raises `LiveError` where the app refused one."""
        answer = await self._connection.recv()
        if isinstance(answer, bytes):
            _, _, _, _, sent, engine, _, _ = wire.PICTURE_HEADER.unpack_from(answer)
            self.counts.latencies.append(time.perf_counter() * 1000 - sent)
            self.counts.engine.append(engine)
        elif json.loads(answer)["type"] == "dropped":
            self.counts.dropped += 1
        else:
            raise LiveError(f"the app answered a frame with {answer}")
        await self.send()


async def _json_of(connection: ClientConnection, kind: str) -> dict[str, object]:
    answer = json.loads(await connection.recv())
    if answer.get("type") != kind:
        raise LiveError(f"the app answered {answer}; needed: {kind}")
    return dict(answer)


def _jpeg(size: int, moment: int) -> bytes:
    buffer = io.BytesIO()
    moving_drawing(size, DRAWN_FRAMES)[moment].save(buffer, "JPEG", quality=wire.JPEG_QUALITY)
    return buffer.getvalue()


def live_rows(model: str, seconds: float, steps_list: Sequence[int] = tuple(TARGETS)) -> list[report.Row]:
    """One row for each number of denoising steps."""
    rows: list[report.Row] = []
    with serving(model) as address:
        for steps in steps_list:
            counts = asyncio.run(measured(address, token_of(address), steps, seconds))
            if not counts.latencies:
                raise LiveError(f"no picture came in {seconds:g} s. Measure for longer.")
            rows.append(
                {
                    "steps": steps,
                    "frames/s": len(counts.latencies) / seconds,
                    "target": TARGETS.get(steps, ""),
                    "latency ms": median(counts.latencies),
                    "latency ms, 95 %": percentile(counts.latencies, 95),
                    "engine ms": median(counts.engine),
                    "dropped": counts.dropped,
                }
            )
    return rows


def _name_and_machine(source: str) -> tuple[str, str]:
    """The model's name and the machine's line; the model itself is let go, for the app loads its own."""
    model = load_model(source)
    return model.name, report.machine(model.device, model.dtype)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and write it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--model", default="embedded", help="the model that the app serves (default: embedded)")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each measurement takes (default: 20)")
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="the folder for the table")
    parser.add_argument("--name", default="live", help="the name of the files there (default: live)")
    options = parser.parse_args(arguments)
    try:
        model_name, machine_line = _name_and_machine(options.model)
        tables = {f"Socket to socket, {model_name}": live_rows(options.model, options.seconds)}
    except (LiveError, ModelError) as error:
        print(error, file=sys.stderr)
        return 1
    command = f"python -m benchmarks.live --model {model_name} --seconds {options.seconds:g}"
    report.publish(options.name, command, machine_line, tables, NOTE, options.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
