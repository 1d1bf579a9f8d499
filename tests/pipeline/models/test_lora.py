"""LoRA: what a file changes is what the paper says, it comes off bit for bit, and a running engine takes it."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from pipeline import Engine, FrameSettings, FusedLoras, LoraError, Model, SessionClosedError, read_loras
from pipeline.frames.codec import Frame
from pipeline.models.lora import Factors, Layer, Lora, LowRank, blended, parts_of
from pipeline.models.lora_files import Header, Target, layers_of, read_lora, target_of
from pipeline.models.lora_triggers import triggers_of
from tests.support.weights.lora_files import (
    ALL_LAYERS,
    RANK,
    Changes,
    changes_of,
    kohya,
    old_diffusers,
    peft,
    saved,
    weight_of,
)

HALVES = (("down", (4, 5)), ("up", (6, 4)))
STILL = FrameSettings(prompt="(neon)1.4 cat", steps=1, steadiness=0.8)


@pytest.fixture
def model(tiny_model: Model) -> Model:
    """A model of its own, which a test may spoil."""
    encoders = tuple(replace(each, model=copy.deepcopy(each.model)) for each in tiny_model.text_encoders)
    return replace(tiny_model, unet=copy.deepcopy(tiny_model.unet), text_encoders=encoders)


def weights(model: Model) -> dict[str, Tensor]:
    return {
        f"{part}.{name}": tensor.clone()
        for part, module in parts_of(model).items()
        for name, tensor in module.state_dict().items()
    }


def name_of(layer: Layer) -> str:
    return ".".join((*layer, "weight"))


def same(some: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, others[name]) for name, tensor in some.items())


def lora(tmp_path: Path, model: Model, changes: Changes, name: str = "style", layout: Any = kohya) -> Lora:
    return read_lora(saved(tmp_path / f"{name}.safetensors", layout(changes)), target_of(model))


def assert_fused(model: Model, before: dict[str, Tensor], changes: Changes, factor: float) -> None:
    """All weights are `before` and `factor * up @ down`."""
    expected = dict(before)
    for layer, change in changes.items():
        name = name_of(layer)
        added = change.up.double().flatten(1) @ change.down.double().flatten(1)
        expected[name] = (before[name].double() + factor * added.reshape(before[name].shape)).float()
    for name, tensor in weights(model).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("layout", "alpha"), [(kohya, 3.0), (peft, 3.0), (old_diffusers, float(RANK))])
def test_every_layout_changes_the_weights_as_the_paper_says(
    model: Model, tmp_path: Path, layout: Any, alpha: float
) -> None:
    changes = changes_of(model, alpha=alpha)
    style, before = lora(tmp_path, model, changes, layout=layout), weights(model)
    assert set(style.layers) == set(ALL_LAYERS)
    with FusedLoras(model) as fused:
        fused.blend({style: 0.75})
        assert_fused(model, before, changes, 0.75 * alpha / RANK)
    assert same(weights(model), before)


def test_peft_itself_fuses_the_same(model: Model, tmp_path: Path) -> None:
    changes = {layer: each for layer, each in changes_of(model, alpha=3.0).items() if layer[0] == "unet"}
    reference = copy.deepcopy(model.unet)
    alphas = {f"unet.{path}.alpha": each.alpha for (_, path), each in changes.items()}
    tensors = {name: tensor for name, tensor in peft(changes).items() if not name.endswith("alpha")}
    reference.load_lora_adapter(tensors, prefix="unet", network_alphas=alphas, adapter_name="style")
    reference.fuse_lora(lora_scale=0.75)
    with FusedLoras(model) as fused:
        fused.blend({lora(tmp_path, model, changes): 0.75})
        for _, path in changes:
            torch.testing.assert_close(
                weight_of(model, ("unet", path)), reference.get_submodule(path).base_layer.weight, rtol=1e-6, atol=1e-6
            )


def test_the_alpha_in_the_notes_of_diffusers_counts(model: Model, tmp_path: Path) -> None:
    changes, before = changes_of(model, ALL_LAYERS[:2]), weights(model)
    tensors = {name: tensor for name, tensor in peft(changes).items() if not name.endswith("alpha")}
    notes = {"unet.lora_alpha": 8, "unet.alpha_pattern": {"attn2.to_k": 6}, "unet.use_rslora": True}
    file = saved(tmp_path / "noted.safetensors", tensors, {"lora_adapter_metadata": json.dumps(notes)})
    with FusedLoras(model) as fused:
        fused.blend({read_lora(file, target_of(model)): 1.0})
        for layer, alpha in zip(changes, (8, 6), strict=True):
            added = weight_of(model, layer) - before[name_of(layer)]
            expected = alpha / RANK**0.5 * changes[layer].up @ changes[layer].down
            torch.testing.assert_close(added, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("part", ["unet", "text_encoder"])
@pytest.mark.parametrize("settings", [{"lora_alpha": 6}, {"lora_alpha": 8, "use_rslora": True}])
def test_what_peft_saves_by_itself_is_what_peft_fuses(
    model: Model, tmp_path: Path, part: str, settings: dict[str, Any]
) -> None:
    ends = ["to_q", "to_v"] if part == "unet" else ["q_proj", "fc1"]
    network = parts_of(model)[part]
    adapted = get_peft_model(
        copy.deepcopy(network), LoraConfig(r=RANK, target_modules=ends, init_lora_weights=False, **settings)
    )
    adapted.save_pretrained(tmp_path)
    style = read_lora(tmp_path / "adapter_model.safetensors", target_of(model))
    with FusedLoras(model) as fused:
        fused.blend({style: 1.0})
        expected = adapted.merge_and_unload().state_dict()
        for name, tensor in network.state_dict().items():
            torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "unet.unet.PATH.lora_A.weight",
        "base_model.model.PATH.lora_A.weight",
        "base_model.model.PATH.lora_A.default.weight",
        "unet.base_model.model.PATH.lora_A.weight",
        "base_model.model.unet.PATH.lora_A.weight",
        "PATH.lora_A.weight",
    ],
)
def test_what_stands_around_a_path_is_no_part_of_it(tiny_model: Model, tmp_path: Path, name: str) -> None:
    layer = ALL_LAYERS[0]
    change = changes_of(tiny_model, (layer,))[layer]
    down = name.replace("PATH", layer[1])
    tensors = {down: change.down, down.replace("lora_A", "lora_B"): change.up}
    style = read_lora(saved(tmp_path / "style.safetensors", tensors), target_of(tiny_model))
    assert style.layers == {layer: Factors(down.replace("lora_A", "lora_B"), down, float(RANK))}


@pytest.mark.parametrize("settings", ["[1]", "{", "\xff"])
def test_settings_beside_that_are_none_are_a_sentence(tiny_model: Model, tmp_path: Path, settings: str) -> None:
    (tmp_path / "adapter_config.json").write_bytes(settings.encode("latin-1"))
    with pytest.raises(LoraError, match="cannot be read"):
        read_lora(
            saved(tmp_path / "style.safetensors", {"base_model.model.x.lora_A.weight": torch.zeros(2, 2)}),
            target_of(tiny_model),
        )


def test_names_of_sdxl_and_its_second_text_encoder_are_known() -> None:
    attention = "attentions.0.transformer_blocks.3.attn1.to_q"
    names = {
        "lora_unet_input_blocks_4_1_transformer_blocks_3_attn1_to_q": ("unet", f"down_blocks.1.{attention}"),
        "lora_unet_output_blocks_0_1_transformer_blocks_3_attn1_to_q": ("unet", f"up_blocks.0.{attention}"),
        "lora_unet_middle_block_0_in_layers_2": ("unet", "mid_block.resnets.0.conv1"),
        "lora_te1_text_model_encoder_layers_0_mlp_fc2": ("text_encoder", "encoder.layers.0.mlp.fc2"),
        "lora_te2_text_model_encoder_layers_0_self_attn_k_proj": (
            "text_encoder_2",
            "text_model.encoder.layers.0.self_attn.k_proj",
        ),
    }
    target = Target("sdxl", SimpleNamespace(layers_per_block=2), {layer: (6, 5) for layer in names.values()})
    downs, ups = ({f"{name}.lora_{half}.weight": shape for name in names} for half, shape in HALVES)
    alphas = {f"{name}.alpha": 2.0 for name in names}
    header = Header(downs | ups | dict.fromkeys(alphas, ()), alphas, {})
    assert layers_of("style", header, target) == {
        layer: Factors(f"{name}.lora_up.weight", f"{name}.lora_down.weight", 2.0) for name, layer in names.items()
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_nothing_is_left_of_a_lora(model: Model, tmp_path: Path, dtype: torch.dtype) -> None:
    model.unet.to(dtype)
    style, other = (lora(tmp_path, model, changes_of(model, seed=seed), f"style {seed}") for seed in range(2))
    before = weights(model)
    parameters = [id(each) for each in model.unet.parameters()]
    with FusedLoras(model) as fused:
        fused.blend({style: 0.0})
        assert same(weights(model), before)
        fused.blend({style: 1.5, other: 0.3})
        assert not any(torch.equal(weight_of(model, layer), before[name_of(layer)]) for layer in ALL_LAYERS)
        fused.blend({style: 0.1})
        fused.blend({style: 0.0, other: 0.0})
        assert same(weights(model), before)
        fused.blend({other: 1.0})
    assert same(weights(model), before)
    assert [id(each) for each in model.unet.parameters()] == parameters


def test_nothing_is_left_after_an_exception_half_way(model: Model, tmp_path: Path) -> None:
    good = lora(tmp_path, model, changes_of(model), "good")
    changes, last = dict(changes_of(model, seed=1)), ALL_LAYERS[-1]
    changes[last] = replace(changes[last], up=torch.full_like(changes[last].up, torch.inf))
    bad, before = lora(tmp_path, model, changes, "bad"), weights(model)
    fused = FusedLoras(model)
    fused.blend({good: 1.0})
    with pytest.raises(LoraError, match="bad and good"):
        fused.blend({good: 1.0, bad: 1.0})
    assert same(weights(model), before)
    assert not fused.scales
    with pytest.raises(ZeroDivisionError), FusedLoras(model) as another:
        another.blend({good: 1.0})
        raise ZeroDivisionError
    assert same(weights(model), before)


def test_a_file_that_has_gone_leaves_the_blend_as_it_was(model: Model, tmp_path: Path) -> None:
    style, gone = lora(tmp_path, model, changes_of(model), "style"), lora(tmp_path, model, changes_of(model), "gone")
    with FusedLoras(model) as fused:
        fused.blend({style: 1.0})
        painted = weights(model)
        gone.file.unlink()
        with pytest.raises(LoraError, match="Put it back"):
            fused.blend({style: 0.5, gone: 1.0})
        assert same(weights(model), painted)
        assert fused.scales == {style: 1.0}


def test_two_together_are_their_sum_in_any_order(model: Model, tmp_path: Path) -> None:
    first, second = (lora(tmp_path, model, changes_of(model, seed=seed), f"style {seed}") for seed in range(2))
    both, before = {**changes_of(model)}, weights(model)
    for layer, change in changes_of(model, seed=1).items():
        # Side by side the factors of two changes are those of their sum.
        up = torch.cat([0.5 * both[layer].up, 1.25 * change.up], dim=1)
        both[layer] = LowRank(up, torch.cat([both[layer].down, change.down]), 1.0)
    with FusedLoras(model) as fused:
        fused.blend({first: 0.5, second: 1.25})
        assert_fused(model, before, both, 1 / RANK)
        painted = weights(model)
        fused.blend({second: 0.2, first: 1.0})
        fused.blend({second: 1.25, first: 0.5})
        assert same(weights(model), painted)


def test_a_moved_slider_writes_its_own_layers_alone(model: Model, tmp_path: Path) -> None:
    here, there = ALL_LAYERS[0], ALL_LAYERS[1]
    first, second = (lora(tmp_path, model, changes_of(model, (each,)), each[1]) for each in (here, there))
    with FusedLoras(model) as fused:
        fused.blend({first: 1.0, second: 1.0})
        before = [weight_of(model, each)._version for each in (here, there)]
        fused.blend({first: 1.0, second: 0.5})
        after = [weight_of(model, each)._version for each in (here, there)]
    assert (after[0] - before[0], after[1] - before[1]) == (0, 1)


def test_a_blend_is_rounded_once() -> None:
    weight = torch.randn(8, 6, generator=torch.Generator().manual_seed(0)).bfloat16()
    parts = [(0.1, LowRank(torch.randn(8, 2).half(), torch.randn(2, 6).half(), 1.0)) for _ in range(9)]
    expected = weight.double() + sum(0.05 * each.up.double() @ each.down.double() for _, each in parts)
    assert torch.equal(blended(weight, parts), expected.float().bfloat16())


# Files


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lora_unet_mid.dora_scale", "DoRA"),
        ("lora_unet_mid.hada_w1_a", "LoHa"),
        ("lora_unet_mid.lokr_w1", "LoKr"),
        ("lora_unet_mid.lora_mid.weight", "Tucker"),
        ("lora_unet_mid.diff", "whole weights"),
        ("emb_params", "--embeddings"),
        ("transformer.blocks.0.lora_A.weight", "transformer"),
        ("model.diffusion_model.input_blocks.0.0.weight", "names that are not understood"),
        ("lora_unet_mid.lora_down.weight", "names that are not understood"),
        ("unet.nowhere.lora_A.weight", "does not have"),
        ("text_encoder_2.encoder.layers.0.mlp.fc1.lora_A.weight", "does not have"),
        ("unet.conv_in.lora_A.weight", "one factor alone"),
    ],
)
def test_what_is_not_understood_is_refused_with_a_sentence(
    tiny_model: Model, tmp_path: Path, name: str, words: str
) -> None:
    file = saved(tmp_path / "odd.safetensors", {name: torch.zeros(2, 2)})
    with pytest.raises(LoraError, match=words) as raised:
        read_lora(file, target_of(tiny_model))
    assert "odd.safetensors" in str(raised.value) and "needed" in str(raised.value)


def test_a_file_of_another_family_is_refused(tiny_model: Model, tmp_path: Path) -> None:
    layer = ALL_LAYERS[1]
    change = changes_of(tiny_model, (layer,))[layer]
    wider = LowRank(change.up, torch.cat([change.down, change.down], dim=1), 1.0)
    with pytest.raises(LoraError, match=r"\[2, 64\] for unet.*another --model"):
        lora(tmp_path, tiny_model, {layer: wider})


def test_a_folder_shows_what_fits_and_says_what_does_not(tiny_model: Model, tmp_path: Path) -> None:
    saved(tmp_path / "b.safetensors", kohya(changes_of(tiny_model)))
    saved(tmp_path / "A.safetensors", peft(changes_of(tiny_model)))
    (tmp_path / "broken.safetensors").write_bytes(b"\x00" * 40)
    (tmp_path / "old.ckpt").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("nothing")
    shelf = read_loras(tmp_path, tiny_model)
    assert [each.name for each in shelf.loras] == ["A", "b"]
    assert ["broken" in shelf.refused[0], "pickle" in shelf.refused[1]] == [True, True]
    with pytest.raises(LoraError, match="needed: a folder"):
        read_loras(tmp_path / "nowhere", tiny_model)


def test_triggers_come_from_beside_the_file_then_from_its_notes(tmp_path: Path) -> None:
    file = tmp_path / "style.safetensors"
    tags = {"ss_tag_frequency": json.dumps({"set": {"cat": 2, "ink": 9}, "other": {"cat": 8, "bad": "x"}})}
    assert triggers_of(file, {}) == ()
    assert triggers_of(file, tags) == ("cat", "ink")
    assert triggers_of(file, {"ss_tag_frequency": "[1, {"}) == ()
    notes = {**tags, "modelspec.trigger_phrase": " ink  wash ,, on paper\n"}
    assert triggers_of(file, notes) == ("ink wash", "on paper")
    (tmp_path / "style.json").write_text('{"activation text": "sumi-e, brush"}')
    assert triggers_of(file, notes) == ("sumi-e", "brush")
    (tmp_path / "style.txt").write_text("\n".join(f"word {index}" for index in range(99)))
    assert len(triggers_of(file, notes)) == 6


# A running engine


@pytest.fixture
def engine(model: Model) -> Iterator[Engine]:
    with Engine(model) as engine:
        yield engine


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_a_running_engine_takes_a_lora_on_and_off(
    model: Model, engine: Engine, frames: list[Frame], tmp_path: Path, part: str
) -> None:
    style = lora(tmp_path, model, changes_of(model, tuple(each for each in ALL_LAYERS if each[0] == part), size=2.0))
    fused = FusedLoras(model)

    def painted() -> np.ndarray:
        return np.asarray(engine.open(3).translate(frames[0], STILL))

    plain = painted()
    engine.change("loras", lambda _: fused.blend({style: 1.0})).result()
    styled = painted()
    engine.change("loras", lambda _: fused.blend({})).result()
    assert not np.array_equal(styled, plain)
    assert np.array_equal(painted(), plain)


def test_an_open_engine_paints_what_one_opened_later_paints(model: Model, frames: list[Frame], tmp_path: Path) -> None:
    """Also with convolutions, whose weights are packed while an engine is open."""
    style, pictures = lora(tmp_path, model, changes_of(model, size=2.0)), []
    with FusedLoras(model) as fused, Engine(model) as engine:
        engine.open(3).translate(frames[0], STILL)
        engine.change("loras", lambda _: fused.blend({style: 1.0})).result()
        pictures.append(np.asarray(engine.open(3).translate(frames[0], STILL)))
        engine.close()
        with Engine(model) as later:
            pictures.append(np.asarray(later.open(3).translate(frames[0], STILL)))
    assert np.array_equal(*pictures)


def test_a_still_picture_is_painted_anew_and_the_memory_stays(
    model: Model, engine: Engine, frames: list[Frame], tmp_path: Path
) -> None:
    style, fused, session = lora(tmp_path, model, changes_of(model, size=2.0)), FusedLoras(model), engine.open(3)
    for _ in range(8):
        before = np.asarray(session.translate(frames[0], STILL))
    rows = session.state.rows
    engine.change("loras", lambda _: fused.blend({style: 1.0})).result()
    assert session.state.rows is rows and session.state.history is None
    after = np.asarray(session.translate(frames[0], STILL))
    assert np.abs(after.astype(int) - before).mean() > 1


def test_the_newest_change_of_a_kind_wins_and_errors_come_home(
    engine: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, opened, done = threading.Event(), threading.Event(), []

    def hold(_: Model) -> None:
        entered.set()
        assert opened.wait(30)

    holding = engine.change("hold", hold)
    assert entered.wait(30)
    first, other, newest = (
        engine.change(kind, lambda model, name=name: done.append((name, model, threading.current_thread().name)))
        for kind, name in (("loras", "first"), ("other", "other"), ("loras", "newest"))
    )
    opened.set()
    assert first.cancelled()
    for each in (holding, other, newest):
        each.result(30)
    assert done == [(name, engine.model, "rearview-engine") for name in ("other", "newest")]
    with pytest.raises(ZeroDivisionError):
        engine.change("loras", lambda _: 1 // 0).result(30)
    assert engine.open().translate(frames[0]).size == engine.size


def test_a_closed_engine_changes_nothing(model: Model) -> None:
    entered, opened = threading.Event(), threading.Event()
    engine = Engine(model)

    def hold(_: Model) -> None:
        entered.set()
        assert opened.wait(30)

    holding = engine.change("hold", hold)
    assert entered.wait(30)
    waiting = engine.change("loras", lambda _: None)
    closing = threading.Thread(target=engine.close)
    closing.start()
    with pytest.raises(CancelledError):
        waiting.result(30)
    opened.set()
    closing.join(30)
    assert holding.result(30) is None
    with pytest.raises(SessionClosedError):
        engine.change("loras", lambda _: None)
