"""Serve the app from all GPUs, or all CPUs, of this machine: `python -m deploy`."""

from __future__ import annotations

import argparse
import math
import os
import secrets
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from app import DEFAULT_PORT, FEW_STEPS, LOCAL_HOST, credentials, end_on_signals, port, stop_with, wait_until
from deploy.plan import AUTH_VARIABLE, SECRET_VARIABLE, PlanError, Replica

ROOT = Path(__file__).resolve().parent.parent
OBJECT_STORE_BYTES = 256 * 2**20
"""Frames travel as messages; the store that Ray wants besides may be small."""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; words that make no sense end the program with a sentence."""
    parser = argparse.ArgumentParser(prog="python -m deploy", description="Rearview on every GPU of this machine.")
    parser.add_argument("--model", default="embedded", help="a name of the catalogue, or a folder in diffusers' layout")
    parser.add_argument(
        "--memory",
        default="feature-bank",
        help="the temporal memory that pages begin with: feature-bank, causal, recurrent or none; beside it each can "
        "choose those that need no weights, or whose weights lie in the model's folder",
    )
    parser.add_argument(
        "--few-steps",
        choices=FEW_STEPS,
        default="auto",
        help="what is in the weights of a model of no catalogue, as for app.py (default auto)",
    )
    parser.add_argument("--host", default=LOCAL_HOST, help="the address to listen on")
    parser.add_argument("--port", type=port, default=DEFAULT_PORT, help="the port to listen on")
    parser.add_argument("--places", type=count, default=Replica.places, help="visitors of one replica")
    parser.add_argument("--replicas", type=count, help="most replicas, by default one a GPU, or one without GPUs")
    parser.add_argument("--at-once", type=count, default=1, help="replicas that are there from the beginning")
    parser.add_argument("--auth", type=credentials, metavar="USER:PASSWORD", help="ask visitors for these")
    return parser.parse_args(argv)


def count(text: str) -> int:
    """A whole number from 1; raises `ArgumentTypeError` for anything else."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"came as {text!r}; needed: a whole number, 1 or more")
    return int(text)


def cpus_of_each(cpus: float, replicas: int) -> float:
    """An even share of `cpus` for each replica, in whole CPUs where there is one for each."""
    share = cpus / replicas
    return float(math.floor(share)) if share >= 1 else share


def environment(arguments: argparse.Namespace, given: Mapping[str, str]) -> dict[str, str]:
    """What Ray and the replicas find in their environment, beside or instead of what is given."""
    # One secret signs the visitors' tokens, another keeps strangers on this machine from Ray's own ports.
    defaults = {
        SECRET_VARIABLE: secrets.token_hex(32),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Serve ends a proxy that is not there in three times 5 s, which a busy machine takes to import it.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    }
    wanted = {name: given.get(name, default) for name, default in defaults.items()}
    wanted["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [given.get("PYTHONPATH")])])
    if arguments.auth is not None:
        wanted[AUTH_VARIABLE] = ":".join(arguments.auth)
    return wanted


def main(argv: Sequence[str] | None = None) -> None:
    """Start Ray and both applications, and keep them until Ctrl-C or SIGTERM."""
    arguments = parse(argv)
    # Before Ray is imported, which reads some of it then; what it starts, it starts with the same environment.
    os.environ.update(environment(arguments, os.environ))

    # Here, not above: a wrong word on the command line should not wait for Ray.
    try:
        import ray
        from ray import serve
    except ModuleNotFoundError:
        stop_with("Ray is not installed. Install it with: python -m pip install -r requirements-deploy.txt")
    from deploy.serve import ENGINES_PREFIX, PAGE_PREFIX, engines, page

    ray.init(address="local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES)
    resources = ray.cluster_resources()
    replicas = max(arguments.replicas or int(resources.get("GPU", 0)), 1)
    kind = {
        "model": arguments.model,
        "memory": arguments.memory,
        "few_steps": arguments.few_steps,
        "places": arguments.places,
    }
    scale = {
        "cpus": cpus_of_each(resources["CPU"], replicas),
        "minimum_replicas": min(arguments.at_once, replicas),
        "maximum_replicas": replicas,
    }
    try:
        # The page counts no CPU: it must not keep an engine from its place.
        applications = [
            serve.RunTarget(engines(kind | scale), name="engines", route_prefix=ENGINES_PREFIX),
            serve.RunTarget(page(kind | {"cpus": 0.0}), name="page", route_prefix=PAGE_PREFIX),
        ]
        serve.start(proxy_location="HeadOnly", http_options={"host": arguments.host, "port": arguments.port})
        serve.run_many(applications)
    except (PlanError, RuntimeError) as error:
        ray.shutdown()
        stop_with(str(error))
    stopped = threading.Event()
    end_on_signals(stopped)
    sys.stdout.write(f"Rearview is open at http://{arguments.host}:{arguments.port}/\n")
    sys.stdout.flush()
    wait_until(stopped)
    # Not Serve's own way, which would wait for visitors who have no reason to leave.
    ray.shutdown()


if __name__ == "__main__":
    main()
