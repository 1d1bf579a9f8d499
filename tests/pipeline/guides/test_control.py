"""Control: what diffusers' own modules compute, row by row, and nothing at all where it is let go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, T2IAdapter, UNet2DConditionModel
from torch import Tensor

from pipeline import Engine, FrameSettings, Model, ModelError, load_control, load_model
from pipeline.compute.hooks import attention_layers
from pipeline.engine.stream import StreamState
from pipeline.engine.translator import Asked, Translator, UnderWay
from pipeline.frames.codec import Frame, fitted
from pipeline.guides.control import Control, padded
from pipeline.guides.control_catalogue import CONTROLS
from pipeline.guides.control_pictures import CONTROL_PICTURES
from pipeline.memory import create_memory
from pipeline.memory.none import NoMemory
from pipeline.models.hub import Hub
from pipeline.models.schedule import Schedule
from pipeline.models.unet_call import UnetInputs, predicted
from pipeline.prompts.embeddings import PromptEmbeddings
from pipeline.prompts.encoder import PromptEncoder
from pipeline.video.translate import main as translate_file
from tests.conftest import TEXT_WIDTH, TINY_SIZE, moving_square
from tests.support.clips import read_clip, write_clip
from tests.support.weights.hub_layout import FakeHub, serving

KINDS = ("adapter", "controlnet")
BLOCKS = (16, 32)


def tiny_adapter(channels: tuple[int, ...] = BLOCKS, **changes: Any) -> T2IAdapter:
    torch.manual_seed(1)
    wanted = {"in_channels": 1, "num_res_blocks": 1, "downscale_factor": 8, "adapter_type": "full_adapter"}
    return T2IAdapter(channels=list(channels), **(wanted | changes)).eval()


def tiny_controlnet(**changes: Any) -> ControlNetModel:
    """A ControlNet of the tiny UNet's shape; those layers that begin as zeros are random, so that it acts."""
    torch.manual_seed(2)
    wanted = {
        "in_channels": 4,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "block_out_channels": BLOCKS,
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "cross_attention_dim": TEXT_WIDTH,
        "attention_head_dim": 8,
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": 4,
        "resnet_time_scale_shift": "scale_shift",
        "conditioning_embedding_out_channels": (8, 8, 8, 8),
    }
    network = ControlNetModel(**(wanted | changes)).eval()
    for zeroed in (network.controlnet_down_blocks, network.controlnet_mid_block, network.controlnet_cond_embedding):
        for each in zeroed.parameters():
            torch.nn.init.normal_(each, std=0.2)
    return network


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny control of each kind as the hub holds it."""
    made = {}
    for kind, network in zip(KINDS, (tiny_adapter(), tiny_controlnet()), strict=True):
        made[kind] = tmp_path_factory.mktemp(kind)
        network.save_pretrained(made[kind])
    return made


@pytest.fixture(scope="module", params=KINDS)
def controlled(request: pytest.FixtureRequest, folders: dict[str, Path], plain_model: Model) -> Control:
    return load_control(folders[request.param], plain_model)


def square(index: int = 0, size: tuple[int, int] = (TINY_SIZE, TINY_SIZE)) -> Frame:
    return fitted(moving_square(index), size, "crop")


def inputs_of(rows: int, side: int = 4) -> UnetInputs:
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randn(rows, 7, TEXT_WIDTH, generator=generator)
    samples = torch.randn(rows, 4, side, side, generator=generator)
    return UnetInputs(
        samples,
        torch.tensor([999 - 200 * row for row in range(rows)]),
        PromptEmbeddings(tokens),
        None,
        (TINY_SIZE, TINY_SIZE),
    )


def row_of(inputs: UnetInputs, row: int) -> UnetInputs:
    tokens = PromptEmbeddings(inputs.embeddings.tokens[row : row + 1])
    return UnetInputs(inputs.samples[row : row + 1], inputs.timesteps[row : row + 1], tokens, None, inputs.frame_size)


def ours(used: Control, inputs: UnetInputs, frames: list[Frame], strengths: list[float]) -> Tensor:
    """The prediction as the engine makes it, with its kernels installed."""
    with torch.inference_mode(), ExitStack() as stack:
        stack.enter_context(NoMemory(None, "sdpa").installed(used.unet))  # type: ignore[arg-type]
        stack.enter_context(used.installed("sdpa"))
        rows = [used.of_frame(frame, strength) for frame, strength in zip(frames, strengths, strict=True)]
        return predicted(used.unet, replace(inputs, control=used.residuals(inputs, rows)))


def theirs(used: Control, inputs: UnetInputs, frame: Frame, strength: float) -> Tensor:
    """The prediction for one row as diffusers' pipelines make it: StableDiffusionAdapterPipeline, and
    StableDiffusionControlNetPipeline without guess mode."""
    lines = torch.from_numpy(CONTROL_PICTURES[used.picture](frame)).permute(2, 0, 1)[None].float() / 255
    call = {"timestep": inputs.timesteps, "encoder_hidden_states": inputs.embeddings.tokens}
    with torch.inference_mode():
        if isinstance(used.network, T2IAdapter):
            state = used.network(padded(lines[:, : used.network.config.in_channels], used.network.downscale_factor))
            more: dict[str, Any] = {"down_intrablock_additional_residuals": [each * strength for each in state]}
        else:
            down, mid = used.network(
                inputs.samples, controlnet_cond=lines, conditioning_scale=strength, return_dict=False, **call
            )
            more = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        result: Tensor = used.unet(inputs.samples, **call, **more, return_dict=False)[0]
        return result


@pytest.mark.parametrize("strength", [0.4, 2.0])
def test_the_prediction_is_that_of_diffusers(controlled: Control, strength: float) -> None:
    inputs = inputs_of(1)
    expected = theirs(controlled, inputs, square(), strength)
    torch.testing.assert_close(ours(controlled, inputs, [square()], [strength]), expected, atol=1e-5, rtol=1e-5)
    assert (expected - ours(controlled, inputs, [square()], [0.0])).abs().max() > 1e-2


def test_rows_of_one_call_keep_their_own_strength_and_lines(controlled: Control) -> None:
    inputs, strengths = inputs_of(4), [0.5, 0.0, 1.7, 0.5]
    frames = [square(index) for index in range(4)]
    together = ours(controlled, inputs, frames, strengths)
    for row, (frame, strength) in enumerate(zip(frames, strengths, strict=True)):
        alone = ours(controlled, row_of(inputs, row), [frame], [strength])
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-5)


def test_a_row_without_strength_asks_nothing_of_the_network(controlled: Control) -> None:
    inputs = inputs_of(2)
    assert controlled.of_frame(square(), 0.0) is None
    assert controlled.residuals(inputs, [None, None]) is None
    broken = replace(controlled, picture="none such")
    assert broken.of_frame(square(), 0.0) is None


def wide_model(plain_model: Model) -> Model:
    """Stable Diffusion XL's shape, tiny: a first block without attention, which shrinks before it is joined."""
    torch.manual_seed(4)
    unet = UNet2DConditionModel(
        sample_size=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(8, 16, 24),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,
    ).eval()
    return replace(plain_model, unet=unet)


