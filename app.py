"""The door: read the command line, load a model, start the engine, serve the page until somebody ends it."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

FEW_STEPS = ("auto", "lcm", "turbo", "euler", "tcd", "none")
DEFAULT_PORT = 7860
LOCAL_HOST = "127.0.0.1"
EVERY_HOST = "0.0.0.0"
END_WITHIN_S = 4.5
OPEN_CONNECTIONS_S = 0.5
LOOK_EVERY_S = 1.0
SILENT_PEER_S = 20.0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; words that make no sense end the program with a sentence."""
    parser = argparse.ArgumentParser(prog="app.py", description="Draw, or use a webcam, and see it painted live.")
    # Here, not above: importing this module imports nothing of ours.
    from demo.live.limits import add_options
    from demo.space.spacefile import MODEL_VARIABLE, SAFETY_VARIABLE, SpaceError, space_environment
    from pipeline.options import PRECISIONS

    try:
        environment = space_environment(os.environ)
    except SpaceError as error:
        parser.error(str(error))
    on_spaces = "SPACE_ID" in environment
    parser.add_argument(
        "--model",
        default=environment.get(MODEL_VARIABLE, "auto"),
        help="a name of the catalogue, a folder in diffusers' layout, a .safetensors file, owner/name or "
        "owner/name/file.safetensors of the Hugging Face hub, or auto: the best that this machine can run (default "
        f"auto); also as {MODEL_VARIABLE}",
    )
    parser.add_argument(
        "--few-steps",
        choices=FEW_STEPS,
        default="auto",
        help="what is in the weights of a model of no catalogue: lcm (latent consistency), turbo (Turbo, SDXS, "
        "Hyper of one step), euler (Lightning, Hyper with guidance), tcd, none, or auto: as its configs say, and the "
        "LCM-LoRA where they say nothing (default auto)",
    )
    parser.add_argument("--offline", action="store_true", help="never ask the hub; what is in its cache is used")
    parser.add_argument(
        "--loras",
        nargs="+",
        metavar="FOLDER",
        help="LoRA files to pick from on the page: folders, files, or owner/name/file.safetensors of the hub; each "
        "acts on the pictures of everybody on this server",
    )
    parser.add_argument(
        "--embeddings", nargs="+", metavar="FOLDER", help="textual inversions, named likewise: words for prompts"
    )
    parser.add_argument(
        "--memory",
        default="feature-bank",
        help="the temporal memory that pages begin with: feature-bank, causal, recurrent or none; beside it each can "
        "choose those that need no weights, or whose weights lie in the model's folder",
    )
    parser.add_argument(
        "--memory-weights",
        metavar="FOLDER",
        help="where the weights of a memory lie that has some, causal or recurrent (default: the folder of its name in "
        "the model's); such as read depth name a depth model, which the hub is asked for",
    )
    parser.add_argument(
        "--control",
        metavar="NAME",
        help="hold the picture to the lines of the drawing: controlnet-scribble-sd15, sketch-sdxl, lineart-sdxl, ..., "
        "a folder in diffusers' layout, or owner/name or owner/name/file.safetensors of the Hugging Face hub",
    )
    parser.add_argument(
        "--control-picture",
        metavar="KIND",
        help="which lines it was trained on: scribble, sketch, lineart or canny (default: as known, else scribble)",
    )
    parser.add_argument(
        "--decoder",
        metavar="FILE",
        help="a tiny decoder that remembers the frame before, against flicker, such as TAESDV: a .safetensors file, or "
        "owner/name/file.safetensors of the hub; steadier: the embedded model's; plain: the model's own, without any",
    )
    parser.add_argument(
        "--adapter",
        metavar="NAME",
        help="let visitors give a picture that theirs are to be like: like-sd15, like-plus-sd15, like-sdxl, ..., or a "
        ".safetensors file or owner/name/file.safetensors of the hub with the folder image_encoder beside it",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="what the networks compute in: auto (float16 on CUDA, bfloat16 on a CPU with instructions for it, else "
        "float32), or one of these, such as float32 where pictures come out black",
    )
    parser.add_argument(
        "--graphs",
        choices=("auto", "off"),
        default="auto",
        help="make calls that come again and again faster: auto (recorded on CUDA, compiled by OpenVINO on a CPU) or "
        "off (PyTorch's own)",
    )
    parser.add_argument("--host", default=EVERY_HOST if on_spaces else LOCAL_HOST, help="the address to listen on")
    parser.add_argument("--port", type=port, default=DEFAULT_PORT, help="the port to listen on")
    parser.add_argument("--share", action="store_true", help="open a public link through gradio.live")
    parser.add_argument("--auth", type=credentials, metavar="USER:PASSWORD", help="ask visitors for these")
    parser.add_argument(
        "--behind-proxy",
        action="store_true",
        default=on_spaces,
        help="a proxy stands in front: take a visitor's address from the last hop of X-Forwarded-For",
    )
    parser.add_argument(
        "--safety",
        default=environment.get(SAFETY_VARIABLE, "off"),
        metavar="on|off|FOLDER",
        help="blur pictures that Stable Diffusion's safety checker flags: on for the hub's own, or a folder or "
        f"repository with another; also as {SAFETY_VARIABLE} (default off; turn it on for a public host)",
    )
    add_options(parser, environment)
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
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"Rearview cannot start: {sentence}\n")
    raise SystemExit(1)


