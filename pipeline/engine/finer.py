"""A picture at rest painted once more, finer or under other settings: while nobody waits, and given up as soon as
somebody does.

It is a painting of its own: it reads no memory and leaves none, so the stream goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import nn

from pipeline.calls.plain_codec import PlainCodec
from pipeline.calls.streams import OneStream
from pipeline.compute.devices import settle
from pipeline.engine.session import Session
from pipeline.engine.stream import StreamState
from pipeline.engine.translator import Asked, Translator
from pipeline.errors import FrameError
from pipeline.frames.codec import Frame
from pipeline.models.unet_call import UnetRunner
from pipeline.settings import FrameSettings

SHARE_OF_TONES = 1 / 16
"""Of the picture's side: what is as wide as this keeps the tone that it was shown with."""


@dataclass(frozen=True, eq=False)
class Resting:
    """A picture at rest: whose it is, the frame `[h, w, 3]` that it is made from and how, the picture `[H, W, 3]` whose
    tones it takes, if there is one, and the future of the new one; `None` where that was given up."""

    session: Session
    asked: Asked
    shown: Frame | None
    future: Future[Frame | None]


class GivenUpError(Exception):
    """Somebody waits."""


def alone(settings: FrameSettings) -> FrameSettings:
    """The same, for one picture by itself."""
    return settings.changed(bank_frames=0.0, steadiness=0.0, pipelined="off")


def finer_translator(translator: Translator, runner: UnetRunner, codec: PlainCodec) -> Translator:
    """A translator of the same parts whose calls are made by `runner` and `codec`, one after another. On a card nothing
    is recorded for a size that comes now and then."""
    return replace(translator, runner=runner, codec=codec, streams=OneStream())


def rested_picture(translator: Translator, resting: Resting, waits: Callable[[], bool]) -> Frame | None:
    """The picture `[h, w, 3]`, in the tones of the one that is shown; `None` where somebody `waits` before it is done,
    or where it was flagged. Raises `PromptError` or `FrameError`."""
    model = translator.model
    try:
        with given_up_when(waits, (model.unet, model.vae)):
            frame = translator.begun(resting.asked, StreamState())
            while not frame.is_denoised:
                (frame,) = translator.stepped([(frame, StreamState())])
                # What is only launched would have to be waited for by whoever comes.
                settle(model.device)
                # A call that was compiled is as short as a few layers, and is not given up by itself.
                if waits():
                    raise GivenUpError
            (decoded,) = translator.decoded([(frame, StreamState())])
            painted = decoded.arriving.waited_for()
    except GivenUpError:
        return None
    if painted is None:
        raise FrameError(
            "the model gave NaN or infinity for this picture; needed: numbers. Lower guidance or prompt weights, "
            "or load the model in float32 (--precision float32)."
        )
    if painted.flagged:
        return None
    return painted.picture if resting.shown is None else in_the_tones_of(resting.shown, painted.picture)


@contextmanager
def given_up_when(waits: Callable[[], bool], networks: Iterable[nn.Module]) -> Iterator[None]:
    """While entered, a layer of these networks that would be computed raises `GivenUpError` where somebody waits."""

    def stop(*_: Any) -> None:
        if waits():
            raise GivenUpError

    layers = [layer for network in networks for layer in network.modules() if not any(True for _ in layer.children())]
    handles = [layer.register_forward_pre_hook(stop) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def in_the_tones_of(shown: Frame, finer: Frame) -> Frame:
    """finer `[2 H, 2 W, 3]` with the low frequencies of shown `[H, W, 3]`: its detail, and no jump in colour."""
    (height, width), (small_height, small_width) = finer.shape[:2], shown.shape[:2]
    small = resized(finer, (small_width, small_height), cv2.INTER_AREA)
    moved = resized(tones(shown) - tones(small), (width, height), cv2.INTER_LINEAR)
    picture: Frame = np.clip(np.rint(finer + moved), 0, 255).astype(np.uint8)
    return picture


def resized(picture: NDArray[Any], size: tuple[int, int], interpolation: int) -> NDArray[np.float32]:
    """A picture `[h, w, 3]` at the size (width, height), float32 `[H, W, 3]`."""
    return np.asarray(cv2.resize(picture.astype(np.float32), size, interpolation=interpolation), np.float32)


def tones(picture: NDArray[Any]) -> NDArray[np.float32]:
    """The low frequencies of a picture, float32 `[H, W, 3]`."""
    sigma = SHARE_OF_TONES * min(picture.shape[:2])
    blurred = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32)
