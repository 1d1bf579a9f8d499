"""The recurrent memory on whole UNets: what it computes, what it hands on, whose it is, and its bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline import Engine, FrameSettings, Model, ModelError
from pipeline.calls.graphs import RecordedUnet
from pipeline.engine.stream import StreamState
from pipeline.engine.translator import Translator
from pipeline.frames.codec import Frame
from pipeline.memory import MemoryRow
from pipeline.memory.none import NoMemory
from pipeline.memory.recurrent import RecurrentMemory, RecurrentRow
from pipeline.memory.spatial import (
    DESCRIPTION_FILE,
    WEIGHTS_FILE,
    BlockMemory,
    Recurrent,
    SpatialMemory,
    anchored,
    load_recurrent,
    save_recurrent,
    shape_of,
    transformer_blocks,
    untrained_recurrent,
)
from pipeline.models.catalogue import CATALOGUE
from pipeline.models.unet_call import predicted
from pipeline.prompts.encoder import PromptEncoder
from tests.conftest import memory_rows
from tests.pipeline.calls.test_graphs import Again
from tests.pipeline.engine.test_lanes import Ground, Visitor
from tests.pipeline.memory.test_causal import assert_near, called, expecting_whole, frame, generator, text
from tests.support.weights.motion import plain_unet
from tests.support.weights.recurrent import lively_recurrent, norm_of, obvious_first, obvious_pass

SETTINGS = FrameSettings()
LIVELY = FrameSettings(prompt="cat", steadiness=0.0)
TICKS = 40


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    return plain_unet()


@pytest.fixture
def memory(unet: UNet2DConditionModel) -> Iterator[RecurrentMemory]:
    """The memory, installed."""
    memory = RecurrentMemory(lively_recurrent(unet), "sdpa")
    with memory.installed(unet):
        yield memory


class Stream:
    """One row's stream through an installed memory, a frame a call."""

    def __init__(self, unet: UNet2DConditionModel, memory: RecurrentMemory, visitor: int = 0) -> None:
        self.unet, self.memory, self.visitor = unet, memory, visitor
        self.row: RecurrentRow | None = None
        self.settings, self.reprompted = SETTINGS, False

    @property
    def asks(self) -> MemoryRow:
        return MemoryRow(self.row, self.settings, generator(0), self.reprompted)

    def play(self, index: int) -> Tensor:
        call = self.memory.open([self.asks])
        output = called(self.unet, frame(index, visitor=self.visitor), [500], text(), call)
        self.row = self.memory.updated(call, 0)
        return output


def played(stream: Stream, count: int) -> Tensor:
    return torch.cat([stream.play(index) for index in range(count)])


def assert_rows_near(some: RecurrentRow | None, others: RecurrentRow | None) -> None:
    if some is None or others is None:
        assert some is others
        return
    for one, other in zip(some.parts, others.parts, strict=True):
        assert one.keys() == other.keys()
        for name, tokens in one.items():
            assert_near(tokens, other[name])


def test_a_block_is_the_papers_attention_token_by_token() -> None:
    torch.manual_seed(0)
    block = BlockMemory(12, 3)
    nn.init.normal_(block.to_out.weight)
    nn.init.normal_(block.to_out.bias)
    features, memory = torch.randn(2, 5, 12), block.first().expand(2, -1, -1)
    with torch.no_grad():
        assert_near(block.first(), obvious_first(block))
        for _ in range(2):
            after, following = block(features, memory)
            for row in range(2):
                expected = obvious_pass(block, features[row], memory[row])
                assert_near(after[row], expected[0])
                assert_near(following[row], expected[1])
            features, memory = after, following


def test_every_place_begins_with_tokens_of_its_own() -> None:
    first = BlockMemory(12, 3).first()
    assert first.shape == (64, 12) and torch.pdist(first.detach()).min() > 1e-4


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_what_is_drawn_back_lies_between_and_keeps_its_length(share: float) -> None:
    torch.manual_seed(0)
    memory, anchor = (torch.stack([norm_of(each) for each in torch.randn(3, 16)]) for _ in range(2))
    back = anchored(memory, anchor, share)
    expected = torch.stack(
        [norm_of((1 - share) * one + share * other) for one, other in zip(memory, anchor, strict=True)]
    )
    assert_near(back, expected if share else memory)
    assert (back is memory) is (share == 0)


