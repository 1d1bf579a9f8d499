"""A video file in, a translated video file out: `python -m pipeline.video IN OUT --prompt "oil painting"`."""

from __future__ import annotations

import argparse
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Literal

import numpy as np

from pipeline.errors import RearviewError
from pipeline.host import hush, keep_freed_memory
from pipeline.settings import DECLARATIONS, FIT, Choice, FrameSettings, Range, SettingsError, Text
from pipeline.video_io import TARGETS, SourceFrame, VideoReader, VideoWriter, check_paths, even, facts_of

if TYPE_CHECKING:
    from pipeline.codec import Frame
    from pipeline.session import Session

Ending = Literal["whole", "stopped", "damaged"]
FAILED = 1
INTERRUPTED = 130
SUSPICIOUS_SHARE = 0.9
"""A file that ends before this share of the time that it promises was cut off; a promise is often a little off."""


@dataclass(frozen=True)
class VideoReport:
    """What became of a video: how many `frames` the file holds, how many were `expected` (`None`: not known), whether
    it is `"whole"`, was `"stopped"`, or the source is `"damaged"` and broke off; `notes` are sentences on what was
    left out. With no frame, no file was written."""

    frames: int
    expected: int | None
    ending: Ending
    notes: tuple[str, ...] = ()


def translated_frames(session: Session, frames: Iterable[Frame], settings: FrameSettings) -> Iterator[Frame]:
    """Translate frames `[H, W, 3]` one by one: each picture comes before the next frame is asked for.

    A picture has the size of its frame; where `settings.fit` is "crop", of the part that was not cut. Raises
    `PictureError`, `PromptError`, `SessionClosedError` or `FrameError`.
    """
    for frame in frames:
        yield _painted(session, frame, settings)


def _painted(session: Session, frame: Frame, settings: FrameSettings) -> Frame:
    # Here, not above: `--help` should not wait for torch.
    from pipeline.codec import unfitted

    picture = np.asarray(session.translate(frame, settings))
    return unfitted(picture, (frame.shape[1], frame.shape[0]), settings.fit)


