"""ZeroGPU: Spaces that are lent a GPU for a call at a time (https://huggingface.co/docs/hub/spaces-zerogpu).

A call runs in a process that was forked for it, and may be its last: engine, session and bank are built inside, and
what comes back is plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from demo.space.lent.call import CALL_S, Lent, News, painted
from demo.space.lent.slot import Slot
from pipeline.errors import RearviewError, VideoError
from pipeline.settings import FrameSettings, SettingsError
from pipeline.video.reader import facts_of
from pipeline.video.translate import VideoReport, translate_video, translated_frames

if TYPE_CHECKING:
    from pipeline import Engine, Model
    from pipeline.models.catalogue import FewSteps

START_S = 15.0
"""Until the first frame: weights are moved, attention kernels measured, a prompt read."""

FRAME_S, STEP_S = 0.05, 0.05
"""For each frame, and for each of its denoising steps. Like `START_S` a guess on the safe side: no call was ever timed
there. What a call does not use of its time is given back."""

MAXIMUM_CALL_S = 60.0
"""Half of what somebody who is not logged in has for a day."""

MAXIMUM_SIDE = 4096
READABLE = (RearviewError, SettingsError)
DEVICE = "cuda"
"""Where models go when they are loaded: the host keeps them until a GPU is there."""

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Outcome:
    """What a call came to: a picture `[H, W, 3]`, a report on a video, or an error, a sentence for the person."""

    picture: np.ndarray | None = None
    report: VideoReport | None = None
    error: str = ""


def call_seconds(frames: int, steps: int) -> float:
    """How long a GPU is asked for, for that many frames of that many denoising steps: at most `MAXIMUM_CALL_S`."""
    return min(MAXIMUM_CALL_S, START_S + frames * (FRAME_S + steps * STEP_S))


def frames_within_a_call(steps: int) -> int:
    """How many frames of that many denoising steps are painted in the longest call."""
    # Rounded, or a sum of tenths would miss its last frame.
    return int(round((MAXIMUM_CALL_S - START_S) / (FRAME_S + steps * STEP_S), 6))


def check_video(source: Path, settings: FrameSettings) -> None:
    """Raise `VideoError` unless the whole video `source` can be painted in one call."""
    facts, most = facts_of(source, MAXIMUM_SIDE), frames_within_a_call(settings.steps)
    if facts.frames is not None and facts.frames > most:
        raise VideoError(
            f"{source.name} came with {facts.frames} frames; needed: at most {most} with {settings.steps} steps, which "
            "is what one call has time for. Cut it, or take fewer steps."
        )
    if max(facts.size) > MAXIMUM_SIDE:
        raise VideoError(
            f"{source.name} came with {facts.size[0]} x {facts.size[1]} pixels; needed: at most {MAXIMUM_SIDE} a side. "
            "Shrink it."
        )


def prepare() -> Any:
    """The `spaces` library, which every ZeroGPU Space has. Imported before torch is used: it puts an imitation of CUDA
    in place, in the thread that calls this."""
    return import_module("spaces")


def lent_model(
    name: str,
    *,
    memory: str,
    memory_weights: str | None = None,
    safety: str = "off",
    offline: bool = False,
    few_steps: FewSteps = "auto",
) -> tuple[Model, Callable[[], Engine]]:
    """A model for a GPU that is lent, and what opens an engine over it once the GPU is there; to be called in the
    thread that called `prepare`. The names are those of the command line. Raises `ModelError`."""
    # Here, not above: they import torch, which `prepare` has to go before.
    from pipeline import Engine
    from pipeline.compute.host import hush
    from pipeline.guides.safety import HUB_CHECKER, load_safety_checker_to_lend
    from pipeline.models.hub import Hub
    from pipeline.models.load import load_model_to_lend

    hush()
    hub = Hub(offline=offline)
    model = load_model_to_lend(name, hub, device=DEVICE, few_steps=few_steps)
    checker = None if safety == "off" else load_safety_checker_to_lend(HUB_CHECKER if safety == "on" else safety, hub)

    def open_engine() -> Engine:
        # No recorded calls: they would end with the process that a call runs in.
        return Engine(model, memory=memory, memory_weights=memory_weights, safety=checker, graphs="off", hub=hub)

    return model, open_engine


class Calls:
    """What can be asked for on a lent GPU. Made before the page is launched, which is when the host looks for them."""

    def __init__(self, spaces: Any, open_engine: Callable[[], Engine], slots: Sequence[Slot] = ()) -> None:
        """`spaces` is what `prepare` returned; `open_engine` is called on the GPU, anew for each call; `slots` are
        those of live calls."""

        def picture(frame: np.ndarray, settings: FrameSettings) -> Outcome:
            try:
                with open_engine() as engine, closing(engine.open()) as session:
                    return Outcome(picture=next(translated_frames(session, [frame], settings)))
            except READABLE as error:
                return Outcome(error=str(error))

        def picture_seconds(frame: np.ndarray, settings: FrameSettings) -> float:
            return call_seconds(1, settings.steps)

        def video(source: Path, out: Path, settings: FrameSettings) -> Outcome:
            most, painted = frames_within_a_call(settings.steps), 0

            def count(frames: int, expected: int | None) -> None:
                nonlocal painted
                painted = frames

            try:
                with open_engine() as engine, closing(engine.open()) as session:
                    report = translate_video(
                        session,
                        source,
                        out,
                        settings,
                        progress=count,
                        stop=lambda: painted >= most,
                        longest_side=MAXIMUM_SIDE,
                        kinds=(out.suffix,),
                    )
                return Outcome(report=report)
            except READABLE as error:
                return Outcome(error=str(error))

        def video_seconds(source: Path, out: Path, settings: FrameSettings) -> float:
            # Where the file does not say how many, as many as there may be.
            frames = facts_of(source, MAXIMUM_SIDE).frames or frames_within_a_call(settings.steps)
            return call_seconds(frames, settings.steps)

        def live(lent: Lent) -> Iterator[News]:
            yield from painted(lent, slots, open_engine)

        self.live: Callable[[Lent], Iterator[News]] = spaces.GPU(duration=CALL_S)(live)
        """Frames of a slot painted for a while: `demo.space.lent.call.painted`."""

        self.picture: Callable[[np.ndarray, FrameSettings], Outcome] = spaces.GPU(duration=picture_seconds)(picture)
        """A frame `[H, W, 3]` painted by itself."""

        self.video: Callable[[Path, Path, FrameSettings], Outcome] = spaces.GPU(duration=video_seconds)(video)
        """The video of the first path painted into the second, with one memory from its first frame to its last."""
