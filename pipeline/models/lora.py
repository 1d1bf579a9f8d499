"""LoRA: low-rank changes of a model's weights, blended into them in place, and taken out again bit for bit.

    W' = W + sum_i scale_i * (alpha_i / rank_i) * up_i @ down_i

is equation 3 of Hu et al., arXiv 2106.09685, with the scaling of its section 4.1, for several changes at once. A UNet
with changed weights costs what it costs without: nothing is added to its layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pipeline.errors import LoraError
from pipeline.models.load import Model
from pipeline.settings import Range

SCALE = Range(0.0, 1.5, 0.05, "share", "Scale", "How much of the style is in the pictures; 0 takes it out.")

UNET_PART = "unet"
TEXT_PARTS = ("text_encoder", "text_encoder_2")

Layer = tuple[str, str]
"""(part of the model, path of the layer in it), such as ("unet", "mid_block.attentions.0.proj_in")."""


@dataclass(frozen=True, eq=False)
class LowRank:
    """The change of one layer: `up` `[C', r]`, `down` `[r, C]`, or for a convolution `[C', r, 1, 1]` and
    `[r, C, kh, kw]`, of any floating dtype; their product counts `alpha / r`."""

    up: Tensor
    down: Tensor
    alpha: float

    def moved(self, device: torch.device) -> LowRank:
        """The same on another device."""
        return LowRank(self.up.to(device), self.down.to(device), self.alpha)


@dataclass(frozen=True)
class Factors:
    """The names under which a file holds the two factors of a layer's change, and its alpha."""

    up: str
    down: str
    alpha: float


@dataclass(frozen=True, eq=False)
class Lora:
    """A file that fits a model: which layers it changes, and the words that call its style."""

    name: str
    file: Path
    layers: Mapping[Layer, Factors]
    triggers: tuple[str, ...] = ()

    def read(self) -> dict[Layer, LowRank]:
        """The change of each layer, on the CPU; raises `LoraError` for a file that is no longer what it was."""
        try:
            with safe_open(self.file, "pt") as file:
                return {
                    layer: LowRank(file.get_tensor(each.up), file.get_tensor(each.down), each.alpha)
                    for layer, each in self.layers.items()
                }
        except (OSError, SafetensorError) as error:
            raise LoraError(
                f"{self.file.name} cannot be read any more ({error}); needed: the file as it was at the start. "
                "Put it back, or start again."
            ) from error


def blended(weight: Tensor, parts: Sequence[tuple[float, LowRank]]) -> Tensor:
    """A weight `[C', ...]` with changes, each at its scale: summed up in float32 in the order of `parts`, and rounded
    once to the weight's dtype."""
    total = weight.to(torch.float32, memory_format=torch.contiguous_format, copy=True).flatten(1)
    for scale, change in parts:
        up, down = change.up.float().flatten(1), change.down.float().flatten(1)
        total.addmm_(up, down, alpha=scale * change.alpha / len(down))
    return total.view(weight.shape).to(weight.dtype)


def parts_of(model: Model) -> dict[str, nn.Module]:
    """The parts of a model that files can change, by the names that files give them."""
    encoders = dict(zip(TEXT_PARTS, (each.model for each in model.text_encoders), strict=False))
    return {UNET_PART: model.unet, **encoders}


class FusedLoras:
    """Blends LoRA into a model's weights and keeps the original of every weight that is not its own now.

    A context manager: after it all weights are bit for bit what they were. One thread at a time may use it, and while
    an engine is open on the model no other than the engine's, by `Engine.change`: leave it after the engine. Weights
    are written in place, which compiled models and CUDA graphs see.
    """

    def __init__(self, model: Model) -> None:
        self._parts = parts_of(model)
        self._originals: dict[Layer, Tensor] = {}
        self._recipes: dict[Layer, tuple[tuple[Lora, float], ...]] = {}
        self._read: dict[Lora, dict[Layer, LowRank]] = {}
        self._scales: dict[Lora, float] = {}

    def __enter__(self) -> FusedLoras:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    @property
    def scales(self) -> Mapping[Lora, float]:
        """What is in the weights now."""
        return self._scales

    def blend(self, scales: Mapping[Lora, float]) -> None:
        """Let the weights be the originals with these changes, and no others; a scale of 0 is none.

        Only weights whose share has changed are written, each from its original. Raises `LoraError`: with the weights
        as they were before the call where a file cannot be read, else with all of them original.
        """
        picked = {lora: scales[lora] for lora in sorted(scales, key=lambda each: each.name) if scales[lora] != 0}
        read = {lora: self._read[lora] if lora in self._read else self._moved(lora.read()) for lora in picked}
        self._read, self._scales = read, picked
        layers = dict.fromkeys(self._recipes) | dict.fromkeys(layer for lora in picked for layer in lora.layers)
        try:
            for layer in layers:
                self._write(layer, tuple((lora, scale) for lora, scale in picked.items() if layer in lora.layers))
        except torch.OutOfMemoryError as error:
            self.remove()
            raise LoraError(
                "the device's memory is full, so no LoRA acts now; needed: room for a copy of the weights that they "
                "change. Pick fewer."
            ) from error
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Put every original back."""
        with torch.no_grad():
            for layer, original in self._originals.items():
                self._weight(layer).copy_(original)
        self._originals, self._recipes, self._read, self._scales = {}, {}, {}, {}

    def _weight(self, layer: Layer) -> Tensor:
        part, path = layer
        return cast(Tensor, self._parts[part].get_submodule(path).weight)

    def _moved(self, changes: dict[Layer, LowRank]) -> dict[Layer, LowRank]:
        return {layer: change.moved(self._weight(layer).device) for layer, change in changes.items()}

    def _write(self, layer: Layer, recipe: tuple[tuple[Lora, float], ...]) -> None:
        if recipe == self._recipes.get(layer, ()):
            return
        weight = self._weight(layer)
        with torch.no_grad():
            if not recipe:
                weight.copy_(self._originals[layer])
                del self._originals[layer], self._recipes[layer]
                return
            if layer not in self._originals:
                self._originals[layer] = weight.clone()
            parts = [(scale, self._read[lora][layer]) for lora, scale in recipe]
            fused = blended(self._originals[layer], parts)
            if not bool(fused.isfinite().all()):
                raise LoraError(
                    f"{' and '.join(lora.name for lora, _ in recipe)} came with numbers that are no weights of "
                    f"{layer[1]}, so no LoRA acts now; needed: numbers that {weight.dtype} holds. "
                    "Lower the scale, or leave one out."
                )
            weight.copy_(fused)
        self._recipes[layer] = recipe
