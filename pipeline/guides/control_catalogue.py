"""Controls that have a name, and the models that they fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Family = Literal["Stable Diffusion 1.5", "Stable Diffusion XL"]


@dataclass(frozen=True)
class ControlEntry:
    """A control of the hub: its repository, what kind of network it is, the kind of picture that it was trained on, and
    the family of models that it fits."""

    name: str
    repository: str
    kind: Literal["adapter", "controlnet"]
    picture: str
    family: Family


_ENTRIES = (
    ControlEntry("sketch-sd15", "TencentARC/t2iadapter_sketch_sd15v2", "adapter", "sketch", "Stable Diffusion 1.5"),
    ControlEntry("canny-sd15", "TencentARC/t2iadapter_canny_sd15v2", "adapter", "canny", "Stable Diffusion 1.5"),
    ControlEntry("sketch-sdxl", "TencentARC/t2i-adapter-sketch-sdxl-1.0", "adapter", "sketch", "Stable Diffusion XL"),
    ControlEntry(
        "lineart-sdxl", "TencentARC/t2i-adapter-lineart-sdxl-1.0", "adapter", "lineart", "Stable Diffusion XL"
    ),
    ControlEntry(
        "controlnet-scribble-sd15",
        "lllyasviel/control_v11p_sd15_scribble",
        "controlnet",
        "scribble",
        "Stable Diffusion 1.5",
    ),
    ControlEntry(
        "controlnet-lineart-sd15",
        "lllyasviel/control_v11p_sd15_lineart",
        "controlnet",
        "lineart",
        "Stable Diffusion 1.5",
    ),
    ControlEntry(
        "controlnet-canny-sd15", "lllyasviel/control_v11p_sd15_canny", "controlnet", "canny", "Stable Diffusion 1.5"
    ),
)
CONTROLS: Mapping[str, ControlEntry] = {entry.name: entry for entry in _ENTRIES}
"""Controls that have a name. Adapters come first: a frame with one costs little more than without."""


def names_by_family() -> str:
    """The names of the catalogue, by the models that they fit."""
    families = dict.fromkeys(entry.family for entry in CONTROLS.values())
    names = {family: [entry.name for entry in CONTROLS.values() if entry.family == family] for family in families}
    return "; ".join(f"{', '.join(each)} ({family})" for family, each in names.items())
