"""The door: read the command line, load a model, start the engine, serve the page."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

DEFAULT_PORT = 7860
LOCAL_HOST = "127.0.0.1"
EVERY_HOST = "0.0.0.0"


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; words that make no sense end the program with a sentence."""
    parser = argparse.ArgumentParser(prog="app.py", description="Draw, or use a webcam, and see it painted live.")
    on_spaces = "SPACE_ID" in os.environ
    parser.add_argument("--model", default="embedded", help="a name of the catalogue, or a folder in diffusers' layout")
    parser.add_argument("--memory", default="feature-bank", help="the temporal memory: feature-bank or none")
    parser.add_argument("--host", default=EVERY_HOST if on_spaces else LOCAL_HOST, help="the address to listen on")
    parser.add_argument("--port", type=port, default=DEFAULT_PORT, help="the port to listen on")
    parser.add_argument("--share", action="store_true", help="open a public link through gradio.live")
    parser.add_argument("--auth", type=credentials, metavar="USER:PASSWORD", help="ask visitors for these")
    return parser.parse_args(argv)


def port(text: str) -> int:
    """A TCP port; raises `ArgumentTypeError` for anything else."""
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise argparse.ArgumentTypeError(f"came as {text!r}; needed: a whole number from 1 to 65535")
    return int(text)


def credentials(text: str) -> tuple[str, str]:
    """A name and a password; raises `ArgumentTypeError` where one of them is missing."""
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise argparse.ArgumentTypeError("came without a name or a password; needed: USER:PASSWORD")
    return user, password


def stop_with(sentence: str) -> NoReturn:
    """End the program with a sentence and a status that says it failed."""
    sys.stderr.write(f"Rearview cannot start: {sentence}\n")
    raise SystemExit(1)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve the page until Ctrl-C or SIGTERM."""
    arguments = parse(argv)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    stopped = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stopped.set())

    # Here, not above: a wrong word on the command line should not wait for torch.
    from pipeline.host import hush, keep_freed_memory

    hush()
    from demo import page
    from demo.live import Live
    from pipeline import Engine, load_model
    from pipeline.errors import RearviewError

    keep_freed_memory()
    try:
        engine = Engine(load_model(arguments.model), memory=arguments.memory)
    except RearviewError as error:
        stop_with(str(error))
    live = Live(engine)
    blocks = page.build(live)
    try:
        app, address, shared = blocks.launch(
            server_name=arguments.host,
            server_port=arguments.port,
            share=arguments.share,
            auth=arguments.auth,
            prevent_thread_lock=True,
            ssr_mode=False,
            run_history=False,
            quiet=True,
            **page.launch_options(),
        )
    except OSError as error:
        engine.close()
        stop_with(f"port {arguments.port} on {arguments.host} is not to be had ({error}). Choose another --port.")
    live.attach(app)
    sys.stdout.write(f"Rearview is open at {shared or address}\n")
    sys.stdout.flush()
    stopped.wait()
    live.close()
    blocks.close(verbose=False)
    engine.close()


if __name__ == "__main__":
    main()
