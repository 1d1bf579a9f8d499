"""A pickle of weights as safetensors, with the same names of tensors. To be run once.

python -m scripts.convert_weights diffusion_pytorch_model.bin diffusion_pytorch_model.safetensors
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

WRAPPER = "state_dict"
"""Under this name training programs keep the weights, beside counters of theirs."""


def tensors_of(loaded: Any) -> dict[str, Tensor]:
    """The tensors in what a pickle holds, those of inner dictionaries as `OUTER.INNER`; raises `ValueError`."""
    state = loaded.get(WRAPPER, loaded) if isinstance(loaded, Mapping) else loaded
    if not isinstance(state, Mapping):
        raise ValueError(f"it holds {type(state).__name__}; needed: tensors by their names")
    # Copies: tensors that share memory, or are views of more, have no form in safetensors.
    tensors = {name: each.clone(memory_format=torch.contiguous_format) for name, each in _named(state)}
    if not tensors:
        raise ValueError("it holds no tensor")
    return tensors


def _named(state: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    for name, each in state.items():
        if isinstance(each, Mapping):
            yield from _named(each, f"{prefix}{name}.")
        elif isinstance(each, Tensor):
            yield f"{prefix}{name}", each
        elif not isinstance(each, int | float | str | None):
            raise ValueError(f"{prefix}{name} is {type(each).__name__}; needed: tensors and numbers")


def main(argv: Sequence[str] | None = None) -> None:
    """Convert one file; what cannot be read ends the program with a sentence."""
    parser = argparse.ArgumentParser(description="Turn a pickle of weights into safetensors.")
    parser.add_argument("source", type=Path, metavar="IN.bin", help="the pickle, such as an adapter's .bin")
    parser.add_argument("target", type=Path, metavar="OUT.safetensors", help="where the weights go")
    options = parser.parse_args(argv)
    if options.target.suffix != ".safetensors":
        parser.error(f"OUT came as {options.target}; needed: a name that ends in .safetensors")
    try:
        # `weights_only` reads tensors and numbers and runs nothing of whoever wrote the file.
        tensors = tensors_of(torch.load(options.source, map_location="cpu", weights_only=True))  # noqa: TID251
        save_file(tensors, options.target, {"format": "pt"})
    except Exception as error:  # noqa: BLE001 - somebody else's file can be wrong in any way
        parser.exit(1, f"{options.source} cannot be converted ({error}). Give a whole file of weights alone.\n")
    print(f"{options.target}: {len(tensors)} tensors")


if __name__ == "__main__":
    main()