def leave_at_once(*_: object) -> NoReturn:
    """End the program before it serves anybody."""
    raise SystemExit(0)


def end_on_signals(stopped: threading.Event) -> None:
    """From now on, Ctrl-C and SIGTERM let those who are served finish."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stopped.set())


def wait_until(stopped: threading.Event) -> None:
    """Wait for a signal. Python handles one in the main thread alone, and what reaches the process in another thread
    does not wake a wait there that has no end."""
    while not stopped.wait(LOOK_EVERY_S):
        pass


def leave_the_rest(stopped: threading.Event) -> None:
    """End the process at once if it was asked to end: with PyTorch in it, an interpreter takes itself apart for
    seconds, and nothing of that is of use to anybody."""
    if stopped.is_set():
        for each in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                each.flush()
        os._exit(0)


def end_in_time(seconds: float) -> None:
    """End the process after `seconds` whatever still runs: a long frame, or a peer that reads nothing, must not make a
    service manager wait until it kills us."""
    timer = threading.Timer(seconds, os._exit, args=(0,))
    timer.daemon = True
    timer.start()


def harden(server: Any, arguments: argparse.Namespace) -> None:
    """What Gradio's `launch` does not set: connections are bounded, messages are refused by their announced length, the
    kernel drops a peer that reads nothing, and open connections do not keep a server that ends."""
    from demo.live.doors.peers import bound_connections
    from demo.live.limits import limits_of

    limits = limits_of(arguments)
    bound_connections(server.config, limits, arguments.behind_proxy)
    # Twice the limit: up to there the page gets its own sentence.
    server.config.ws_max_size = 2 * limits.message_bytes
    server.config.timeout_graceful_shutdown = OPEN_CONNECTIONS_S
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        for listener in (each for opened in server.servers for each in opened.sockets):
            # Every connection has it from its listener (RFC 5482; also while the peer's window is closed).
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * SILENT_PEER_S))


def safety_checker(word: str, device: Any, hub: Any) -> Any:
    """What `--safety` asks for, or `None` for "off"; raises `ModelError`."""
    if word == "off":
        return None
    from pipeline.guides.safety import HUB_CHECKER, load_safety_checker

    return load_safety_checker(HUB_CHECKER if word == "on" else word, device, hub=hub)


def say(sentence: str) -> None:
    """Write a line for whoever started the program, if there is a place to read it: a closed or full one is no reason
    to end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.write(f"{sentence}\n")
        sys.stdout.flush()


