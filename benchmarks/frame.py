"""What one frame costs: each of its stages, memory on against off, and our engine against diffusers' own pipeline."""

from __future__ import annotations

import argparse
import io
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, get_args

import torch
from diffusers import StableDiffusionImg2ImgPipeline
from diffusers.utils import logging as diffusers_logging
from PIL import Image
from transformers.utils import logging as transformers_logging

from benchmarks.card import sd_layout
from benchmarks.measuring import report
from benchmarks.measuring.drawing import moving_drawing
from benchmarks.measuring.options import numbers
from benchmarks.measuring.timing import (
    Measure,
    Task,
    measured_in_turns,
    milliseconds_in_turns,
    percentile,
    warm_milliseconds,
)
from demo.live import wire
from pipeline import Engine, FrameSettings, Model, ModelError, load_model
from pipeline.calls.compiled import Compiled
from pipeline.calls.graphs import GRAPHS
from pipeline.compute.attention import choose_kernel
from pipeline.compute.host import in_passing_thread, keep_freed_memory
from pipeline.compute.packing import convolutions_packed
from pipeline.engine.stream import generator_for
from pipeline.frames.codec import as_frame, as_picture, as_pixels, decode, encode, fitted
from pipeline.memory import Memory, MemoryRow, create_memory
from pipeline.models.conditioning import conditioning_channels
from pipeline.models.load import Precision, dtype_of
from pipeline.prompts.encoder import PromptEncoder

STEPS = (1, 2, 4)
PROMPT = "watercolor painting of a house"
# At strength 1 diffusers makes as many UNet calls as it is asked for steps, and so do we.
SETTINGS = FrameSettings(prompt=PROMPT, strength=1.0, guidance=1.0, bank_frames=1.0)
TIMESTEP = 999
DRAWN_FRAMES = 32
INPUT_SIZE = 512
"""What the page's canvas holds; a frame comes at this size and is fitted to the model's."""

DIFFUSERS = "diffusers' img2img pipeline"
MEMORY_OFF = "Rearview, memory off"
MEMORY_ON = "Rearview, bank of one frame"
DEFAULT_BANK = "Rearview, bank as it comes, a quarter of a frame"
NOTE = (
    f"Targets: {MEMORY_OFF} at most 0.55 of {DIFFUSERS}; with a bank at most 1.15 of memory off. "
    "The stages are PyTorch's; our frames are OpenVINO's on a CPU that has it, unless the command says --graphs off. "
    f"Milliseconds are medians over rounds; a round is {SETTINGS.bank_interval} frames, so each renews the bank once."
)


def stage_rows(source: str | Path, rounds: int, dtype: torch.dtype | None = None) -> list[report.Row]:
    """Milliseconds of each stage of a frame, for the model at `source`."""
    plain, banked, renewed = (load_model(source, dtype=dtype) for _ in range(3))
    with ExitStack() as stack, torch.inference_mode():
        stack.enter_context(convolutions_packed(plain.vae))
        tasks = _codec_tasks(plain) | _prompt_tasks(plain)
        tasks["UNet, one step"] = _unet_task(stack, plain, "none")
        tasks["UNet, one step, with the bank"] = _unet_task(stack, banked, "feature-bank")
        tasks["bank renewal, one step"] = _renewal_task(stack, renewed)
        measured = milliseconds_in_turns(tasks, rounds)
    return [
        {"stage": name, "ms": median(values), "ms, 90 %": percentile(values, 90)} for name, values in measured.items()
    ]


def _codec_tasks(model: Model) -> dict[str, Task]:
    drawing = moving_drawing(INPUT_SIZE, 1)[0]
    data = _jpeg(drawing)
    frame = as_frame(drawing)
    size = (model.native_size, model.native_size)
    small = fitted(frame, size, "crop")
    latents = encode(model.vae, as_pixels(small, model.device, model.dtype))
    return {
        "decode JPEG": partial(wire.decode_picture, data),
        "fit": lambda: fitted(as_frame(drawing), size, "crop"),
        "encode": lambda: encode(model.vae, as_pixels(small, model.device, model.dtype)),
        "decode": lambda: as_picture(decode(model.vae, latents)),
        "JPEG": partial(wire.encode_picture, small),
    }


def _prompt_tasks(model: Model) -> dict[str, Task]:
    prompts = PromptEncoder(model.text_encoders)
    numbers = itertools.count()
    return {
        "prompt, new": lambda: prompts.encode(f"{PROMPT} {next(numbers)}"),
        "prompt, known": lambda: prompts.encode(PROMPT),
    }


