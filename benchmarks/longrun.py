"""What a stream costs and looks like after 10,000 frames: bytes, milliseconds, and the picture's mean and contrast."""

from __future__ import annotations

import argparse
import os
import resource
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import fmean, median

import cv2
import numpy as np
from transformers.utils import logging as transformers_logging

from benchmarks.measuring import plots, report
from benchmarks.measuring.timing import percentile
from pipeline import Engine, FrameSettings, Model, ModelError, Session, SettingsError, load_model
from pipeline.compute.host import keep_freed_memory
from pipeline.frames.codec import Frame
from pipeline.settings import BANK_RENEWALS, BankRenewal
from training.clips.clips import CLIPS, FEWEST_FRAMES, MULTIPLE, draw_clip
from training.looks.looks import LOOKS, canonical_prompt

FRAMES = 10_000
CLIP = "pan"
CLIP_FRAMES = 16
STYLE = "watercolor"
SEED = 7
PARTS = 10
"""Of the run; a row of the table each."""

MOST_DRIFT = 1.0
"""Of 255: how far the mean or the contrast of a repetition may lie from the first one's."""
MOST_GROWTH = 16.0
"""MiB that the process may gain after the first part of the run: what the C library and PyTorch keep for themselves
comes and goes by less."""
MOST_SLOWER = 1.1
"""Times the milliseconds of the first part: no machine is steadier."""
SLOWEST_FRAME = 1.3
"""Times the median frame that the slowest of an interval may take."""
MIB = 2**20

NOTE = f"""\
A clip of a moving scene, forwards and backwards so that nothing jumps, is translated again and again in one session.
KiB: all arrays of the session. MiB: the whole process. Milliseconds are the engine's, of each frame of that part of the
run. Mean: of all values 0..255 of a picture; contrast: their standard deviation; both are means over the frames of a
part, or of a repetition of the clip. Needed: not a byte more in the session, at most {MOST_GROWTH:g} MiB more in the
process, at most {MOST_SLOWER:g} times the milliseconds (the slowest frame is told and not judged: any other program
makes one), and no repetition whose mean or contrast lies more than {MOST_DRIFT:g} of 255 from the first one's.

Renewals: two sessions take turns frame by frame. The slowest frame of an interval is the place in it whose median is
the largest, so that a busy moment of the machine is not taken for it; needed: at most {SLOWEST_FRAME:g} times the
median."""


@dataclass(frozen=True)
class Moment:
    """One frame: the engine's milliseconds, the mean and the standard deviation of its picture's values, 0..255, and
    the bytes that the session and the whole process held after it."""

    milliseconds: float
    mean: float
    contrast: float
    session: int
    process: int


@dataclass(frozen=True)
class Part:
    """Some frames in a row: the number of the last one, KiB of the session and MiB of the process after it,
    milliseconds a frame, and the means of the pictures' means and contrasts."""

    last_frame: int
    session: float
    process: float
    median: float
    percentile_99: float
    slowest: float
    mean: float
    contrast: float

    @property
    def row(self) -> report.Row:
        """Its row in the table."""
        return {
            "frames": self.last_frame,
            "session, KiB": self.session,
            "process, MiB": self.process,
            "ms, median": self.median,
            "ms, 99 %": self.percentile_99,
            "ms, slowest": self.slowest,
            "mean": self.mean,
            "contrast": self.contrast,
        }


def to_and_fro(frames: Sequence[Frame]) -> list[Frame]:
    """The frames forwards and backwards, neither end twice: repeated, they never jump."""
    return [*frames, *frames[-2:0:-1]]