def translate_video(
    session: Session,
    source: Path,
    out: Path,
    settings: FrameSettings,
    *,
    progress: Callable[[int, int | None], None] | None = None,
    preview: Callable[[Frame, Frame], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> VideoReport:
    """Translate the video `source` into the file `out`, whose suffix says its kind; it appears when it is finished.

    Every frame keeps its own time, and sound is copied. One frame is held at a time. After each, `preview` gets the
    source frame and the painted one, `[H, W, 3]` each, and `progress` the numbers of frames done and expected. Once
    `stop` says so, or `KeyboardInterrupt` comes, `out` is finished with what there is. Raises `VideoError` and what
    `translated_frames` raises; then nothing is written, and a file that was at `out` stays.
    """
    from pipeline.codec import restored_size

    check_paths(source, out)
    facts = facts_of(source)
    size = even(restored_size(facts.size, session.size, settings.fit))
    flagged_before = session.flagged
    ending: Ending = "whole"
    with VideoReader(source) as reader, VideoWriter(out, size, facts.pixel_aspect, reader) as writer:
        try:
            for piece in reader.pieces():
                if not isinstance(piece, SourceFrame):
                    writer.copy(piece)
                    continue
                if stop is not None and stop():
                    ending = "stopped"
                    break
                painted = _painted(session, piece.picture, settings)
                writer.write(painted, piece.time, piece.duration)
                if preview is not None:
                    preview(piece.picture, painted)
                if progress is not None:
                    progress(writer.frames, facts.frames)
        except KeyboardInterrupt:
            writer.commit()
            raise
        writer.commit()
        if reader.broken_off and ending == "whole":
            ending = "damaged"
        notes = (*writer.left_out, *_damages(reader, ending), *_blurs(session.flagged - flagged_before))
        return VideoReport(writer.frames, facts.frames, ending, notes)


def _damages(reader: VideoReader, ending: Ending) -> list[str]:
    """A sentence on each kind of damage that was met."""
    notes = []
    if reader.damaged:
        notes.append(f"{reader.damaged} damaged pieces of it could not be decoded and are left out.")
    if ending == "damaged":
        notes.append("it cannot be read to its end; what came before is kept.")
    elif ending == "whole" and reader.end and reader.reached < SUSPICIOUS_SHARE * reader.end:
        notes.append(f"it ends after {reader.reached:.1f} of the {reader.end:.1f} seconds that it promises.")
    return notes


def _blurs(count: int) -> list[str]:
    """A sentence on the frames whose pictures were flagged, if any were."""
    frames = "1 frame is" if count == 1 else f"{count} frames are"
    return [f"{frames} blurred: the safety checker flagged what was painted."] if count else []


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; words that make no sense end the program with a sentence."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.video",
        description="Translate a video file under a prompt; every frame keeps its time, and the sound is copied.",
    )
    parser.add_argument("source", type=Path, metavar="IN", help="a video file of any kind that FFmpeg reads")
    parser.add_argument("out", type=Path, metavar="OUT", help=f"the file to write: {', '.join(TARGETS)}")
    for name, declaration in FILE_SETTINGS.items():
        _add_setting(parser, name, declaration)
    parser.add_argument("--fit", choices=FIT.choices, default="pad", help=f"{FIT.help} (default: pad)")
    parser.add_argument(
        "--size",
        type=_size,
        metavar="WIDTHxHEIGHT",
        help="the size at which the model works, in pixels (default: the model's own)",
    )
    parser.add_argument(
        "--model",
        default="auto",
        help="a name of the catalogue, a folder in diffusers' layout, a .safetensors file, owner/name of the hub, or "
        "auto: the best that this machine can run (default: auto)",
    )
    parser.add_argument("--offline", action="store_true", help="never ask the hub; what is in its cache is used")
    parser.add_argument(
        "--memory", default="feature-bank", help="the temporal memory: feature-bank, causal, recurrent or none"
    )
    parser.add_argument(
        "--memory-weights",
        metavar="FOLDER",
        help="where the weights of a memory lie that has some, causal or recurrent (default: the folder of its name in "
        "the model's)",
    )
    parser.add_argument("--control", metavar="NAME", help="as with app.py: what holds the picture to the frame's lines")
    parser.add_argument("--control-picture", metavar="KIND", help="as with app.py: which lines it was trained on")
    return parser.parse_args(argv)


FILE_SETTINGS = {name: each for name, each in DECLARATIONS.items() if name not in ("memory", "pipelined")}
"""Of a file one frame is under way at a time: none may be dropped, and nobody waits for the next. `--memory` says what
the engine is started with."""
OF_THE_MODEL = ("steps", "strength")
"""The settings of which each model has defaults of its own."""
METAVARS = {Range: "NUMBER", Text: "TEXT", Choice: "NAME"}


def _add_setting(parser: argparse.ArgumentParser, name: str, declaration: Range | Text | Choice) -> None:
    """Give `parser` the flag of a setting, as it is declared."""
    default = getattr(FrameSettings(), name)
    words = declaration.help
    if isinstance(declaration, Range):
        words += f" {declaration.minimum:g} to {declaration.maximum:.10g} {declaration.unit}"
    shown = (
        "" if default in (None, "") else f" (default: {'what suits the model' if name in OF_THE_MODEL else default})"
    )
    parser.add_argument(
        f"--{name.replace('_', '-')}",
        type=partial(_setting, name, declaration),
        metavar=METAVARS[type(declaration)],
        help=(words + shown).replace("%", "%%"),
    )


def _setting(name: str, declaration: Range | Text | Choice, text: str) -> str | int | float:
    """A setting from the command line; raises `ArgumentTypeError` where it is not as declared."""
    try:
        return declaration.parsed(name, text)
    except SettingsError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT in pixels, or one number for a square; raises `ArgumentTypeError` for anything else."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"came as {text!r}; needed: WIDTHxHEIGHT in pixels, such as 320x192")
    return int(found[1]), int(found[2] or found[1])


def main(argv: Sequence[str] | None = None) -> int:
    """Translate a file as the command line says; the exit status: 0, 1 after a failure, 130 after Ctrl-C.

    Once frames are translated, Ctrl-C and SIGTERM finish the file after the frame under way.
    """
    arguments = parse(argv)
    try:
        # Before the model is loaded, which takes much longer than to see that a file is none.
        check_paths(arguments.source, arguments.out)
        facts_of(arguments.source)
        report = _translated(arguments)
    except (RearviewError, SettingsError) as error:
        sys.stderr.write(f"{arguments.source.name} is not translated: {error}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("Stopped before the first frame; nothing is written.\n")
        return INTERRUPTED
    for note in report.notes:
        sys.stderr.write(f"{arguments.source.name}: {note}\n")
    status = {"whole": 0, "damaged": FAILED, "stopped": INTERRUPTED}[report.ending]
    (sys.stderr if status else sys.stdout).write(f"{outcome(report, arguments.out)}\n")
    return status


def _asked(arguments: argparse.Namespace, defaults: FrameSettings) -> FrameSettings:
    """The settings of the command line over those that a model begins with."""
    named = {name: getattr(arguments, name) for name in FILE_SETTINGS if getattr(arguments, name) is not None}
    return defaults.changed(fit=arguments.fit, **named)


def _translated(arguments: argparse.Namespace) -> VideoReport:
    """Load the model and translate, under a bar that shows frames a second and the time left."""
    # Here, not above: a wrong word on the command line should not wait for torch.
    hush()
    from tqdm import tqdm

    from pipeline.control import load_control
    from pipeline.engine import Engine
    from pipeline.hub import Hub
    from pipeline.models import load_model

    keep_freed_memory()
    hub = Hub(offline=arguments.offline)
    with ExitStack() as stack:
        model = load_model(arguments.model, hub=hub)
        settings = _asked(arguments, model.entry.defaults)
        control = load_control(arguments.control, model, arguments.control_picture, hub) if arguments.control else None
        engine = stack.enter_context(
            Engine(
                model,
                memory=arguments.memory,
                size=arguments.size,
                control=control,
                memory_weights=arguments.memory_weights,
            )
        )
        session = stack.enter_context(closing(engine.open()))
        # Shown on a terminal alone: a log has no use for a bar.
        bar = stack.enter_context(tqdm(unit=" frames", dynamic_ncols=True, disable=None))
        stopped = stack.enter_context(_stopped_by_signals())
        done = 0

        def advance(frames: int, expected: int | None) -> None:
            nonlocal done
            done, bar.total = frames, expected
            bar.update()

        try:
            return translate_video(
                session, arguments.source, arguments.out, settings, progress=advance, stop=stopped.is_set
            )
        except KeyboardInterrupt:
            return VideoReport(done, bar.total, "stopped")


@contextmanager
def _stopped_by_signals() -> Iterator[Event]:
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


def outcome(report: VideoReport, out: Path) -> str:
    """A sentence on how far a translation into `out` came."""
    if not report.frames:
        return "Stopped before the first frame; nothing is written."
    if report.ending == "whole":
        return f"{out.name} holds {report.frames} frames."
    why = "Stopped" if report.ending == "stopped" else "The source is damaged"
    of = f" of {report.expected}" if report.expected else ""
    return f"{why}: {out.name} holds {report.frames}{of} frames."


if __name__ == "__main__":
    sys.exit(main())
