"""The feature bank on a whole UNet: what it reads, when it is renewed, how large it is, and that it comes off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from pipeline import FrameSettings, MemoryNameError
from pipeline.compute.hooks import attention_layers, is_self_attention
from pipeline.memory import MEMORIES, MemoryLayout, MemoryRow, create_memory
from pipeline.memory.bank import BankRow, bank_size
from pipeline.memory.feature_bank import FeatureBank
from tests.conftest import TEXT_WIDTH, memory_rows, tiny_unet

LAYOUTS = [
    MemoryLayout(),
    MemoryLayout(fuse=("up_blocks.1",), fuse_at="block"),
    MemoryLayout(extend=("mid_block",), fuse=("down_blocks", "up_blocks")),
    MemoryLayout(extend=(), fuse=("",), fuse_at="block"),
    MemoryLayout(extend=("mid_block",), fuse=("mid_block",)),
]
SETTINGS = FrameSettings(fusion_threshold=0.0, fusion_strength=0.75, bank_interval=1)


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return tiny_unet(4, 4).eval()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def frame(index: int, rows: int = 1) -> Tensor:
    return torch.randn(rows, 4, 6, 4, generator=generator(index))


def text(rows: int = 1) -> Tensor:
    return torch.randn(1, 7, TEXT_WIDTH, generator=generator(99)).expand(rows, -1, -1)


def called(unet: UNet2DConditionModel, sample: Tensor, memory: Any = None) -> Tensor:
    with torch.inference_mode():
        kwargs = None if memory is None else {"memory": memory}
        return unet(sample, 500, text(len(sample)), cross_attention_kwargs=kwargs, return_dict=False)[0]


class Stream:
    """One stream of frames through a bank, step by step as an engine does it."""

    def __init__(self, unet: UNet2DConditionModel, bank: FeatureBank, settings: FrameSettings = SETTINGS) -> None:
        self.unet, self.bank, self.settings = unet, bank, settings
        self.row: BankRow | None = None

    def play(self, index: int) -> Tensor:
        with self.bank.installed(self.unet), torch.inference_mode():
            call = self.bank.open(memory_rows([self.row], self.settings, index))
            output = called(self.unet, frame(index), call)
            self.row = self.bank.updated(call, 0)
        return output


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_empty_bank_is_plain_attention_and_a_full_one_is_not(
    unet: UNet2DConditionModel, layout: MemoryLayout
) -> None:
    stream = Stream(unet, FeatureBank(layout, "sdpa"))
    torch.testing.assert_close(stream.play(0), called(unet, frame(0)))
    assert not torch.allclose(stream.play(1), called(unet, frame(1)), atol=1e-4)


def test_what_was_remembered_under_another_prompt_is_not_read(unet: UNet2DConditionModel) -> None:
    stream = Stream(unet, FeatureBank(MemoryLayout(), "sdpa"))
    stream.play(0)
    with stream.bank.installed(unet):
        call = stream.bank.open([MemoryRow(stream.row, SETTINGS, generator(), reprompted=True)])
        assert torch.equal(
            called(unet, frame(1), call), called(unet, frame(1), stream.bank.open(memory_rows([None], SETTINGS)))
        )
    assert stream.bank.updated(call, 0).frames == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_bank_holds_only_what_is_read(unet: UNet2DConditionModel, layout: MemoryLayout) -> None:
    stream = Stream(unet, FeatureBank(layout, "sdpa"))
    selfs = [name for name in attention_layers(unet) if is_self_attention(name)]
    read = {name for name in selfs if layout.extends(name) or layout.fuses(name)}
    assert len(read) == (1 if layout is LAYOUTS[-1] else len(selfs))
    for index in range(3):
        stream.play(index)
        assert stream.row is not None and set(stream.row.layers) == read
        for name, tokens in stream.row.layers.items():
            assert (tokens.values is not None) == layout.extends(name)
            assert (tokens.outputs is not None) == layout.fuses(name)


@pytest.mark.parametrize("interval", [1, 3, 4])
def test_the_first_and_every_nth_frame_join(unet: UNet2DConditionModel, interval: int) -> None:
    settings = SETTINGS.changed(bank_interval=interval, bank_frames=4.0, bank_renewal="together")
    stream = Stream(unet, FeatureBank(MemoryLayout(), "sdpa"), settings)
    for index in range(9):
        stream.play(index)
        assert stream.row is not None
        joined = min(4, 1 + index // interval)
        assert all(tokens.size == joined * tokens.frame_tokens for tokens in stream.row.layers.values())


@pytest.mark.parametrize("bank_frames", [0.0, 0.25, 0.5, 1.0, 1.75, 4.0])
def test_any_size_is_held(unet: UNet2DConditionModel, bank_frames: float) -> None:
    bank = FeatureBank(MemoryLayout(), "sdpa")
    settings = SETTINGS.changed(bank_frames=bank_frames)
    stream = Stream(unet, bank, settings)
    for index in range(6):
        stream.play(index)
    assert stream.row is not None
    assert all(each.size == bank_size(bank_frames, each.frame_tokens) for each in stream.row.layers.values())
    assert bank.fill(stream.row, settings) == (1.0 if bank_frames else 0.0)
    held = [tensor for tokens in stream.row.layers.values() for tensor in tokens.tensors.values()]
    assert bank.nbytes(stream.row) == sum(each.nbytes for each in held)


@pytest.mark.parametrize("bank_frames", [0.0, 0.25, 1.0])
def test_no_tensor_keeps_more_alive_than_it_counts(unet: UNet2DConditionModel, bank_frames: float) -> None:
    stream = Stream(unet, FeatureBank(MemoryLayout(), "sdpa"), SETTINGS.changed(bank_frames=bank_frames))
    for index in range(3):
        stream.play(index)
    assert stream.row is not None
    for tokens in stream.row.layers.values():
        for tensor in tokens.tensors.values():
            assert tensor.untyped_storage().nbytes() == tensor.nbytes


def test_the_bank_shrinks_and_grows_live(unet: UNet2DConditionModel) -> None:
    stream = Stream(unet, FeatureBank(MemoryLayout(), "sdpa"))
    sizes = []
    for index, bank_frames in enumerate([2.0, 2.0, 0.5, 0.0, 1.0, 2.0]):
        stream.settings = SETTINGS.changed(bank_frames=bank_frames)
        stream.play(index)
        assert stream.row is not None
        tokens = stream.row.layers["mid_block.attentions.0.transformer_blocks.0.attn1"]
        sizes.append(tokens.size / tokens.frame_tokens)
    assert sizes == pytest.approx([1.0, 2.0, 0.5, 0.0, 1.0, 2.0])


def test_rows_of_a_batch_are_as_if_alone(unet: UNet2DConditionModel) -> None:
    """Rows with banks of three sizes, in one call; equal up to the rounding of a batched matrix product."""
    bank = FeatureBank(MemoryLayout(fuse=("mid_block", "up_blocks"), fuse_at="block"), "sdpa")
    rows: list[BankRow | None] = []
    for bank_frames in (0.5, None, 2.0, 0.5):
        stream = Stream(unet, bank, SETTINGS.changed(bank_frames=bank_frames or 1.0))
        for index in range(0 if bank_frames is None else 3):
            stream.play(index)
        rows.append(stream.row)
    settings, samples = SETTINGS.changed(bank_frames=4.0), frame(7, rows=4)
    with bank.installed(unet):
        together = called(unet, samples, bank.open(memory_rows(rows, settings)))
        for index, row in enumerate(rows):
            alone = called(unet, samples[index : index + 1], bank.open(memory_rows([row], settings)))
            torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-4, atol=1e-5)


def test_an_update_leaves_the_old_row_alone(unet: UNet2DConditionModel) -> None:
    stream = Stream(unet, FeatureBank(MemoryLayout(), "sdpa"))
    stream.play(0)
    assert stream.row is not None
    old = stream.row
    copies = {name: [each.clone() for each in tokens.tensors.values()] for name, tokens in old.layers.items()}
    stream.play(1)
    assert stream.row is not old
    for name, tokens in old.layers.items():
        assert all(torch.equal(*pair) for pair in zip(tokens.tensors.values(), copies[name], strict=True))


def test_the_stored_output_is_the_unfused_one(unet: UNet2DConditionModel) -> None:
    layout = MemoryLayout(extend=(), fuse=("mid_block",))
    fusing, plain = (
        Stream(unet, FeatureBank(layout, "sdpa"), SETTINGS.changed(fusion_strength=strength, bank_frames=4.0))
        for strength in (1.0, 0.0)
    )
    for index in range(2):
        fused, unfused = fusing.play(index), plain.play(index)
    assert not torch.allclose(fused, unfused)
    assert fusing.row is not None and plain.row is not None
    for name, tokens in fusing.row.layers.items():
        torch.testing.assert_close(tokens.outputs, plain.row.layers[name].outputs)


@contextmanager
def expecting_whole(unet: UNet2DConditionModel) -> Iterator[None]:
    before, hooks = dict(unet.attn_processors), [len(each._forward_hooks) for each in unet.modules()]
    yield
    after = unet.attn_processors
    assert after.keys() == before.keys() and all(after[name] is before[name] for name in before)
    assert [len(each._forward_hooks) for each in unet.modules()] == hooks


@pytest.mark.parametrize("name", list(MEMORIES))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_very_same_processors_come_back(unet: UNet2DConditionModel, name: str, layout: MemoryLayout) -> None:
    memory = create_memory(name, layout, "sdpa")
    with expecting_whole(unet), memory.installed(unet):
        pass
    with expecting_whole(unet), pytest.raises(ZeroDivisionError), memory.installed(unet):
        raise ZeroDivisionError


def test_an_unknown_memory_says_what_there_is() -> None:
    with pytest.raises(MemoryNameError, match="feature-bank"):
        create_memory("elephant", MemoryLayout(), "sdpa")