def process_bytes() -> int:
    """Bytes of memory of this process; where the system does not tell, the most that it ever had."""
    pages = Path("/proc/self/statm")
    if pages.is_file():
        return int(pages.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    # On macOS in bytes, elsewhere in KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def moments(session: Session, frames: Iterable[Frame], settings: FrameSettings) -> Iterator[Moment]:
    """The frames through a session, one after another."""
    for frame in frames:
        translation = session.submit(frame, settings).result()
        picture = translation.picture
        statistics = float(picture.mean()), float(picture.std())
        yield Moment(translation.seconds * 1000, *statistics, session.nbytes, process_bytes())


def parts_of(run: Sequence[Moment]) -> list[Part]:
    """The run in `PARTS` parts of about the same length."""
    ends = np.linspace(0, len(run), PARTS + 1).round().astype(int).tolist()
    return [_part(run, *each) for each in zip(ends, ends[1:], strict=False)]


def _part(run: Sequence[Moment], start: int, stop: int) -> Part:
    part = run[start:stop]
    times = [each.milliseconds for each in part]
    return Part(
        last_frame=stop,
        session=part[-1].session / 1024,
        process=part[-1].process / MIB,
        median=median(times),
        percentile_99=percentile(times, 99),
        slowest=max(times),
        mean=fmean(each.mean for each in part),
        contrast=fmean(each.contrast for each in part),
    )


def repetitions_of(run: Sequence[Moment], length: int) -> dict[str, list[float]]:
    """Mean and contrast of the pictures of each whole repetition of `length` frames, 0..255."""
    whole = [run[start : start + length] for start in range(0, len(run) - length + 1, length)]
    return {
        "mean": [fmean(each.mean for each in repetition) for repetition in whole],
        "contrast": [fmean(each.contrast for each in repetition) for repetition in whole],
    }


def verdict_rows(first: Part, last: Part, repetitions: Mapping[str, Sequence[float]]) -> list[report.Row]:
    """What was at the beginning and at the end, one row a promise, and whether it is kept."""
    rows = [
        _verdict("session, KiB", first.session, last.session, "more", last.session <= first.session),
        _verdict("process, MiB", first.process, last.process, "more", last.process - first.process <= MOST_GROWTH),
    ]
    for name in ("median", "percentile_99", "slowest"):
        before, after = getattr(first, name), getattr(last, name)
        kept = None if name == "slowest" else after <= MOST_SLOWER * before
        rows.append(_verdict(f"ms, {name.replace('percentile_99', '99 %')}", before, after, "ms more", kept))
    for name, values in repetitions.items():
        farthest = max(values, key=lambda value: abs(value - values[0]))
        for which, value in (("last repetition", values[-1]), ("repetition farthest from the first", farthest)):
            kept = abs(value - values[0]) <= MOST_DRIFT
            rows.append(_verdict(f"{name}, {which}", values[0], value, "of 255", kept))
    return rows


def _verdict(what: str, first: float, last: float, unit: str, kept: bool | None) -> report.Row:
    verdict = "not judged" if kept is None else "kept" if kept else "broken"
    return {"what": what, "first": first, "last": last, "change": f"{last - first:+.2f} {unit}", "verdict": verdict}


def renewal_rows(engine: Engine, frames: Sequence[Frame], settings: FrameSettings, intervals: int) -> list[report.Row]:
    """The slowest frame of an interval beside the median frame, for both ways of renewal, in turns frame by frame."""
    sessions = {each: engine.open(SEED) for each in BANK_RENEWALS}
    taken: dict[BankRenewal, list[float]] = {each: [] for each in BANK_RENEWALS}
    for number, frame in enumerate(islice(cycle(frames), 1 + intervals * settings.bank_interval)):
        # Another way goes first each time: what lies warm in the caches then serves both.
        for renewal in BANK_RENEWALS[:: -1 if number % 2 else 1]:
            translation = sessions[renewal].submit(frame, settings.changed(bank_renewal=renewal)).result()
            taken[renewal].append(translation.seconds * 1000)
    for session in sessions.values():
        session.close()
    return [renewal_row(renewal, times[1:], settings.bank_interval) for renewal, times in taken.items()]


def renewal_row(renewal: str, times: Sequence[float], interval: int) -> report.Row:
    """`times` begin with the second frame of a stream: the first one finds an empty bank."""
    slowest = max(median(times[place::interval]) for place in range(interval))
    ratio = slowest / median(times)
    return {
        "renewal": renewal,
        "ms, median": median(times),
        "ms, slowest of an interval": slowest,
        "slowest of median": ratio,
        "ms, slowest of all": max(times),
        "verdict": "kept" if ratio <= SLOWEST_FRAME else "broken",
    }


def pixels(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT, or one number for a square; raises `ArgumentTypeError` for anything else."""
    sides = text.split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise argparse.ArgumentTypeError(f"came as {text!r}; needed: WIDTHxHEIGHT in pixels, such as 320x192")
    return int(sides[0]), int(sides[-1])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.longrun", description=__doc__)
    parser.add_argument("--model", default="embedded", help="a model of the catalogue, or a folder (default: embedded)")
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"how many frames (default: {FRAMES})")
    parser.add_argument("--steps", type=int, default=1, help="denoising steps (default: 1)")
    parser.add_argument("--size", type=pixels, metavar="WIDTHxHEIGHT", help="in pixels (default: the model's own)")
    parser.add_argument("--clip", choices=list(CLIPS), default=CLIP, help=f"what is repeated (default: {CLIP})")
    parser.add_argument(
        "--clip-frames", type=int, default=CLIP_FRAMES, help=f"frames of it, forwards (default: {CLIP_FRAMES})"
    )
    parser.add_argument("--renewal", choices=BANK_RENEWALS, default=FrameSettings().bank_renewal, help="of the bank")
    parser.add_argument("--intervals", type=int, default=25, help="of both ways of renewal (default: 25)")
    parser.add_argument("--style", choices=list(LOOKS), default=STYLE, help=f"what is asked for (default: {STYLE})")
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="the folder for tables and plot")
    parser.add_argument("--name", default="longrun", help="the name of the files there (default: longrun)")
    return parser


def clip_frames(name: str, count: int, size: tuple[int, int]) -> list[Frame]:
    """A clip to and fro, in squares that hold pictures of `size`."""
    side = -(-max(size) // MULTIPLE) * MULTIPLE
    return to_and_fro(list(draw_clip(name, frames=count, size=side).frames))


def measured(
    model: Model, options: argparse.Namespace, settings: FrameSettings
) -> tuple[list[Moment], list[report.Row]]:
    """The long run, and before it both ways of renewal beside each other: these also warm the engine."""
    run: list[Moment] = []
    with Engine(model, size=options.size) as engine:
        frames = clip_frames(options.clip, options.clip_frames, engine.size)
        renewals = renewal_rows(engine, frames, settings, options.intervals)
        for moment in moments(engine.open(SEED), islice(cycle(frames), options.frames), settings):
            run.append(moment)
            if len(run) % (options.frames // PARTS) == 0:
                print(f"{len(run)} of {options.frames} frames", file=sys.stderr)
    return run, renewals


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write them and the plot; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    length = 2 * options.clip_frames - 2
    fewest = max(PARTS, 2 * length)
    if options.clip_frames < FEWEST_FRAMES or options.frames < fewest or options.intervals < 1:
        parser.error(
            f"needed: a clip of at least {FEWEST_FRAMES} frames, two repetitions of it to and fro ({fewest} frames "
            "here), and one interval"
        )
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    cv2.setNumThreads(1)  # its workers would wait beside those that translate
    keep_freed_memory()  # as app.py does
    try:
        model = load_model(options.model)
        settings = FrameSettings(
            prompt=canonical_prompt(options.style), steps=options.steps, bank_renewal=options.renewal
        )
        run, renewals = measured(model, options, settings)
    except (ModelError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    parts, repetitions = parts_of(run), repetitions_of(run, length)
    options.results.mkdir(parents=True, exist_ok=True)
    plot = options.results / f"{options.name}-picture.png"
    plots.lines("the picture, of 255", "repetitions of the clip", repetitions).save(plot, optimize=True)
    title = f"{model.name}, {options.steps} step{'s' * (options.steps > 1)}, renewal {options.renewal}"
    tables = {
        f"First and last, {title}": verdict_rows(parts[0], parts[-1], repetitions),
        f"Over the run, {title}": [part.row for part in parts],
        f"Renewals, {model.name}": renewals,
    }
    command = (
        f"python -m benchmarks.longrun --model {model.name} --frames {options.frames} --steps {options.steps} "
        f"--clip {options.clip} --clip-frames {options.clip_frames} --renewal {options.renewal} "
        f"--intervals {options.intervals} --style {options.style}"
    )
    if options.size:
        command += f" --size {options.size[0]}x{options.size[1]}"
    note = f"{NOTE}\n\n![{plot.stem}]({plot.name})"
    report.publish(options.name, command, report.machine(model.device, model.dtype), tables, note, options.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
