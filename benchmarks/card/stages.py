"""Milliseconds of each stage of a frame, and diffusers' own pipeline with the same weights in the same run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline

from benchmarks.card.ceilings import Ceilings, bytes_of, median_ms, operations_of
from benchmarks.card.shapes import recurrent_codec_of
from benchmarks.measuring import report
from benchmarks.measuring.drawing import moving_drawing
from pipeline import Engine, FrameSettings, Model
from pipeline.calls.graphs import RecordedCodec, RecordedUnet
from pipeline.calls.plain_codec import PlainCodec
from pipeline.calls.recordings import recorder_for
from pipeline.calls.streams import streams_for
from pipeline.compute.kernels import Kernels, choose_kernels
from pipeline.engine.stream import StreamState
from pipeline.engine.translator import Asked, Translator
from pipeline.frames.codec import Frame, pixels_per_latent
from pipeline.frames.history import begun, steadied
from pipeline.memory import create_memory
from pipeline.models.unet_call import UnetInputs, UnetRunner, predicted
from pipeline.prompts.encoder import PromptEncoder

Memory = Literal["off", "attention", "both"]
Execution = Literal["eager", "graphs"]
MEMORIES: tuple[Memory, ...] = ("off", "attention", "both")
EXECUTIONS: tuple[Execution, ...] = ("eager", "graphs")
PROMPT = "watercolor painting of a house"
DRAWN_FRAMES = 8
FILLING_FRAMES = 6
"""Each is taken in, so that a bank of up to four frames is full after them."""


@dataclass(frozen=True)
class Stage:
    """What is measured: how many visitors' frames go through a stage at once, with which memory, made how."""

    rows: int
    memory: Memory
    bank: float
    execution: Execution

    @property
    def settings(self) -> FrameSettings:
        """Of every visitor: every frame is taken into the bank, so that each renewal is a whole one."""
        return settings_of(self.memory, self.bank).changed(bank_interval=1, bank_renewal="together", steadiness=0.0)


def settings_of(memory: Memory, bank: float) -> FrameSettings:
    """One step under a prompt, with that memory."""
    strength = FrameSettings().fusion_strength if memory == "both" else 0.0
    return FrameSettings(prompt=PROMPT, strength=1.0, bank_frames=bank, fusion_strength=strength)


def engine_memory(memory: Memory) -> str:
    """The name of the memory that an engine needs for it."""
    return "none" if memory == "off" else "feature-bank"


@contextmanager
def translating(model: Model, size: tuple[int, int], memory: Memory, kernels: Kernels) -> Iterator[Translator]:
    """The parts of an engine, without its thread; while entered, the model's UNet reads the memory."""
    opened = create_memory(engine_memory(memory), model.entry.memory_layout, kernels.plain, kernels.ragged)
    encoder = PromptEncoder(model.text_encoders)
    with opened.installed(model.unet):
        yield Translator(model, opened, encoder, model.schedule, streams=streams_for(model.device))


def drawn_frames(size: tuple[int, int], count: int = DRAWN_FRAMES) -> list[Frame]:
    """Frames of a moving drawing at `size` (width, height)."""
    return [np.asarray(picture.resize(size)) for picture in moving_drawing(max(size), count)]


def stage_row(model: Model, size: tuple[int, int], stage: Stage, ceilings: Ceilings, kernels: Kernels) -> report.Row:
    """Milliseconds of each stage for `stage.rows` frames at once, and what the UNet's call asks for."""
    device, frames = model.device, drawn_frames(size)
    with translating(model, size, stage.memory, kernels) as eager, torch.inference_mode():
        translator = replace(eager, codec=codec_of(model, stage.execution))
        pairs = full_pairs(translator, frames, stage)
        inputs, call = unet_inputs(translator, pairs)
        runner = runner_of(model, stage.execution)
        unet_ms = median_ms(lambda: runner(model.unet, inputs), device)
        predicted(model.unet, inputs)
        renewal_ms = median_ms(lambda: [translator.memory.updated(call, row) for row in range(stage.rows)], device)
        stepped = translator.stepped(pairs)
        asked = [(frame.asked, past) for frame, past in pairs]
        encode_ms = median_ms(lambda: translator.begun_together(asked), device)
        ends = [(frame, past) for frame, (_, past) in zip(stepped, pairs, strict=True)]
        decode_ms = median_ms(lambda: pictures_of(translator, ends), device)
        recalling = replace(translator, model=replace(model, vae=recurrent_codec_of(model)))
        left = [each.left for each in recalling.decoded(ends)]
        followed = [(frame, replace(past, drawn=each)) for (frame, past), each in zip(ends, left, strict=True)]
        recurrent_ms = median_ms(lambda: pictures_of(recalling, followed), device)
    with translating(model, size, stage.memory, Kernels("sdpa", "sdpa")) as translator, torch.inference_mode():
        plain = replace(inputs, memory=unet_inputs(translator, pairs)[1])
        operations = operations_of(lambda: predicted(model.unet, plain))
        moved = bytes_of(model.unet, lambda: predicted(model.unet, plain))
    past = begun(frames[0], frames[0])
    history_ms = median_ms(lambda: steadied(frames[1], frames[0], past, 0.8), torch.device("cpu"), 5)
    floor = ceilings.floor_ms(operations, moved)
    return {
        "rows": stage.rows,
        "memory": stage.memory,
        "bank": f"{stage.bank:g}",
        "calls": stage.execution,
        "encode": encode_ms,
        "UNet": unet_ms,
        "renewal": renewal_ms,
        "decode": decode_ms,
        "decode, recurrent": recurrent_ms,
        "history": history_ms * stage.rows,
        "GFLOP": operations / 1e9,
        "MiB": moved / 2**20,
        "floor": floor,
        "floor of UNet, %": 100 * floor / unet_ms,
    }


