"""Motion modules: where they stand, what they are read from, and the published checkpoint's way into them."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import pytest
import torch
from diffusers import MotionAdapter, UNet2DConditionModel
from torch import Tensor

from pipeline import Engine, FrameSettings, Model, ModelError
from pipeline.memory import MEMORIES, TRAINED_MEMORIES, MemoryLayout, create_memory
from pipeline.memory.causal import CausalAttention
from pipeline.memory.depth import DEPTH_FILE, DEPTH_MODEL, DepthConditioning
from pipeline.memory.live2diff import converted, live2diff_adapter, renamed, state_of
from pipeline.memory.motion import Motion, load_motion, placed, positions_of, save_motion, untrained_motion
from pipeline.memory.spatial import save_recurrent, untrained_recurrent
from pipeline.memory.window import Window
from pipeline.models.load import CATALOGUE
from scripts.convert_live2diff import main
from tests.conftest import memory_rows
from tests.support.weights.motion import WINDOW, lively_motion, plain_unet

LIVE2DIFF_PARAMETERS = 417_137_600
DEPTH_PARAMETERS = 1_086_624
SD15_WIDTHS = (320, 640, 1280, 1280)


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    return plain_unet()


def published_layout() -> dict[str, Tensor]:
    """Keys and shapes of `live2diff.ckpt`, without its numbers: of its motion modules, wrapped as they were trained,
    and of the layers that read depth."""
    state: dict[str, Tensor] = {}
    blocks = [("down_blocks", index, 2) for index in range(4)] + [("up_blocks", index, 3) for index in range(4)]
    for kind, index, layers in blocks:
        width = (SD15_WIDTHS if kind == "down_blocks" else SD15_WIDTHS[::-1])[index]
        for layer in range(layers):
            prefix = f"module.{kind}.{index}.motion_modules.{layer}.temporal_transformer"
            state |= {f"{prefix}.{name}": shape for name, shape in module_layout(width).items()}
    widths = [(4, 16), (16, 16), (16, 32), (32, 32), (32, 96), (96, 96), (96, 256), (256, 320)]
    names = ["conv_in", *(f"blocks.{index}" for index in range(6)), "conv_out"]
    for name, (inputs, outputs) in zip(names, widths, strict=True):
        state[f"module.flow_conv_in.{name}.weight"] = meta(outputs, inputs, 3, 3)
        state[f"module.flow_conv_in.{name}.bias"] = meta(outputs)
    return state | {"module.grid": meta(1, 2)}


def module_layout(width: int) -> dict[str, Tensor]:
    layout = {"norm.weight": meta(width), "norm.bias": meta(width)}
    for name in ("proj_in", "proj_out"):
        layout |= {f"{name}.weight": meta(width, width), f"{name}.bias": meta(width)}
    block = "transformer_blocks.0"
    for index in range(2):
        attention = f"{block}.attention_blocks.{index}"
        layout |= {f"{attention}.{name}.weight": meta(width, width) for name in ("to_q", "to_k", "to_v", "to_out.0")}
        layout |= {f"{attention}.to_out.0.bias": meta(width), f"{attention}.pos_encoder.pe": meta(1, 24, width)}
        layout |= {f"{block}.norms.{index}.{name}": meta(width) for name in ("weight", "bias")}
    layout |= {f"{block}.ff_norm.{name}": meta(width) for name in ("weight", "bias")}
    layout |= {f"{block}.ff.net.0.proj.weight": meta(8 * width, width), f"{block}.ff.net.0.proj.bias": meta(8 * width)}
    return layout | {f"{block}.ff.net.2.weight": meta(width, 4 * width), f"{block}.ff.net.2.bias": meta(width)}


def meta(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    return published_layout()


@pytest.fixture(scope="module")
def parts(published: dict[str, Tensor]) -> Motion:
    with torch.device("meta"):
        return converted(published)


def count(tensors: dict[str, Tensor]) -> int:
    return sum(math.prod(tensor.shape) for tensor in tensors.values())


def test_the_published_checkpoint_fits_key_by_key(published: dict[str, Tensor], parts: Motion) -> None:
    assert parts.depth is not None
    parameters, depth = dict(parts.adapter.named_parameters()), dict(parts.depth.conditioning.named_parameters())
    assert count(parameters) == LIVE2DIFF_PARAMETERS
    assert count(depth) == DEPTH_PARAMETERS
    left_out = Counter(key.rpartition(".")[2] for key in published if "pos_encoder" in key or "grid" in key)
    assert left_out == {"pe": 40, "grid": 1}
    assert len(published) == len(parameters) + len(depth) + sum(left_out.values())
    # 4 bytes each with the positions, which the file holds too: what is left of it are 227 kB of names and counters.
    positions = count({key: each for key, each in published.items() if "pos_encoder" in key})
    assert 1_676_502_737 - 4 * (LIVE2DIFF_PARAMETERS + DEPTH_PARAMETERS + positions) == 226_641


def test_every_tensor_arrives_under_its_own_name(published: dict[str, Tensor], parts: Motion) -> None:
    own = "down_blocks.1.motion_modules.0.temporal_transformer.transformer_blocks.0"
    theirs = "down_blocks.1.motion_modules.0.transformer_blocks.0"
    for name, other in {
        "attention_blocks.0.to_q.weight": "attn1.to_q.weight",
        "attention_blocks.1.to_out.0.bias": "attn2.to_out.0.bias",
        "norms.0.weight": "norm1.weight",
        "norms.1.bias": "norm2.bias",
        "ff_norm.weight": "norm3.weight",
        "ff.net.0.proj.weight": "ff.net.0.proj.weight",
    }.items():
        assert renamed(f"{own}.{name}") == f"{theirs}.{other}"
        assert parts.adapter.get_parameter(f"{theirs}.{other}").shape == published[f"module.{own}.{name}"].shape
    assert parts.depth is not None and parts.depth.model == DEPTH_MODEL == "Intel/dpt-hybrid-midas@refs/pr/5"
    for name, tensor in parts.depth.conditioning.state_dict().items():
        assert tensor.shape == published[f"module.flow_conv_in.{name}"].shape
    assert parts.causal and parts.window == Window(16, 8)


def test_live2diff_stands_behind_every_transformer_of_stable_diffusion() -> None:
    with torch.device("meta"):
        unet, adapter = UNet2DConditionModel(cross_attention_dim=768), live2diff_adapter()
    names = [each.name for each in placed(adapter, unet)]
    assert len(names) == 20 and not any(name.startswith("mid_block") for name in names)
    kinds = Counter(type(each.behind).__name__ for each in placed(adapter, unet))
    assert kinds == {"Transformer2DModel": 15, "ResnetBlock2D": 5}
    memory = CausalAttention(Motion(adapter, causal=True), "sdpa")
    settings = FrameSettings()
    with memory.installed(unet.half()), torch.inference_mode(), torch.device("meta"):
        call = memory.open(memory_rows([None], settings))
        sample, text = torch.empty(1, 4, 64, 64).half(), torch.empty(1, 77, 768).half()
        unet(sample, torch.tensor([999]), text, cross_attention_kwargs={"memory": call}, return_dict=False)
        row = memory.updated(call, 0)
    # Of 1.42 GiB for the window's 16 frames at 512 x 512, the present one's are not kept.
    frames, inputs = 15 * 95_027_200, 7 * (4 * 64 * 64 * 2 + 8)
    assert memory.full_nbytes(row, settings) == frames + inputs
    assert frames * 16 / 15 / 2**30 == pytest.approx(1.42, abs=0.005)


@pytest.mark.parametrize(
    "spoiled", ["missing", "wrong shape", "another file", "depth missing", "depth of another shape"]
)
def test_what_is_not_live2diff_is_refused_with_a_sentence(published: dict[str, Tensor], spoiled: str) -> None:
    key = "module.up_blocks.3.motion_modules.2.temporal_transformer.proj_out.weight"
    state = {} if spoiled == "another file" else dict(published)
    if spoiled == "missing":
        del state[key]
    elif spoiled == "wrong shape":
        state[key] = meta(640, 640)
    elif spoiled == "depth missing":
        state = {name: tensor for name, tensor in published.items() if "flow_conv_in" not in name}
    elif spoiled == "depth of another shape":
        state["module.flow_conv_in.blocks.3.weight"] = meta(96, 32, 1, 1)
    with torch.device("meta"), pytest.raises(ModelError, match="not Live2Diff's"):
        converted(state)


def test_the_tensors_of_a_checkpoint_may_lie_beside_its_counters() -> None:
    state = {"module.a": torch.zeros(1)}
    assert state_of({"state_dict": state, "global_step": 191999}) == state == state_of(state)
    with pytest.raises(ModelError, match="state_dict"):
        state_of({"state_dict": 3})


def test_a_file_that_is_no_checkpoint_ends_the_command_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(SystemExit) as left:
        main([str(tmp_path / "bad.ckpt"), str(tmp_path / "out")])
    assert left.value.code == 1 and "Give Live2Diff's checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_writes_what_the_memory_reads(
    tmp_path: Path, unet: UNet2DConditionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file of the published layout with the widths of a small UNet."""
    motion = lively_motion(unet)
    small = MotionAdapter.from_config(
        {**motion.adapter.config, "use_motion_mid_block": False, "motion_max_seq_length": 24}
    )
    monkeypatch.setattr("pipeline.memory.live2diff.live2diff_adapter", lambda: MotionAdapter.from_config(small.config))
    state = {
        f"module.{published_name(key)}": each for key, each in small.state_dict().items() if not key.endswith(".pe")
    }
    depth = DepthConditioning(16).state_dict()
    state |= {f"module.flow_conv_in.{name}": tensor for name, tensor in depth.items()}
    torch.save({"state_dict": state, "global_step": 3}, tmp_path / "small.ckpt")
    main([str(tmp_path / "small.ckpt"), str(tmp_path / "causal")])
    loaded = load_motion(tmp_path / "causal")
    assert loaded.causal and loaded.window == Window(16, 8)
    for key, tensor in small.state_dict().items():
        assert torch.equal(loaded.adapter.state_dict()[key], tensor)
    assert {path.suffix for path in (tmp_path / "causal").iterdir()} == {".json", ".safetensors"}
    assert (tmp_path / "causal" / DEPTH_FILE).is_file() and loaded.depth is not None
    assert all(torch.equal(loaded.depth.conditioning.state_dict()[name], tensor) for name, tensor in depth.items())


