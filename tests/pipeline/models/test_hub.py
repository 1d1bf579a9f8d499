"""Models from the hub: what is fetched, what is used again, and what each refusal says. The hub is one on loopback."""

from __future__ import annotations

import copy
import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from huggingface_hub import close_session
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file

from pipeline import Engine, FrameSettings, Model, ModelError, load_model, read_embeddings, read_loras
from pipeline.frames.codec import Frame
from pipeline.models import load as models_module
from pipeline.models.catalogue import CATALOGUE, FamilyName
from pipeline.models.hub import Hub, missing_part, wanted_files
from pipeline.models.hub_names import is_repository
from pipeline.models.parts import fuse_lora, places
from tests.conftest import TEXT_WIDTH
from tests.support.weights.hub_layout import LORA_ENDS, FakeHub, save_lora, save_model, save_tiny_vae, serving, unet_of
from tests.support.weights.ldm_layout import same_weights, save_checkpoint
from tests.support.weights.lora_files import changes_of, kohya

ENTRY = CATALOGUE["sd15-lcm"]
BASE, LORA, TINY_VAE = ENTRY.repositories
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What sd15-lcm is made of, with much beside it that nobody needs."""
    root = tmp_path_factory.mktemp("hub")
    base = save_model(root / "base", variant="fp16")
    (base / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"the same in full precision")
    (base / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    (base / "v1-5-pruned.safetensors").write_bytes(b"the same in one file")
    (base / "safety_checker").mkdir()
    (base / "safety_checker" / "model.safetensors").write_bytes(b"not asked for")
    save_lora(root / "lora", unet_of("sd15"))
    return {BASE: base, LORA: root / "lora", TINY_VAE: save_tiny_vae(root / "tiny-vae")}


@pytest.fixture
def served(folders: dict[str, Path]) -> Iterator[FakeHub]:
    with serving(FakeHub(dict(folders))) as hub:
        yield hub


@pytest.fixture
def hub(served: FakeHub, tmp_path: Path) -> Hub:
    return Hub(endpoint=served.url, cache=tmp_path / "cache")


def load(name: str, hub: Hub) -> models_module.Model:
    return load_model(name, device="cpu", dtype=torch.float32, hub=hub)


def test_a_model_of_the_catalogue_comes_from_the_hub_once_and_paints(
    hub: Hub, served: FakeHub, frames: list[Frame]
) -> None:
    model = load("sd15-lcm", hub)
    assert (model.name, model.native_size, len(model.text_encoders)) == ("sd15-lcm", 512, 1)
    with Engine(model, size=(32, 32)) as engine:
        picture = engine.open().translate(frames[0], FrameSettings(steps=2))
    assert picture.size == (32, 32)
    fetched = {path.partition("/resolve/")[2].partition("/")[2] for path in served.asked if "/resolve/" in path}
    weights = {name for name in fetched if not name.endswith((".json", ".txt"))}
    assert weights == {
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "text_encoder/model.fp16.safetensors",
        # Of the tiny autoencoder, which takes the place of the model's own.
        "diffusion_pytorch_model.safetensors",
        "pytorch_lora_weights.safetensors",
    }
    served.asked.clear()
    load("sd15-lcm", hub)
    load("sd15-lcm", replace(hub, offline=True))
    assert served.asked == []


def test_the_lora_of_an_entry_is_in_the_weights_and_no_layer_of_it_stays(
    hub: Hub, served: FakeHub, tmp_path: Path
) -> None:
    served.repositories[LORA] = tmp_path / "lora"
    added = save_lora(tmp_path / "lora", unet_of("sd15"))
    plain = UNet2DConditionModel.from_pretrained(served.repositories[BASE], subfolder="unet", variant="fp16")
    fused = load("sd15-lcm", hub).unet
    assert fused.state_dict().keys() == plain.state_dict().keys()
    for name, weight in plain.state_dict().items():
        more = added.get(name.removesuffix(".weight"), torch.zeros(()))
        torch.testing.assert_close(fused.state_dict()[name], weight + more, rtol=0, atol=1e-6)
    assert not [module for module in fused.modules() if isinstance(module, BaseTunerLayer)]
    assert not hasattr(fused, "peft_config")


def test_a_folder_that_says_nothing_of_few_steps_gets_the_lora_of_its_family(hub: Hub, served: FakeHub) -> None:
    unet = load_model(served.repositories[BASE], device="cpu", dtype=torch.float32, hub=hub).unet
    assert same_weights(unet, load("sd15-lcm", hub).unet)


@pytest.mark.parametrize(("family", "scale"), [("sd15", 1.0), ("sdxl", 0.5)])
def test_every_kind_of_layer_is_fused(tmp_path: Path, family: FamilyName, scale: float) -> None:
    unet = unet_of(family)
    before, added = copy.deepcopy(unet.state_dict()), save_lora(tmp_path, unet, LORA_ENDS)
    fuse_lora(unet, tmp_path / "pytorch_lora_weights.safetensors", family, scale)
    assert {end for end in LORA_ENDS if any(layer.endswith(end) for layer in added)} == set(LORA_ENDS)
    for layer, more in added.items():
        torch.testing.assert_close(unet.get_submodule(layer).weight, before[f"{layer}.weight"] + scale * more)


def test_a_lora_with_diffusers_names_is_fused_as_well(tmp_path: Path) -> None:
    unet, layer = unet_of("sd15"), "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    before, up, down = unet.get_submodule(layer).weight.clone(), torch.randn(32, 2), torch.randn(2, 32)
    names = {f"unet.{layer}.lora_A.weight": down, f"unet.{layer}.lora_B.weight": up}
    save_file(names, tmp_path / "any.safetensors")
    fuse_lora(unet, tmp_path / "any.safetensors", "sd15")
    torch.testing.assert_close(unet.get_submodule(layer).weight, before + up @ down)


def test_any_repository_of_the_hub_is_recognised_by_its_configs(tmp_path: Path) -> None:
    turbo = save_model(tmp_path / "turbo", "sd21", trailing=True)
    with serving(FakeHub({"anna/fast": turbo})) as served:
        model = load("anna/fast", Hub(endpoint=served.url, cache=tmp_path / "cache"))
    assert (model.name, model.entry.family, model.entry.distillation) == ("anna/fast", "sd21", "turbo")
    assert not model.entry.guides


@pytest.mark.parametrize(
    "name", ["unet/diffusion_pytorch_model.fp16.safetensors", "unet/config.json", "tokenizer/merges.txt"]
)
def test_what_was_broken_off_is_fetched_again(hub: Hub, tmp_path: Path, name: str) -> None:
    places(ENTRY, hub)
    (lost,) = (tmp_path / "cache").glob(f"models--*/snapshots/*/{name}")
    lost.resolve().unlink()
    lost.unlink()
    with pytest.raises(ModelError, match="not whole"):
        places(ENTRY, replace(hub, offline=True))
    places(ENTRY, hub)
    assert lost.is_file()


def test_offline_asks_nobody(hub: Hub, served: FakeHub) -> None:
    with pytest.raises(ModelError, match="Start once without --offline"):
        load("sd15-lcm", replace(hub, offline=True))
    assert served.asked == []


def test_a_model_is_called_with_its_licence_where_that_is_known(tiny_model: Model) -> None:
    for name, licence in (("sd-turbo", "non-commercial research, commercial use by agreement"), ("embedded", "Apache")):
        assert f"{CATALOGUE[name].title} ({licence}" in replace(tiny_model, entry=CATALOGUE[name]).credit
    assert replace(tiny_model, entry=replace(ENTRY, licence="")).credit == ENTRY.title
    assert all(each.licence for each in CATALOGUE.values())


def test_a_hub_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the hub cannot be reached.*--model embedded"):
        load("sd15-lcm", Hub(endpoint="http://127.0.0.1:9", cache=tmp_path))


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "foo://x:y"])
def test_a_proxy_that_cannot_be_used_is_named(proxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", proxy)
    close_session()
    try:
        with pytest.raises(ModelError, match="through .*all_proxy.*needed: a proxy"):
            load_model("anna/anything", hub=Hub(endpoint="http://127.0.0.1:9", cache=tmp_path))
    finally:
        close_session()


def test_a_gated_repository(hub: Hub, served: FakeHub) -> None:
    served.gated.add(BASE)
    with pytest.raises(ModelError, match="gated.*hf auth login"):
        load("sd15-lcm", hub)


def test_an_unknown_repository(hub: Hub) -> None:
    with pytest.raises(ModelError, match="nobody/nothing is no repository"):
        load("nobody/nothing", hub)


def test_a_repository_that_lacks_a_part(hub: Hub, served: FakeHub, tmp_path: Path) -> None:
    served.repositories["anna/half"] = tmp_path
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(ModelError, match="no unet; needed"):
        load("anna/half", hub)


def test_a_repository_of_pickles(hub: Hub, served: FakeHub, tmp_path: Path) -> None:
    served.repositories["anna/old"] = folder = save_model(tmp_path / "old")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(ModelError, match="unet as a pickle alone.*safetensors"):
        load("anna/old", hub)
    assert not any(path.endswith(".bin") for path in served.asked)


def pickled(folder: Path) -> Path:
    """As the hub has many an old network: a config and a pickle."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "diffusion_pytorch_model.bin").write_bytes(b"a program")
    return folder


