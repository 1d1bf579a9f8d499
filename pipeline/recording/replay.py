"""A recording painted once more: `python -m pipeline.replay house.rearview house.mp4 --steps 4`.

With nothing changed, on the same machine, with the same model and memory, the pictures are those of the visit, bit for
bit, as long as that visitor painted alone, with one frame under way and by one runtime, which the recording names;
where rows shared a UNet call, rounding may tip a value over to the next of 255.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.calls.runtimes import PYTORCH
from pipeline.compute.host import hush, keep_freed_memory
from pipeline.errors import RearviewError
from pipeline.options import (
    add_painter,
    add_settings,
    check_like,
    named_settings,
    opened_engine,
    stopped_by_signals,
)
from pipeline.recording.archive import SUFFIX
from pipeline.recording.moments import DRAWN_FPS, Moment, moment_count, moments_of
from pipeline.recording.recording import Recording, read_recording
from pipeline.recording.replay_files import KINDS, beside, check_out, opened_file
from pipeline.settings import FIT, FrameSettings, SettingsError

if TYPE_CHECKING:
    from pipeline.calls.compiled import Compiled
    from pipeline.engine.engine import Engine
    from pipeline.engine.session import Session, Translation
    from pipeline.frames.codec import Frame, Picture

FAILED = 1
INTERRUPTED = 130


@dataclass(frozen=True, eq=False)
class Replayed:
    """One frame `[H, W, 3]` at the session's size, `ms` after the recording began, and what it became."""

    ms: float
    frame: Frame
    translation: Translation


@dataclass(frozen=True)
class ReplayReport:
    """How many frames a replay has, and whether it was stopped before its end."""

    frames: int
    stopped: bool


def replayed(
    engine: Engine,
    recording: Recording,
    changes: Mapping[str, Any] | None = None,
    *,
    size: tuple[int, int] | None = None,
    strokes: bool = False,
    fps: float = DRAWN_FPS,
    like: Picture | None = None,
) -> Generator[Replayed, None, None]:
    """What `replaying` gives, without the moments between."""
    frames = replaying(engine, recording, changes, size=size, strokes=strokes, fps=fps, like=like)
    with closing(frames):
        yield from (each for each in frames if each is not None)


def replaying(
    engine: Engine,
    recording: Recording,
    changes: Mapping[str, Any] | None = None,
    *,
    size: tuple[int, int] | None = None,
    strokes: bool = False,
    fps: float = DRAWN_FPS,
    party: str = "",
    like: Picture | None = None,
) -> Generator[Replayed | None, None, None]:
    """Paint a recording once more, in a session of its own, which begins as the recording did.

    Its frames are sent as they were; a recording without frames is drawn once more, at `fps` frames a second, and one
    with both where `strokes` says so. `changes` are settings that go before the recorded ones all the time; `size`
    (width, height) by default is the recorded one, and `party` whom it is painted for; `like` is a picture that all are
    to be like, instead of those that were recorded. `None` comes while nothing is painted yet, for whoever may close
    this. Raises `RecordingError`, `SettingsError`, and what `Session.translate` and `Session.be_like` raise.
    """
    # Here, not above: `--help` should not wait for torch.
    from pipeline.frames.codec import fitted

    size = engine.sizes.checked(size or recording.size)
    settings = engine.model.entry.defaults.changed(**recording.settings)
    asked, last = settings, None
    with closing(engine.open(seed=recording.seed, size=size, party=party)) as session:
        session.be_like(like)
        for moment in moments_of(recording, max(size), strokes=strokes, fps=fps):
            if moment is None:
                yield None
                continue
            if moment.rests and last is not None:
                yield _rested(session, moment, last, asked)
                continue
            if moment.like is not None and like is None:
                session.be_like(recording.picture(moment.like) if moment.like else None)
            settings = settings.changed(**moment.settings)
            asked = settings.changed(**changes or {})
            if moment.forgets:
                session.reset()
            translation = session.submit(moment.frame, asked).result()
            last = Replayed(moment.ms, fitted(moment.frame, size, asked.fit), translation)
            yield last


def _rested(session: Session, moment: Moment, last: Replayed, asked: FrameSettings) -> Replayed:
    """The last frame once more, with its finer picture at the size of the others."""
    from pipeline.frames.codec import fitted

    height, width = last.frame.shape[:2]
    finer = session.submit_finer(moment.frame, last.translation.picture, asked).result()
    picture = last.translation.picture if finer is None else fitted(finer, (width, height), "crop")
    return Replayed(moment.ms, last.frame, replace(last.translation, picture=picture))


def written(
    frames: Iterable[Replayed | None], out: Path, *, side_by_side: bool = False
) -> Generator[Replayed | None, None, None]:
    """Write what `replaying` gives to `out`, a folder or a file whose suffix says its kind; give each frame on.

    A file appears when all frames have come, a folder's files one by one. Raises `RecordingError` or `VideoError`;
    then, or if this is closed before the last frame, no file is written.
    """
    check_out(out)
    with opened_file(out) as file:
        for each in frames:
            if each is not None:
                picture = each.translation.picture
                file.write(each.ms, beside(each.frame, picture) if side_by_side else picture)
            yield each
        file.commit()