def _unet_call(stack: ExitStack, model: Model, memory_name: str) -> tuple[Callable[..., Any], Memory]:
    """What makes one UNet call with what a row remembers (and settings of its own), and that memory, which is installed
    until `stack` ends."""
    memory = create_memory(memory_name, model.entry.memory_layout, choose_kernel(model.device, model.dtype))
    stack.enter_context(convolutions_packed(model.unet))
    stack.enter_context(memory.installed(model.unet))
    side = model.native_size
    frame = fitted(as_frame(moving_drawing(INPUT_SIZE, 1)[0]), (side, side), "crop")
    source = encode(model.vae, as_pixels(frame, model.device, model.dtype))
    beside = conditioning_channels(model.entry.latent_conditioning, source, SETTINGS.strength)
    sample = torch.cat([source, beside], dim=1).to(memory_format=torch.channels_last)
    embeddings = PromptEncoder(model.text_encoders).encode(PROMPT).tokens.to(model.dtype)
    timestep = torch.tensor(TIMESTEP, device=model.device)

    def call_with(remembered: Any, settings: FrameSettings = SETTINGS) -> Any:
        call = memory.open([MemoryRow(remembered, settings, generator_for(0))])
        arguments = {"encoder_hidden_states": embeddings, "cross_attention_kwargs": {"memory": call}}
        model.unet(sample, timestep, return_dict=False, **arguments)
        return call

    return call_with, memory


def _unet_task(stack: ExitStack, model: Model, memory_name: str) -> Task:
    """One UNet call that reads a full memory."""
    call_with, memory = _unet_call(stack, model, memory_name)
    remembered = memory.updated(call_with(None), 0)
    return lambda: call_with(remembered)


def _renewal_task(stack: ExitStack, model: Model) -> Task:
    """Joining the present to a full bank and merging it down."""
    call_with, memory = _unet_call(stack, model, "feature-bank")
    every_frame = SETTINGS.changed(bank_interval=1)
    full = call_with(memory.updated(call_with(None, every_frame), 0), every_frame)
    return lambda: memory.updated(full, 0)


def engine_measure(model: Model, memory: str, settings: FrameSettings, compiled: Compiled = "off") -> Measure:
    """Milliseconds of a frame of a moving drawing, from PIL image to PIL image; `compiled` as the engine takes it.

    The engine is open only while it is measured: the threads of one that waits would slow down its neighbours.
    """

    def measure() -> float:
        with Engine(model, memory=memory, compiled=compiled) as engine:
            session = engine.open(seed=7)
            frames = _frames(engine.size[0])
            return warm_milliseconds(lambda: session.translate(next(frames), settings), settings.bank_interval)

    return measure


def diffusers_task(
    folder: Path, steps: int, dtype: torch.dtype | None = None
) -> tuple[Task, StableDiffusionImg2ImgPipeline]:
    """The same with diffusers' own pipeline, called as its users call it; and that pipeline."""
    model = load_model(folder, dtype=dtype)
    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.to(model.device, model.dtype)
    pipeline.set_progress_bar_config(disable=True)
    frames = _frames(model.native_size)
    generator = torch.Generator().manual_seed(7)

    def translate() -> Image.Image:
        return pipeline(
            PROMPT,
            image=next(frames),
            strength=SETTINGS.strength,
            num_inference_steps=steps,
            guidance_scale=1.0,
            generator=generator,
        ).images[0]

    _require_calls(translate, pipeline.unet, steps)
    return translate, pipeline


def comparison_rows(
    folder: Path,
    rounds: int,
    steps_list: Sequence[int] = STEPS,
    compiled: Compiled = "off",
    dtype: torch.dtype | None = None,
) -> list[report.Row]:
    """Our engine, memory off and on, against diffusers' pipeline with the same weights, steps, size and dtype."""
    rows: list[report.Row] = []
    for steps in steps_list:
        settings = SETTINGS.changed(steps=steps)
        theirs, _ = in_passing_thread(diffusers_task, folder, steps, dtype)
        measures: dict[str, Measure] = {
            DIFFUSERS: partial(in_passing_thread, warm_milliseconds, theirs, settings.bank_interval)
        }
        rows += _rows(measured_in_turns(measures | _memory_measures(folder, settings, compiled, dtype), rounds), steps)
    return rows


