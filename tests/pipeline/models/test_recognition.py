"""Folders and single files of every family: recognised by configs and tensors, loaded, and painting."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import LatentConsistencyModelPipeline
from safetensors.torch import load_file, save_file

from pipeline import Engine, FrameSettings, Model, ModelError, load_model
from pipeline.frames.codec import Frame
from pipeline.models.catalogue import FAMILIES, FewSteps
from pipeline.models.hub import Hub
from pipeline.models.load import find_entry
from pipeline.models.unet_call import guidance_condition
from tests.conftest import byte_vocabulary
from tests.support.weights.hub_layout import (
    FakeHub,
    kl_autoencoder,
    save_model,
    save_tiny_vae,
    serving,
    text_encoders_of,
    unet_of,
)
from tests.support.weights.ldm_layout import same_weights, save_checkpoint

OFFLINE = Hub(offline=True, cache=Path("no such folder"))
UNET_KEY = "model.diffusion_model.input_blocks.0.0.weight"
AS_IT_IS = '{"distillation": "none"}'


def load(place: Path, hub: Hub = OFFLINE) -> Model:
    return load_model(place, device="cpu", dtype=torch.float32, hub=hub)


def without_lora(folder: Path) -> Path:
    """The same folder, which says that nothing makes it fast."""
    (folder / "rearview.json").write_text(AS_IT_IS)
    return folder


def painted(model: Model, frame: Frame) -> torch.Tensor:
    with Engine(model) as engine:
        return torch.from_numpy(engine.open().submit(frame, FrameSettings(steps=2)).result().picture.copy())


def test_stable_diffusion_1_as_the_hub_has_it(tmp_path: Path, frames: list[Frame]) -> None:
    model = load(without_lora(save_model(tmp_path / "any", "sd15")))
    assert (model.entry.family, model.scheduler.config.prediction_type) == ("sd15", "epsilon")
    assert (model.native_size, model.title) == (32, "any (Stable Diffusion 1)")
    torch.manual_seed(0)
    expected = {"unet": unet_of("sd15"), "vae": kl_autoencoder(), **text_encoders_of("sd15")}
    assert same_weights(model.unet, expected["unet"])
    assert same_weights(model.vae, expected["vae"])
    assert same_weights(model.text_encoders[0].model, expected["text_encoder"])
    assert painted(model, frames[0]).shape == (32, 32, 3)


def test_stable_diffusion_2_predicts_velocity(tmp_path: Path, frames: list[Frame]) -> None:
    model = load(save_model(tmp_path / "any", "sd21", prediction_type="v_prediction"))
    assert (model.entry.family, model.scheduler.config.prediction_type) == ("sd21", "v_prediction")
    assert (model.entry.distillation, model.entry.lora) == ("none", "")
    assert "rough after a few steps" in model.reason
    assert painted(model, frames[0]).float().std() > 0


def test_a_students_euler_scheduler_tells_turbo(tmp_path: Path, frames: list[Frame]) -> None:
    model = load(save_model(tmp_path / "any", "sd21", trailing=True))
    assert (model.entry.distillation, model.entry.guides) == ("turbo", False)
    assert [step.timestep for step in model.schedule.steps(0.5, 2)] == [499, 249]
    assert (model.entry.defaults.strength, model.entry.defaults.steps) == (0.5, 2)
    assert painted(model, frames[0]).float().std() > 0


def test_a_unet_that_reads_guidance_was_distilled_by_lcm(tmp_path: Path) -> None:
    entry = find_entry(save_model(tmp_path / "any", "sd15", time_cond_proj_dim=8))
    assert (entry.distillation, entry.lora, entry.guides) == ("lcm", "", False)


def test_a_unet_that_reads_guidance_is_told_the_published_one(tmp_path: Path, frames: list[Frame]) -> None:
    model = load(save_model(tmp_path / "any", "sd15", time_cond_proj_dim=8))
    expected = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, torch.tensor([7.5, 7.5]), 8)
    told = guidance_condition(model.unet, 2)
    assert told is not None
    torch.testing.assert_close(told, expected)
    picture = painted(model, frames[0])
    with torch.no_grad():
        model.unet.time_embedding.cond_proj.weight.mul_(20)
    assert not torch.equal(painted(model, frames[0]), picture)
    assert guidance_condition(unet_of("sd15"), 2) is None


def test_stable_diffusion_xl_has_two_text_encoders(tmp_path: Path) -> None:
    model = load(without_lora(save_model(tmp_path / "any", "sdxl")))
    assert model.entry.family == "sdxl"
    assert [type(each.model).__name__ for each in model.text_encoders] == [
        "CLIPTextModel",
        "CLIPTextModelWithProjection",
    ]
    assert {each.model.dtype for each in model.text_encoders} == {torch.float32}
    words = byte_vocabulary()
    for encoder, pad in zip(model.text_encoders, ("<|endoftext|>", "!"), strict=True):
        tokens = encoder.tokenizer("a", padding="max_length", max_length=77).input_ids
        assert tokens[:4] == [words["<|startoftext|>"], words["a</w>"], words["<|endoftext|>"], words[pad]]


def test_stable_diffusion_xl_fuses_in_the_mid_block_and_the_first_up_level(tmp_path: Path) -> None:
    model = load(without_lora(save_model(tmp_path / "any", "sdxl")))
    layout = model.entry.memory_layout
    layers = [name for name in model.unet.attn_processors if ".attn1." in name]
    assert all(layout.extends(layer) for layer in layers)
    fused = {layer.partition(".attentions")[0] for layer in layers if layout.fuses(layer)}
    assert fused == {"mid_block", "up_blocks.0"}
    assert layout == FAMILIES["sdxl"].memory_layout


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cross_attention_dim": 32}, "prompt embeddings of width 72 and a UNet that reads 32"),
        ({"projection_class_embeddings_input_dim": 80}, "pooled prompts of width 40 and a UNet that reads 32"),
    ],
)
def test_text_encoders_and_a_unet_that_do_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, int], words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        load(without_lora(save_model(tmp_path / "any", "sdxl", **changes)))


def test_a_missing_second_text_encoder_is_refused(tmp_path: Path) -> None:
    folder = without_lora(save_model(tmp_path / "any", "sdxl"))
    shutil.rmtree(folder / "text_encoder_2")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(folder)


def test_the_xl_autoencoder_stays_exact_where_half_precision_would_overflow(
    tmp_path: Path, frames: list[Frame]
) -> None:
    folder = without_lora(save_model(tmp_path / "any", "sdxl"))
    model = load_model(folder, device="cpu", dtype=torch.float16, hub=OFFLINE)
    assert (model.unet.dtype, model.vae.dtype) == (torch.float16, torch.float32)
    config = folder / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"force_upcast": False}))
    assert load_model(folder, device="cpu", dtype=torch.float16, hub=OFFLINE).vae.dtype == torch.float16


def test_a_base_model_wants_the_lora_of_its_family(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "any", "sd15")
    assert find_entry(folder).lora == "latent-consistency/lcm-lora-sdv1-5"
    with pytest.raises(ModelError, match="lcm-lora-sdv1-5 is not in the cache"):
        load(folder)


@pytest.mark.parametrize(
    ("said", "strength"), [("lcm", 0.6), ("turbo", 0.5), ("euler", 0.5), ("tcd", 0.6), ("none", 0.6)]
)
def test_what_makes_a_model_fast_may_be_said_and_then_no_lora_comes_on_top(
    tmp_path: Path, said: FewSteps, strength: float
) -> None:
    folder = save_model(tmp_path / "any", "sd15", weights=False)
    save_checkpoint(folder / "all.safetensors", "sd15")
    for place in (folder, folder / "all.safetensors"):
        entry = find_entry(place, said)
        assert (entry.distillation, entry.lora, entry.defaults.strength) == (said, "", strength)
        assert find_entry(place).lora
    assert load_model(folder / "all.safetensors", "cpu", torch.float32, OFFLINE, said).entry.distillation == said


def test_a_repository_whose_way_is_said_fetches_no_lora(tmp_path: Path) -> None:
    with serving(FakeHub({"anna/merge": save_model(tmp_path / "any", "sd15")})) as served:
        hub = Hub(endpoint=served.url, cache=tmp_path / "cache")
        assert load_model("anna/merge", "cpu", torch.float32, hub, "turbo").entry.distillation == "turbo"
        assert not any("lcm-lora" in path for path in served.asked)


def test_of_the_catalogue_it_is_known_and_from_a_tcd_scheduler_as_well(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="'turbo' for model 'sd15-lcm'.*needed: auto"):
        find_entry("sd15-lcm", "turbo")
    folder = save_model(tmp_path / "any", "sd15", weights=False)
    scheduler = folder / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"_class_name": "TCDScheduler"}))
    assert (find_entry(folder).distillation, find_entry(folder).lora, find_entry(folder).guides) == ("tcd", "", False)


def test_what_a_folder_names_has_to_be_a_repository(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "any", "sd21")
    (folder / "rearview.json").write_text('{"lora": "../../somewhere"}')
    with pytest.raises(ModelError, match="needed: owner/name"):
        load(folder)


def test_a_folder_may_name_a_tiny_autoencoder(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "any", "sd21")
    (folder / "rearview.json").write_text('{"tiny_vae": "anna/tiny"}')
    with serving(FakeHub({"anna/tiny": save_tiny_vae(tmp_path / "tiny")})) as served:
        model = load(folder, Hub(endpoint=served.url, cache=tmp_path / "cache"))
    assert type(model.vae).__name__ == "AutoencoderTiny"


@pytest.mark.parametrize("family", ["sd15", "sd21", "sdxl"])
def test_a_single_file_is_the_same_model(tmp_path: Path, family: str) -> None:
    folder = save_model(tmp_path / "any", family, weights=False)
    parts = save_checkpoint(folder / "all.safetensors", family)
    (folder / "all.json").write_text(AS_IT_IS)
    model = load(folder / "all.safetensors")
    assert (model.name, model.entry.family) == ("all", family)
    assert model.scheduler.config.prediction_type == ("v_prediction" if family == "sd21" else "epsilon")
    assert same_weights(model.unet, parts.pop("unet"))
    assert same_weights(model.vae, parts.pop("vae"))
    for encoder, part in zip(model.text_encoders, parts.values(), strict=True):
        assert same_weights(encoder.model, part)


def test_a_single_file_paints(tmp_path: Path, frames: list[Frame]) -> None:
    folder = save_model(tmp_path / "any", "sd15", weights=False)
    save_checkpoint(folder / "all.safetensors", "sd15")
    (folder / "all.json").write_text(AS_IT_IS)
    assert painted(load(folder / "all.safetensors"), frames[0]).float().std() > 0


def test_a_file_by_itself_takes_configs_and_vocabularies_of_its_family_s_base(tmp_path: Path) -> None:
    file = tmp_path / "all.safetensors"
    save_checkpoint(file, "sd15")
    file.with_suffix(".json").write_text(AS_IT_IS)
    base = FAMILIES["sd15"].base
    with pytest.raises(ModelError, match=f"{base} is not in the cache"):
        load(file)
    with serving(FakeHub({base: save_model(tmp_path / "base", "sd15")})) as served:
        load(file, Hub(endpoint=served.url, cache=tmp_path / "cache"))
        assert not [path for path in served.asked if path.endswith(".safetensors")]


@pytest.mark.parametrize(
    ("metadata", "predicts"), [({"modelspec.prediction_type": "epsilon"}, "epsilon"), ({"anna": "v"}, "v_prediction")]
)
def test_a_file_may_say_what_it_predicts(tmp_path: Path, metadata: dict[str, str], predicts: str) -> None:
    save_checkpoint(tmp_path / "all.safetensors", "sd21", metadata)
    assert find_entry(tmp_path / "all.safetensors").prediction_type == predicts


@pytest.mark.parametrize(
    ("marks", "predicts", "zero"),
    [
        (("v_pred", "ztsnr"), "v_prediction", True),
        (("v_pred",), "v_prediction", False),
        (("ztsnr",), "epsilon", False),
    ],
)
def test_the_marks_of_the_community_are_read(
    tmp_path: Path, frames: list[Frame], marks: tuple[str, ...], predicts: str, zero: bool
) -> None:
    folder = save_model(tmp_path / "sd15", "sd15", weights=False)
    file = folder / "model.safetensors"
    save_checkpoint(file, "sd15")
    save_file({**load_file(file), **{mark: torch.empty(0) for mark in marks}}, file)
    file.with_suffix(".json").write_text('{"distillation": "turbo"}')
    model = load(file)
    config = model.scheduler.config
    assert (config.prediction_type, config.rescale_betas_zero_snr) == (predicts, zero)
    with Engine(model) as engine:
        picture = engine.open().submit(frames[0], FrameSettings(steps=2, strength=1.0)).result().picture
    assert np.unique(picture).size > 2


def test_a_name_says_nothing(tmp_path: Path) -> None:
    file = tmp_path / "sdxl_turbo_lcm.safetensors"
    save_checkpoint(file, "sd15")
    assert find_entry(file).family == "sd15"


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\x80\x02"])
def test_a_pickle_is_refused_whatever_it_is_called(tmp_path: Path, start: bytes) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(start + bytes(64))
    with pytest.raises(ModelError, match="as a pickle.*needed: safetensors"):
        find_entry(file)


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"not at all")
    with pytest.raises(ModelError, match="needed: a whole .safetensors file"):
        find_entry(file)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["lora_unet_mid_block.lora_down.weight"], "a LoRA"),
        (["double_blocks.0.img_attn.qkv.weight"], "no whole Stable Diffusion"),
        (["model.diffusion_model.input_blocks.0.0.weight"], "without text encoders"),
        ([UNET_KEY, "conditioner.embedders.0.model.ln_final.weight"], "the refiner of Stable Diffusion XL"),
        ([UNET_KEY, "cond_stage_model.transformer.x"], "without an autoencoder"),
        ([UNET_KEY, "cond_stage_model.model.x"], "without an autoencoder"),
        ([UNET_KEY, "conditioner.embedders.1.model.x"], "without an autoencoder"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, keys: list[str], words: str) -> None:
    file = tmp_path / "model.safetensors"
    save_file({key: torch.zeros(1) for key in keys}, file)
    with pytest.raises(ModelError, match=words):
        find_entry(file)


def without_tensors(file: Path, part_of_name: str) -> None:
    """Takes out of a file the tensors whose names hold this."""
    tensors = {name: each.clone() for name, each in load_file(file).items() if part_of_name not in name}
    save_file(tensors, file, {"format": "pt"})


@pytest.mark.parametrize(
    ("part", "taken_out", "words"),
    [
        ("unet", "mid_block.resnets.0.conv1", r"its unet lack mid_block\.resnets\.0\.conv1\.bias and 1 more"),
        ("vae", "decoder.conv_out.bias", r"its vae lack decoder\.conv_out\.bias;"),
        ("text_encoder", ".mlp.fc1.", r"its text_encoder lack .*mlp\.fc1\.bias and 1 more"),
        ("text_encoder_2", "text_projection", r"its text_encoder_2 lack text_projection\.weight"),
    ],
)
def test_a_hole_in_a_folder_is_named(tmp_path: Path, part: str, taken_out: str, words: str) -> None:
    folder = without_lora(save_model(tmp_path / "model", "sdxl"))
    without_tensors(next((folder / part).glob("*.safetensors")), taken_out)
    with pytest.raises(ModelError, match=words):
        load(folder)


@pytest.mark.parametrize(
    ("taken_out", "words"),
    [
        ("middle_block.0.in_layers.2.bias", "its unet lack one layer or more"),
        ("decoder.conv_out.", "its vae lack one layer or more"),
        ("embedders.1.model.transformer.resblocks.0.mlp.", r"text_encoder_2 lack .*mlp\.fc1"),
        ("embedders.0.", "cannot be loaded"),
    ],
)
def test_a_hole_in_a_single_file_is_named(tmp_path: Path, taken_out: str, words: str) -> None:
    folder = save_model(tmp_path / "sdxl", "sdxl", weights=False)
    file = folder / "model.safetensors"
    save_checkpoint(file, "sdxl")
    file.with_suffix(".json").write_text(AS_IT_IS)
    without_tensors(file, taken_out)
    with pytest.raises(ModelError, match=words) as raised:
        load(file)
    assert "meta" not in str(raised.value)


@pytest.mark.parametrize(
    ("channels", "words"), [(9, "for inpainting"), (8, "InstructPix2Pix"), (7, "upscaling"), (5, "depth")]
)
def test_a_model_that_reads_another_picture_is_told_apart(tmp_path: Path, channels: int, words: str) -> None:
    folder = save_model(tmp_path / "folder", "sd15", weights=False, in_channels=channels)
    keys = (UNET_KEY, "cond_stage_model.transformer.x", "first_stage_model.x")
    file = tmp_path / "model.safetensors"
    save_file({key: torch.zeros(1, channels, 1, 1) for key in keys}, file)
    for place in (folder, file):
        with pytest.raises(ModelError, match=words) as raised:
            find_entry(place)
        assert "ignore_mismatched_sizes" not in str(raised.value)


def test_a_refiner_s_folder_is_told_apart(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "refiner", "sdxl", weights=False)
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"cross_attention_dim": 1280}))
    with pytest.raises(ModelError, match="the refiner of Stable Diffusion XL"):
        find_entry(folder)


def test_a_unet_trained_on_rectangles_begins_with_a_square_of_their_shorter_side(tmp_path: Path) -> None:
    model = load(without_lora(save_model(tmp_path / "wide", "sd15", sample_size=(8, 4))))
    assert model.native_size == 32


def test_a_size_that_is_none_is_refused(tmp_path: Path) -> None:
    folder = without_lora(save_model(tmp_path / "none", "sd15", sample_size=()))
    with pytest.raises(ModelError, match="names no size"):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"class_embed_type": "projection", "projection_class_embeddings_input_dim": 32}, "class_embed_type"),
        ({"class_embed_type": "timestep"}, "class_embed_type"),
        ({"num_class_embeds": 10}, "num_class_embeds"),
        ({"encoder_hid_dim_type": "image_proj", "encoder_hid_dim": 32}, "encoder_hid_dim_type"),
        ({"addition_embed_type": "image", "encoder_hid_dim": 32}, "addition_embed_type"),
        ({"only_cross_attention": True}, "only_cross_attention"),
        ({"only_cross_attention": (True, False)}, "only_cross_attention"),
    ],
)
def test_a_unet_that_needs_more_than_words_is_refused_at_load(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    folder = without_lora(save_model(tmp_path / "unclip", "sd15", **changes))
    with pytest.raises(ModelError, match=f"{words} is .*needed: .*Take another"):
        load(folder)
