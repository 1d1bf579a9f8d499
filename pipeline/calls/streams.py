"""Encoding, denoising and decoding of different frames at once: on CUDA on streams of their own, elsewhere in turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from pipeline.compute.trees import tensors_in
from pipeline.frames.codec import Frame, as_picture, as_rgb

_cuda: Any = torch.cuda
"""Its streams and events have no types."""


@dataclass(frozen=True, eq=False)
class Painted:
    """A picture `[H, W, 3]`, and whether a safety checker flagged it."""

    picture: Frame
    flagged: bool = False


class Arriving(Protocol):
    """A picture on its way from the device."""

    def waited_for(self) -> Painted | None:
        """The picture, once it is here; `None` if its pixels were no numbers."""


class Streams(Protocol):
    """Where the stages of frames run. Whatever is launched outside of its methods runs on the main stream."""

    overlap: bool
    """Whether work is only launched, so that a picture that is on its way leaves time to launch more."""

    @contextmanager
    def encoding(self) -> Iterator[Any]:
        """While entered, what is launched runs beside the main stream, and has to need nothing of it. It yields a list:
        what is put there, any tree of tensors, may be used on the main stream afterwards."""

    @contextmanager
    def decoding(self, *latents: Tensor) -> Iterator[None]:
        """While entered, what is launched runs beside the main stream, after what was launched there so far; `latents`
        are what it takes from there."""

    def arriving(self, pixels: Tensor, flagged: Tensor | None) -> Arriving:
        """Send pixels `[1, 3, H, W]` to the CPU, and whether they were flagged, a bool `[]`, if they were looked over;
        inside of `decoding`."""


@dataclass(frozen=True, eq=False)
class Arrived:
    """A picture that is here."""

    painted: Painted | None

    def waited_for(self) -> Painted | None:
        return self.painted


class OneStream:
    """Everything at once, in the order in which it is asked for."""

    overlap = False

    @contextmanager
    def encoding(self) -> Iterator[list[Any]]:
        yield []

    @contextmanager
    def decoding(self, *latents: Tensor) -> Iterator[None]:
        yield

    def arriving(self, pixels: Tensor, flagged: Tensor | None) -> Arrived:
        # One sum instead of a look at each: it is a number only if all are, and pixels are too small to add up to none.
        if not bool(pixels.float().sum().isfinite()):
            return Arrived(None)
        return Arrived(Painted(as_picture(pixels), flagged is not None and bool(flagged)))


@dataclass(frozen=True, eq=False)
class Copying:
    """A picture `[H, W, 3]`, whether its pixels are numbers, and whether it was flagged, if it was looked over: their
    copies to pinned memory end with `event`."""

    rgb: Tensor
    finite: Tensor
    flagged: Tensor | None
    event: Any

    def waited_for(self) -> Painted | None:
        self.event.synchronize()
        if not bool(self.finite):
            return None
        # A copy: pinned memory is dear, and the picture may be kept for long.
        return Painted(self.rgb.numpy().copy(), self.flagged is not None and bool(self.flagged))


class CudaStreams:
    """A stream for encoding and one for decoding, beside the one that the UNet runs on."""

    overlap = True

    def __init__(self, device: torch.device) -> None:
        self._main = torch.cuda.default_stream(device)
        self._encoder, self._decoder = _cuda.Stream(device), _cuda.Stream(device)

    @contextmanager
    def encoding(self) -> Iterator[list[Any]]:
        crossing: list[Any] = []
        with torch.cuda.stream(self._encoder):
            yield crossing
        self._main.wait_stream(self._encoder)
        # Else their memory could be given to the next frame while the main stream still reads it.
        for tensor in tensors_in(crossing):
            tensor.record_stream(self._main)

    @contextmanager
    def decoding(self, *latents: Tensor) -> Iterator[None]:
        self._decoder.wait_stream(self._main)
        for tensor in latents:
            tensor.record_stream(self._decoder)
        with torch.cuda.stream(self._decoder):
            yield

    def arriving(self, pixels: Tensor, flagged: Tensor | None) -> Copying:
        rgb, finite = _to_pinned(as_rgb(pixels)), _to_pinned(pixels.isfinite().all())
        verdict = None if flagged is None else _to_pinned(flagged)
        # Blocking: the thread sleeps while it waits, and the core is free for others.
        event = _cuda.Event(blocking=True)
        event.record()
        return Copying(rgb, finite, verdict, event)


def _to_pinned(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)


def streams_for(device: torch.device) -> Streams:
    """The device's streams."""
    return CudaStreams(device) if device.type == "cuda" else OneStream()
