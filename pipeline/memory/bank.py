"""What a feature bank holds: tokens of each layer, joined and merged, for one denoising step of one guidance branch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.memory.merge import dynamic_merge
from pipeline.memory.renewal import layers_due
from pipeline.settings import FrameSettings


@dataclass(frozen=True)
class LayerTokens:
    """Tokens of one layer: keys `[B, M, C]`, values `[B, M, C]` where the layer extends its attention, outputs
    `[B, M, C']` where it fuses. `frame_tokens` is `L`, the tokens of one frame in this layer."""

    frame_tokens: int
    keys: Tensor
    values: Tensor | None = None
    outputs: Tensor | None = None

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Those that the layer holds, keys first: merging matches tokens by their keys."""
        held = {"keys": self.keys, "values": self.values, "outputs": self.outputs}
        return {name: tensor for name, tensor in held.items() if tensor is not None}

    @property
    def size(self) -> int:
        """`M`, how many tokens there are."""
        return self.keys.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(each.nbytes for each in self.tensors.values())

    @property
    def renewal_cost(self) -> int:
        """What merging a present frame into a bank of these costs, up to a factor that all layers share: `L * L * C`
        products, of as many tokens that leave with as many that stay."""
        return self.frame_tokens**2 * self.keys.shape[2]

    @property
    def compared(self) -> Tensor:
        """The tokens by which the past is recognised: the outputs, `[B, M, C']`, or the keys where there are none."""
        return self.keys if self.outputs is None else self.outputs

    def view(self, index: int) -> LayerTokens:
        """One row, `[1, M, C]`, that shares its memory with the whole batch."""
        return LayerTokens(self.frame_tokens, **{name: each[index : index + 1] for name, each in self.tensors.items()})

    def row(self, index: int) -> LayerTokens:
        """A copy of one row, `[1, M, C]`: what is kept must not keep the whole batch alive."""
        copies = {name: each.clone() for name, each in self.view(index).tensors.items()}
        return LayerTokens(self.frame_tokens, **copies)

    def moved(self, device: torch.device) -> LayerTokens:
        """The same tokens on another device."""
        return LayerTokens(self.frame_tokens, **{name: each.to(device) for name, each in self.tensors.items()})

    def joined(self, newer: LayerTokens) -> LayerTokens:
        """These tokens, followed by newer ones of the same layer."""
        own = self.tensors
        both = {name: torch.cat([own[name], each], dim=1) for name, each in newer.tensors.items()}
        return LayerTokens(newer.frame_tokens, **both)

    def merged(self, bank_frames: float, generator: torch.Generator) -> LayerTokens:
        """At most `bank_size(bank_frames, L)` tokens, by dynamic merging."""
        keep = bank_size(bank_frames, self.frame_tokens)
        if self.size <= keep:
            return self
        kept = dynamic_merge(*self.tensors.values(), keep=keep, generator=generator)
        return LayerTokens(self.frame_tokens, **dict(zip(self.tensors, kept, strict=True)))


def bank_size(bank_frames: float, frame_tokens: int) -> int:
    """How many tokens a bank of `bank_frames` frames (fractions and 0 allowed) holds in a layer of `L` tokens."""
    return round(bank_frames * frame_tokens)


@dataclass(frozen=True)
class BankRow:
    """What one denoising step of one guidance branch remembers: tokens by layer, and how many frames it has seen."""

    layers: Mapping[str, LayerTokens]
    frames: int

    @property
    def is_empty(self) -> bool:
        """Whether no token is held."""
        return all(tokens.size == 0 for tokens in self.layers.values())

    @property
    def device(self) -> torch.device:
        """Where the tokens lie."""
        return next(iter(self.layers.values())).keys.device

    def due(self, settings: FrameSettings) -> frozenset[str]:
        """The layers that take in the next frame."""
        costs = {name: tokens.renewal_cost for name, tokens in self.layers.items()}
        return layers_due(costs, self.frames, settings.bank_interval, settings.bank_renewal)

    def merged(self, bank_frames: float, generator: torch.Generator) -> BankRow:
        """The same row with every layer held to its size."""
        layers = {name: tokens.merged(bank_frames, generator) for name, tokens in self.layers.items()}
        return replace(self, layers=layers)
