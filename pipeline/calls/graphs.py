"""UNet calls, and those of tiny decoders, that are recorded once and then replayed, where the device has recordings.

Calls of one kind share a recording: the same number of rows, of the same shapes, with banks of one size. The memory's
tokens are among what is copied into its places.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any, Literal

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from torch import Tensor

from pipeline.calls.plain_codec import PlainCodec
from pipeline.calls.recordings import CALLS_BEFORE, MOST_RECORDINGS, Recorder, Recordings, recorder_for
from pipeline.compute.trees import signature_of
from pipeline.frames.codec import Autoencoder
from pipeline.frames.recurrent_decoder import Remembered
from pipeline.models.unet_call import UnetInputs, UnetRunner, predicted

Graphs = Literal["auto", "off"]
GRAPHS: tuple[Graphs, ...] = ("auto", "off")


class RecordedUnet:
    """A `UnetRunner` that replays the kinds of calls that come again and again. One thread at a time may use it."""

    def __init__(
        self, recorder: Recorder, calls_before: int = CALLS_BEFORE, most_recordings: int = MOST_RECORDINGS
    ) -> None:
        self._recordings = Recordings(recorder, "a UNet call", calls_before, most_recordings)

    def __call__(self, unet: UNet2DConditionModel, inputs: UnetInputs) -> Tensor:
        """`[B, C, h, w]` float32: good until the next call of any recording."""
        kind = kind_of(inputs)
        if kind is None:
            return predicted(unet, inputs)
        read = inputs_read(inputs)
        recording = self._recordings.of(kind, read, lambda places: left_by(unet, reading(inputs, places)))
        if recording is None:
            return predicted(unet, inputs)
        prediction, present = recording.done(read)
        if inputs.memory is not None:
            inputs.memory.present.update(present)
        return prediction  # type: ignore[no-any-return]

    @property
    def recordings(self) -> int:
        """How many there are."""
        return self._recordings.count

    def forget(self) -> None:
        """Drop all recordings, as `Recordings.forget` does."""
        self._recordings.forget()


class RecordedCodec(PlainCodec):
    """The codec, whose tiny decoder is replayed: a large one is worth more than its launches. One thread at a time."""

    def __init__(
        self, recorder: Recorder, calls_before: int = CALLS_BEFORE, most_recordings: int = MOST_RECORDINGS
    ) -> None:
        """`recorder` is its own: it decodes beside the UNet's calls, whose memory it must not share."""
        self._recordings = Recordings(recorder, "a decoder's call", calls_before, most_recordings)

    @property
    def recordings(self) -> int:
        """How many there are."""
        return self._recordings.count

    def _decoded(self, vae: Autoencoder, latents: Tensor, before: Remembered) -> tuple[Tensor, Remembered]:
        if not isinstance(vae, AutoencoderTiny):
            return super()._decoded(vae, latents, before)
        whole, inputs = super()._decoded, (latents, before)
        recording = self._recordings.of(signature_of(inputs), inputs, lambda places: whole(vae, *places))
        return whole(vae, latents, before) if recording is None else recording.done(inputs)


def left_by(unet: UNet2DConditionModel, inputs: UnetInputs) -> tuple[Tensor, dict[str, Any]]:
    """The prediction of a call, and what it leaves to its memory."""
    prediction = predicted(unet, inputs)
    return prediction, {} if inputs.memory is None else dict(inputs.memory.present)


def kind_of(inputs: UnetInputs) -> Hashable | None:
    """What calls that share a recording have in common; `None` for a call that none is made of."""
    kind = "none" if inputs.memory is None else inputs.memory.kind
    return None if kind is None else (kind, signature_of(replace(inputs, memory=None)))


def inputs_read(inputs: UnetInputs) -> UnetInputs:
    """The inputs with what is read of the memory in the place of its call."""
    return replace(inputs, memory=None if inputs.memory is None else inputs.memory.reads)


def reading(inputs: UnetInputs, places: UnetInputs) -> UnetInputs:
    """The inputs of `inputs_read` as those of a call again, whose memory is like that of `inputs`."""
    return places if inputs.memory is None else replace(places, memory=inputs.memory.reading(places.memory))


def unet_runner(device: torch.device, graphs: Graphs) -> UnetRunner:
    """What makes the UNet calls of an engine on this device: recordings on CUDA unless they are off."""
    recorder = recorder_for(device)
    return predicted if recorder is None or graphs == "off" else RecordedUnet(recorder)


def codec_runner(device: torch.device, graphs: Graphs) -> PlainCodec:
    """What encodes and decodes for an engine on this device, as `unet_runner`."""
    recorder = recorder_for(device)
    return PlainCodec() if recorder is None or graphs == "off" else RecordedCodec(recorder)