def test_a_revision_is_fetched_beside_main_and_used_again(hub: Hub, served: FakeHub, tmp_path: Path) -> None:
    proposed = save_tiny_vae(tmp_path / "proposed")
    served.repositories |= {"anna/tiny": pickled(tmp_path / "old"), "anna/tiny@refs/pr/5": proposed}
    for each in (hub, replace(hub, offline=True)):
        folder = each.network("anna/tiny@refs/pr/5")
        assert same_file(folder / "diffusion_pytorch_model.safetensors", proposed)
    with pytest.raises(ModelError, match="anna/tiny is not in the cache"):
        replace(hub, offline=True).network("anna/tiny")
    with pytest.raises(ModelError, match="anna/tiny has no revision v2; needed"):
        hub.network("anna/tiny@v2")


def same_file(file: Path, folder: Path) -> bool:
    return file.read_bytes() == (folder / file.name).read_bytes()


def test_an_entry_may_name_revisions(hub: Hub, served: FakeHub, folders: dict[str, Path], tmp_path: Path) -> None:
    for repository in ENTRY.repositories:
        served.repositories[f"{repository}@v2"] = served.repositories.pop(repository)
        served.repositories[repository] = tmp_path
    entry = replace(ENTRY, source=f"{BASE}@v2", lora=f"{LORA}@v2", tiny_vae=f"{TINY_VAE}@v2")
    assert entry.repositories == ENTRY.repositories and not hub.has(entry)
    found = places(entry, hub)
    assert found.tiny_vae and same_file(found.tiny_vae / "config.json", folders[TINY_VAE])
    assert hub.has(entry) and not hub.has(ENTRY)


