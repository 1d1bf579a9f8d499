"""What the command lines of the pipeline have in common: settings, what to paint with, and how they are stopped."""

from __future__ import annotations

import argparse
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from pipeline.errors import PictureError
from pipeline.settings import DECLARATIONS, Choice, FrameSettings, Range, SettingsError, Text

if TYPE_CHECKING:
    from pipeline.calls.compiled import Compiled
    from pipeline.engine.engine import Engine

FILE_SETTINGS = {name: each for name, each in DECLARATIONS.items() if name not in ("memory", "pipelined", "finer")}
"""Of a file one frame is under way at a time: none may be dropped, and nobody waits for the next; nothing of it is ever
at rest. `--memory` says what the engine is started with."""
OF_THE_MODEL = ("steps", "strength", "guidance")
"""The settings of which each model has defaults of its own."""
PRECISIONS = ("auto", "float16", "bfloat16", "float32")
"""The names of `Precision` in `pipeline/models/load.py`, here for those who do not wait for torch."""
METAVARS = {Range: "NUMBER", Text: "TEXT", Choice: "NAME"}


def add_settings(parser: argparse.ArgumentParser, default_of: Callable[[str], str]) -> None:
    """Give `parser` the flag of every setting, as it is declared; `default_of` a name is what stands for it where it is
    not given, in words, or empty. Without its flag a setting is `None`."""
    for name, declaration in FILE_SETTINGS.items():
        words = declaration.help
        if isinstance(declaration, Range):
            words += f" {declaration.minimum:g} to {declaration.maximum:.10g} {declaration.unit}"
        shown = f" (default: {default_of(name)})" if default_of(name) else ""
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=partial(_setting, name, declaration),
            metavar=METAVARS[type(declaration)],
            help=(words + shown).replace("%", "%%"),
        )


def first_value(name: str) -> str:
    """What a setting begins with, in words; empty where that is nothing."""
    default = getattr(FrameSettings(), name)
    if default in (None, ""):
        return ""
    return "what suits the model" if name in OF_THE_MODEL else str(default)


def named_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that the command line names."""
    return {name: value for name in FILE_SETTINGS if (value := getattr(arguments, name)) is not None}


def _setting(name: str, declaration: Range | Text | Choice, text: str) -> str | int | float:
    """A setting from the command line; raises `ArgumentTypeError` where it is not as declared."""
    try:
        return declaration.parsed(name, text)
    except SettingsError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_painter(parser: argparse.ArgumentParser, *, model: str | None, memory: str | None) -> None:
    """Give `parser` the flags that say what to paint with, and how large; `model` and `memory` are those to take where
    none is named, or `None`: as recorded."""
    parser.add_argument(
        "--size",
        type=_size,
        metavar="WIDTHxHEIGHT",
        help="the size at which the model works, in pixels (default: "
        f"{'as recorded, or ' if model is None else ''}the model's own)",
    )
    parser.add_argument(
        "--model",
        default=model,
        help="a name of the catalogue, a folder in diffusers' layout, a .safetensors file, owner/name of the hub, or "
        f"auto: the best that this machine can run (default: {model or 'as recorded'})",
    )
    parser.add_argument(
        "--few-steps",
        choices=("auto", "lcm", "turbo", "euler", "tcd", "none"),
        default="auto",
        help="as with app.py: what makes a model of no catalogue fast",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="as with app.py: what the networks compute in",
    )
    parser.add_argument("--offline", action="store_true", help="never ask the hub; what is in its cache is used")
    parser.add_argument(
        "--memory",
        default=memory,
        help=f"the temporal memory: feature-bank, causal, recurrent or none (default: {memory or 'as recorded'})",
    )
    parser.add_argument(
        "--memory-weights",
        metavar="FOLDER",
        help="where the weights of a memory lie that has some, causal or recurrent (default: the folder of its name in "
        "the model's); such as read depth name a depth model, which the hub is asked for",
    )
    parser.add_argument("--control", metavar="NAME", help="as with app.py: what holds the picture to the frame's lines")
    parser.add_argument("--control-picture", metavar="KIND", help="as with app.py: which lines it was trained on")
    parser.add_argument("--decoder", metavar="FILE", help="as with app.py: a decoder that remembers the frame before")
    parser.add_argument(
        "--like",
        type=Path,
        metavar="FILE",
        help="a picture that the painted ones are to be like; a model of the hub reads it, by --adapter",
    )
    parser.add_argument(
        "--adapter",
        metavar="NAME",
        help="as with app.py: what reads that picture (default: with --like, the first that fits the model)",
    )


def check_like(file: Path | None) -> None:
    """Raise `PictureError` where a picture to be like is named that is not there."""
    if file is not None and not file.is_file():
        raise PictureError(f"{file} is not there; needed: the file of a picture to be like. Check the name.")


def _size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT in pixels, or one number for a square; raises `ArgumentTypeError` for anything else."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"came as {text!r}; needed: WIDTHxHEIGHT in pixels, such as 320x192")
    return int(found[1]), int(found[2] or found[1])


def opened_engine(arguments: argparse.Namespace, compiled: Compiled) -> Engine:
    """An engine with what the flags of `add_painter` say, whose calls on a CPU are `compiled` so; raises
    `RearviewError` or `SettingsError`."""
    # Here, not above: a wrong word on the command line should not wait for torch.
    from pipeline.engine.engine import Engine
    from pipeline.guides.adapter_load import adapter_for, load_adapter
    from pipeline.guides.control_load import load_control
    from pipeline.models.decoder import with_decoder
    from pipeline.models.hub import Hub
    from pipeline.models.load import dtype_of, load_model

    hub = Hub(offline=arguments.offline)
    dtype = dtype_of(arguments.precision)
    model = load_model(arguments.model, dtype=dtype, hub=hub, few_steps=arguments.few_steps)
    if arguments.decoder:
        model = with_decoder(model, arguments.decoder, hub)
    control = load_control(arguments.control, model, arguments.control_picture, hub) if arguments.control else None
    named = arguments.adapter or (arguments.like and adapter_for(model))
    return Engine(
        model,
        memory=arguments.memory,
        size=arguments.size,
        control=control,
        adapter=load_adapter(named, model, hub) if named else None,
        memory_weights=arguments.memory_weights,
        hub=hub,
        compiled=compiled,
    )


@contextmanager
def stopped_by_signals() -> Iterator[Event]:
    """An event that Ctrl-C or SIGTERM sets, instead of breaking into the frame under way; the same signal once more
    does what it always did."""
    stopped = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, _: object) -> None:
        stopped.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
