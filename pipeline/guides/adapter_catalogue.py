"""Adapters that have a name, which let pictures be like another, and the models that they fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.models.catalogue import FAMILIES, FamilyName

REPOSITORY = "h94/IP-Adapter"
ENCODER, LARGE_ENCODER = "models/image_encoder", "sdxl_models/image_encoder"
"""Where OpenCLIP's ViT-H and ViT-bigG lie in it."""

STYLE_LAYERS: Mapping[FamilyName, tuple[str, ...]] = {"sdxl": ("up_blocks.0.attentions.1",)}
"""The layers that take over how a picture is painted, and not what is in it (InstantStyle, arXiv 2404.02733, section
3.3): published for Stable Diffusion XL."""


@dataclass(frozen=True)
class AdapterEntry:
    """An IP-Adapter of the hub: its file and the folder of its image encoder in `repository`, the family of models that
    it fits, and its licence."""

    name: str
    file: str
    family: FamilyName
    encoder: str = ENCODER
    repository: str = REPOSITORY
    licence: str = "Apache-2.0"

    @property
    def source(self) -> str:
        """Its name on the hub."""
        return f"{self.repository}/{self.file}"

    @property
    def encoder_source(self) -> str:
        """The name of its image encoder's weights on the hub."""
        return f"{self.repository}/{self.encoder}/model.safetensors"


_ENTRIES = (
    AdapterEntry("like-sd15", "models/ip-adapter_sd15.safetensors", "sd15"),
    AdapterEntry("like-plus-sd15", "models/ip-adapter-plus_sd15.safetensors", "sd15"),
    AdapterEntry("like-sdxl", "sdxl_models/ip-adapter_sdxl_vit-h.safetensors", "sdxl"),
    AdapterEntry("like-plus-sdxl", "sdxl_models/ip-adapter-plus_sdxl_vit-h.safetensors", "sdxl"),
    AdapterEntry("like-large-sdxl", "sdxl_models/ip-adapter_sdxl.safetensors", "sdxl", LARGE_ENCODER),
)
ADAPTERS: Mapping[str, AdapterEntry] = {entry.name: entry for entry in _ENTRIES}
"""Adapters that have a name."""


def adapter_names() -> str:
    """The names of the catalogue, by the models that they fit."""
    families = dict.fromkeys(entry.family for entry in ADAPTERS.values())
    names = {each: [entry.name for entry in ADAPTERS.values() if entry.family == each] for each in families}
    return "; ".join(f"{', '.join(each)} ({FAMILIES[family].title})" for family, each in names.items())