@pytest.mark.parametrize(
    ("refs", "words"),
    [
        (["refs/pr/4", "refs/pr/12", "fp16"], r"Its refs/pr/12, refs/pr/4, fp16 hold them.*say anna/old@refs/pr/12\."),
        (["refs/pr/4"], r"Its refs/pr/4 holds them.*say anna/old@refs/pr/4\."),
        ([], "No other ref of it that the hub lists holds them"),
    ],
)
def test_a_pickle_on_main_says_which_refs_hold_safetensors_and_how_to_convert(
    hub: Hub, served: FakeHub, tmp_path: Path, refs: list[str], words: str
) -> None:
    old, new = pickled(tmp_path / "old"), save_tiny_vae(tmp_path / "new")
    served.repositories |= {"anna/old": old, "anna/old@refs/pr/3": old, **{f"anna/old@{each}": new for each in refs}}
    with pytest.raises(ModelError, match=f"weights as a pickle alone on main.*{words}.*scripts.convert_weights"):
        hub.network("anna/old")


def test_a_single_file_of_a_repository_is_a_model(hub: Hub, served: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "merges").mkdir()
    save_checkpoint(tmp_path / "merges" / "any.safetensors", "sd15")
    served.repositories["anna/merges@v2"] = served.repositories["anna/merges"] = tmp_path
    model = load("anna/merges/merges/any.safetensors@v2", hub)
    assert (model.entry.family, model.entry.lora) == ("sd15", LORA)
    assert model.name == "anna/merges/merges/any.safetensors@v2"
    served.asked.clear()
    load("anna/merges/merges/any.safetensors@v2", replace(hub, offline=True))
    assert served.asked == []