@pytest.mark.parametrize("side", [4, 5])
def test_an_adapter_of_xl_joins_the_middle_too_at_any_size(plain_model: Model, tmp_path: Path, side: int) -> None:
    tiny_adapter((8, 16, 24, 24), in_channels=3, downscale_factor=16, adapter_type="full_adapter_xl").save_pretrained(
        tmp_path
    )
    used = load_control(tmp_path, wide_model(plain_model), picture="lineart")
    frame, inputs = square(0, (8 * side, 8 * side)), inputs_of(1, side)
    expected = theirs(used, inputs, frame, 0.8)
    torch.testing.assert_close(ours(used, inputs, [frame], [0.8]), expected, atol=1e-5, rtol=1e-5)


@pytest.fixture
def translator(controlled: Control, plain_model: Model) -> Iterator[Translator]:
    memory = create_memory("feature-bank", plain_model.entry.memory_layout, "sdpa")
    with memory.installed(plain_model.unet), controlled.installed("sdpa"):
        encoder, schedule = PromptEncoder(plain_model.text_encoders), Schedule.of(plain_model.scheduler)
        yield Translator(plain_model, memory, encoder, schedule, control=controlled)


def test_frames_of_many_share_a_call_and_each_is_as_alone(translator: Translator) -> None:
    asked = [
        FrameSettings(control_strength=0.5, guidance=2.0),
        FrameSettings(control_strength=0.0, guidance=3.0),
        FrameSettings(control_strength=1.6, prompt="neon"),
    ]
    past = StreamState()
    frames = [translator.begun(Asked(square(each), settings, each), past) for each, settings in enumerate(asked)]
    together = translator.stepped([(frame, past) for frame in frames])
    for frame, result in zip(frames, together, strict=True):
        (alone,) = translator.stepped([(frame, past)])
        torch.testing.assert_close(result.latents, alone.latents, atol=1e-5, rtol=1e-5)