@pytest.mark.parametrize("share", [0.0, 0.25])
@pytest.mark.parametrize("family", ["tiny_model", "plain_model", "sdxl_model"])
def test_an_untrained_memory_changes_no_bit(family: str, share: float, request: pytest.FixtureRequest) -> None:
    """Of the embedded model's layout, Stable Diffusion's and Stable Diffusion XL's."""
    model = request.getfixturevalue(family)
    pictures = []
    for memory in (
        NoMemory(model.entry.memory_layout, "sdpa"),
        RecurrentMemory(untrained_recurrent(model.unet, share), "sdpa"),
    ):
        visitor = Visitor(0, [LIVELY.changed(steps=2, guidance=2.0)])
        with memory.installed(model.unet):
            ground = Ground(Translator(model, memory, PromptEncoder(model.text_encoders), model.schedule))
            latents = [latents_of(ground, visitor) for _ in range(3)]
        pictures.append(torch.cat(latents))
    assert torch.equal(*pictures)


def latents_of(ground: Ground, visitor: Visitor) -> Tensor:
    """The clean latents of a visitor's next frame."""
    found: list[Tensor] = []
    translator = ground.lanes._translator
    done = translator.done

    def watched(under_way: Any, *others: Any) -> Any:
        found.append(under_way.latents)
        return done(under_way, *others)

    object.__setattr__(translator, "done", watched)
    assert ground.send(visitor)
    ground.flush()
    object.__setattr__(translator, "done", done)
    return found[0]


@pytest.mark.parametrize("family", ["plain_model", "sdxl_model"])
def test_what_was_seen_before_shows(family: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(family)
    memory = RecurrentMemory(lively_recurrent(model.unet), "sdpa")
    one, other = Visitor(0, [LIVELY]), Visitor(0, [LIVELY])
    with memory.installed(model.unet):
        ground = Ground(Translator(model, memory, PromptEncoder(model.text_encoders), model.schedule))
        first, second = latents_of(ground, one), latents_of(ground, one)
        assert torch.equal(first, latents_of(ground, other))
        other.state = StreamState()
        assert not torch.allclose(second, latents_of(ground, other), atol=1e-4)
    (row,) = one.state.rows.values()
    assert row.memory.keys() == transformer_blocks(model.unet).keys()


def test_steps_and_guidance_branches_remember_apart(plain_model: Model) -> None:
    memory = RecurrentMemory(lively_recurrent(plain_model.unet), "sdpa")
    with memory.installed(plain_model.unet):
        ground = Ground(Translator(plain_model, memory, PromptEncoder(plain_model.text_encoders), plain_model.schedule))
        visitor = Visitor(0, [LIVELY.changed(steps=2, guidance=2.0, negative_prompt="house")])
        latents_of(ground, visitor), latents_of(ground, visitor)
    rows = visitor.state.rows
    assert set(rows) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    name = next(iter(rows[0, 0].memory))
    tokens = torch.cat([row.memory[name].flatten()[None] for row in rows.values()])
    assert torch.pdist(tokens).min() > 1e-3


def test_visitors_share_a_call_and_each_gets_what_it_would_get_alone(
    unet: UNet2DConditionModel, memory: RecurrentMemory
) -> None:
    """New, after one frame, after some, under a new prompt, without a bank, in one call and in any order."""
    streams = [Stream(unet, memory, visitor) for visitor in range(5)]
    for stream, count in zip(streams, [0, 1, 4, 3, 2], strict=True):
        for index in range(count):
            stream.play(index)
    streams[3].reprompted = True
    streams[4].settings = SETTINGS.changed(bank_frames=0.0)
    lone = []
    for stream in streams:
        single = memory.open([stream.asks])
        output = called(unet, frame(20, visitor=stream.visitor), [500], text(), single)
        lone.append((output, memory.updated(single, 0)))
    for order in (range(5), (4, 2, 0, 3, 1)):
        call = memory.open([streams[index].asks for index in order])
        samples = torch.cat([frame(20, visitor=index) for index in order])
        together = called(unet, samples, [500] * 5, text().expand(5, -1, -1), call)
        for place, index in enumerate(order):
            assert_near(together[place : place + 1], lone[index][0])
            assert_rows_near(memory.updated(call, place), lone[index][1])


def test_a_new_prompt_begins_again_and_a_bank_of_nothing_never_begins(
    unet: UNet2DConditionModel, memory: RecurrentMemory
) -> None:
    stream, new = Stream(unet, memory), Stream(unet, memory)
    played(stream, 3)
    stream.reprompted = True
    assert torch.equal(stream.play(3), new.play(3))
    assert_rows_near(stream.row, new.row)
    stream.reprompted, stream.settings = False, SETTINGS.changed(bank_frames=0.0)
    without = stream.play(4)
    assert stream.row is None
    assert torch.equal(without, Stream(unet, memory).play(4))


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_bytes_are_those_of_the_formula_from_the_first_frame_on(unet: UNet2DConditionModel, share: float) -> None:
    memory = RecurrentMemory(lively_recurrent(unet, share), "sdpa")
    widths = [shape_of(block)[0] for block in transformer_blocks(unet).values()]
    expected = (2 if share else 1) * 64 * sum(widths) * 4
    with memory.installed(unet):
        stream = Stream(unet, memory)
        for index in range(TICKS):
            stream.play(index)
            assert memory.nbytes(stream.row) == memory.full_nbytes(stream.row, SETTINGS) == expected
            assert memory.fill(stream.row, SETTINGS) == 1.0
    assert stream.row is not None
    tensors = [tokens for part in stream.row.parts for tokens in part.values()]
    assert all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in tensors)
    assert all(tokens.isfinite().all() for tokens in tensors)
    off = SETTINGS.changed(bank_frames=0.0)
    assert memory.nbytes(None) == memory.full_nbytes(stream.row, off) == memory.fill(stream.row, off) == 0
    assert memory.fill(None, SETTINGS) == memory.full_nbytes(None, SETTINGS) == 0


