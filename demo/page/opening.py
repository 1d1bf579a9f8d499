"""The page is opened: what Gradio asks of its surroundings is looked at first, so that whatever is wrong with them is a
sentence. Importing this imports no Gradio, which already looks around when it is imported.
"""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import RearviewError

LOOPBACK = "127.0.0.1"
GRADIO_FOLDER = "GRADIO_TEMP_DIR"
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
NO_PROXY = ("no_proxy", "NO_PROXY")
_SURROUNDINGS = ("GRADIO_", "SSL_CERT_")
_OURS = ("GRADIO_ANALYTICS_ENABLED",)


class StartError(RearviewError):
    """The page cannot be opened here."""


@contextmanager
def sheltered() -> Iterator[None]:
    """While entered, no proxy of the environment stands between the app and itself, and what Gradio raises because of
    where it runs is a `StartError`."""
    before = {name: os.environ.get(name) for name in NO_PROXY}
    os.environ.update(dict.fromkeys(NO_PROXY, "*"))
    try:
        for name in CERTIFICATES:
            if (place := os.environ.get(name)) and not Path(place).exists():
                raise StartError(
                    f"{name} names {place}, which is not there; needed: certificates. Correct the variable, "
                    "or leave it out."
                )
        yield
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise _of_surroundings(error) from error
    except Exception as error:
        # httpx has errors of its own, and Gradio raises plain ones where it does not reach itself.
        if type(error) is Exception or type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore"):
            raise _of_surroundings(error) from error
        raise
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _of_surroundings(error: Exception) -> StartError:
    read = sorted(each for each in os.environ if each.startswith(_SURROUNDINGS) and each not in _OURS)
    said = " ".join(str(error).split())[:200] or type(error).__name__
    advice = f"It reads {', '.join(read)} here: try without." if read else "Try another --host or --port."
    return StartError(f"Gradio, which shows the page, does not start here ({said}). {advice}")


def check_folder() -> None:
    """Raise `StartError` where Gradio could not keep files."""
    named = os.environ.get(GRADIO_FOLDER)
    try:
        folder = Path(named or Path(tempfile.gettempdir()) / "gradio")
    except OSError as error:
        raise StartError(
            f"there is no folder for temporary files ({error}). Name one that may be written to in the variable TMPDIR."
        ) from error
    try:
        # What Gradio makes of its own when the page is built.
        (folder / "vibe_edit_history").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        whose = f"{GRADIO_FOLDER} names {folder}, which" if named else f"{folder}, where Gradio keeps files,"
        raise StartError(
            f"{whose} cannot be written to ({error.strerror}); needed: a folder of this user's own. Name one in the "
            f"variable {GRADIO_FOLDER}."
        ) from error


def unbracketed(host: str) -> str:
    """An IPv6 address as sockets take it."""
    return host.removeprefix("[").removesuffix("]")


def check_address(host: str, port: int) -> None:
    """Raise `StartError` where nobody can listen there."""
    # Gradio asks for the port on the loopback as well.
    for each in dict.fromkeys((unbracketed(host), LOOPBACK)):
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(
                each, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            with socket.socket(family, kind, protocol) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(place)
        except (OSError, UnicodeError) as error:
            raise StartError(_refusal(each, port, error)) from error


def _refusal(host: str, port: int, error: OSError | UnicodeError) -> str:
    """Why an address is not to be had, and what to do."""
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.EADDRINUSE:
        return f"port {port} on {host} is taken by another program. End that one, or choose another --port."
    if code in (errno.EACCES, errno.EPERM):
        return f"port {port} on {host} is not for this user ({error}). Choose a --port from 1024 on."
    return f"--host {host} is no address of this machine ({error}). Take {LOOPBACK}, or 0.0.0.0 for all of them."


def opened(
    blocks: Any, routes: Sequence[Any], *, host: str, port: int, middleware: Sequence[Any], **options: Any
) -> str:
    """The address at which `blocks` is open, with `routes` in front of its own from the first request on; raises
    `StartError`."""
    bare = unbracketed(host)
    check_address(bare, port)
    with sheltered():
        _, address, shared = blocks.launch(
            server_name=f"[{bare}]" if ":" in bare else bare,
            server_port=port,
            prevent_thread_lock=True,
            # Spaces ask for it from outside; the front server that it brings passes on no WebSocket.
            ssr_mode=False,
            run_history=False,
            quiet=True,
            app_kwargs={"routes": routes, "middleware": [*middleware]},
            **options,
        )
    return str(shared or address)
