"""Make README's moving picture: a recorded hand draws, and beside it the app's own replay paints, at first under the
recording's words and then under others. `python -m examples.film` writes `gallery/live.webp`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from examples.paint_gallery import GALLERY, SKETCHES, captioned, in_rows
from pipeline import Engine, load_model
from pipeline.recording.recording import Drawn, Recording, SettingsChanged, read_recording
from pipeline.recording.replay import Replayed, replayed

DRAWING = SKETCHES / "house.rearview"
THEN = (
    "watercolor painting, a house with a tree",
    "oil painting, a house with a tree, sunset",
    "comic book, a house with a tree",
    "neon lights, a house with a tree",
)
"""What the prompt becomes once the drawing is done."""
FILM = GALLERY / "live.webp"
SIDE = 384
FPS = 12.0
HASTE = 3.8
"""How many times faster the film runs than the hand drew."""
HELD_MS = 700.0
"""How long the finished drawing is shown under each prompt."""
QUALITY = 90


class Shot(NamedTuple):
    """A picture of the film, and how long it is shown."""

    picture: Image.Image
    ms: int


def end_of(recording: Recording) -> float:
    """When the hand puts down the pen, in milliseconds since the recording began."""
    return max(event.ms + event.operation.ms for event in recording.events if isinstance(event, Drawn))


def with_words(recording: Recording, prompts: Sequence[str]) -> Recording:
    """The same recording, whose prompt becomes one after another of `prompts` when the drawing is done."""
    step = HELD_MS * HASTE
    changes = [
        SettingsChanged(end_of(recording) + step * turn, {"prompt": prompt}) for turn, prompt in enumerate(prompts, 1)
    ]
    return replace(recording, events=(*recording.events, *changes))


def prompt_at(recording: Recording, ms: float) -> str:
    """The words under which a frame is painted, `ms` after the recording began."""
    prompt = recording.settings["prompt"]
    for event in recording.events:
        if isinstance(event, SettingsChanged) and event.ms <= ms:
            prompt = event.settings.get("prompt", prompt)
    return str(prompt)


def beside(frame: Replayed, prompt: str) -> Image.Image:
    """What is drawn and what it is painted as under a prompt, side by side, each with its words."""
    drawn = captioned(Image.fromarray(frame.frame), "drawn by hand")
    return in_rows([[drawn, captioned(Image.fromarray(frame.translation.picture), prompt)]])


def shots(engine: Engine, recording: Recording, side: int = SIDE) -> list[Shot]:
    """The film of a recording: at the left what is drawn, at the right what it is painted as, `side` pixels each. It
    begins with the finished drawing, which stands where nothing moves."""
    frames = list(replayed(engine, recording, size=(side, side), fps=FPS / HASTE))
    times = [round(each.ms / HASTE) for each in frames]
    ends = [*times[1:], times[-1] + round(1000 / FPS)]
    film = [
        Shot(beside(each, prompt_at(recording, each.ms)), end - begin)
        for each, begin, end in zip(frames, times, ends, strict=True)
    ]
    finished = next(place for place, each in enumerate(frames) if each.ms >= end_of(recording))
    return film[finished:] + film[:finished]


def write_film(film: Sequence[Shot], out: Path) -> None:
    """Write an animated WebP that goes round for ever."""
    first, *others = film
    durations = [first.ms, *(each.ms for each in others)]
    pictures = [each.picture for each in others]
    first.picture.save(
        out, save_all=True, append_images=pictures, duration=durations, loop=0, quality=QUALITY, method=6
    )


def main() -> None:
    """Make the film."""
    with Engine(load_model("embedded")) as engine:
        write_film(shots(engine, with_words(read_recording(DRAWING), THEN)), FILM)


if __name__ == "__main__":
    main()
