"""StreamV2V's feature bank (arXiv 2405.15757): extended self-attention, feature fusion, dynamic merging.

Written from the paper; it knows nothing about prompts, schedules or pictures.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from pipeline.compute.attention import (
    Kernel,
    Likeness,
    PlainAttention,
    attend,
    attend_rows,
    output_of,
    projected,
    refuse_mask,
)
from pipeline.compute.devices import in_batch_order, numbers_on, rows_at
from pipeline.compute.hooks import attention_layers, is_self_attention, processors_replaced
from pipeline.compute.threads import team_for
from pipeline.compute.trees import signature_of
from pipeline.memory.bank import BankRow, LayerTokens, bank_size
from pipeline.memory.bank_map import familiarity, grid_of
from pipeline.memory.base import MemoryLayout, MemoryRow
from pipeline.memory.fusion import fuse
from pipeline.settings import FrameSettings


@dataclass(frozen=True)
class BankCall:
    """One UNet call: its rows and their banks, in batch order, and the present tokens that it leaves behind.

    `shares` is float32 `[2, B]` on the banks' device: how strongly each row is fused, and from which cosine on; `None`
    where none is.
    """

    rows: Sequence[MemoryRow]
    banks: Sequence[BankRow | None]
    shares: Tensor | None
    present: dict[str, LayerTokens] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Sequence[MemoryRow], banks: Sequence[BankRow | None]) -> BankCall:
        """A call of these rows, each with the bank that it reads."""
        return cls(rows, banks, shares_of(rows, banks))

    @property
    def reads(self) -> tuple[Any, ...]:
        """All tensors that the UNet reads of it."""
        return [bank and bank.layers for bank in self.banks], self.shares

    def reading(self, reads: tuple[Any, ...]) -> BankCall:
        """A call that reads these, of the same shapes."""
        layers, shares = reads
        return BankCall(self.rows, [each and BankRow(each, frames=0) for each in layers], shares)

    @property
    def kind(self) -> Hashable | None:
        """`None` where rows have banks of different sizes: there are too many combinations of these."""
        sizes = {bank and tuple(tokens.size for tokens in bank.layers.values()) for bank in self.banks}
        first = self.banks[0]
        return (len(self.banks), signature_of(first and first.layers), self.shares is None) if len(sizes) == 1 else None

    def by_size(self, layer: str) -> list[tuple[list[int], LayerTokens | None]]:
        """Batch indices of the rows whose banks in this layer are of one size, each with those banks as one batch.

        `None` stands for banks without a token: no slot is read before it was written.
        """
        indices_of: dict[int, list[int]] = {}
        for index, bank in enumerate(self.banks):
            indices_of.setdefault(0 if bank is None else bank.layers[layer].size, []).append(index)
        return [(indices, self._as_batch(layer, indices) if size else None) for size, indices in indices_of.items()]

    def _as_batch(self, layer: str, indices: list[int]) -> LayerTokens:
        tokens = [bank.layers[layer] for index in indices if (bank := self.banks[index]) is not None]
        if len(tokens) == 1:
            return tokens[0]
        batch = {name: torch.cat([each.tensors[name] for each in tokens]) for name in tokens[0].tensors}
        return LayerTokens(tokens[0].frame_tokens, **batch)

    def fused(self, layer: str, features: Tensor) -> Tensor:
        """features `[B, L, C]`, each row fused with its own bank."""
        if self.shares is None:
            return features
        return in_batch_order(
            [(indices, self._fused(features, indices, bank)) for indices, bank in self.by_size(layer)]
        )

    def _fused(self, features: Tensor, indices: list[int], bank: LayerTokens | None) -> Tensor:
        features = rows_at(features, indices)
        if bank is None or bank.outputs is None or self.shares is None:
            return features
        strength, threshold = (rows_at(each[:, None, None], indices) for each in self.shares)
        return fuse(features, bank.outputs, strength, threshold)


def finest(present: Mapping[str, LayerTokens]) -> str:
    """The layer with the most tokens a frame, the last of several: of those that are fused, or of all if none is."""
    fused = [name for name, tokens in present.items() if tokens.outputs is not None] or list(present)
    return max(reversed(fused), key=lambda name: present[name].frame_tokens)


def shares_of(rows: Sequence[MemoryRow], banks: Sequence[BankRow | None]) -> Tensor | None:
    """How strongly each row is fused, and from which cosine on, float32 `[2, B]`; `None` where none is."""
    device = next((each.device for each in banks if each is not None), None)
    strengths = [row.settings.fusion_strength for row in rows]
    if device is None or not any(strengths):
        return None
    return numbers_on(device, [strengths, [row.settings.fusion_threshold for row in rows]], torch.float32)


class ExtendedSelfAttention:
    """A self-attention processor over `[current; bank]`, before the head split (section 4.1 of the paper); a `likeness`
    is for other layers."""

    def __init__(self, layer: str, layout: MemoryLayout, kernel: Kernel, ragged: Kernel | None = None) -> None:
        self.layer = layer
        self.extends = layout.extends(layer)
        self.fuses = layout.fuses(layer) and layout.fuse_at == "attention"
        self.kernel: Kernel = kernel
        self.ragged: Kernel = ragged or kernel

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        memory: BankCall | None = None,
        likeness: Likeness | None = None,
    ) -> Tensor:
        refuse_mask(attention_mask)
        call = required(memory)
        query, keys, values = projected(attn, hidden_states, hidden_states)
        output = output_of(attn, self._attended(query, keys, values, attn.heads, call))
        call.present[self.layer] = LayerTokens(
            frame_tokens=keys.shape[1],
            keys=keys,
            values=values if self.extends else None,
            outputs=output if self.fuses else None,
        )
        return call.fused(self.layer, output) if self.fuses else output

    def _attended(self, query: Tensor, keys: Tensor, values: Tensor, heads: int, call: BankCall) -> Tensor:
        if not self.extends:
            return attend(query, keys, values, heads, self.kernel)
        if all(row is None or row.layers[self.layer].size == 0 for row in call.banks):
            return attend(query, keys, values, heads, self.kernel)
        # One copy gathers the banks of all rows and joins each to its row's present tokens.
        joined_keys, joined_values, counts = [], [], []
        for index, row in enumerate(call.banks):
            bank = None if row is None else row.layers[self.layer]
            held = [] if bank is None or bank.values is None else [(bank.keys, bank.values)]
            for own_keys, own_values in [(keys[index : index + 1], values[index : index + 1]), *held]:
                joined_keys.append(own_keys)
                joined_values.append(own_values)
            counts.append(keys.shape[1] + (bank.size if bank is not None else 0))
        all_keys, all_values = torch.cat(joined_keys, dim=1), torch.cat(joined_values, dim=1)
        return attend_rows(query, all_keys, all_values, counts, heads, self.kernel, self.ragged)


class FusedBlock:
    """A forward hook that fuses the output of a whole transformer block, residual included."""

    def __init__(self, layer: str) -> None:
        self.layer = layer

    def __call__(self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Tensor:
        call = required((kwargs.get("cross_attention_kwargs") or {}).get("memory"))
        call.present[self.layer] = replace(call.present[self.layer], outputs=output)
        return call.fused(self.layer, output)


def required(memory: BankCall | None) -> BankCall:
    """The memory of this UNet call; raises `RuntimeError` if none came with it."""
    if memory is None:
        raise RuntimeError(
            "no memory came with the UNet call; needed: an opened one while a feature bank is installed. "
            'Pass cross_attention_kwargs={"memory": memory.open(rows)}.'
        )
    return memory


class FeatureBank:
    """The default memory. Its rows live in sessions; this object only knows where a model is extended and fused."""

    name = "feature-bank"

    def __init__(self, layout: MemoryLayout, kernel: Kernel, ragged: Kernel | None = None) -> None:
        self.layout = layout
        self.kernel: Kernel = kernel
        self.ragged: Kernel = ragged or kernel

    @contextmanager
    def installed(self, unet: UNet2DConditionModel) -> Iterator[None]:
        """While entered, self-attentions read and leave tokens; after it, the very same processors as before."""
        with ExitStack() as undo:
            undo.enter_context(processors_replaced(unet, self._processor_of))
            for layer in attention_layers(unet):
                if is_self_attention(layer) and self.layout.fuses(layer) and self.layout.fuse_at == "block":
                    block = unet.get_submodule(layer.removesuffix(".attn1"))
                    undo.callback(block.register_forward_hook(FusedBlock(layer), with_kwargs=True).remove)
            yield

    def _processor_of(self, layer: str) -> ExtendedSelfAttention | PlainAttention:
        if is_self_attention(layer) and (self.layout.extends(layer) or self.layout.fuses(layer)):
            return ExtendedSelfAttention(layer, self.layout, self.kernel, self.ragged)
        return PlainAttention(self.kernel, layer)

    def open(self, rows: Sequence[MemoryRow]) -> BankCall:
        """A call that reads these rows, each held to the bank size that its settings ask for now; one that holds no
        token is as none, so that its call is of a kind with those of first frames."""
        held = [row.features and row.features.merged(row.settings.bank_frames, row.generator) for row in rows]
        return BankCall.of(rows, [None if bank is None or bank.is_empty else bank for bank in held])

    def updated(self, call: BankCall, index: int) -> BankRow:
        """What a row remembers after a call: the present joins every layer on the first frame, and each of them once in
        `bank_interval` frames after it, when `bank_renewal` says."""
        with team_for(max(tokens.renewal_cost for tokens in call.present.values())):
            return self._updated(call, index)

    def _updated(self, call: BankCall, index: int) -> BankRow:
        settings, generator = call.rows[index].settings, call.rows[index].generator
        bank = call.banks[index]
        if bank is None:
            layers = {name: tokens.row(index) for name, tokens in call.present.items()}
            return BankRow(layers, frames=1).merged(settings.bank_frames, generator)
        due = bank.due(settings)
        # One layer after another: only one is held joined, and the row's generator draws for them in this order.
        layers = {
            name: tokens.joined(call.present[name].view(index)).merged(settings.bank_frames, generator)
            if name in due
            else tokens
            for name, tokens in bank.layers.items()
        }
        return BankRow(layers, bank.frames + 1)

    def known(self, call: BankCall, index: int, size: tuple[int, int]) -> Tensor:
        """How well row number `index` knew each place: in the finest layer that is fused, the last of several, or, in a
        model without such layers, the finest that is extended."""
        layer = finest(call.present)
        present, bank = call.present[layer].view(index), call.banks[index]
        features = present.compared[0]
        held = features[:0] if bank is None else bank.layers[layer].compared[0]
        return familiarity(features, held).view(grid_of(len(features), size))

    def nbytes(self, row: BankRow | None) -> int:
        """Bytes of a row's tensors; constant from the moment the bank is full."""
        return 0 if row is None else sum(tokens.nbytes for tokens in row.layers.values())

    def full_nbytes(self, row: BankRow | None, settings: FrameSettings) -> int:
        """Bytes of a row once its bank is full; `row` is any that holds tokens."""
        layers = [] if row is None else [tokens for tokens in row.layers.values() if tokens.size]
        return sum(
            tokens.nbytes // tokens.size * bank_size(settings.bank_frames, tokens.frame_tokens) for tokens in layers
        )

    def moved(self, row: BankRow | None, device: torch.device) -> BankRow | None:
        """The same row with its tensors on another device."""
        return row and replace(row, layers={name: tokens.moved(device) for name, tokens in row.layers.items()})

    def fill(self, row: BankRow | None, settings: FrameSettings) -> float:
        """Tokens held as a share of those that the settings allow, 0..1; a bank of size 0 is empty."""
        tokens = [] if row is None else list(row.layers.values())
        allowed = sum(bank_size(settings.bank_frames, each.frame_tokens) for each in tokens)
        return min(1.0, sum(each.size for each in tokens) / allowed) if allowed else 0.0