def launched(build: Callable[[], Any], routes: Sequence[Any], arguments: argparse.Namespace) -> tuple[Any, str]:
    """The page that `build` makes, and the address at which it is open, with `routes` in front of its own from the
    first request on; raises `StartError`."""
    from starlette.middleware import Middleware

    from demo.live.doors.crowd import BoundedCrowd
    from demo.live.doors.kept_pages import KeptPages
    from demo.live.doors.languages import Languages
    from demo.live.doors.streams import EndedStreams
    from demo.live.doors.upload_names import BoundedUploadNames
    from demo.live.doors.uploads import BoundedBodies
    from demo.live.limits import limits_of
    from demo.page import page
    from demo.page.opening import opened, sheltered
    from demo.page.translations import translations
    from pipeline.compute.host import collect_from_now_on

    whose = {"limits": limits_of(arguments), "behind_proxy": arguments.behind_proxy}
    with sheltered():
        blocks = build()
        others = translations(build, blocks)
    bounds = [
        Middleware(Languages),
        Middleware(BoundedCrowd, **whose),
        Middleware(BoundedBodies, **whose),
        Middleware(BoundedUploadNames),
        Middleware(EndedStreams),
        Middleware(KeptPages, translations=others),
    ]
    address = opened(
        blocks,
        routes,
        host=arguments.host,
        port=arguments.port,
        middleware=bounds,
        share=arguments.share,
        auth=arguments.auth,
        state_session_capacity=page.KEPT_PAGES,
        **page.launch_options(),
    )
    collect_from_now_on()
    return blocks, address


