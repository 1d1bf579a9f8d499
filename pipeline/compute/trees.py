"""Trees of tensors: dataclasses, mappings, lists and tuples that hold tensors, and what else holds still."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import Tensor


def tensors_in(tree: Any) -> Iterator[Tensor]:
    """Every tensor of a tree, always in the same order."""
    if isinstance(tree, Tensor):
        yield tree
        return
    for _, branch in _branches(tree):
        yield from tensors_in(branch)


def signature_of(tree: Any) -> Hashable:
    """What two trees have in common that differ in their tensors' values alone. Raises `TypeError` for a tree that
    holds something without a hash."""
    if isinstance(tree, Tensor):
        return tuple(tree.shape), tree.dtype, tree.device
    if is_leaf(tree):
        hash(tree)
        return type(tree).__name__, tree
    return type(tree).__name__, tuple((name, signature_of(branch)) for name, branch in _branches(tree))


def mapped(tree: Any, change: Callable[..., Any], *others: Any, of: type = Tensor) -> Any:
    """The same tree with another thing in the place of each tensor, or of each thing of the type `of`: `change` of it,
    and of those in its place in `others`. All else stays as it is; mappings become dictionaries."""
    if isinstance(tree, of):
        return change(tree, *others)
    if is_leaf(tree):
        return tree
    twigs = [dict(_branches(other)) for other in others]
    branches = {
        name: mapped(branch, change, *(twig[name] for twig in twigs), of=of) for name, branch in _branches(tree)
    }
    if isinstance(tree, Mapping):
        return branches
    return type(tree)(branches.values()) if isinstance(tree, list | tuple) else replace(tree, **branches)


def is_leaf(tree: Any) -> bool:
    """Whether this is no tree but a single thing."""
    return not isinstance(tree, Mapping | list | tuple) and (not is_dataclass(tree) or isinstance(tree, type))


def _branches(tree: Any) -> list[tuple[Any, Any]]:
    if isinstance(tree, Mapping):
        return list(tree.items())
    if isinstance(tree, list | tuple):
        return list(enumerate(tree))
    return [] if is_leaf(tree) else [(each.name, getattr(tree, each.name)) for each in fields(tree)]
