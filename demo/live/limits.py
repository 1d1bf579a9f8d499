"""What a host grants its visitors, and the range of each grant: declared once, read by command line, environment and
checks. The defaults suit a small public host."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, Literal

from pipeline.settings import Choice, Range, SettingsError

WhenIdle = Literal["keep", "forget"]
ENVIRONMENT_PREFIX = "REARVIEW_"
_MEGABYTE = 1024 * 1024


def _number(default: float, *args: Any, **kwargs: Any) -> Any:
    return field(default=default, metadata={"declaration": Range(*args, **kwargs)})


@dataclass(frozen=True)
class HostLimits:
    """Every limit of a host. Raises `SettingsError` for a value out of its range."""

    visitors: int = _number(
        8, 1, 1000, 1, "visitors", "Visitors", "How many have a place at once; others wait in line.", integer=True
    )
    visitors_per_address: int = _number(
        4,
        1,
        1000,
        1,
        "visitors",
        "Visitors of one address",
        "How many of one address have a place or wait for one.",
        integer=True,
    )
    queue_length: int = _number(
        32, 0, 1000, 1, "visitors", "Queue length", "How many may wait in line; 0 sends newcomers away.", integer=True
    )
    greetings: int = _number(
        64,
        1,
        10000,
        1,
        "sockets",
        "Greetings",
        "How many sockets that have not said who they are may be open; the longest silent make room.",
        integer=True,
    )
    greetings_per_address: int = _number(
        16,
        1,
        10000,
        1,
        "sockets",
        "Greetings of one address",
        "How many of these may be of one address.",
        integer=True,
    )
    frames_per_second: float = _number(
        30.0,
        1.0,
        1000.0,
        1.0,
        "frames/s",
        "Frame rate",
        "How many frames of one visitor are taken; others are dropped.",
    )
    message_kb: int = _number(
        512, 16, 8192, 1, "KB", "Message size", "How large a message of a page may be.", integer=True
    )
    finer_seconds: float = _number(
        2.0,
        0.0,
        600.0,
        0.5,
        "seconds",
        "Finer at rest",
        "How long it may take to paint a picture at rest once more, finer; with 0 none is.",
    )
    session_seconds: float = _number(
        3600.0, 10.0, 604800.0, 1.0, "seconds", "Session length", "How long one visit lasts."
    )
    idle_seconds: float = _number(
        60.0, 1.0, 86400.0, 1.0, "seconds", "Idle time", "How long a visitor sends no frame before they are parked."
    )
    when_idle: WhenIdle = field(
        default="keep",
        metadata={
            "declaration": Choice(
                ("keep", "forget"),
                "When idle",
                "What becomes of a parked visitor's memory: kept on the CPU until the next frame, or forgotten.",
            )
        },
    )
    grace_seconds: float = _number(
        4.0, 0.0, 5.0, 0.1, "seconds", "Grace", "How long a lost page's place and memory are kept for its return."
    )
    watchers: int = _number(
        4,
        0,
        100,
        1,
        "watchers",
        "Watchers",
        "How many may watch the output page of one visitor; 0 gives visitors none.",
        integer=True,
    )
    connections: int = _number(
        768, 8, 100_000, 1, "connections", "Connections", "How many connections may be open in all.", integer=True
    )
    connections_per_address: int = _number(
        96,
        4,
        100_000,
        1,
        "connections",
        "Connections of one address",
        "How many of them may be of one address; behind a proxy, its requests under way.",
        integer=True,
    )
    streams_per_address: int = _number(
        32,
        2,
        100_000,
        1,
        "streams",
        "Event streams of one address",
        "How many of its requests may be streams of events; an open page holds two at most.",
        integer=True,
    )
    downloads_per_address: int = _number(
        16,
        1,
        100_000,
        1,
        "downloads",
        "Downloads of one address",
        "How many files may be on their way to one address.",
        integer=True,
    )
    upload_mb: int = _number(
        8000, 1, 1_000_000, 1, "MB", "Uploads", "How much all may upload within an hour.", integer=True
    )
    upload_mb_per_address: int = _number(
        1000, 1, 1_000_000, 1, "MB", "Uploads of one address", "How much of it may be of one address.", integer=True
    )
    frame_area: float = _number(
        2.25,
        1.0,
        64.0,
        0.25,
        "times",
        "Frame area",
        "How much larger than the model's own size a recording may be painted; everybody waits for each such frame.",
    )
    budget_mb: int = _number(
        1024, 1, 524288, 1, "MB", "Byte budget", "How much the memories of all visitors may take.", integer=True
    )

    def __post_init__(self) -> None:
        for name, declaration in DECLARATIONS.items():
            declaration.check(name, getattr(self, name))

    @property
    def byte_budget(self) -> int:
        """What `Engine` is given for all sessions, in bytes."""
        return self.budget_mb * _MEGABYTE

    @property
    def upload_bytes(self) -> int:
        """What all may upload within an hour, in bytes."""
        return self.upload_mb * _MEGABYTE

    @property
    def upload_bytes_per_address(self) -> int:
        """What one address may upload within an hour, in bytes."""
        return self.upload_mb_per_address * _MEGABYTE

    @property
    def message_bytes(self) -> int:
        """The largest message, in bytes."""
        return self.message_kb * 1024


DECLARATIONS: dict[str, Range | Choice] = {each.name: each.metadata["declaration"] for each in fields(HostLimits)}
DEFAULTS: dict[str, Any] = {each.name: each.default for each in fields(HostLimits)}


def option_of(name: str) -> str:
    """The command line's word for a limit."""
    return f"--{name.replace('_', '-')}"


