"""Several memories in one engine: each frame has the one that it asks for, and nobody else's picture knows of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import Engine, FrameSettings, MemoryNameError, Model, ModelError, load_model
from pipeline.calls.graphs import RecordedUnet
from pipeline.engine.memory_choice import MemoryChoice, loadable_memories, loaded_memories
from pipeline.engine.translator import Translator
from pipeline.frames.codec import Frame
from pipeline.memory import MEMORIES, TRAINED_MEMORIES, MemoryRow
from pipeline.memory.feature_bank import FeatureBank
from pipeline.memory.motion import save_motion
from pipeline.memory.spatial import save_recurrent
from pipeline.models.catalogue import Distillation
from pipeline.models.unet_call import UnetRunner, predicted
from pipeline.prompts.encoder import PromptEncoder
from pipeline.settings import MEMORIES_THAT_READ, MEMORY_NAMES, OWN_MEMORY, SettingsError, resting
from tests.conftest import FULL_CONDITIONING, every_way, in_the_way, save_tiny_model, tiny_sdxl_unet
from tests.pipeline.calls.test_graphs import Again
from tests.pipeline.engine.test_lanes import Ground, Visitor, alone, assert_alike
from tests.pipeline.memory.test_causal import expecting_whole, generator
from tests.support.weights.motion import lively_motion
from tests.support.weights.recurrent import lively_recurrent

LIVELY = FrameSettings(prompt="(neon)1.4 cat", fusion_threshold=0.0, bank_interval=1, bank_frames=1.0, steadiness=0.0)
OTHERS = ("none", "causal", "recurrent")
ALL = ("feature-bank", *OTHERS)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """With weights of both trained memories in its folder."""
    folder = save_tiny_model(tmp_path_factory.mktemp("remembers"), 16, FULL_CONDITIONING)
    model = load_model(folder, device="cpu", dtype=torch.float32)
    save_motion(lively_motion(model.unet), folder / "causal")
    save_recurrent(lively_recurrent(model.unet), folder / "recurrent", torch.float32)
    return model


@pytest.fixture
def choice(model: Model) -> MemoryChoice:
    return MemoryChoice(loaded_memories(model, ALL, "sdpa", None, None))


def translator_of(model: Model, choice: MemoryChoice, runner: UnetRunner = predicted) -> Translator:
    encoder = PromptEncoder(model.text_encoders)
    return Translator(model, choice, encoder, model.schedule, runner=choice.running(runner))


def pictures_of(engine: Engine, frames: Sequence[Frame], settings: Sequence[FrameSettings]) -> list[Frame]:
    session = engine.open()
    return [np.asarray(session.translate(*each)) for each in zip(frames, settings, strict=True)]


@pytest.fixture(scope="module")
def lone(model: Model, frames: list[Frame]) -> dict[str, list[Frame]]:
    """The pictures of a visitor of an engine that has one memory alone, by its name."""
    pictures = {}
    for name in ALL:
        with Engine(model, memory=name) as engine:
            pictures[name] = pictures_of(engine, frames[:4], [LIVELY] * 4)
    return pictures


def test_settings_know_every_memory_by_its_name() -> None:
    assert set(MEMORY_NAMES) == {OWN_MEMORY, *MEMORIES, *TRAINED_MEMORIES}


def test_an_engine_with_one_memory_has_nothing_between(model: Model) -> None:
    with Engine(model) as engine:
        assert type(engine.memory) is FeatureBank and engine.memory_names == ("feature-bank",)


def test_whoever_chooses_nothing_gets_the_same_bits(
    model: Model, frames: list[Frame], lone: dict[str, list[Frame]]
) -> None:
    with Engine(model, memories=OTHERS) as engine:
        assert engine.memory_name == "feature-bank" and engine.memory_names == ALL
        pictures = pictures_of(engine, frames[:4], [LIVELY] * 4)
    assert all(np.array_equal(*pair) for pair in zip(pictures, lone["feature-bank"], strict=True))


@pytest.mark.parametrize("name", ALL)
def test_what_is_chosen_paints_as_if_there_were_nothing_else(
    name: str, model: Model, frames: list[Frame], lone: dict[str, list[Frame]]
) -> None:
    with Engine(model, memories=OTHERS) as engine:
        pictures = pictures_of(engine, frames[:4], [LIVELY.changed(memory=name)] * 4)
    assert all(np.array_equal(*pair) for pair in zip(pictures, lone[name], strict=True))


def test_a_choice_acts_on_the_next_frame_and_begins_anew(
    model: Model, frames: list[Frame], lone: dict[str, list[Frame]]
) -> None:
    before = [LIVELY, LIVELY.changed(memory="causal")]
    for name in ("none", "recurrent"):
        chosen = LIVELY.changed(memory=name)
        with Engine(model, memories=OTHERS) as engine:
            pictures = pictures_of(engine, [*frames[4:6], *frames[:4]], [*before, *[chosen] * 4])
        assert all(np.array_equal(*pair) for pair in zip(pictures[2:], lone[name], strict=True))


@pytest.mark.parametrize("name", ALL)
def test_a_setting_acts_with_the_memories_that_read_it_and_rests_with_others(
    name: str, model: Model, frames: list[Frame], lone: dict[str, list[Frame]]
) -> None:
    changes = {
        "bank_frames": 0.0,
        "fusion_strength": 0.25,
        "fusion_threshold": 1.0,
        "bank_interval": 3,
        "bank_renewal": "together",
    }
    assert set(changes) == set(MEMORIES_THAT_READ)
    # With an interval of 1 all layers take in every frame: there is no renewal to spread.
    own = LIVELY.changed(bank_interval=2)
    with Engine(model, memory=name) as engine:
        before = pictures_of(engine, frames[:4], [own] * 4)
        for setting, value in changes.items():
            after = pictures_of(engine, frames[:4], [own.changed(**{setting: value})] * 4)
            rests = all(np.array_equal(*pair) for pair in zip(before, after, strict=True))
            assert rests == (setting in resting(own, name)) == (setting in resting(own.changed(memory=name), "none")), (
                setting
            )


@every_way
@pytest.mark.parametrize("recorded", [False, True])
def test_visitors_of_all_memories_get_what_they_would_get_alone(
    model: Model, choice: MemoryChoice, recorded: bool, way: Distillation
) -> None:
    """Also one who changes on the way; calls hold the rows of one memory."""
    model = in_the_way(model, way)
    recorder = Again()
    runner = RecordedUnet(recorder, 0) if recorded else predicted
    translator = translator_of(model, choice, runner)
    visitors = [Visitor(seed, [LIVELY.changed(memory=name)]) for seed, name in enumerate(ALL)]
    visitors.append(Visitor(7, [LIVELY.changed(memory=name, steps=2) for name in ("own", "recurrent", "causal")]))
    with choice.installed(model.unet):
        ground = Ground(translator)
        for _ in range(6):
            for visitor in visitors:
                ground.send(visitor)
            ground.tick()
        ground.flush()
        for visitor in visitors:
            assert visitor.commits == visitor.sent > 2
            assert_alike(visitor.pictures, alone(translator_of(model, choice), visitor, visitor.sent))
    assert (recorder.replays > 0) is recorded


def test_the_unet_is_whole_again(model: Model, choice: MemoryChoice) -> None:
    with expecting_whole(model.unet), choice.installed(model.unet):
        alone(translator_of(model, choice), Visitor(0, [LIVELY.changed(memory="causal")]), 1)
        assert any(each._forward_pre_hooks for each in model.unet.modules())
    with expecting_whole(model.unet), pytest.raises(ZeroDivisionError), choice.installed(model.unet):
        alone(translator_of(model, choice), Visitor(0, [LIVELY.changed(memory="recurrent")]), 1)
        raise ZeroDivisionError


def test_an_engine_knows_the_bytes_of_each_before(model: Model, frames: list[Frame]) -> None:
    with Engine(model, memories=OTHERS, byte_budget=2**30) as engine:
        for name in ALL:
            settings = LIVELY.changed(memory=name)
            announced, session = engine.session_nbytes(settings), engine.open()
            for index in range(5):
                session.translate(frames[index], settings)
            session.park(keep=True)
            session.translate(frames[5], settings)
            assert session.nbytes == announced
            assert session.bank_fill == (name != "none")


def test_a_memory_that_was_not_loaded_is_a_sentence(model: Model, frames: list[Frame]) -> None:
    with Engine(model, memories=["none"]) as engine:
        session = engine.open()
        with pytest.raises(SettingsError, match="'causal'; needed: .* feature-bank, none"):
            session.translate(frames[0], LIVELY.changed(memory="causal"))
        session.translate(frames[0], LIVELY.changed(memory="none"))
        with pytest.raises(SettingsError, match="'recurrent'"):
            engine.session_nbytes(LIVELY.changed(memory="recurrent"))


def test_rows_of_one_call_ask_for_one_memory(model: Model) -> None:
    choice = MemoryChoice(loaded_memories(model, ("none", "feature-bank"), "sdpa", None, None))
    rows = [MemoryRow(None, LIVELY.changed(memory=name), generator(0)) for name in ("own", "feature-bank", "causal")]
    with pytest.raises(ValueError, match="one memory a call"):
        choice.open(rows[:2])
    with pytest.raises(MemoryNameError, match="'causal'; needed: one that was loaded, none, feature-bank"):
        choice.open(rows[2:])
    assert (choice.nbytes(None), choice.full_nbytes(None, LIVELY), choice.fill(None, LIVELY)) == (0, 0, 0.0)
    assert choice.moved(None, torch.device("cpu")) is None


def test_what_can_be_loaded_lies_in_the_models_folder(model: Model, tiny_model: Model, tmp_path: Path) -> None:
    assert loadable_memories(model) == ("feature-bank", "none", "causal", "recurrent")
    assert loadable_memories(tiny_model) == ("feature-bank", "none")
    save_recurrent(lively_recurrent(tiny_model.unet), tmp_path)
    with Engine(tiny_model, "recurrent", memory_weights=tmp_path, memories=loadable_memories(tiny_model)) as engine:
        assert engine.memory_names == ("recurrent", "feature-bank", "none")
    with pytest.raises(ModelError, match="'causal' came without weights"):
        Engine(tiny_model, "recurrent", memory_weights=tmp_path, memories=["causal"])


def test_weights_that_do_not_fit_are_refused_at_the_start(model: Model) -> None:
    memories = loaded_memories(model, ("none", "recurrent"), "sdpa", None, None)
    with pytest.raises(ModelError, match="as in the UNet"), MemoryChoice(memories).installed(tiny_sdxl_unet()):
        pass