def test_each_branch_of_guidance_is_controlled(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    assert translator.control is not None
    whole = type(translator.control).residuals
    monkeypatch.setattr(
        type(translator.control),
        "residuals",
        lambda self, inputs, rows: seen.append(rows) or whole(self, inputs, rows),
    )
    frame = translator.begun(Asked(square(), FrameSettings(guidance=2.0), 0), StreamState())
    assert isinstance(translator.stepped([(frame, StreamState())])[0], UnderWay)
    assert len(seen[0]) == 2
    assert seen[0][0] is seen[0][1] is frame.control


def painted(model: Model, used: Control | None, *settings: FrameSettings) -> list[Frame]:
    """The pictures of one session, a frame for each of the settings."""
    with Engine(model, control=used) as engine:
        session = engine.open(seed=5)
        return [np.asarray(session.translate(square(index), each)) for index, each in enumerate(settings)]


def test_a_strength_of_0_is_no_control_bit_for_bit(controlled: Control, plain_model: Model) -> None:
    settings = [FrameSettings(steps=2, control_strength=0.0)] * 2
    for one, other in zip(
        painted(plain_model, controlled, *settings), painted(plain_model, None, *settings), strict=True
    ):
        assert np.array_equal(one, other)


def test_without_a_control_the_strength_changes_nothing(plain_model: Model) -> None:
    (one,), (other,) = (painted(plain_model, None, FrameSettings(control_strength=each)) for each in (0.0, 2.0))
    assert np.array_equal(one, other)


def test_moving_the_slider_changes_the_next_picture(controlled: Control, plain_model: Model) -> None:
    with Engine(plain_model, control=controlled) as engine:
        assert engine.control_name == controlled.name
        session = engine.open(seed=5)
        pictures = [
            np.asarray(
                session.translate(square(), FrameSettings(control_strength=each, steadiness=0.0, bank_frames=0.0))
            )
            for each in (1.0, 1.0, 0.0, 1.5)
        ]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[1], pictures[2])
    assert not np.array_equal(pictures[2], pictures[3])


def test_a_session_holds_no_more_for_it(controlled: Control, plain_model: Model) -> None:
    held = []
    for used in (None, controlled):
        with Engine(plain_model, control=used) as engine:
            session = engine.open()
            session.translate(square(), FrameSettings(steps=2))
            held.append(session.nbytes)
    assert held[0] == held[1] > 0


