"""Who is connected to the port itself, before any request is read."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from demo.live import gate
from demo.live.limits import HostLimits
from demo.words import word

REQUEST_WITHIN_S = 20.0
"""How long a connection may be open without a whole head of a request, from its first moment or its last answer on:
time enough for whoever was refused to notice while they still send."""


class Peers:
    """The connections that are open, of whom there are `most`, and `most_of_address` of one address."""

    def __init__(self, most: int, most_of_address: int) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._address_of: dict[Any, str] = {}
        self._of_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._address_of)

    def come(self, transport: Any, address: str) -> str | None:
        """Count a connection; where there is no room for it, the sentence that says so."""
        if self._of_address[address] >= self._most_of_address:
            return word("doors.connections", most=self._most_of_address)
        if len(self) >= self._most:
            return word("doors.full")
        self._address_of[transport] = address
        self._of_address[address] += 1
        return None

    def leave(self, transport: Any) -> None:
        """Count a connection no more, if it was counted."""
        address = self._address_of.pop(transport, None)
        if address is not None:
            self._of_address -= Counter([address])


class BoundedConnection(H11Protocol):
    """Uvicorn's connection of HTTP that bounds the head of a request (`httptools` does not), one among `peers`, ended
    where no request comes in time."""

    def __init__(self, *args: Any, peers: Peers, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._peers = peers
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to listen, if there is room."""
        super().connection_made(transport)
        sentence = self._peers.come(transport, gate.counted_address(self.client[0]) if self.client else "unknown")
        if sentence is None:
            self._await_request()
        else:
            transport.write(refusal(sentence))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the room back: only now, because a peer that reads slowly stays after we have closed."""
        super().connection_lost(exc)
        self._peers.leave(self.transport)
        if self._deadline is not None:
            self._deadline.cancel()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._await_request()

    def _await_request(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(REQUEST_WITHIN_S, self._end_without_request)

    def _end_without_request(self) -> None:
        is_asked = self.cycle is not None and not self.cycle.response_complete
        is_socket = self.transport.get_protocol() is not self
        if not is_asked and not is_socket:
            self.transport.close()


def bound_connections(config: Config, limits: HostLimits, behind_proxy: bool) -> Peers:
    """From now on, who connects to a server of `config` is counted. Behind a proxy all connections are the proxy's, so
    that only their sum counts here."""
    peers = Peers(limits.connections, limits.connections if behind_proxy else limits.connections_per_address)
    config.http_protocol_class = partial(BoundedConnection, peers=peers)  # type: ignore[assignment]
    socket_class: Any = config.ws_protocol_class

    class BoundedSocket(socket_class):
        """The connection once it is a WebSocket."""

        def connection_lost(self, exc: Exception | None) -> None:
            """Give the room back."""
            super().connection_lost(exc)
            peers.leave(self.transport)

    config.ws_protocol_class = BoundedSocket
    return peers


def refusal(sentence: str) -> bytes:
    """A whole answer to a request that nobody has read."""
    body = sentence.encode()
    head = f"HTTP/1.1 429 Too Many Requests\r\ncontent-length: {len(body)}\r\ncontent-type: text/plain; charset=utf-8"
    return f"{head}\r\nconnection: close\r\n\r\n".encode() + body