def published_name(key: str) -> str:
    """The published checkpoint's name for a tensor of diffusers' `MotionAdapter`."""
    head, _, tail = key.partition(".motion_modules.")
    index, _, tail = tail.partition(".")
    for name, other in {"attn1": "attention_blocks.0", "attn2": "attention_blocks.1", "norm1": "norms.0"}.items():
        tail = tail.replace(f".{name}.", f".{other}.")
    tail = tail.replace(".norm2.", ".norms.1.").replace(".norm3.", ".ff_norm.")
    return f"{head}.motion_modules.{index}.temporal_transformer.{tail}"


def test_motion_modules_are_read_as_they_were_written(tmp_path: Path, unet: UNet2DConditionModel) -> None:
    motion = lively_motion(unet)
    save_motion(motion, tmp_path)
    loaded = load_motion(tmp_path)
    assert (loaded.window, loaded.causal) == (WINDOW, True)
    assert not any(parameter.requires_grad for parameter in loaded.adapter.parameters())
    before, after = motion.adapter.state_dict(), loaded.adapter.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


def test_a_folder_without_a_description_is_taken_for_an_experiment(
    tmp_path: Path, unet: UNet2DConditionModel, caplog: pytest.LogCaptureFixture
) -> None:
    """AnimateDiff's, which were trained to see the future too."""
    untrained_motion(unet, Window(32, 8)).adapter.save_pretrained(tmp_path)
    motion = load_motion(tmp_path)
    assert motion.window == Window(16, 8) and not motion.causal
    assert "experiment" in caplog.text
    assert CausalAttention(motion, "sdpa").experimental