def test_an_entry_may_name_one_file_as_its_lora_and_as_itself(
    hub: Hub, served: FakeHub, folders: dict[str, Path], tmp_path: Path
) -> None:
    save_lora(tmp_path, unet_of("sd15"))
    (tmp_path / "pytorch_lora_weights.safetensors").rename(tmp_path / "Hyper-SD15-1step-lora.safetensors")
    save_checkpoint(tmp_path / "any.safetensors", "sd15")
    served.repositories["anna/many"] = tmp_path
    lora = "anna/many/Hyper-SD15-1step-lora.safetensors"
    entry = replace(ENTRY, source="anna/many/any.safetensors", lora=lora)
    assert not hub.has(entry) and entry.repositories == ("anna/many", "anna/many", TINY_VAE)
    found = places(entry, hub)
    assert found.lora is not None and found.lora.name == "Hyper-SD15-1step-lora.safetensors"
    assert found.model.name == "any.safetensors" and (found.configs / "unet" / "config.json").is_file()
    assert hub.has(entry)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("anna/many/b.safetensors", "anna/many came without b.safetensors.*Its safetensors are a.safetensors"),
        ("nobody/nothing/b.safetensors", "is no file on this machine, and nobody/nothing is no repository"),
    ],
)
def test_a_file_that_is_not_there(hub: Hub, served: FakeHub, tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"")
    served.repositories["anna/many"] = tmp_path
    with pytest.raises(ModelError, match=words):
        load(name, hub)
    with pytest.raises(ModelError, match="nor in its cache.*--offline"):
        load(name, replace(hub, offline=True))


def test_loras_and_words_are_named_by_folder_by_file_or_on_the_hub(
    hub: Hub, served: FakeHub, tiny_model: Model, tmp_path: Path
) -> None:
    for place in ("hub/inner", "here", "one"):
        (tmp_path / place).mkdir(parents=True)
    for path, word in (("hub/inner/far", "far"), ("here/near", "near"), ("one/single", "single")):
        save_file({word: torch.zeros(1, TEXT_WIDTH)}, tmp_path / f"{path}.safetensors")
    served.repositories["anna/words"] = tmp_path / "hub"
    named = ["anna/words/inner/far.safetensors", str(tmp_path / "here"), str(tmp_path / "one" / "single.safetensors")]
    shelf = read_embeddings(hub.places(named), tiny_model)
    assert [each.word for each in shelf.embeddings] == ["far", "near", "single"]
    for place in ("hub/inner/far", "here/near"):
        save_file(kohya(changes_of(tiny_model)), tmp_path / f"{place}.safetensors")
    (tmp_path / "one" / "near.safetensors").write_bytes((tmp_path / "here" / "near.safetensors").read_bytes())
    (tmp_path / "one" / "single.safetensors").unlink()
    again = replace(hub, cache=tmp_path / "other cache").places([*named[:2], str(tmp_path / "one")])
    styles = read_loras(again, tiny_model)
    assert [each.name for each in styles.loras] == ["far", "near"]
    assert styles.refused == ("near.safetensors comes twice; needed: a name of its own for each. Rename one.",)


def test_a_full_disk(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pipeline.models.hub.snapshot_download", full)
    with pytest.raises(ModelError, match="No space left on device.*HF_HOME"):
        load("sd15-lcm", hub)


def test_a_lora_of_another_architecture_is_refused(hub: Hub, served: FakeHub, tmp_path: Path) -> None:
    save_lora(tmp_path / "lora", unet_of("sd15", block_out_channels=(8, 16)))
    served.repositories[LORA] = tmp_path / "lora"
    with pytest.raises(ModelError, match="of width 8, where the model has 16.*nothing of it was fused"):
        load("sd15-lcm", hub)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"lora_unet_mid_block_attentions_7_proj_in": (4, 4)}, "mid_block.attentions.7.proj_in"),
        ({"lora_te_text_model_encoder_layers_0_mlp_fc1": (4, 4)}, "text_encoder"),
        ({"lora_unet_something_else": (4, 4)}, "something"),
    ],
)
def test_a_lora_of_which_a_part_fits_is_refused_whole(
    tmp_path: Path, more: dict[str, tuple[int, int]], words: str
) -> None:
    unet = unet_of("sd15")
    save_lora(tmp_path, unet)
    file = tmp_path / "pytorch_lora_weights.safetensors"
    tensors = load_file(file)
    for name, (rows, columns) in more.items():
        tensors |= {f"{name}.lora_up.weight": torch.ones(rows, 2), f"{name}.lora_down.weight": torch.ones(2, columns)}
        tensors[f"{name}.alpha"] = torch.tensor(1.0)
    save_file(tensors, file)
    before = copy.deepcopy(unet.state_dict())
    with pytest.raises(ModelError, match=f"{words}.*nothing of it was fused.*--few-steps"):
        fuse_lora(unet, file, "sd15")
    assert all(torch.equal(each, before[name]) for name, each in unet.state_dict().items())
    assert not [module for module in unet.modules() if isinstance(module, BaseTunerLayer)]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("anna/fast", True),
        ("anna", False),
        ("anna/fast/now", False),
        ("/anna", False),
        ("./anna", False),
        ("anna/a--b", False),
        ("anna/fast.git", False),
        ("anna/v1.5_x", True),
        ("anna/fast@refs/pr/5", True),
        ("anna/fast@0123abc", True),
        ("anna/fast@", False),
        ("anna/fast@../up", False),
        ("anna/fast@a b", False),
    ],
)
def test_what_reads_as_a_repository(name: str, answer: bool) -> None:
    assert is_repository(name) == answer


