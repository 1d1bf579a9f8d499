"""A reverse proxy as people put in front of an app: under a prefix that it takes away, with headers that it adds."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

HEAD_END = b"\r\n\r\n"


@dataclass
class Proxy:
    """Where it listens, the prefix of the app's addresses there, whether it passes WebSockets on (without, it answers
    every upgrade with 400, as many proxies do), and the `Host` that it writes, where it does not pass it on."""

    upstream_port: int
    prefix: str
    sockets: bool
    listener: socket.socket
    host: str | None = None
    open: set[socket.socket] = field(default_factory=set)
    threads: list[threading.Thread] = field(default_factory=list)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.listener.getsockname()[1])

    @property
    def url(self) -> str:
        """The address of the app's page behind it."""
        return f"http://127.0.0.1:{self.port}{self.prefix}/"

    def run(self, function: Callable[..., None], *arguments: object) -> threading.Thread:
        """Call a function in a thread that `close` waits for."""
        thread = threading.Thread(target=function, args=arguments)
        self.threads.append(thread)
        thread.start()
        return thread

    def listen(self) -> None:
        """Serve whoever comes, until the listener is shut down."""
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.run(self.serve, client)

    def serve(self, client: socket.socket) -> None:
        """Pass one request on, or one socket in both directions."""
        with client, suppress(OSError), client.makefile("rb") as reader:
            self.open.add(client)
            head = b""
            while not head.endswith(HEAD_END):
                line = reader.readline()
                if not line:
                    return
                head += line
            passed = rewritten(head, self.prefix, self.host)
            if passed is None or (not self.sockets and b"\r\nupgrade:" in head.lower()):
                status = b"404 Not Found" if passed is None else b"400 Bad Request"
                client.sendall(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close" + HEAD_END)
                return
            with socket.create_connection(("127.0.0.1", self.upstream_port)) as upstream:
                self.open.add(upstream)
                upstream.sendall(passed)
                back = self.run(pump, upstream.recv, client)
                pump(reader.read1, upstream)
                back.join()

    def close(self) -> None:
        """Break every connection off and wait for all threads."""
        for each in (self.listener, *tuple(self.open)):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in tuple(self.threads):
            thread.join()
        self.listener.close()


def pump(receive: Callable[[int], bytes], to: socket.socket) -> None:
    """Pass on what comes, until nothing more does."""
    with suppress(OSError):
        while data := receive(65536):
            to.sendall(data)
    with suppress(OSError):
        to.shutdown(socket.SHUT_WR)


@contextmanager
def proxied(upstream_port: int, prefix: str, sockets: bool = True, host: str | None = None) -> Iterator[Proxy]:
    """A proxy in front of a port of this machine."""
    proxy = Proxy(upstream_port, prefix, sockets, socket.create_server(("127.0.0.1", 0)), host)
    proxy.run(proxy.listen)
    try:
        yield proxy
    finally:
        proxy.close()


def rewritten(head: bytes, prefix: str, host: str | None = None) -> bytes | None:
    """A request's head as the app gets it, or `None` for an address that does not stand under the prefix. One request
    a connection, but for an upgrade."""
    first, *lines = head.removesuffix(HEAD_END).decode("latin-1").split("\r\n")
    method, path, version = first.split(" ")
    if not path.startswith(f"{prefix}/"):
        return None
    if host is not None:
        lines = [f"host: {host}" if line.lower().startswith("host:") else line for line in lines]
    if not any(line.lower().startswith("upgrade:") for line in lines):
        lines = [line for line in lines if not line.lower().startswith("connection:")] + ["connection: close"]
    added = ["x-forwarded-for: 192.0.2.7", "x-forwarded-proto: http"]
    first = f"{method} {path.removeprefix(prefix)} {version}"
    return "\r\n".join([first, *lines, *added]).encode("latin-1") + HEAD_END