def memory_rows(
    source: str | Path,
    rounds: int,
    steps_list: Sequence[int] = STEPS,
    compiled: Compiled = "off",
    dtype: torch.dtype | None = None,
) -> list[report.Row]:
    """Memory off and on, for the model at `source`."""
    rows: list[report.Row] = []
    for steps in steps_list:
        measures = _memory_measures(source, SETTINGS.changed(steps=steps), compiled, dtype)
        rows += _rows(measured_in_turns(measures, rounds), steps)
    return rows


def _memory_measures(
    source: str | Path, settings: FrameSettings, compiled: Compiled, dtype: torch.dtype | None
) -> dict[str, Measure]:
    model = load_model(source, dtype=dtype)
    return {
        MEMORY_OFF: engine_measure(model, "none", settings, compiled),
        DEFAULT_BANK: engine_measure(
            model, "feature-bank", settings.changed(bank_frames=FrameSettings().bank_frames), compiled
        ),
        MEMORY_ON: engine_measure(model, "feature-bank", settings, compiled),
    }


def _rows(measured: Mapping[str, list[float]], steps: int) -> list[report.Row]:
    """One row a subject. Ratios are medians of the rounds' ratios: what else the machine did in a round cancels."""
    return [
        {
            "steps": steps,
            "what": name,
            "ms": median(values),
            "frames/s": 1000 / median(values),
            "of diffusers": _ratio(values, measured.get(DIFFUSERS)),
            "of memory off": _ratio(values, measured[MEMORY_OFF]) if name in (DEFAULT_BANK, MEMORY_ON) else "",
        }
        for name, values in measured.items()
    ]


def _ratio(values: list[float], base: list[float] | None) -> float | str:
    return "" if base is None else median(a / b for a, b in zip(values, base, strict=True))


def _require_calls(task: Task, unet: torch.nn.Module, steps: int) -> None:
    """Raise `RuntimeError` unless one frame of `task` makes as many UNet calls as ours does, one a step."""
    calls: list[object] = []
    hook = unet.register_forward_pre_hook(lambda *_: calls.append(None))
    task()
    hook.remove()
    if len(calls) != steps:
        raise RuntimeError(f"diffusers made {len(calls)} UNet calls a frame; needed: {steps}. Times would not compare.")


def _frames(size: int) -> Iterator[Image.Image]:
    return itertools.cycle(moving_drawing(size, DRAWN_FRAMES))


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=wire.JPEG_QUALITY)
    return buffer.getvalue()


def main(arguments: Sequence[str] | None = None, sizes: sd_layout.Sizes = sd_layout.EMBEDDED) -> int:
    """Measure, print the tables and write them; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frame", description=__doc__)
    parser.add_argument("--model", default="embedded", help="the model whose stages are measured (default: embedded)")
    parser.add_argument("--rounds", type=int, default=15, help="measured rounds, at least 1 (default: 15)")
    parser.add_argument("--steps", type=numbers, default=STEPS, help="denoising steps (default: 1,2,4)")
    parser.add_argument("--graphs", choices=GRAPHS, default="auto", help="as of app.py: off leaves all to PyTorch")
    parser.add_argument("--precision", choices=get_args(Precision), default="auto", help="as of app.py")
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="the folder for the tables")
    parser.add_argument("--name", default="frame", help="the name of the files there (default: frame)")
    options = parser.parse_args(arguments)
    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
    keep_freed_memory()  # as app.py does; all contenders gain
    dtype = dtype_of(options.precision)
    try:
        model = load_model(options.model, dtype=dtype)
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    # What is measured is made by one runtime throughout.
    compiled: Compiled = "off" if options.graphs == "off" else "wait"
    rounds, steps_list = options.rounds, options.steps
    with TemporaryDirectory() as folder:
        same = sd_layout.save_model(Path(folder) / "model", sizes)
        tables = {
            f"Stages of a frame, {model.name}": in_passing_thread(stage_rows, options.model, rounds, dtype),
            f"Memory on and off, {model.name}": memory_rows(options.model, rounds, steps_list, compiled, dtype),
            "Beside diffusers, random weights of one size": comparison_rows(same, rounds, steps_list, compiled, dtype),
        }
    steps = ",".join(map(str, steps_list))
    command = f"python -m benchmarks.frame --model {model.name} --rounds {rounds} --steps {steps}"
    command += f" --graphs {options.graphs} --precision {options.precision}"
    report.publish(options.name, command, report.machine(model.device, model.dtype), tables, NOTE, options.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
