"""A host that lends its GPU, as far as this machine can be one: the real `spaces` package, a service for it as the host
has one, and no device. What `spaces.zero.torch` does to tensors is left out, and the model stays on the CPU."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]

WITHOUT_DEVICE = """
import sys
import types

if "app.py" in " ".join(sys.orig_argv):
    torch = types.ModuleType("spaces.zero.torch")
    torch.__path__ = []
    for name in ("patch", "unpatch", "enter_mode", "init", "move"):
        setattr(torch, name, lambda *_, **__: None)
    torch.pack = torch.size = lambda: 0
    torch.is_in_bad_fork = lambda: False
    sys.modules["spaces.zero.torch"] = torch

    from demo.space import zero
    from demo.space.lent import call

    zero.DEVICE = "cpu"
    call.PAINTED_S = {seconds}
"""
"""Run by Python as it starts: in the app's own process, and so in all that are forked from it."""


@dataclass
class Service:
    """What the host was asked, in order: the paths of its service."""

    asked: list[str] = field(default_factory=list)
    granted: threading.Event = field(default_factory=threading.Event)
    """While it is not set, whoever wants a GPU waits for one."""

    def __post_init__(self) -> None:
        self.granted.set()


@contextmanager
def lending(folder: Path, painted_s: float) -> Iterator[tuple[Service, dict[str, str]]]:
    """A host whose calls end by themselves after `painted_s` seconds: its service, and the environment of an app
    there."""
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            path = urlsplit(self.path).path
            service.asked.append(path)
            body = b""
            if path == "/schedule":
                service.granted.wait(60)
                lent = {"idle": False, "nvidiaIndex": 0, "nvidiaUUID": "GPU-0", "allowToken": str(len(service.asked))}
                body = json.dumps(lent).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    (folder / "sitecustomize.py").write_text(WITHOUT_DEVICE.replace("{seconds}", str(painted_s)))
    (folder / "cgroup").write_text("0::/lent\n")
    try:
        yield (
            service,
            {
                "PYTHONPATH": f"{folder}:{ROOT}",
                "SPACES_ZERO_GPU": "true",
                "SPACES_ZERO_DEVICE_API_URL": f"http://127.0.0.1:{server.server_port}",
                "ZEROGPU_PROC_SELF_CGROUP_PATH": str(folder / "cgroup"),
                "SPACE_ID": "anna/rearview",
                "REARVIEW_SAFETY": "off",
                # OpenMP's threads do not live on in a process that is forked.
                "OMP_NUM_THREADS": "1",
            },
        )
    finally:
        server.shutdown()
        server.server_close()