def test_a_frame_whose_lines_fail_is_dropped_alone(
    controlled: Control, plain_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = CONTROL_PICTURES[controlled.picture]

    def fails_once(frame: Frame) -> Frame:
        if frame[0, 0, 0] == 77:
            raise RuntimeError("no lines")
        return draw(frame)

    monkeypatch.setitem(CONTROL_PICTURES, controlled.picture, fails_once)  # type: ignore[arg-type]
    bad = np.full((TINY_SIZE, TINY_SIZE, 3), 77, np.uint8)
    with Engine(plain_model, control=controlled) as engine:
        anna, bert = engine.open(seed=1), engine.open(seed=2)
        anna.translate(square())
        before = anna.state
        failing, other = anna.submit(bad), bert.submit(square())
        with pytest.raises(RuntimeError, match="no lines"):
            failing.result()
        assert other.result().picture.shape == (TINY_SIZE, TINY_SIZE, 3)
        assert anna.state is before
        anna.translate(square(1))


def test_a_video_file_is_controlled_too(folders: dict[str, Path], plain_folder: Path, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", [0, 512])
    words = ["--model", str(plain_folder), "--size", "32", "--control", str(folders["adapter"])]
    pictures = []
    for strength in ("0", "2"):
        out = tmp_path / f"{strength}.mp4"
        assert translate_file([str(source), str(out), *words, "--control-strength", strength]) == 0
        pictures.append(read_clip(out).pictures)
    assert not np.array_equal(*pictures)


@pytest.mark.parametrize("fails", [False, True])
def test_it_comes_off_exactly(controlled: Control, fails: bool) -> None:
    network = controlled.network

    def facts() -> tuple[list[int], list[int]]:
        patched = [id(each) for each in network.modules() if "forward" in vars(each)]
        return [id(each.processor) for each in attention_layers(network).values()], patched

    before = facts()
    try:
        with controlled.installed("sdpa"):
            assert facts() != before
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert facts() == before


def test_an_engine_gives_the_network_back(controlled: Control, plain_model: Model) -> None:
    before = [each.processor for each in attention_layers(controlled.network).values()]
    Engine(plain_model, control=controlled).close()
    assert all(
        each.processor is old for each, old in zip(attention_layers(controlled.network).values(), before, strict=True)
    )


def test_a_control_belongs_to_the_model_it_was_loaded_for(controlled: Control, plain_folder: Path) -> None:
    with pytest.raises(ModelError, match="loaded for another model"):
        Engine(load_model(plain_folder, device="cpu", dtype=torch.float32), control=controlled)


def test_the_catalogue_is_in_order() -> None:
    assert all(entry.picture in CONTROL_PICTURES for entry in CONTROLS.values())
    assert len({entry.repository for entry in CONTROLS.values()}) == len(CONTROLS) == 7
    assert [entry.kind for entry in CONTROLS.values()] == ["adapter"] * 4 + ["controlnet"] * 3


@pytest.mark.parametrize("name", ["canny-sd15", "TencentARC/t2iadapter_canny_sd15v2"])
def test_a_control_of_the_catalogue_comes_from_the_hub_once(
    name: str, folders: dict[str, Path], plain_model: Model, tmp_path: Path
) -> None:
    with serving(FakeHub({CONTROLS["canny-sd15"].repository: folders["adapter"]})) as served:
        hub = Hub(endpoint=served.url, cache=tmp_path / "cache")
        loaded = load_control(name, plain_model, hub=hub)
    assert (loaded.name, loaded.picture) == ("canny-sd15", "canny")
    # The hub is gone.
    assert load_control(name, plain_model, hub=hub).name == "canny-sd15"


@pytest.mark.parametrize("kind", KINDS)
def test_one_file_beside_its_config_is_a_control_here_and_on_the_hub(
    kind: str, folders: dict[str, Path], plain_model: Model, tmp_path: Path
) -> None:
    inner = tmp_path / "all" / "scribble"
    inner.mkdir(parents=True)
    (inner / "config.json").write_bytes((folders[kind] / "config.json").read_bytes())
    weights = (folders[kind] / "diffusion_pytorch_model.safetensors").read_bytes()
    (inner / "any.safetensors").write_bytes(weights)
    (tmp_path / "all" / "bare.safetensors").write_bytes(weights)
    expected = load_control(folders[kind], plain_model).network.state_dict()
    with serving(FakeHub({"anna/controls": tmp_path / "all"})) as served:
        hub = Hub(endpoint=served.url, cache=tmp_path / "cache")
        for name in (str(inner / "any.safetensors"), "anna/controls/scribble/any.safetensors"):
            state = load_control(name, plain_model, hub=hub).network.state_dict()
            assert all(torch.equal(each, state[part]) for part, each in expected.items())
        with pytest.raises(ModelError, match=r"anna/controls came without config\.json"):
            load_control("anna/controls/bare.safetensors", plain_model, hub=hub)
    with pytest.raises(ModelError, match=r"without a config\.json"):
        load_control(tmp_path / "all" / "bare.safetensors", plain_model)


def test_a_control_that_is_not_here_gets_a_sentence_offline(plain_model: Model, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not in the cache.*needed"):
        load_control("somebody/a-control", plain_model, hub=Hub(offline=True, cache=tmp_path))


def test_half_precision_weights_alone_are_taken(plain_model: Model, tmp_path: Path) -> None:
    tiny_adapter().save_pretrained(tmp_path, variant="fp16")
    assert load_control(tmp_path, plain_model).network.dtype == torch.float32


def test_a_folder_says_by_its_config_what_it_is(folders: dict[str, Path], plain_model: Model) -> None:
    kinds = {kind: type(load_control(folder, plain_model).network).__name__ for kind, folder in folders.items()}
    assert kinds == {"adapter": "T2IAdapter", "controlnet": "ControlNetModel"}
    assert load_control(folders["adapter"], plain_model).picture == "scribble"


def test_the_embedded_model_reads_the_drawing_itself(tiny_model: Model) -> None:
    with pytest.raises(ModelError, match="reads the drawing itself"):
        load_control("sketch-sd15", tiny_model)


def saved(folder: Path, network: Any) -> None:
    network.save_pretrained(folder)


def pickled(folder: Path, network: Any) -> None:
    saved(folder, network)
    (folder / "diffusion_pytorch_model.safetensors").rename(folder / "diffusion_pytorch_model.bin")


def without_weights(folder: Path, network: Any) -> None:
    saved(folder, network)
    (folder / "diffusion_pytorch_model.safetensors").unlink()


def without_a_config(folder: Path, network: Any) -> None:
    saved(folder, network)
    (folder / "config.json").unlink()


def of_another_class(folder: Path, network: Any) -> None:
    saved(folder, network)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"_class_name": "UNet2DConditionModel"}))