@pytest.mark.parametrize(
    "description", ['{"window": 4, "sinks": 4}', '{"window": "long"}', '{"elephants": 3}', "[]", "torn"]
)
def test_a_description_that_makes_no_sense_is_refused(
    tmp_path: Path, unet: UNet2DConditionModel, description: str
) -> None:
    save_motion(untrained_motion(unet, WINDOW), tmp_path)
    (tmp_path / "rearview.json").write_text(description)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_motion(tmp_path)


def test_pickled_weights_are_not_read(tmp_path: Path, unet: UNet2DConditionModel) -> None:
    motion = untrained_motion(unet, WINDOW)
    motion.adapter.save_config(tmp_path)
    torch.save(motion.adapter.state_dict(), tmp_path / "diffusion_pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load_motion(tmp_path)


def test_modules_that_do_not_fit_are_refused(unet: UNet2DConditionModel) -> None:
    def adapter(**changes: object) -> MotionAdapter:
        with torch.device("meta"):
            config = {"block_out_channels": (16, 32), "motion_layers_per_block": 1, "motion_norm_num_groups": 4}
            return MotionAdapter(**{**config, **changes})

    assert len(placed(adapter(), unet)) == 7
    for changes, reason in {
        "a width of 32": {"block_out_channels": (32, 32)},
        "3 down_blocks": {"block_out_channels": (16, 32, 32)},
        "2 layers": {"motion_layers_per_block": 2},
    }.items():
        with pytest.raises(ModelError, match=changes):
            placed(adapter(**reason), unet)


def test_a_window_longer_than_the_positions_is_refused(unet: UNet2DConditionModel) -> None:
    (first, *_) = placed(untrained_motion(unet, WINDOW).adapter, unet)
    assert len(positions_of(first, WINDOW.length)) == 2
    with pytest.raises(ModelError, match=f"{WINDOW.length} positions; needed: {WINDOW.length + 1}"):
        positions_of(first, WINDOW.length + 1)


def test_motion_modules_of_the_embedded_model_are_small() -> None:
    """In fp16 no more than 12 MB, as all that is shipped for a memory."""
    config = json.loads((Path(CATALOGUE["embedded"].source) / "unet" / "config.json").read_text())
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
        motion = untrained_motion(unet, Window())
    assert len(placed(motion.adapter, unet)) == 10
    assert 2 * count(motion.adapter.state_dict()) < 12_000_000


def test_each_memory_is_made_by_its_name(tmp_path: Path, unet: UNet2DConditionModel) -> None:
    save_motion(untrained_motion(unet, WINDOW), tmp_path / "causal")
    save_recurrent(untrained_recurrent(unet), tmp_path / "recurrent")
    for name in [*MEMORIES, *TRAINED_MEMORIES]:
        assert create_memory(name, MemoryLayout(), "sdpa", weights=tmp_path / name).name == name


def test_a_memory_without_its_weights_says_what_is_missing(tiny_model: Model) -> None:
    with pytest.raises(ModelError, match=r"'causal' came without weights"):
        create_memory("causal", MemoryLayout(), "sdpa")
    with pytest.raises(ModelError, match=str(Path(tiny_model.entry.source) / "causal")):
        Engine(tiny_model, memory="causal")


def test_weights_beside_a_model_are_found_by_the_memorys_name(tiny_folder: Path, tiny_model: Model) -> None:
    folder = tiny_folder / "causal"
    save_motion(untrained_motion(tiny_model.unet, WINDOW), folder)
    try:
        with Engine(tiny_model, memory="causal") as engine:
            assert engine.memory_name == "causal"
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
