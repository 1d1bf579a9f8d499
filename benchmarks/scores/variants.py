"""The memories that are compared, as data, and the one that only a comparison needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pipeline import FrameSettings, Model, with_decoder
from pipeline.compute.attention import choose_kernel
from pipeline.frames.recurrent_decoder import remembers
from pipeline.memory import TRAINED_MEMORIES, Memory, MemoryLayout, create_memory
from pipeline.memory.bank import BankRow, LayerTokens, bank_size
from pipeline.memory.feature_bank import BankCall, FeatureBank
from pipeline.memory.none import NoMemory
from pipeline.models.decoder import PLAIN
from pipeline.settings import MEMORY_PRESETS


class FrameQueue(FeatureBank):
    """The newest `bank_frames` frames that were taken in, as they were: what merging is compared with in table 3 of
    StreamV2V (arXiv 2405.15757)."""

    name = "frame-queue"

    def updated(self, call: BankCall, index: int) -> BankRow:
        """What a row remembers after a call: the present joins as it joins a bank, and the oldest frame leaves."""
        row, settings = call.banks[index], call.rows[index].settings
        present = {name: tokens.row(index) for name, tokens in call.present.items()}
        if row is None or row.is_empty:
            return BankRow(present, frames=1)
        if row.frames % settings.bank_interval:
            return replace(row, frames=row.frames + 1)
        layers = {name: newest(row.layers[name].joined(each), settings.bank_frames) for name, each in present.items()}
        return BankRow(layers, row.frames + 1)


def newest(tokens: LayerTokens, bank_frames: float) -> LayerTokens:
    """The last `bank_frames` frames of the tokens."""
    first = max(0, tokens.size - bank_size(bank_frames, tokens.frame_tokens))
    return LayerTokens(tokens.frame_tokens, **{name: each[:, first:].clone() for name, each in tokens.tensors.items()})


@dataclass(frozen=True)
class Variant:
    """One way to remember: a memory, or the name of one that has weights beside the model, settings that differ from
    the paper's, whether attention is extended, whether each frame begins from noise of its own, and what decodes: the
    model's decoder as it comes, the plain one, or one that remembers and nothing else."""

    name: str
    settings: dict[str, float | str] = field(default_factory=dict)
    memory: type[Memory] | str = FeatureBank
    extends: bool = True
    fresh_noise: bool = False
    decoder: Literal["own", "plain", "remembering"] = "own"

    def runs_with(self, model: Model) -> bool:
        """Whether the model has the weights that this memory needs."""
        if self.decoder == "remembering" and not remembers(model.vae):
            return False
        return not isinstance(self.memory, str) or weights_of(model, self.memory).is_dir()

    def decoded_by(self, model: Model) -> Model:
        """The model with the decoder of this variant."""
        return with_decoder(model, PLAIN) if self.decoder == "plain" else model

    def memory_for(self, model: Model) -> Memory:
        """The memory; raises `ModelError` where the model has no weights for it."""
        layout, kernel = self.layout(model.entry.memory_layout), choose_kernel(model.device, model.dtype)
        if isinstance(self.memory, str):
            return create_memory(self.memory, layout, kernel, weights=weights_of(model, self.memory))
        return self.memory(layout, kernel)

    def layout(self, layout: MemoryLayout) -> MemoryLayout:
        """A model's layout, without extended attention where this variant has none."""
        return layout if self.extends else replace(layout, extend=())

    def settings_at(self, frame: int, settings: FrameSettings, seed: int) -> FrameSettings:
        """What frame number `frame` is translated with, in a session opened with `seed`."""
        return settings.changed(**MEMORY_PRESETS["paper"] | self.settings, seed=seed + frame * self.fresh_noise)


def weights_of(model: Model, memory: str) -> Path:
    """Where an engine looks for the weights of a memory that none are named for."""
    return Path(model.entry.source) / memory


MEMORY_OFF = Variant("memory off", memory=NoMemory, decoder="plain")
BOTH = Variant("attention and fusion")
STEADY = Variant("preset steady", MEMORY_PRESETS["steady"])
TRAINED = tuple(Variant(name, memory=name) for name in TRAINED_MEMORIES)
PARTS = (
    MEMORY_OFF,
    Variant("attention alone", {"fusion_strength": 0.0}),
    Variant("fusion alone", extends=False),
    BOTH,
)
VARIANTS: tuple[Variant, ...] = (
    *PARTS,
    STEADY,
    *TRAINED,
    Variant("decoder alone", memory=NoMemory, decoder="remembering"),
    *(Variant(f"{each.name}, steadiness 0.8", {"steadiness": 0.8}, each.name) for each in TRAINED),
    *(Variant(f"steadiness {share:g}, memory off", {"steadiness": share}, NoMemory) for share in (0.5, 0.8, 0.9)),
    Variant("fresh noise, memory off", memory=NoMemory, fresh_noise=True),
    Variant("fresh noise, attention and fusion", fresh_noise=True),
    *(Variant(f"bank {size:g}", {"bank_frames": size}) for size in (0.25, 0.5, 2.0, 4.0)),
    *(Variant(f"queue {size:g}", {"bank_frames": size}, FrameQueue) for size in (1.0, 2.0, 4.0)),
    *(Variant(f"interval {frames}", {"bank_interval": frames}) for frames in (1, 2, 8, 16)),
    *(Variant(f"threshold {cosine:g}", {"fusion_threshold": cosine}) for cosine in (0.0, 0.8, 1.0)),
    *(Variant(f"strength {share:g}", {"fusion_strength": share}) for share in (0.25, 0.5, 1.0)),
    Variant("preset released code", MEMORY_PRESETS["released code"]),
)
"""What is not named is as in the paper: a bank of one frame, renewed every fourth frame, and no steadiness."""


def named(names: Sequence[str]) -> list[Variant]:
    """The variants of these names, in the order of `VARIANTS`, and always `MEMORY_OFF`, which is the reference."""
    return [each for each in VARIANTS if each is MEMORY_OFF or each.name in names]
