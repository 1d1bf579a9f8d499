"""The process in which OpenVINO compiles calls: `python -m pipeline.calls.compiling`, which an engine starts.

Each line that comes in names a file of `Work`, each that goes out is empty when that is done, or says why it cannot be.
It ends when nothing more can come; if it dies or hangs, the engine goes on as it did before.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import diffusers
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.compute.openvino_calls import Port, compile_to, export, keep_facts, options, read_call
from pipeline.compute.tree_files import outline, read_tree
from pipeline.compute.trees import mapped, tensors_in
from pipeline.frames.codec import encode
from pipeline.frames.recurrent_decoder import RecurrentDecoder, decode_after
from pipeline.memory import Memory, MemoryLayout, MemoryRow, create_memory
from pipeline.models.unet_call import UnetInputs, predicted
from pipeline.settings import FrameSettings

NETWORK = "network"
TIMESTEPS = 1000
NICENESS = 5
"""Visitors go first; but cores that they keep full must leave enough for a call to be compiled within `LIMIT_S`, or all
would be painted at half the speed for as long as somebody comes."""
LIMIT_S = 240
LIMIT_BYTES = 8 << 30
ROUNDING = {"f32": 1e-3, "bf16": 2e-2}
"""How far the median of a call's outputs may be from the same in float32, as a share of its numbers, beyond twice what
PyTorch's is."""
FARTHEST = {"f32": 1e-3, "bf16": 2e-1}
"""How far any of them may be: where a token has two nearest ones in a bank, rounding decides which it is fused with."""


@dataclass(frozen=True)
class MemorySource:
    """What a memory is made of."""

    name: str
    layout: MemoryLayout
    weights: str | None


@dataclass(frozen=True, eq=False)
class Work:
    """A call to compile: `part` is unet, encoder or decoder, `network` the file of its weights, `inputs` an example of
    what it takes, with what it reads of the memory in the place of a memory's call, `stem` where it is written."""

    part: str
    network: str
    inputs: Any
    memory: MemorySource | None
    precision: str
    threads: int
    stem: str


class PlainCall(nn.Module):
    """A call by PyTorch: flat tensors in, flat tensors out, so that it can be exported."""

    def __init__(self, work: Work, network: Any) -> None:
        super().__init__()
        self.network, self.work = network, work
        # What the first call gives: while it is traced, sizes are tensors too.
        self.given: Any = None
        self.empty: Any = None

    def called(self, inputs: Any) -> Any:
        """What the call gives, as a tree."""
        if self.work.part == "encoder":
            return encode(self.network, inputs).float()
        if self.work.part == "decoder":
            return decode_after(self.network, *inputs)
        return self._unet_called(inputs)

    def _unet_called(self, inputs: UnetInputs) -> Any:
        if self.work.memory is None or inputs.memory is None:
            return predicted(self.network, inputs), {}
        call = self._opened(self.work.memory, len(inputs.samples)).reading(inputs.memory)
        return predicted(self.network, replace(inputs, memory=call)), dict(call.present)

    def _opened(self, source: MemorySource, rows: int) -> Any:
        """A call of the memory, opened before anything is traced: what a row begins with is no part of it."""
        if self.empty is None:
            empty = [MemoryRow(None, FrameSettings(), torch.Generator()) for _ in range(rows)]
            self.empty = memory_of(source).open(empty)
        return self.empty

    def forward(self, *flat: Tensor) -> tuple[Tensor, ...]:
        left = iter(flat)
        result = self.called(mapped(self.work.inputs, lambda _: next(left)))
        if self.given is None:
            self.given = result
        return tuple(picked(self.given, result))


class TimeTable(nn.Module):
    """What a UNet's sinusoids make of each timestep: OpenVINO would compute their angles in bfloat16, which is too
    coarse for hundreds of radians."""

    def __init__(self, sinusoids: nn.Module) -> None:
        super().__init__()
        self.register_buffer("rows", sinusoids(torch.arange(TIMESTEPS)))

    def forward(self, timesteps: Tensor) -> Tensor:
        rows: Tensor = self.rows  # type: ignore[assignment]
        return rows[timesteps]


def picked(like: Any, tree: Any) -> list[Tensor]:
    """The tensors of a tree that stand where `like` has some."""
    return list(tensors_in(mapped(like, lambda _, tensor: tensor, tree)))


def memory_of(source: MemorySource) -> Any:
    """The memory that this describes. Products of matrices: as those OpenVINO knows attention."""
    weights = None if source.weights is None else Path(source.weights)
    return create_memory(source.name, source.layout, "matmul", None, weights)