def test_an_anchor_is_what_the_first_frame_left_and_every_memory_leans_to_it(
    unet: UNet2DConditionModel,
) -> None:
    free, held = (RecurrentMemory(lively_recurrent(unet, share), "sdpa") for share in (0.0, 0.5))
    rows = []
    for memory in (free, held):
        with memory.installed(unet):
            stream = Stream(unet, memory)
            stream.play(0)
            first = stream.row
            stream.play(1)
            rows.append((first, stream.row))
    (_, free_row), (first, held_row) = rows
    assert free_row is not None and free_row.anchor is None
    assert first is not None and held_row is not None and held_row.anchor is first.anchor
    for name, anchor in (held_row.anchor or {}).items():
        assert torch.equal(anchor, first.memory[name]) and anchor is not first.memory[name]
        assert_near(held_row.memory[name], anchored(free_row.memory[name], anchor, 0.5))


def test_what_a_row_remembered_stays_as_it_was(unet: UNet2DConditionModel, memory: RecurrentMemory) -> None:
    stream = Stream(unet, memory)
    played(stream, 2)
    old = stream.row
    assert old is not None
    copies = [{name: tokens.clone() for name, tokens in part.items()} for part in old.parts]
    played(stream, 2)
    for part, copy in zip(old.parts, copies, strict=True):
        assert all(torch.equal(part[name], copy[name]) for name in copy)


def test_a_row_moves_whole(unet: UNet2DConditionModel, memory: RecurrentMemory) -> None:
    stream = Stream(unet, memory)
    played(stream, 2)
    away = memory.moved(stream.row, torch.device("meta"))
    assert away is not None and memory.nbytes(away) == memory.nbytes(stream.row)
    assert {tokens.device.type for part in away.parts for tokens in part.values()} == {"meta"}
    assert memory.moved(None, torch.device("cpu")) is None


