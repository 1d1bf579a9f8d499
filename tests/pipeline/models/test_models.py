"""The catalogue and the loading of models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import get_args

import pytest
import torch

from pipeline import FrameSettings, Model, ModelError, load_model
from pipeline.memory import MemoryLayout
from pipeline.models.catalogue import FAMILIES
from pipeline.models.hub import is_repository
from pipeline.models.load import CATALOGUE, Precision, default_dtype, dtype_of, find_entry
from tests.conftest import FULL_CONDITIONING, TINY_SIZE


def test_a_folder_is_loaded_as_it_describes_itself(tiny_model: Model) -> None:
    assert tiny_model.native_size == TINY_SIZE
    assert tiny_model.entry.latent_conditioning == FULL_CONDITIONING
    assert tiny_model.entry.memory_layout == MemoryLayout(fuse=("mid_block", "up_blocks.1"), fuse_at="block")
    parameters = [
        *tiny_model.unet.parameters(),
        *tiny_model.vae.parameters(),
        *tiny_model.text_encoders[0].model.parameters(),
    ]
    assert {each.dtype for each in parameters} == {torch.float32}
    assert not any(each.requires_grad for each in parameters)
    assert not tiny_model.unet.training


def test_a_plain_folder_is_stable_diffusion(plain_model: Model) -> None:
    assert plain_model.entry.latent_conditioning == ()
    assert plain_model.entry.memory_layout == MemoryLayout()
    assert plain_model.native_size == TINY_SIZE
    assert plain_model.scheduler.config.prediction_type == "epsilon"


def test_half_precision_leaves_the_text_encoder_exact(tiny_folder: Path) -> None:
    model = load_model(tiny_folder, device="cpu", dtype=torch.bfloat16)
    assert model.unet.dtype == model.vae.dtype == torch.bfloat16
    assert model.text_encoders[0].model.dtype == torch.float32


def test_default_dtypes() -> None:
    assert default_dtype(torch.device("cuda")) == torch.float16
    assert default_dtype(torch.device("cpu")) in (torch.bfloat16, torch.float32)
    assert default_dtype(torch.device("mps")) == torch.float32


def test_a_precision_has_a_dtype_or_leaves_it_to_the_device() -> None:
    assert [dtype_of(each) for each in get_args(Precision)] == [None, torch.float16, torch.bfloat16, torch.float32]


def test_every_entry_of_the_catalogue_says_what_a_person_must_know() -> None:
    assert list(CATALOGUE) == [
        "embedded",
        "sd15-lcm",
        "sd15-hyper",
        "sd15-tcd",
        "dreamshaper-lcm",
        "sd-turbo",
        "sdxl-turbo",
        "sdxl-lcm",
        "sdxl-hyper",
        "sdxl-lightning",
    ]
    for name, entry in CATALOGUE.items():
        assert entry.name == name
        assert entry.title and entry.licence
        assert entry.memory_layout == FAMILIES[entry.family].memory_layout
        assert all(is_repository(each) for each in entry.repositories)
        assert entry.memory_gib > 0 or entry.name == "embedded"
    assert {name for name, entry in CATALOGUE.items() if not entry.guides} == {
        "sd15-tcd",
        "dreamshaper-lcm",
        "sd-turbo",
        "sdxl-turbo",
        "sdxl-lightning",
    }


def test_the_page_begins_with_what_suits_the_model() -> None:
    assert CATALOGUE["embedded"].defaults == FrameSettings()
    assert (CATALOGUE["sd15-lcm"].defaults.steps, CATALOGUE["sd-turbo"].defaults.steps) == (4, 2)
    guided = {name for name, entry in CATALOGUE.items() if entry.defaults.guidance > 1}
    assert guided == {"sd15-hyper", "sdxl-hyper"}
    assert all(CATALOGUE[name].defaults.steps == 3 and CATALOGUE[name].defaults.negative_acts for name in guided)


def test_an_embedded_model_describes_itself() -> None:
    entry = find_entry("embedded")
    assert (entry.native_size, entry.latent_conditioning) == (256, FULL_CONDITIONING)
    assert entry.memory_layout.fuse_at == "block"
    assert {"cat", "sailboat", "red apple"} <= set(entry.subjects)
    assert CATALOGUE["sd15-lcm"].subjects == ()


def test_an_unknown_name_says_what_there_is(tmp_path: Path) -> None:
    for name in ("sd9000", "models/sd.safetensors", tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ModelError, match="needed: one of embedded"):
            find_entry(name)


@pytest.mark.parametrize(
    "described",
    ["no json", "[]", '{"colour": 3}', '{"memory_layout": {"fuse_at": "nowhere"}}', '{"memory_layout": {"what": [""]}}',
     '{"latent_conditioning": ["source"]}', '{"latent_conditioning": ["depth"]}', '{"latent_conditioning": 3}',
     '{"distillation": "magic"}', '{"prediction_type": "colour"}', '{"subjects": "cat"}', '{"subjects": [3]}',
     '{"finer_steps": 0}', '{"finer_steps": "many"}', '{"finer_ink": 1.5}', '{"finer_ink": true}',
     '{"whole_words": "yes"}', '{"one_noise": 1}'],
)  # fmt: skip
def test_a_wrong_description_is_refused(tiny_folder: Path, tmp_path: Path, described: str) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    (folder / "rearview.json").write_text(described)
    with pytest.raises(ModelError, match="needed"):
        load_model(folder, device="cpu")


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part_is_refused(tiny_folder: Path, tmp_path: Path, part: str) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    shutil.rmtree(folder / part)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(folder, device="cpu")


def test_pickled_weights_are_refused(tiny_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("diffusion_pytorch_model.bin"))
    with pytest.raises(ModelError, match="safetensors"):
        load_model(folder, device="cpu")


def test_an_unknown_autoencoder_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    (folder / "model_index.json").write_text(json.dumps({"vae": ["diffusers", "VQModel"]}))
    with pytest.raises(ModelError, match="VQModel"):
        load_model(folder, device="cpu")