@pytest.mark.parametrize(
    ("made", "network", "words"),
    [
        (pickled, tiny_adapter, "as a pickle"),
        (without_weights, tiny_adapter, "cannot be loaded"),
        (without_a_config, tiny_adapter, "config.json"),
        (of_another_class, tiny_adapter, "'UNet2DConditionModel'"),
        (saved, lambda: tiny_adapter((16, 24)), "24x2x2.*takes 16x4x4, 32x2x2"),
        (saved, lambda: tiny_adapter((16, 32, 32)), "lineart-sdxl"),
        (saved, lambda: tiny_adapter(downscale_factor=16), "family"),
        (saved, lambda: tiny_adapter(in_channels=2), "2 channels"),
        (saved, lambda: tiny_controlnet(cross_attention_dim=24), "cross_attention_dim 24"),
        (saved, lambda: tiny_controlnet(in_channels=9), "in_channels 9"),
        (saved, lambda: tiny_controlnet(conditioning_channels=4), "4 channels"),
        (saved, lambda: tiny_controlnet(global_pool_conditions=True), "as a whole"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(
    made: Any, network: Any, words: str, plain_model: Model, tmp_path: Path
) -> None:
    made(tmp_path, network())
    with pytest.raises(ModelError, match=words) as refused:
        load_control(tmp_path, plain_model)
    assert "needed" in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name_or_folder": "no such control"}, "sketch-sd15"),
        ({"picture": "depth"}, "scribble, sketch, lineart, canny"),
    ],
)
def test_a_name_that_nobody_knows_gets_a_sentence(
    arguments: dict[str, str], words: str, folders: dict[str, Path], plain_model: Model
) -> None:
    with pytest.raises(ModelError, match=words):
        load_control(**({"name_or_folder": folders["adapter"]} | arguments), model=plain_model)