def test_one_set_of_weights_is_wanted_of_each_part() -> None:
    listing = [
        "model_index.json", "README.md", "unet/config.json", "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors", "unet/diffusion_pytorch_model.bin", "model.safetensors",
        "text_encoder/config.json", "text_encoder/model.safetensors", "text_encoder/model.fp16.safetensors",
        "text_encoder/model.onnx", "tokenizer/merges.txt", "tokenizer/vocab.json",
    ]  # fmt: skip
    parts = ("unet", "text_encoder", "tokenizer")
    assert wanted_files(listing, parts) == [
        "model_index.json", "text_encoder/config.json", "text_encoder/model.fp16.safetensors", "tokenizer/merges.txt",
        "tokenizer/vocab.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors",
    ]  # fmt: skip
    assert not any(name.endswith(".safetensors") for name in wanted_files(listing, parts, weights=False))
    assert missing_part(listing, parts) is None


def test_weights_in_several_files_have_to_be_whole() -> None:
    shards = [f"unet/diffusion_pytorch_model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    assert missing_part(["unet/config.json", *shards], ["unet"]) is None
    assert missing_part(["unet/config.json", shards[1]], ["unet"]) == "only some of the files of unet"


class TestAuto:
    """What `--model auto` chooses."""

    CUDA = torch.device("cuda")

    @pytest.fixture
    def free(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (8 << 30, 8 << 30))

    def test_without_a_gpu_the_embedded_one_and_nobody_is_asked(self, hub: Hub, served: FakeHub) -> None:
        chosen = models_module.choose_model(hub, CPU)
        assert (chosen.name, served.asked) == ("embedded", [])
        assert "no CUDA device" in chosen.reason

    def test_on_a_small_gpu_the_embedded_one(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2 << 30, 8 << 30))
        chosen = models_module.choose_model(hub, self.CUDA)
        assert chosen.name == "embedded"
        assert "2.0 GiB are free on the GPU, and sd15-lcm needs 4" in chosen.reason
        with pytest.raises(ModelError, match="2.0 GiB of free memory; needed: 4 for model 'sd15-lcm'"):
            models_module.check_memory(ENTRY, self.CUDA)

    def test_on_a_gpu_with_a_hub_in_reach_sd15(self, hub: Hub, free: None) -> None:
        chosen = models_module.choose_model(hub, self.CUDA)
        assert (chosen.name, "hub can be reached" in chosen.reason) == ("sd15-lcm", True)
        models_module.check_memory(ENTRY, self.CUDA)

    def test_on_a_gpu_with_the_model_in_the_cache_sd15_and_nobody_is_asked(
        self, hub: Hub, served: FakeHub, free: None
    ) -> None:
        places(ENTRY, hub)
        served.asked.clear()
        for each in (hub, replace(hub, offline=True)):
            chosen = models_module.choose_model(each, self.CUDA)
            assert (chosen.name, "lies in the hub's cache" in chosen.reason) == ("sd15-lcm", True)
        assert served.asked == []

    def test_offline_with_an_empty_cache_the_embedded_one(self, hub: Hub, served: FakeHub, free: None) -> None:
        chosen = models_module.choose_model(replace(hub, offline=True), self.CUDA)
        assert (chosen.name, "--offline" in chosen.reason, served.asked) == ("embedded", True, [])

    def test_with_no_hub_in_reach_the_embedded_one(self, tmp_path: Path, free: None) -> None:
        chosen = models_module.choose_model(Hub(endpoint="http://127.0.0.1:9", cache=tmp_path), self.CUDA)
        assert (chosen.name, "hub cannot be reached" in chosen.reason) == ("embedded", True)

    def test_the_loaded_model_says_why(self) -> None:
        model = load_model("auto", device="cpu")
        assert (model.name, model.title) == ("embedded", "Rearview's embedded model")
        assert "no CUDA device" in model.reason
        assert load_model("embedded", device="cpu").reason == ""