def serve_calls(arguments: argparse.Namespace, stopped: threading.Event) -> None:
    """Serve live minutes, pictures and videos until `stopped`, on a host that lends a GPU for a call at a time."""
    from demo.space import zero

    beside = [
        f"--{name}" for name in ("control", "decoder", "adapter", "loras", "embeddings") if getattr(arguments, name)
    ]
    if beside:
        stop_with(f"{' and '.join(beside)} cannot be had on ZeroGPU. Leave it out, or take a GPU of your own.")
    spaces = zero.prepare()

    # Only now: what comes before torch is used imitates the GPU that is not there yet.
    from demo.page.opening import check_folder, sheltered
    from pipeline.errors import RearviewError

    try:
        check_folder()
        with sheltered():
            from demo.live.limits import limits_of
            from demo.live.live import Live
            from demo.page import page
            from demo.space.lent.engine import LentEngine
            from demo.space.zero_page import ZeroPage
        limits = limits_of(arguments)
        model, open_engine = zero.lent_model(
            arguments.model,
            few_steps=arguments.few_steps,
            memory=arguments.memory,
            memory_weights=arguments.memory_weights,
            safety=arguments.safety,
            offline=arguments.offline,
        )
    except RearviewError as error:
        stop_with(str(error))
    end_on_signals(stopped)
    say(f"Rearview paints with {model.credit}, a call at a time.")
    size = (model.native_size, model.native_size)
    engine = LentEngine(model, size, arguments.memory, limits.visitors)
    calls = zero.Calls(spaces, open_engine, engine.slots)
    # Without a classifier of drawings: once one has computed here, PyTorch hangs in the forks that calls are.
    live = Live(engine, limits, behind_proxy=arguments.behind_proxy, welcomes=False)  # type: ignore[arg-type]
    try:
        lending = ZeroPage(calls, os.environ.get("SPACE_ID", ""), limits.visitors)
        blocks, address = launched(lambda: page.build(live, lending=lending), live.routes(), arguments)
    except RearviewError as error:
        stop_with(str(error))
    harden(blocks.server, arguments)
    say(f"Rearview is open at {address}")
    wait_until(stopped)
    end_in_time(END_WITHIN_S)
    live.close()
    blocks.close(verbose=False)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve the page until Ctrl-C or SIGTERM; then let the frames under way finish, and tell the pages."""
    arguments = parse(argv)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    # Else whoever comes from this machine writes their own address: ours decides by --behind-proxy.
    os.environ.setdefault("FORWARDED_ALLOW_IPS", "")
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, leave_at_once)
    stopped = threading.Event()
    # Before any library has registered its own: what comes first here is done last.
    atexit.register(leave_the_rest, stopped)
    if arguments.offline:
        # The hub's client reads this when it is imported, for whoever else would use it.
        os.environ["HF_HUB_OFFLINE"] = "1"

    # Here, not above: a wrong word on the command line should not wait for torch.
    from demo.space.spacefile import is_zero
    from pipeline.compute.host import (
        give_freed_memory_back,
        hush,
        keep_freed_memory,
        now_and_then,
        start_uncollected,
    )

    start_uncollected()
    if is_zero(os.environ):
        serve_calls(arguments, stopped)
        return
    hush()
    from demo.live.limits import limits_of
    from demo.page.opening import StartError, check_address, check_folder, sheltered
    from pipeline import (
        Engine,
        load_adapter,
        load_control,
        load_model,
        load_sketches,
        read_embeddings,
        read_loras,
        with_decoder,
        with_embeddings,
    )
    from pipeline.engine.memory_choice import loadable_memories
    from pipeline.errors import RearviewError
    from pipeline.models.hub import Hub
    from pipeline.models.load import dtype_of

    keep_freed_memory()
    now_and_then(give_freed_memory_back)
    limits = limits_of(arguments)
    hub = Hub(offline=arguments.offline)
    try:
        check_folder()
        check_address(arguments.host, arguments.port)
        with sheltered():
            from demo.live.live import Live
            from demo.page import page
            from demo.page.lora import Loras, Styles
        dtype = dtype_of(arguments.precision)
        model = load_model(arguments.model, dtype=dtype, hub=hub, few_steps=arguments.few_steps)
        say(f"Rearview paints with {model.credit}{': ' if model.reason else '.'}{model.reason}")
        words = read_embeddings(hub.places(arguments.embeddings), model) if arguments.embeddings else None
        model = with_embeddings(model, words.embeddings if words else ())
        if arguments.decoder:
            model = with_decoder(model, arguments.decoder, hub)
        shelf = read_loras(hub.places(arguments.loras), model) if arguments.loras else None
        control = load_control(arguments.control, model, arguments.control_picture, hub) if arguments.control else None
        adapter = load_adapter(arguments.adapter, model, hub) if arguments.adapter else None
        sketches = load_sketches()
        engine = Engine(
            model,
            memory=arguments.memory,
            memory_weights=arguments.memory_weights,
            byte_budget=limits.byte_budget,
            largest_area=limits.frame_area,
            safety=safety_checker(arguments.safety, model.device, hub),
            control=control,
            adapter=adapter,
            graphs=arguments.graphs,
            memories=loadable_memories(model),
            hub=hub,
            compiled=arguments.graphs,
        )
    except RearviewError as error:
        stop_with(str(error))
    end_on_signals(stopped)
    engine.prepare()
    live = Live(engine, limits, behind_proxy=arguments.behind_proxy, sketches=sketches)
    for sentence in (refused for each in (shelf, words) if each for refused in each.refused):
        say(f"Left out: {sentence}")
    try:
        styles = Styles(Loras(live, shelf) if shelf else None, words)
        blocks, address = launched(lambda: page.build(live, styles), live.routes(), arguments)
    except StartError as error:
        engine.close()
        stop_with(str(error))
    harden(blocks.server, arguments)
    say(f"Rearview is open at {address}")
    wait_until(stopped)
    end_in_time(END_WITHIN_S)
    live.close()
    blocks.close(verbose=False)
    engine.close()


if __name__ == "__main__":
    main()