def test_hooks_and_processors_come_off_exactly(unet: UNet2DConditionModel) -> None:
    memory = RecurrentMemory(lively_recurrent(unet), "sdpa")
    before = called(unet, frame(0), [500], text(), None)
    with expecting_whole(unet, memory.recurrent.spatial), memory.installed(unet):
        assert any(each._forward_hooks for each in unet.modules())
        with pytest.raises(RuntimeError, match="no memory came"):
            called(unet, frame(0), [500], text(), None)
    with expecting_whole(unet), pytest.raises(ZeroDivisionError), memory.installed(unet):
        raise ZeroDivisionError
    assert torch.equal(called(unet, frame(0), [500], text(), None), before)


@pytest.mark.parametrize("family", ["tiny_model", "sdxl_model"])
def test_recorded_calls_leave_what_others_leave(family: str, request: pytest.FixtureRequest) -> None:
    """Rows that begin and rows that go on are calls of one kind: all read equally many tokens."""
    model = request.getfixturevalue(family)
    memory, recorder = RecurrentMemory(lively_recurrent(model.unet), "sdpa"), Again()
    encoder = PromptEncoder(model.text_encoders)
    pictures = []
    with memory.installed(model.unet):
        for runner in (predicted, RecordedUnet(recorder, 2)):
            visitors = [Visitor(0, [LIVELY.changed(steps=2)]), Visitor(1, [LIVELY.changed(guidance=2.0)])]
            ground = Ground(Translator(model, memory, encoder, model.schedule, runner=runner))
            for turn in range(10):
                for visitor in visitors[: 1 + (turn > 3)]:
                    ground.send(visitor)
                ground.tick()
            ground.flush()
            pictures.append([each.pictures for each in visitors])
    for some, others in zip(*pictures, strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(some, others, strict=True))
    assert recorder.replays > recorder.recorded_works > 0


def test_calls_of_one_kind_have_equally_many_rows(unet: UNet2DConditionModel, memory: RecurrentMemory) -> None:
    stream = Stream(unet, memory)
    stream.play(0)
    old, new = [stream.row], [None]
    kinds = [memory.open(memory_rows(rows, SETTINGS)).kind for rows in (old, new, old + new)]
    assert kinds[0] == kinds[1] != kinds[2]


