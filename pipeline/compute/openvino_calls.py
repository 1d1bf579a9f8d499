"""Functions of tensors as OpenVINO runs them on a CPU: exported and compiled once, read from a file from then on.

What is read was compiled by the same version of OpenVINO, for the same CPU, in another process: a native library that
crashes takes its process with it, and it does so at its first compilation of a graph that it does not like.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

BLOB, FACTS = ".blob", ".json"
OPSET = 17

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16, "i64": torch.int64}
"""OpenVINO's names of the types that go in and out."""


@dataclass(frozen=True)
class Port:
    """A tensor that goes in or comes out. Maps lie in memory as OpenVINO's convolutions have them, `channels_last`: to
    turn one over takes longer than some of those."""

    type: str
    shape: tuple[int, ...]
    channels_last: bool = False

    @classmethod
    def of(cls, tensor: Tensor) -> Port:
        """The port of this tensor; raises `TypeError` for a dtype that is not to be had."""
        for name, dtype in DTYPES.items():
            if dtype == tensor.dtype:
                return cls(name, tuple(tensor.shape), tensor.ndim == len("NCHW"))
        raise TypeError(f"a tensor came as {tensor.dtype}; needed: one of {', '.join(DTYPES)}.")

    def place(self) -> Tensor:
        """Memory of its own for such a tensor."""
        empty = torch.zeros(self.shape, dtype=DTYPES[self.type])
        return empty.to(memory_format=torch.channels_last) if self.channels_last else empty


@dataclass(frozen=True, eq=False)
class Call:
    """A function that is there: `run` reads `inputs` and fills `outputs`."""

    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    run: Callable[[], object]


def is_installed() -> bool:
    """Whether there is what exports, compiles and runs."""
    return all(importlib.util.find_spec(name) is not None for name in ("openvino", "onnx"))


def version() -> str:
    """OpenVINO's version and build: what one has compiled, no other reads."""
    import openvino

    return str(openvino.get_version())


def options(precision: str, threads: int) -> dict[str, Any]:
    """How a function is run: one at a time, as fast as it goes, on `threads` cores, which others may use as well."""
    return {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(threads),
        "ENABLE_CPU_PINNING": "NO",
    }


def export(function: nn.Module, inputs: Sequence[Tensor], outputs: int, path: Path) -> None:
    """Write what `function` makes of `inputs`, float32, to an ONNX file. By way of ONNX, because OpenVINO's own reader
    of PyTorch's traces makes graphs of a UNet that its CPU plugin crashes on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            function,
            tuple(inputs),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=input_names(len(inputs)),
            output_names=output_names(outputs),
        )


def compile_to(stem: Path, model: Path, inputs: Sequence[Port], outputs: Sequence[Port], how: dict[str, Any]) -> None:
    """Compile an ONNX file for these ports, and write it beside `stem`; a file with its facts is left to
    `keep_facts`."""
    import openvino

    core: Any = openvino.Core()
    graph = core.read_model(str(model))
    shaped: Any = openvino.preprocess.PrePostProcessor(graph)
    read = _names(graph.inputs)
    for name, port in zip(input_names(len(inputs)), inputs, strict=True):
        if name in read:
            _describe(shaped.input(name), port)
    for name, port in zip(output_names(len(outputs)), outputs, strict=True):
        _describe(shaped.output(name), port)
    compiled = core.compile_model(shaped.build(), "CPU", how)
    blob = compiled.export_model()
    stem.with_suffix(BLOB).write_bytes(blob if isinstance(blob, bytes) else blob.getvalue())


def keep_facts(stem: Path, inputs: Sequence[Port], outputs: Sequence[Port], how: dict[str, Any], tree: Any) -> None:
    """Write what has to be known of a function that was compiled to `stem`, with `tree`, the outline of its outputs:
    from now on it counts as good."""
    facts = {
        "inputs": [[each.type, each.shape, each.channels_last] for each in inputs],
        "outputs": [[each.type, each.shape, each.channels_last] for each in outputs],
        "options": how,
        "tree": tree,
        "digest": digest_of(stem.with_suffix(BLOB)),
    }
    new = stem.with_suffix(f".{os.getpid()}")
    new.write_text(json.dumps(facts))
    new.replace(stem.with_suffix(FACTS))


def facts_of(stem: Path) -> dict[str, Any] | None:
    """What `keep_facts` wrote, if it did, and if the compiled function is whole."""
    try:
        facts: dict[str, Any] = json.loads(stem.with_suffix(FACTS).read_text())
        return facts if facts["digest"] == digest_of(stem.with_suffix(BLOB)) else None
    except (OSError, ValueError, KeyError):
        return None


def read_call(stem: Path, inputs: Sequence[Port], outputs: Sequence[Port], how: dict[str, Any]) -> Call:
    """The function that was compiled to `stem`, with places of its own for what goes in and comes out."""
    import openvino

    core: Any = openvino.Core()
    compiled = core.import_model(io.BytesIO(stem.with_suffix(BLOB).read_bytes()), "CPU", how)
    request = compiled.create_infer_request()
    taken, given = [each.place() for each in inputs], [each.place() for each in outputs]
    read = _names(compiled.inputs)
    for name, tensor, port in zip(input_names(len(taken)), taken, inputs, strict=True):
        if name in read:
            request.set_tensor(name, _shared(tensor, port))
    for name, tensor, port in zip(output_names(len(given)), given, outputs, strict=True):
        request.set_tensor(name, _shared(tensor, port))
    return Call(taken, given, request.infer)


def ports_in(facts: Any) -> list[Port]:
    """Ports as `keep_facts` wrote them; earlier files do not say how they lie."""
    return [Port(kind, tuple(shape), *last) for kind, shape, *last in facts]


def input_names(count: int) -> list[str]:
    """What the inputs are called."""
    return [f"input{index}" for index in range(count)]


def output_names(count: int) -> list[str]:
    """What the outputs are called."""
    return [f"output{index}" for index in range(count)]


def digest_of(path: Path) -> str:
    """What tells two files apart."""
    with path.open("rb") as file:
        found = hashlib.blake2b(digest_size=16)
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


def _names(ports: Sequence[Any]) -> set[str]:
    """What ports of OpenVINO are called; inputs that a function does not read have none."""
    return {name for port in ports for name in port.get_names()}


def _type(port: Port) -> Any:
    import openvino

    return getattr(openvino.Type, port.type)


def _describe(place: Any, port: Port) -> None:
    """Tell OpenVINO's preprocessing how a port's tensor lies in memory."""
    import openvino

    place.tensor().set_element_type(_type(port))
    if port.channels_last:
        place.tensor().set_layout(openvino.Layout("NHWC"))
        place.model().set_layout(openvino.Layout("NCHW"))


def _shared(tensor: Tensor, port: Port) -> Any:
    """A tensor of OpenVINO in the memory of a port's."""
    import openvino

    lying = tensor.permute(0, 2, 3, 1) if port.channels_last else tensor
    raw = lying.view(torch.uint16) if tensor.dtype in (torch.bfloat16, torch.float16) else lying
    return openvino.Tensor(raw.numpy(), openvino.Shape(list(lying.shape)), _type(port))
