"""Frames a second from socket to socket: the real app in its own process, and a client with two frames under way."""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any, get_args

import httpx
import torch
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.measuring import report
from benchmarks.measuring.drawing import encoded_drawing
from benchmarks.measuring.timing import percentile
from benchmarks.visitors.serving import LoadError, name_and_machine, serving, token_of
from demo.live import wire
from demo.live.live import SOCKET_PATH
from pipeline import ModelError
from pipeline.models.load import Precision, default_device, default_dtype, dtype_of

WARM_UP_PICTURES = 6
DRAWN_FRAMES = 32
UNDER_WAY = 2
PROMPT = "watercolor painting of a house"
WARM_UP_S = 10.0
TARGETS = {torch.bfloat16: {1: 15.0, 2: 9.0}, torch.float32: {1: 10.0, 2: 6.0}}
"""Frames a second at 256 x 256 on two CPU cores that compute in this dtype, by denoising steps."""
STEPS = (1, 2)

NOTE = (
    f"A client on the same machine keeps {UNDER_WAY} frames under way; JPEG both ways; bank of one frame. "
    "Latency is from sending a frame to having its picture. The first measurement on a machine compiles calls in its "
    "warm-up, which --warm-up 120 leaves time for. The targets are of 256 x 256 pixels on two CPU cores."
)


@dataclass
class Counts:
    """What came back: milliseconds from sending to picture, the engine's own milliseconds, and frames dropped."""

    latencies: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)
    dropped: int = 0


async def measured(address: str, steps: int, seconds: float, warm_up: float) -> Counts:
    """Send a moving drawing for `seconds` after `warm_up` seconds of it, as fast as pictures come back."""
    async with httpx.AsyncClient() as client:
        token = await token_of(client, address, "benchmark")
    async with connect(f"ws://{address}{SOCKET_PATH}", compression=None, max_size=2**22) as connection:
        await connection.send(json.dumps({"token": token}))
        hello = await _json_of(connection, "hello")
        settings = {"prompt": PROMPT, "steps": steps, "bank_frames": 1.0}
        await connection.send(json.dumps({"type": "set", "settings": settings}))
        await _json_of(connection, "applied")
        stream = _Stream(connection, encoded_drawing(hello["size"], DRAWN_FRAMES, wire.JPEG_QUALITY))
        for _ in range(UNDER_WAY):
            await stream.send()
        end = time.monotonic() + warm_up
        while len(stream.counts.latencies) < WARM_UP_PICTURES or time.monotonic() < end:
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
        """Take one answer and send the next frame; raises `LoadError` where the app refused one."""
        answer = await self._connection.recv()
        if isinstance(answer, bytes):
            _, _, _, _, sent, engine, *_ = wire.PICTURE_HEADER.unpack_from(answer)
            self.counts.latencies.append(time.perf_counter() * 1000 - sent)
            self.counts.engine.append(engine)
        elif (kind := json.loads(answer)["type"]) == "dropped":
            self.counts.dropped += 1
        elif kind == "runtime":
            # No answer to a frame: what paints from now on.
            return
        else:
            raise LoadError(f"the app answered a frame with {answer}")
        await self.send()


async def _json_of(connection: ClientConnection, kind: str) -> dict[str, Any]:
    answer = json.loads(await connection.recv())
    if answer.get("type") != kind:
        raise LoadError(f"the app answered {answer}; needed: {kind}")
    return dict(answer)


def live_rows(
    model: str, seconds: float, warm_up: float, arguments: Sequence[str], targets: Mapping[int, float]
) -> list[report.Row]:
    """One row for each number of denoising steps, of an app that is started with more `arguments`, beside the frames a
    second that are wanted at so many steps."""
    rows: list[report.Row] = []
    with serving(model, arguments=arguments) as server:
        for steps in STEPS:
            counts = asyncio.run(measured(server.address, steps, seconds, warm_up))
            if not counts.latencies:
                raise LoadError(f"no picture came in {seconds:g} s. Measure for longer.")
            rows.append(
                {
                    "steps": steps,
                    "frames/s": len(counts.latencies) / seconds,
                    "target": targets.get(steps, ""),
                    "latency ms": median(counts.latencies),
                    "latency ms, 95 %": percentile(counts.latencies, 95),
                    "engine ms": median(counts.engine),
                    "dropped": counts.dropped,
                }
            )
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and write it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--model", default="embedded", help="the model that the app serves (default: embedded)")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each measurement takes (default: 20)")
    parser.add_argument("--warm-up", type=float, default=WARM_UP_S, help="seconds before each (default: 10)")
    parser.add_argument("--app", type=shlex.split, default=[], metavar="WORDS", help="more arguments for app.py")
    parser.add_argument("--precision", choices=get_args(Precision), default="auto", help="as of app.py")
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="the folder for the table")
    parser.add_argument("--name", default="live", help="the name of the files there (default: live)")
    options = parser.parse_args(arguments)
    try:
        model_name, machine_line = name_and_machine(options.model, options.precision)
        dtype = dtype_of(options.precision) or default_dtype(default_device())
        words = [*options.app, "--precision", options.precision]
        rows = live_rows(options.model, options.seconds, options.warm_up, words, TARGETS.get(dtype, {}))
        tables = {f"Socket to socket, {model_name}": rows}
    except (LoadError, ModelError) as error:
        print(error, file=sys.stderr)
        return 1
    command = f"python -m benchmarks.live --model {model_name} --seconds {options.seconds:g}"
    command += f" --precision {options.precision}" if options.precision != "auto" else ""
    command += f' --app "{shlex.join(options.app)}"' if options.app else ""
    report.publish(options.name, command, machine_line, tables, NOTE, options.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