def pictures_of(translator: Translator, ends: Sequence[Any]) -> list[Any]:
    """The pictures of frames that are denoised, each with its past, once they are here."""
    return [each.arriving.waited_for() for each in translator.decoded(ends)]


def full_pairs(translator: Translator, frames: Sequence[Frame], stage: Stage) -> list[Any]:
    """Frames that wait for their step, each with a past whose bank is full."""
    pairs = []
    for seed in range(stage.rows):
        state = StreamState()
        for number in range(FILLING_FRAMES if stage.memory != "off" else 1):
            _, state = translator.translated(Asked(frames[number], stage.settings, seed), state)
        pairs.append((translator.begun(Asked(frames[-1], stage.settings, seed), state), state))
    return pairs


def unet_inputs(translator: Translator, pairs: Sequence[Any]) -> tuple[UnetInputs, Any]:
    """What one step of these frames gives to the UNet, and the memory's opened call in it."""
    caught: list[UnetInputs] = []

    def catching(unet: Any, inputs: UnetInputs) -> torch.Tensor:
        caught.append(inputs)
        return predicted(unet, inputs)

    replace(translator, runner=catching).stepped(pairs)
    return caught[0], caught[0].memory


def runner_of(model: Model, execution: Execution) -> UnetRunner:
    """What makes the calls: "graphs" needs a device that records them."""
    return predicted if execution == "eager" else RecordedUnet(recorder_for(model.device), calls_before=1)


def codec_of(model: Model, execution: Execution) -> PlainCodec:
    """What decodes, as `runner_of`."""
    return PlainCodec() if execution == "eager" else RecordedCodec(recorder_for(model.device), calls_before=1)


def stages(quick: bool, rows: Sequence[int], ways: Sequence[Execution] = EXECUTIONS) -> list[Stage]:
    """What is measured, the most telling first; `ways` are those in which the device can make UNet calls."""
    chosen = [Stage(count, memory, 1.0, way) for count in rows for memory in MEMORIES for way in reversed(ways)]
    banks = [] if quick else [Stage(1, "both", bank, ways[-1]) for bank in (0.5, 2.0, 4.0)]
    return chosen + banks


def diffusers_rows(model: Model, size: tuple[int, int], steps: Sequence[int], repeats: int) -> Iterator[report.Row]:
    """diffusers' img2img pipeline and our engine, memory off and on: the same weights, strength, steps, size and number
    format; a picture goes in and comes out, one at a time."""
    frames = itertools.cycle(moving_drawing(size[0], DRAWN_FRAMES))
    for count in steps:
        theirs = _pipeline_of(model)
        call = partial(_their_picture, theirs, frames, count)
        base = median_ms(call, model.device, repeats)
        rows = {"diffusers img2img": base}
        for memory in ("off", "both"):
            with Engine(model, memory=engine_memory(memory), size=size) as engine:
                session, settings = engine.open(), settings_of(memory, 1.0).changed(steps=count)
                ours = partial(_our_picture, session, frames, settings)
                median_ms(ours, model.device, 2 * settings.bank_interval)
                rows[f"Rearview, memory {memory}"] = median_ms(ours, model.device, 2 * settings.bank_interval)
        for name, ms in rows.items():
            yield {"steps": count, "what": name, "ms": ms, "frames/s": 1000 / ms, "times diffusers": base / ms}


def _pipeline_of(model: Model) -> StableDiffusionImg2ImgPipeline:
    (encoder,) = model.text_encoders
    pipeline = StableDiffusionImg2ImgPipeline(
        vae=model.vae,
        # Ours is kept in float32; theirs takes what the UNet takes.
        text_encoder=deepcopy(encoder.model).to(model.dtype),
        tokenizer=encoder.tokenizer,
        unet=model.unet,
        scheduler=deepcopy(model.scheduler),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _their_picture(pipeline: Any, frames: Iterator[Any], steps: int) -> Any:
    generator = torch.Generator().manual_seed(7)
    asked = {"strength": 1.0, "num_inference_steps": steps, "guidance_scale": 1.0, "generator": generator}
    return pipeline(PROMPT, image=next(frames), **asked).images[0]


def _our_picture(session: Any, frames: Iterator[Any], settings: FrameSettings) -> Any:
    return session.translate(next(frames), settings)


def kernels_for(model: Model, size: tuple[int, int]) -> Kernels:
    """What an engine of this size would choose."""
    side = pixels_per_latent(model.vae)
    return choose_kernels(model.unet, (size[1] // side, size[0] // side), model.device)
