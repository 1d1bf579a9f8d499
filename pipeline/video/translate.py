"""A video file in, a translated video file out: `python -m pipeline.video IN OUT --prompt "oil painting"`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from pipeline.compute.host import hush, keep_freed_memory
from pipeline.errors import RearviewError
from pipeline.options import (
    add_painter,
    add_settings,
    check_like,
    first_value,
    named_settings,
    opened_engine,
    stopped_by_signals,
)
from pipeline.settings import FIT, FrameSettings, SettingsError
from pipeline.video.reader import LONGEST_VIDEO_SIDE, SourceFrame, VideoReader, facts_of
from pipeline.video.targets import TARGETS
from pipeline.video.writer import VideoWriter, check_paths, even

if TYPE_CHECKING:
    from pipeline.engine.session import Session
    from pipeline.frames.codec import Frame

Ending = Literal["whole", "stopped", "damaged"]
FAILED = 1
INTERRUPTED = 130


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
    from pipeline.frames.codec import unfitted

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
    longest_side: int = LONGEST_VIDEO_SIDE,
    kinds: Collection[str] = tuple(TARGETS),
) -> VideoReport:
    """Translate the video `source` into the file `out`, whose suffix says its kind; it appears when it is finished.

    Every frame keeps its own time, and sound is copied. One frame is held at a time. After each, `preview` gets the
    source frame and the painted one, `[H, W, 3]` each, and `progress` the numbers of frames done and expected. Once
    `stop` says so, or `KeyboardInterrupt` comes, `out` is finished with what there is. Raises `VideoError` and what
    `translated_frames` raises; then nothing is written, and a file that was at `out` stays. No frame is decoded that is
    larger than the square of `longest_side`. Notes advise to write no kind of file but `kinds`, suffixes.
    """
    from pipeline.frames.codec import restored_size

    check_paths(source, out)
    facts = facts_of(source, longest_side)
    size = even(restored_size(facts.size, session.size, settings.fit))
    flagged_before = session.flagged
    ending: Ending = "whole"
    with (
        VideoReader(source, longest_side) as reader,
        VideoWriter(out, size, facts.pixel_aspect, reader, kinds) as writer,
    ):
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
        if ending == "whole" and (reader.broken_off or reader.missing):
            ending = "damaged"
        notes = (*reader.notes, *writer.left_out, *_damages(reader, ending), *_blurs(session.flagged - flagged_before))
        return VideoReport(writer.frames, facts.frames, ending, notes)


def _damages(reader: VideoReader, ending: Ending) -> list[str]:
    """A sentence on each kind of damage that was met."""
    notes = []
    if reader.damaged:
        notes.append(f"{reader.damaged} damaged pieces of it could not be decoded and are left out.")
    if ending == "damaged" and reader.missing:
        promised = reader.reached + reader.missing
        notes.append(f"it ends after {reader.reached:.1f} of the {promised:.1f} seconds that it promises.")
    elif ending == "damaged":
        notes.append("it cannot be read to its end; what came before is kept.")
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
    add_settings(parser, first_value)
    parser.add_argument("--fit", choices=FIT.choices, default="pad", help=f"{FIT.help} (default: pad)")
    add_painter(parser, model="auto", memory="feature-bank")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Translate a file as the command line says; the exit status: 0, 1 after a failure, 130 after Ctrl-C.

    Once frames are translated, Ctrl-C and SIGTERM finish the file after the frame under way.
    """
    arguments = parse(argv)
    try:
        # Before the model is loaded, which takes much longer than to see that a file is none.
        check_paths(arguments.source, arguments.out)
        check_like(arguments.like)
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
    return defaults.changed(fit=arguments.fit, **named_settings(arguments))


def _translated(arguments: argparse.Namespace) -> VideoReport:
    """Load the model and translate, under a bar that shows frames a second and the time left."""
    # Here, not above: a wrong word on the command line should not wait for torch.
    hush()
    from tqdm import tqdm

    keep_freed_memory()
    with ExitStack() as stack:
        engine = stack.enter_context(opened_engine(arguments, "auto"))
        settings = _asked(arguments, engine.model.entry.defaults)
        session = stack.enter_context(closing(engine.open()))
        session.be_like(arguments.like)
        # Shown on a terminal alone: a log has no use for a bar.
        bar = stack.enter_context(tqdm(unit=" frames", dynamic_ncols=True, disable=None))
        stopped = stack.enter_context(stopped_by_signals())
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


def outcome(report: VideoReport, out: Path) -> str:
    """A sentence on how far a translation into `out` came."""
    if not report.frames:
        return "Stopped before the first frame; nothing is written."
    if report.ending == "whole":
        return f"{out.name} holds {report.frames} frame{'' if report.frames == 1 else 's'}."
    why = "Stopped" if report.ending == "stopped" else "The source is damaged"
    of = f" of {report.expected}" if report.expected else ""
    frames = "frame" if report.frames == 1 and not of else "frames"
    return f"{why}: {out.name} holds {report.frames}{of} {frames}."