@pytest.fixture(scope="module")
def weights(tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recurrent")
    save_recurrent(lively_recurrent(tiny_model.unet), folder, torch.float32)
    return folder


def test_an_engine_serves_it_and_knows_its_bytes_before(
    tiny_model: Model, weights: Path, frames: Sequence[Frame]
) -> None:
    with Engine(tiny_model, memory="recurrent", memory_weights=weights) as engine:
        assert engine.memory_name == "recurrent"
        announced = engine.session_nbytes(LIVELY)
        session, other = engine.open(), engine.open(seed=8)
        for index in range(4):
            session.translate(frames[index], LIVELY)
            if index > 2:
                other.translate(frames[index], LIVELY)
        assert session.bank_fill == 1.0 and session.nbytes == other.nbytes == announced
        kept = session.state
        session.park(keep=True)
        session.translate(frames[5], LIVELY)
        assert session.nbytes == announced and session.state.rows.keys() == kept.rows.keys()


def test_a_frame_that_fails_changes_nothing(
    tiny_model: Model, weights: Path, frames: Sequence[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Engine(tiny_model, memory="recurrent", memory_weights=weights) as engine:
        session = engine.open()
        session.translate(frames[0], LIVELY)
        before = session.state

        def torn(*args: Any, **kwargs: Any) -> None:
            raise ValueError("torn")

        with monkeypatch.context() as patched:
            patched.setattr(tiny_model.unet.conv_out, "forward", torn)
            with pytest.raises(ValueError, match="torn"):
                session.translate(frames[1], LIVELY)
        assert session.state is before


def test_a_new_scene_begins_a_new_memory(tiny_model: Model, weights: Path, frames: Sequence[Frame]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, frames[0].shape, np.uint8)
    with Engine(tiny_model, memory="recurrent", memory_weights=weights) as engine:
        session, fresh = engine.open(), engine.open()
        for index in range(2):
            session.translate(frames[index], LIVELY)
        pictures = [np.asarray(each.translate(noise, LIVELY)) for each in (session, fresh)]
        assert np.array_equal(*pictures)


def test_weights_come_back_as_they_were(unet: UNet2DConditionModel, tmp_path: Path) -> None:
    recurrent = lively_recurrent(unet, 0.125)
    save_recurrent(recurrent, tmp_path, torch.float32)
    loaded = load_recurrent(tmp_path)
    assert loaded.anchor_share == 0.125
    assert [block.heads for block in loaded.spatial.by_name.values()] == [2] * len(loaded.spatial.names)
    expected = recurrent.spatial.state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in loaded.spatial.state_dict().items())
    assert not any(each.requires_grad for each in loaded.spatial.parameters())
    save_recurrent(recurrent, tmp_path / "half")
    half = load_file(tmp_path / "half" / WEIGHTS_FILE)
    assert {tensor.dtype for tensor in half.values()} == {torch.float16} and len(half) == len(expected)


def test_weights_for_another_unet_name_the_layer_and_both_widths(unet: UNet2DConditionModel) -> None:
    blocks = dict(untrained_recurrent(unet).spatial.by_name)
    name = "mid_block.attentions.0.transformer_blocks.0"
    cases = {
        f"48 wide behind {name}; needed: 32 wide": blocks | {name: BlockMemory(48, 2)},
        f"none behind {name}; needed: 32 wide": {key: block for key, block in blocks.items() if key != name},
        "16 wide behind elsewhere; needed: none": blocks | {"elsewhere": BlockMemory(16, 2)},
    }
    for sentence, others in cases.items():
        memory = RecurrentMemory(Recurrent(SpatialMemory(others)), "sdpa")
        with expecting_whole(unet), pytest.raises(ModelError, match=sentence), memory.installed(unet):
            pass


def test_broken_weights_are_a_sentence(unet: UNet2DConditionModel, tmp_path: Path) -> None:
    def fails(match: str) -> None:
        with pytest.raises(ModelError, match=match):
            load_recurrent(tmp_path)

    fails("cannot be loaded")
    save_recurrent(untrained_recurrent(unet), tmp_path)
    described = json.loads((tmp_path / DESCRIPTION_FILE).read_text(encoding="utf-8"))
    for wrong, match in (
        ({"anchor_share": 2}, "from 0 to 1"),
        ({"heads": {}}, "belongs to no block"),
        ({"heads": 3}, "items"),
    ):
        (tmp_path / DESCRIPTION_FILE).write_text(json.dumps(described | wrong), encoding="utf-8")
        fails(match)
    (tmp_path / DESCRIPTION_FILE).write_text(json.dumps(described), encoding="utf-8")
    tensors = load_file(tmp_path / WEIGHTS_FILE)
    name = next(key for key in tensors if key.endswith("to_v.weight"))
    save_file({key: tensor for key, tensor in tensors.items() if key != name}, tmp_path / WEIGHTS_FILE)
    fails("to_v.weight")


def test_for_stable_diffusion_it_has_the_papers_parameters_and_bytes() -> None:
    """49.7 million more parameters, and 8 x 8 tokens of 16 blocks in half precision."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        shapes = [shape_of(block) for block in transformer_blocks(unet).values()]
        count = sum(each.numel() for shape in shapes for each in BlockMemory(*shape).parameters())
    assert len(shapes) == 16
    assert count == 49_699_264
    assert sum(64 * width * 2 for width, _ in shapes) == 1_597_440


def test_for_the_embedded_model_it_is_small() -> None:
    """In fp16 no more than 12 MB, as all that is shipped for a memory."""
    config = json.loads((Path(CATALOGUE["embedded"].source) / "unet" / "config.json").read_text())
    with torch.device("meta"):
        recurrent = untrained_recurrent(UNet2DConditionModel.from_config(config))
    assert 2 * sum(each.numel() for each in recurrent.spatial.parameters()) < 12_000_000