def write_replay(
    frames: Generator[Replayed | None, None, None] | Generator[Replayed, None, None],
    out: Path,
    *,
    side_by_side: bool = False,
    progress: Callable[[Replayed], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> ReplayReport:
    """Write what `replaying` gives to `out`, as `written` does. `progress` gets every frame; once `stop` says so, `out`
    is finished with what there is. Raises what `written` and `replaying` raise."""
    count, stopped = 0, False

    def until_stopped() -> Generator[Replayed | None, None, None]:
        nonlocal stopped
        for each in frames:
            yield each
            if stop is not None and stop():
                stopped = True
                return

    with closing(frames):
        for each in written(until_stopped(), out, side_by_side=side_by_side):
            if each is not None:
                count += 1
                if progress is not None:
                    progress(each)
    return ReplayReport(count, stopped)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; words that make no sense end the program with a sentence."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.replay",
        description="Paint a recording of the page once more: just as it was, or with other settings, larger, by "
        "another model.",
    )
    parser.add_argument("recording", type=Path, metavar="FILE", help=f"a {SUFFIX} file")
    parser.add_argument("out", type=Path, metavar="OUT", help=f"what to write: {KINDS} (the last picture)")
    parser.add_argument("--side-by-side", action="store_true", help="show what was sent beside each picture")
    parser.add_argument("--strokes", action="store_true", help="draw it once more, instead of sending its frames")
    parser.add_argument(
        "--fps",
        type=float,
        default=DRAWN_FPS,
        metavar="NUMBER",
        help=f"frames a second at which it is drawn (default: {DRAWN_FPS:g}); frames keep their own times",
    )
    add_settings(parser, lambda name: "as recorded")
    parser.add_argument("--fit", choices=FIT.choices, help=f"{FIT.help} (default: as recorded)")
    add_painter(parser, model=None, memory=None)
    return parser.parse_args(argv)


def as_recorded(arguments: argparse.Namespace, recording: Recording) -> argparse.Namespace:
    """The command line, with what was recorded in the place of what it does not name. Another model works at a size of
    its own."""
    model = arguments.model or recording.model
    size = recording.size if model == recording.model else None
    same: dict[str, Any] = {
        "model": model,
        "memory": arguments.memory or recording.memory,
        "size": arguments.size or size,
    }
    for part in ("control", "adapter", "decoder"):
        recorded = getattr(recording, part) if model == recording.model else None
        same[part] = getattr(arguments, part) or recorded
    return argparse.Namespace(**{**vars(arguments), **same})


def main(argv: Sequence[str] | None = None) -> int:
    """Replay a recording as the command line says; the exit status: 0, 1 after a failure, 130 after Ctrl-C."""
    arguments = parse(argv)
    try:
        # Before the model is loaded, which takes much longer.
        recording = read_recording(arguments.recording)
        check_like(arguments.like)
        check_out(arguments.out)
        moments_of(recording, 1, strokes=arguments.strokes, fps=arguments.fps)
        report = _replayed_to(as_recorded(arguments, recording), recording)
    except (RearviewError, SettingsError) as error:
        sys.stderr.write(f"{arguments.recording.name} is not replayed: {error}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("Stopped before the first frame; nothing is written.\n")
        return INTERRUPTED
    sys.stdout.write(f"{arguments.out.name} holds {report.frames} frame{'' if report.frames == 1 else 's'}.\n")
    return INTERRUPTED if report.stopped else 0


def _replayed_to(arguments: argparse.Namespace, recording: Recording) -> ReplayReport:
    """Load the model and replay, under a bar that shows frames a second and the time left."""
    # Here, not above: a wrong word on the command line should not wait for torch.
    hush()
    from tqdm import tqdm

    keep_freed_memory()
    changes = named_settings(arguments) | ({"fit": arguments.fit} if arguments.fit else {})
    with ExitStack() as stack:
        # One runtime throughout, the recorded one: else the first frames would be another's than the last.
        compiled: Compiled = "off" if recording.runtime == PYTORCH else "wait"
        engine = stack.enter_context(opened_engine(arguments, compiled))
        # Shown on a terminal alone: a log has no use for a bar.
        total = moment_count(recording, strokes=arguments.strokes)
        bar = stack.enter_context(tqdm(total=total, unit=" frames", dynamic_ncols=True, disable=None))
        stopped = stack.enter_context(stopped_by_signals())
        frames = replaying(
            engine,
            recording,
            changes,
            size=engine.size,
            strokes=arguments.strokes,
            fps=arguments.fps,
            like=arguments.like,
        )
        return write_replay(
            frames,
            arguments.out,
            side_by_side=arguments.side_by_side,
            progress=lambda _: bar.update(),
            stop=stopped.is_set,
        )