def write_network(path: Path, network: Any) -> None:
    """Write the weights of a network of diffusers, and what it is."""
    weights = {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}
    decoder = getattr(network, "decoder", None)
    places = decoder.places if isinstance(decoder, RecurrentDecoder) else ()
    save_file(weights, path, {NETWORK: json.dumps([type(network).__name__, network.to_json_string(), places])})


def read_network(path: Path, dtype: torch.dtype) -> Any:
    """The network in a file of `write_network`."""
    with safe_open(path, framework="pt") as file:
        name, config, places = json.loads(file.metadata()[NETWORK])
        weights = {each: file.get_tensor(each) for each in file.keys()}
    kind = getattr(diffusers, name)
    network = kind.from_config(json.loads(config))
    if places:
        network.decoder = RecurrentDecoder(network.decoder, places)
    network.eval().requires_grad_(False)
    # As any module: diffusers' own `to` warns of what is meant here.
    nn.Module.to(network, dtype)
    network.load_state_dict(weights)
    return network


def compiled(work: Work) -> str:
    """Compile a call and write it, if it gives what PyTorch gives; else why not, in words."""
    stem, how = Path(work.stem), options(work.precision, work.threads)
    flat = list(tensors_in(work.inputs))
    theirs, tree = called_by_pytorch(work, flat, dtype_of(work.network))
    wide = [each.float() if each.is_floating_point() else each for each in flat]
    inputs, outputs = [Port.of(each) for each in flat], [Port.of(each) for each in theirs]
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder) / "call.onnx"
        exact = exported(work, wide, path)
        compile_to(stem, path, inputs, outputs, how)
    call = read_call(stem, inputs, outputs, how)
    for place, tensor in zip(call.inputs, flat, strict=True):
        place.copy_(tensor)
    call.run()
    beyond = [
        error(ours, right) - 2 * error(other, right)
        for ours, other, right in zip(call.outputs, theirs, exact, strict=True)
    ]
    if not (median(beyond) <= ROUNDING[work.precision] and max(beyond) <= FARTHEST[work.precision]):
        return f"it gives other numbers than PyTorch, by {median(beyond):.2g} of them, at most {max(beyond):.2g}"
    keep_facts(stem, inputs, outputs, how, tree)
    return ""


def called_by_pytorch(work: Work, flat: Sequence[Tensor], dtype: torch.dtype) -> tuple[list[Tensor], Any]:
    """What the call gives as the engine makes it, and the outline of that."""
    plain = PlainCall(work, read_network(Path(work.network), dtype))
    with installed(plain), torch.inference_mode():
        given = list(plain(*flat))
    return given, outline(plain.given)


def exported(work: Work, flat: Sequence[Tensor], path: Path) -> list[Tensor]:
    """What the call gives in float32; it is written to `path`."""
    plain = PlainCall(work, read_network(Path(work.network), torch.float32)).eval()
    if work.part == "unet":
        plain.network.time_proj = TimeTable(plain.network.time_proj)
    with installed(plain):
        given = list(plain(*flat))
        export(plain, flat, len(given), path)
    return given


def installed(plain: PlainCall) -> AbstractContextManager[None]:
    """While entered, the UNet reads its memory."""
    source = plain.work.memory
    if source is None:
        return nullcontext()
    memory: Memory = memory_of(source)
    return memory.installed(plain.network)


def dtype_of(network: str) -> torch.dtype:
    """The dtype of a network's weights, of which all have one."""
    with safe_open(network, framework="pt") as file:
        tensor: Tensor = file.get_tensor(next(iter(file.keys())))
        return tensor.dtype


def error(tensor: Tensor, right: Tensor) -> float:
    """How far a tensor is from what it should be, as a share of that; infinite where it is no numbers."""
    far = float((tensor.float() - right.float()).norm() / right.float().norm().clamp(min=1e-12))
    return far if far == far else float("inf")


def be_humble(limit_bytes: int) -> None:
    """Let others go first, and take no more memory than this, where the system knows how."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def main() -> None:
    """Do what comes in, line by line."""
    be_humble(LIMIT_BYTES)
    answers, folder = sys.stdout, None
    # What libraries say must not be taken for an answer.
    sys.stdout = sys.stderr
    for line in sys.stdin:
        path = Path(line.strip())
        folder = path.parent
        if hasattr(signal, "alarm"):
            signal.alarm(LIMIT_S)
        work: Work = read_tree(path)
        torch.set_num_threads(work.threads)
        try:
            reason = compiled(work)
        except Exception as failed:  # noqa: BLE001 - whatever it is, the engine makes this call as ever
            reason = f"{type(failed).__name__}: {' '.join(str(failed).split())[:300]}"
        answers.write(json.dumps(reason) + "\n")
        answers.flush()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
