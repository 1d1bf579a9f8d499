"""The Dockerfiles, as far as they can be tried without Docker: what they copy is there, what they run runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

import app
from demo.space.spacefile import ROOT, read_spacefile

FILES = ("Dockerfile", "deploy/Dockerfile")


def instructions(name: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile with what follows them, continued lines joined."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = (line.strip() for line in text.splitlines())
    return [tuple(line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")]  # type: ignore[misc]


def stages() -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage of the image, those of `base` included."""
    found: dict[str, list[tuple[str, str]]] = {}
    for word, rest in instructions("Dockerfile"):
        if word == "FROM":
            source, name = rest.split(" AS ")
            found[name] = list(found.get(source, []))
        elif found:
            found[name].append((word, rest))
    return found


def copied(steps: list[tuple[str, str]]) -> list[str]:
    """What COPY takes from the repository."""
    words = [[each for each in rest.split() if not each.startswith("--")] for word, rest in steps if word == "COPY"]
    return [source for sources in words for source in sources[:-1]]


@pytest.mark.parametrize("name", FILES)
def test_hadolint_finds_nothing(name: str) -> None:
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([linter, ROOT / name], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_is_there_and_not_ignored(name: str) -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert ignored[0] == "*"
    for source in copied(instructions(name)):
        assert (ROOT / source).exists()
        assert f"!{source}" in ignored
        assert not [each for each in ignored[1:] if fnmatch(source, each)]


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_an_image_holds_what_a_space_is_sent(target: str) -> None:
    steps = stages()[target]
    there = set(copied(steps))
    for name in set(read_spacefile().files) - {"README.md"}:
        assert name in there or name.partition("/")[0] in there


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_the_app_is_no_root_and_is_asked_for_its_health(target: str) -> None:
    steps = stages()[target]
    assert [rest for word, rest in steps if word == "USER"] == ["1000"]
    assert [word for word, _ in steps].count("HEALTHCHECK") == 1
    # Libraries before the app's own files, so that a changed line of the app installs nothing.
    order = [index for index, (word, rest) in enumerate(steps) if "pip install" in rest or rest.startswith("pipeline")]
    assert "pip install" in steps[order[0]][1] and steps[order[-1]][0] == "COPY"


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_its_command_is_one_that_the_app_takes(target: str) -> None:
    steps = dict(stages()[target])
    command = json.loads(steps["ENTRYPOINT"]) + json.loads(steps.get("CMD", "[]"))
    assert command[:2] == ["python", "app.py"]
    arguments = app.parse(command[2:])
    assert (arguments.host, arguments.port) == ("0.0.0.0", 7860)
    assert steps["EXPOSE"] == str(app.DEFAULT_PORT)
    assert arguments.model == {"cpu": "embedded", "cuda": "auto"}[target]


@pytest.mark.parametrize("status", [200, 503])
def test_the_health_check_tells_a_failing_app(status: int) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    check = json.loads(re.sub(r"^.*CMD ", "", dict(stages()["cpu"])["HEALTHCHECK"]))
    try:
        code = check[2].replace(f":{app.DEFAULT_PORT}/", f":{server.server_port}/")
        done = subprocess.run([sys.executable, *check[1:2], code], capture_output=True, timeout=60)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert (done.returncode == 0) is (status == 200)


def test_the_cpu_image_leaves_xformers_out_and_nothing_else() -> None:
    run = next(rest for word, rest in stages()["cpu"] if word == "RUN" and "sed" in rest)
    pattern = re.findall(r"sed '([^']+)' requirements.txt", run)[0]
    assert shutil.which("sed")
    kept = subprocess.run(["sed", pattern, "requirements.txt"], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert kept.stdout.splitlines() == [line for line in lines if not line.startswith("xformers")]