def variable_of(name: str) -> str:
    """The environment's word for a limit."""
    return f"{ENVIRONMENT_PREFIX}{name.upper()}"


def value_of(name: str, text: str) -> Any:
    """The value of the limit `name` that a person wrote as `text`; raises `SettingsError`."""
    return DECLARATIONS[name].parsed(name, text)


def add_options(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    """One option for each limit; its default comes from `environment` where that has a word for it.

    A wrong value ends the program with a sentence, wherever it was written.
    """
    group = parser.add_argument_group("limits", f"each also as an environment variable, {variable_of('visitors')} etc.")
    for name, declaration in DECLARATIONS.items():
        group.add_argument(
            option_of(name),
            type=partial(_argument, name),
            default=_default(parser, name, environment.get(variable_of(name))),
            metavar="|".join(declaration.choices) if isinstance(declaration, Choice) else "NUMBER",
            help=_help(name),
        )


def limits_from(environment: Mapping[str, str]) -> HostLimits:
    """The limits that environment variables ask for; raises `SettingsError`."""
    return HostLimits(
        **{
            name: value_of(name, environment[variable_of(name)])
            for name in DECLARATIONS
            if variable_of(name) in environment
        }
    )


def limits_of(arguments: argparse.Namespace) -> HostLimits:
    """The limits that a command line, parsed with `add_options`, asks for."""
    return HostLimits(**{name: getattr(arguments, name) for name in DECLARATIONS})


def _help(name: str) -> str:
    declaration, default = DECLARATIONS[name], DEFAULTS[name]
    if isinstance(declaration, Choice):
        return f"{declaration.help} (default {default})"
    span = f"{declaration.minimum:g} to {declaration.maximum:g} {declaration.unit}"
    return f"{declaration.help} ({span}; default {default:g})"


def _argument(name: str, text: str) -> Any:
    try:
        return value_of(name, text)
    except SettingsError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _default(parser: argparse.ArgumentParser, name: str, text: str | None) -> Any:
    if text is None:
        return DEFAULTS[name]
    try:
        return value_of(name, text)
    except SettingsError as error:
        parser.error(f"environment variable {variable_of(name)}: {error}")
