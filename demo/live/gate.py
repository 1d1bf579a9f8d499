"""Who may come in: where a connection comes from, and who is logged in on it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_address
from typing import Any

from starlette.requests import HTTPConnection, Request

from demo.live import wire

HOME_PREFIX = 64
"""The bits of an IPv6 address that say whose it is: one home has all of the addresses behind them (RFC 6177)."""


@dataclass(frozen=True)
class Guest:
    """Somebody with a valid token: the page's name, who is logged in on it, and the address it comes from."""

    name: str
    user: str | None
    address: str


def is_ours(connection: HTTPConnection) -> bool:
    """Whether the connection comes from our own page, or from a program that is no browser."""
    headers = connection.headers
    origin = headers.get("origin")
    if origin is None:
        return not is_browser(connection)
    return wire.origin_is_ours(origin, (headers.get("host"), os.environ.get("SPACE_HOST")))


def is_browser(connection: HTTPConnection) -> bool:
    """Whether a browser sent the request. Browsers say so themselves, in headers that a page cannot take away
    (W3C Fetch Metadata), and each of them names itself Mozilla."""
    headers = connection.headers
    return any(name.startswith("sec-fetch-") for name in headers) or headers.get("user-agent", "").startswith(
        "Mozilla/"
    )


def address_of(connection: HTTPConnection, behind_proxy: bool) -> str:
    """The address that a connection counts for: its peer's, or the one that the proxy in front of us has seen, as
    `counted_address` writes it.

    Only the last hop of X-Forwarded-For is written by that proxy; all before it is what the client claims.
    """
    if behind_proxy:
        hops = [hop.strip() for line in connection.headers.getlist("x-forwarded-for") for hop in line.split(",")]
        if hops and hops[-1]:
            return counted_address(hops[-1])
    return counted_address(connection.client.host) if connection.client else "unknown"


def counted_address(text: str) -> str:
    """One word for all addresses of one home: an IPv6 address is its network of `HOME_PREFIX` bits, an IPv4 address
    written as IPv6 is the IPv4 address, and a port beside it is left out. What is no address stays as it is."""
    try:
        address = ip_address(without_port(text))
    except ValueError:
        return text
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    # As a number, because a link's own address names the link behind a percent sign.
    return str(IPv6Network((int(address), HOME_PREFIX), strict=False))


def without_port(text: str) -> str:
    """An address as some proxies write it, 192.0.2.1:443 or [2001:db8::1]:443, without its port."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def asks_for_login(connection: HTTPConnection) -> bool:
    """Whether the Gradio app in front of which we stand was launched with `auth=`."""
    return getattr(connection.app, "auth", None) is not None


def user_of(connection: HTTPConnection) -> str | None:
    """Who is logged in, by the cookies that Gradio gave; `None` for nobody."""
    if not asks_for_login(connection):
        return None
    app: Any = connection.app
    cookies = connection.cookies
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    users = (app.tokens.get(cookies[name]) for name in names if name in cookies)
    return next((user for user in users if user is not None), None)


def guest_of(connection: HTTPConnection, tokens: wire.Tokens, token: object, behind_proxy: bool) -> Guest | None:
    """Whom `token` lets in on this connection, or `None` where it is forged, over, or somebody else's."""
    user = user_of(connection)
    if user is None and asks_for_login(connection):
        return None
    name = tokens.visitor(token, user)
    return None if name is None else Guest(name, user, address_of(connection, behind_proxy))


async def limited_body(request: Request, maximum_bytes: int) -> bytes | None:
    """The body of a request, or `None` as soon as it is larger than `maximum_bytes`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > maximum_bytes:
            return None
    return bytes(body)
