"""Trees of tensors in files of safetensors, for another process of ours: what is no tensor is JSON beside them."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.compute.trees import mapped, tensors_in

TREE = "tree"
OURS = "pipeline."
"""Where classes come from that a file may name."""


def write_tree(path: Path, tree: Any) -> None:
    """Write a tree to a file."""
    tensors = {str(index): tensor.contiguous() for index, tensor in enumerate(apart(tree))}
    save_file(tensors, path, {TREE: json.dumps(outline(tree))})


def read_tree(path: Path) -> Any:
    """The tree in a file that `write_tree` has written, on the CPU."""
    with safe_open(path, framework="pt") as file:
        tensors = [file.get_tensor(str(index)) for index in range(len(file.keys()))]
        return filled(json.loads(file.metadata()[TREE]), tensors)


def apart(tree: Any) -> list[Tensor]:
    """The tensors of a tree; those that stand there twice share no memory, which files cannot say."""
    seen: set[int] = set()
    found = []
    for tensor in tensors_in(tree):
        place = tensor.untyped_storage().data_ptr()
        found.append(tensor.clone() if place in seen else tensor)
        seen.add(place)
    return found


def outline(tree: Any) -> Any:
    """What a tree is without its tensors, as JSON. Raises `TypeError` for what JSON cannot say."""
    count = 0

    def place(_: Tensor) -> Any:
        nonlocal count
        count += 1
        return _Place(count - 1)

    return _described(mapped(tree, place))


def filled(described: Any, tensors: Sequence[Tensor]) -> Any:
    """The tree of this outline with these tensors, in the order of `tensors_in`."""
    if not isinstance(described, dict):
        return described
    ((kind, content),) = described.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "mapping":
        return {name: filled(branch, tensors) for name, branch in content}
    branches = [filled(each, tensors) for each in content[1:]] if kind == "class" else []
    if kind == "class":
        return _class_of(content[0])(*branches)
    return _SEQUENCES[kind](filled(each, tensors) for each in content)


_SEQUENCES: Mapping[str, Callable[..., Any]] = {"list": list, "tuple": tuple}


class _Place:
    """Where a tensor stood."""

    def __init__(self, index: int) -> None:
        self.index = index


def _described(tree: Any) -> Any:
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    if isinstance(tree, _Place):
        return {"tensor": tree.index}
    if isinstance(tree, Mapping):
        return {"mapping": [[name, _described(branch)] for name, branch in tree.items()]}
    if isinstance(tree, list | tuple):
        return {type(tree).__name__: [_described(branch) for branch in tree]}
    name = f"{type(tree).__module__}:{type(tree).__qualname__}"
    if not is_dataclass(tree) or not name.startswith(OURS):
        raise TypeError(f"a tree came with {name}; needed: what JSON can say, tensors and dataclasses of ours.")
    return {"class": [name, *(_described(getattr(tree, each.name)) for each in fields(tree))]}


def _class_of(name: str) -> Any:
    module, _, qualified = name.partition(":")
    if not module.startswith(OURS):
        raise ValueError(f"a file came that names {name}; needed: a class of ours. Delete the file.")
    return getattr(importlib.import_module(module), qualified)
