"""Pictures that are to be like another: what diffusers' own pipelines paint, row by row, and nothing without one."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import LCMScheduler, StableDiffusionImg2ImgPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPImageProcessor

from pipeline import (
    Engine,
    FrameSettings,
    Model,
    ModelError,
    NoRoomError,
    PictureError,
    load_adapter,
    load_control,
    load_model,
)
from pipeline.calls.graphs import RecordedUnet
from pipeline.compute.hooks import attention_layers
from pipeline.engine.stream import StreamState, noise_for
from pipeline.engine.translator import Asked, Translator
from pipeline.frames.codec import Frame, fitted
from pipeline.frames.cuts import thumbnail_of
from pipeline.guides.adapter import PictureAdapter
from pipeline.guides.adapter_catalogue import ADAPTERS, STYLE_LAYERS
from pipeline.guides.adapter_load import adapter_for, check_room
from pipeline.memory import create_memory
from pipeline.memory.none import NoMemory
from pipeline.models.hub import Hub
from pipeline.models.schedule import Schedule
from pipeline.models.unet_call import UnetInputs, predicted
from pipeline.prompts.embeddings import PromptEmbeddings
from pipeline.prompts.encoder import PromptEncoder
from pipeline.recording.operations import operation_of
from pipeline.recording.recording import Drawn, FrameSent, Liked, Recording, packed, read_recording
from pipeline.recording.replay import replayed
from pipeline.recording.replay_files import encoded
from pipeline.video.translate import main as translate_file
from tests.conftest import SDXL_POOLED, TINY_SIZE, moving_square
from tests.pipeline.calls.test_graphs import Again
from tests.pipeline.guides.test_control import tiny_controlnet
from tests.support.clips import read_clip, write_clip
from tests.support.weights.adapter_files import save_adapter, save_image_encoder
from tests.support.weights.hub_layout import FakeHub, save_model, serving, unet_of

KINDS = ("plain", "plus")
LAYER = "mid_block.attentions.0.transformer_blocks.0.attn2"
STILL = FrameSettings(steadiness=0.0, bank_frames=0.0, like_strength=1.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, plain_model: Model) -> dict[str, Path]:
    """A tiny adapter of each kind."""
    return {kind: save_adapter(tmp_path_factory.mktemp(kind), plain_model.unet, plus=kind == "plus") for kind in KINDS}


@pytest.fixture(scope="module", params=KINDS)
def adapter(request: pytest.FixtureRequest, files: dict[str, Path], plain_model: Model) -> PictureAdapter:
    return load_adapter(files[request.param], plain_model)


def square(index: int = 0) -> Frame:
    return fitted(moving_square(index), (TINY_SIZE, TINY_SIZE), "crop")


def other_picture(seed: int = 0) -> Image.Image:
    """Patches of colour, wider than high."""
    drawn = np.random.default_rng(seed).integers(0, 255, (6, 9, 3), np.uint8)
    return Image.fromarray(drawn).resize((90, 60), Image.Resampling.BICUBIC)


def with_diffusers_adapter(unet: UNet2DConditionModel, file: Path) -> UNet2DConditionModel:
    """A copy of a UNet into which diffusers has loaded an adapter."""
    own = deepcopy(unet)
    state: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in load_file(file).items():
        part, _, rest = name.partition(".")
        state[part][rest] = tensor
    own._load_ip_adapter_weights([state], low_cpu_mem_usage=False)
    return own


@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_what_diffusers_own_pipeline_paints(
    kind: str, guidance: float, files: dict[str, Path], plain_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = STILL.changed(
        prompt="oil", negative_prompt="fog", steps=2, strength=0.6, guidance=guidance, like_strength=0.8
    )
    translator = translator_of(plain_model, load_adapter(files[kind], plain_model))
    like = translator.adapter.picture(other_picture())  # type: ignore[union-attr]
    with NoMemory(plain_model.entry.memory_layout, "sdpa").installed(plain_model.unet):
        frame = translator.begun(Asked(square(), asked, 3, like=like), StreamState())
        for _ in range(asked.steps):
            (frame,) = translator.stepped([(frame, StreamState())])

    encoder = plain_model.text_encoders[0]
    scheduler = LCMScheduler.from_config(plain_model.scheduler.config, steps_offset=1)
    pipe = StableDiffusionImg2ImgPipeline(
        plain_model.vae, encoder.model, encoder.tokenizer, deepcopy(plain_model.unet), scheduler, None, None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    pipe.load_ip_adapter(str(files[kind].parent), subfolder="", weight_name=files[kind].name)
    pipe.set_ip_adapter_scale(0.8)
    noises = (noise_for(3, step, tuple(frame.source.shape)) for step in range(asked.steps))
    for module in ("pipelines.stable_diffusion.pipeline_stable_diffusion_img2img", "schedulers.scheduling_lcm"):
        monkeypatch.setattr(f"diffusers.{module}.randn_tensor", lambda *_, **__: next(noises))
    timesteps = [step.timestep for step in translator.schedule.steps(asked.strength, asked.steps)]
    expected = pipe(
        prompt=asked.prompt, negative_prompt=asked.negative_prompt, image=Image.fromarray(square()), strength=1.0,
        timesteps=timesteps, guidance_scale=guidance, ip_adapter_image=other_picture(), output_type="latent",
    ).images  # fmt: skip
    torch.testing.assert_close(frame.latents, expected, atol=1e-4, rtol=1e-4)


def translator_of(model: Model, adapter: PictureAdapter | None, memory: str = "none", **parts: Any) -> Translator:
    made = create_memory(memory, model.entry.memory_layout, "sdpa")
    encoder, schedule = PromptEncoder(model.text_encoders), Schedule.of(model.scheduler)
    return Translator(model, made, encoder, schedule, adapter=adapter, **parts)


def liked(adapter: PictureAdapter, seed: int, settings: FrameSettings) -> Tensor:
    """The row of a prompt that is to be like a picture, `[1, T, W]`."""
    with torch.inference_mode():
        rows = adapter.rows_of(adapter.read(adapter.picture(other_picture(seed))), settings)
    assert rows is not None
    return rows[:1]


def test_two_pictures_and_none_share_a_call_and_each_is_as_alone(adapter: PictureAdapter, plain_model: Model) -> None:
    translator = translator_of(plain_model, adapter, "feature-bank")
    likes = [adapter.picture(other_picture()), adapter.picture(other_picture(1)), None]
    settings = STILL.changed(guidance=2.0)
    past = StreamState()
    with translator.memory.installed(plain_model.unet):
        frames = [translator.begun(Asked(square(), settings, 3, like=each), past) for each in likes]
        together = translator.stepped([(frame, past) for frame in frames])
        for frame, result in zip(frames, together, strict=True):
            (alone,) = translator.stepped([(frame, past)])
            torch.testing.assert_close(result.latents, alone.latents, atol=1e-4, rtol=1e-4)
        without = translator_of(plain_model, None, "feature-bank")
        (plain,) = without.stepped([(without.begun(Asked(square(), settings, 3), past), past)])
    torch.testing.assert_close(together[2].latents, plain.latents, atol=1e-4, rtol=1e-4)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (together[one].latents - together[other].latents).abs().max() > 1e-2


def test_a_row_without_a_picture_is_that_of_the_unet_without_an_adapter(
    adapter: PictureAdapter, plain_model: Model
) -> None:
    torch.manual_seed(0)
    width = plain_model.unet.config.cross_attention_dim
    inputs = UnetInputs(
        torch.randn(2, 4, 4, 4), torch.tensor([999, 499]), PromptEmbeddings(torch.randn(2, 77, width)), None, (32, 32)
    )
    with torch.inference_mode(), NoMemory(plain_model.entry.memory_layout, "sdpa").installed(plain_model.unet):
        plain = predicted(plain_model.unet, inputs)
        likeness = adapter.joined([liked(adapter, 0, STILL), None])
        mixed = predicted(plain_model.unet, replace(inputs, likeness=likeness))
    assert torch.equal(mixed[1], plain[1])
    assert not torch.allclose(mixed[0], plain[0], atol=1e-3)
    assert adapter.joined([None, None]) is None


@pytest.mark.parametrize("part", ["all", "style"])
def test_xl_takes_over_all_or_the_style_alone_as_diffusers_does(part: str, sdxl_model: Model, tmp_path: Path) -> None:
    model = replace(sdxl_model, entry=replace(sdxl_model.entry, family="sdxl"))
    file = save_adapter(tmp_path, model.unet)
    # The tiny model's one block of its floor.
    used = replace(load_adapter(file, model), style=("up_blocks.0.attentions.0",))
    settings = STILL.changed(like_part=part, like_strength=0.7)
    torch.manual_seed(0)
    tokens = torch.randn(1, 77, model.unet.config.cross_attention_dim)
    inputs = UnetInputs(
        torch.randn(1, 4, 4, 4), torch.tensor([499]), PromptEmbeddings(tokens, torch.randn(1, SDXL_POOLED)), None,
        (TINY_SIZE, TINY_SIZE),
    )  # fmt: skip
    theirs = with_diffusers_adapter(model.unet, file)
    for name, processor in theirs.attn_processors.items():
        if name.endswith("attn2.processor"):
            processor.scale = [0.7 if part == "all" or name.startswith(used.style) else 0.0]
    with torch.inference_mode():
        seen = used.encoder(pixels_of(used)).image_embeds
        added = {
            "text_embeds": inputs.embeddings.pooled, "time_ids": torch.tensor([[32.0, 32, 0, 0, 32, 32]]),
            "image_embeds": [seen[:, None]],
        }  # fmt: skip
        expected = theirs(inputs.samples, inputs.timesteps, tokens, added_cond_kwargs=added, return_dict=False)[0]
        with NoMemory(model.entry.memory_layout, "sdpa").installed(model.unet):
            likeness = used.joined([liked(used, 0, settings)])
            ours = predicted(model.unet, replace(inputs, likeness=likeness))
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def pixels_of(used: PictureAdapter) -> Tensor:
    """What diffusers' pipelines give an image encoder of the tests' picture."""
    processor = CLIPImageProcessor(size=used.side, crop_size=used.side)
    pixels: Tensor = processor(other_picture(), return_tensors="pt").pixel_values
    return pixels


def test_the_published_style_layers_are_cross_attentions_of_stable_diffusion_xl() -> None:
    unet = unet_of("sdxl", layers_per_block=2)
    for start in STYLE_LAYERS["sdxl"]:
        assert any(name.startswith(start) and name.endswith("attn2.processor") for name in unet.attn_processors)


@pytest.fixture
def engine(adapter: PictureAdapter, plain_model: Model) -> Iterator[Engine]:
    with Engine(plain_model, adapter=adapter) as engine:
        yield engine


def test_a_session_is_like_its_picture_from_the_next_frame_on(engine: Engine, plain_model: Model) -> None:
    session = engine.open(seed=5)
    pictures = []
    for like, strength in ((None, 1.0), (other_picture(), 1.0), (other_picture(), 0.3), (other_picture(), 0.0)):
        session.be_like(like)
        pictures.append(np.asarray(session.translate(square(), STILL.changed(like_strength=strength))))
    assert np.array_equal(pictures[0], pictures[3])
    assert len({each.tobytes() for each in pictures}) == 3


def test_without_a_picture_everything_is_as_without_an_adapter_bit_for_bit(
    adapter: PictureAdapter, plain_model: Model
) -> None:
    painted = []
    for used in (adapter, None):
        with Engine(plain_model, adapter=used) as engine:
            session = engine.open(seed=5)
            painted.append([np.asarray(session.translate(square(each), FrameSettings(steps=2))) for each in range(3)])
    assert np.array_equal(*painted)


def test_a_picture_is_read_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    whole = PictureAdapter.read
    monkeypatch.setattr(PictureAdapter, "read", lambda self, like: reads.append(like.digest) or whole(self, like))
    session = engine.open()
    for like, strength in ((0, 1.0), (0, 0.5), (0, 0.0), (1, 0.0), (1, 1.0), (1, 1.5)):
        session.be_like(other_picture(like))
        session.translate(square(), FrameSettings(like_strength=strength, steps=2))
    assert len(reads) == len(set(reads)) == 2


def test_another_picture_is_asked_for_as_another_prompt_is(engine: Engine) -> None:
    frame, thumbnail = square(), thumbnail_of(square())
    settings = FrameSettings()
    seen, _ = StreamState().seen.after(frame, thumbnail, settings, "one")
    _, same = seen.after(frame, thumbnail, settings, "one")
    _, other = seen.after(frame, thumbnail, settings, "other")
    _, stronger = seen.after(frame, thumbnail, settings.changed(like_strength=1.5), "one")
    assert (same.features, same.picture) == (True, True)
    assert (other.scene, other.features, other.picture) == (True, False, False)
    assert (stronger.features, stronger.picture) == (True, False)


def test_pipelined_frames_are_those_of_one_after_another(engine: Engine) -> None:
    painted = []
    for pipelined in ("off", "on"):
        session = engine.open(seed=5)
        session.be_like(other_picture())
        asked = FrameSettings(steps=3, pipelined=pipelined)
        painted.append([session.submit(square(each), asked).result().picture for each in range(4)])
    assert np.array_equal(*painted)


@pytest.mark.parametrize("memory", ["feature-bank", "none"])
def test_a_parked_visit_goes_on_as_if_it_had_not_been(adapter: PictureAdapter, plain_model: Model, memory: str) -> None:
    painted = []
    for parks in (False, True):
        with Engine(plain_model, memory, adapter=adapter) as engine:
            session = engine.open(seed=5)
            session.be_like(other_picture())
            session.translate(square())
            if parks:
                session.park(keep=True)
            painted.append(np.asarray(session.translate(square(1))))
    assert np.array_equal(*painted)


def test_a_visitor_holds_as_much_as_is_put_aside_for_them(adapter: PictureAdapter, plain_model: Model) -> None:
    with Engine(plain_model, adapter=adapter) as engine:
        session, settings = engine.open(), FrameSettings(steps=2)
        session.be_like(other_picture())
        for index in range(6):
            session.translate(square(index), settings)
        assert session.state.read is not None
        assert session.nbytes == engine.session_nbytes(settings)
        session.close()
        assert session.nbytes - (session.like.nbytes if session.like else 0) == 0
    with Engine(plain_model, adapter=adapter, byte_budget=1 << 30) as engine:
        engine.open()
    with (
        pytest.raises(NoRoomError),
        Engine(plain_model, adapter=adapter, byte_budget=adapter.nbytes_a_session) as engine,
    ):
        engine.open()


@pytest.mark.parametrize(
    "picture", [b"no picture", Image.new("RGB", (20_000, 20_000)), np.zeros((4, 4), np.int64), object()]
)
def test_what_is_no_picture_gets_a_sentence_and_changes_nothing(engine: Engine, picture: Any) -> None:
    session = engine.open()
    session.be_like(other_picture())
    before = session.like
    with pytest.raises(PictureError, match="needed"):
        session.be_like(picture)
    assert session.like is before


def test_an_engine_without_an_adapter_says_so(plain_model: Model) -> None:
    with Engine(plain_model) as engine, pytest.raises(ModelError, match=r"no adapter.*load_adapter"):
        engine.open().be_like(other_picture())


def test_calls_are_recorded_with_it(adapter: PictureAdapter, plain_model: Model) -> None:
    runner = RecordedUnet(Again(), calls_before=2)
    painted = []
    for used in (runner, predicted):
        translator = translator_of(plain_model, adapter, "feature-bank", runner=used)
        like, state, shown = adapter.picture(other_picture()), StreamState(), []
        with translator.memory.installed(plain_model.unet):
            for index in range(7):
                strength = 0.5 + index % 2
                asked = Asked(square(index), FrameSettings(like_strength=strength), 3, like=like)
                picture, state = translator.translated(asked, state)
                shown.append(picture)
        painted.append(shown)
    assert runner.recordings > 0
    assert np.array_equal(*painted)


def test_a_control_and_a_lora_act_beside_it(
    adapter: PictureAdapter, plain_folder: Path, tmp_path: Path, files: dict[str, Path]
) -> None:
    model = load_model(plain_folder, device="cpu", dtype=torch.float32)
    used = load_adapter(files["plain"], model)
    tiny_controlnet().save_pretrained(tmp_path)
    control = load_control(tmp_path, model)
    with Engine(model, adapter=used, control=control) as engine:
        session = engine.open(seed=5)
        session.be_like(other_picture())
        settings = STILL.changed(control_strength=1.0)
        pictures = [
            np.asarray(session.translate(square(), settings.changed(**each)))
            for each in ({}, {"control_strength": 0.0}, {"like_strength": 0.0})
        ]
        engine.change("lora", lambda changed: attention_layers(changed.unet)[LAYER].to_out[0].weight.mul_(9)).result()
        pictures.append(np.asarray(session.translate(square(), settings)))
    assert len({each.tobytes() for each in pictures}) == 4


@pytest.mark.gpu
def test_on_a_card_recorded_calls_paint_what_calls_paint(plain_folder: Path, files: dict[str, Path]) -> None:
    """To the rounding of kernels that may be chosen differently: at most one value of 255."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    painted = []
    for graphs in ("auto", "off"):
        model = load_model(plain_folder, device="cuda", dtype=torch.float32)
        with Engine(model, adapter=load_adapter(files["plus"], model), graphs=graphs) as engine:  # type: ignore[arg-type]
            session = engine.open(seed=5)
            session.be_like(other_picture())
            painted.append([np.asarray(session.translate(square(each % 12))) for each in range(16)])
    for one, other in zip(*painted, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


# Loading


@pytest.fixture(scope="module")
def sd15(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(save_model(tmp_path_factory.mktemp("sd15"), "sd15"), device="cpu", few_steps="lcm")


def test_the_hub_is_asked_for_the_file_and_its_encoder_alone(sd15: Model, tmp_path: Path) -> None:
    entry = ADAPTERS["like-sd15"]
    repository = tmp_path / "repository"
    made = save_adapter(repository / "models", sd15.unet)
    made.rename(repository / entry.file)
    (repository / "models" / "image_encoder" / "pytorch_model.bin").write_bytes(b"pickle")
    with serving(FakeHub({entry.repository: repository})) as hub:
        for name in ("like-sd15", entry.source):
            used = load_adapter(name, sd15, Hub(endpoint=hub.url, cache=tmp_path / "cache"))
            assert (used.name, used.licence) == ("like-sd15", "Apache-2.0")
        fetched = {each for each in hub.asked if "/resolve/" in each}
        assert not any("pytorch_model" in each for each in fetched)
        offline = Hub(offline=True, endpoint=hub.url, cache=tmp_path / "cache")
        assert load_adapter("like-sd15", sd15, offline).name == "like-sd15"
    with pytest.raises(ModelError, match="--offline"):
        load_adapter("like-plus-sd15", sd15, Hub(offline=True, cache=tmp_path / "empty"))


def test_a_file_of_any_repository_has_its_encoder_beside(sd15: Model, tmp_path: Path) -> None:
    file = save_adapter(tmp_path / "anna", sd15.unet, plus=True)
    with serving(FakeHub({"anna/like": tmp_path / "anna"})) as hub:
        used = load_adapter(f"anna/like/{file.name}", sd15, Hub(endpoint=hub.url, cache=tmp_path / "cache"))
    assert used.name == file.stem


def test_every_entry_names_a_family_and_a_licence() -> None:
    for entry in ADAPTERS.values():
        assert entry.licence and entry.file.endswith(".safetensors")
        assert entry.encoder_source.endswith("image_encoder/model.safetensors")


def test_the_embedded_model_needs_a_model_of_the_hub(tiny_model: Model) -> None:
    with pytest.raises(ModelError, match="without --adapter, or with a model such as Stable Diffusion"):
        load_adapter("like-sd15", tiny_model)


def test_an_adapter_that_a_card_has_no_room_for_is_refused_before_it_is_read(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, card = files["plain"].parent / "image_encoder", torch.device("cuda")
    needed = files["plain"].stat().st_size + (beside / "model.safetensors").stat().st_size
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (needed, 8 << 30))
    check_room(files["plain"], beside, card)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (needed - 1, 8 << 30))
    with pytest.raises(ModelError, match="needed: at most the 0 MiB that the card has left"):
        check_room(files["plain"], beside, card)
    check_room(files["plain"], beside, torch.device("cpu"))


def broken(files: dict[str, Path], folder: Path, change: Any) -> Path:
    """A copy of the plain adapter whose tensors `change` has changed."""
    folder.mkdir()
    tensors = change(load_file(files["plain"]))
    save_image_encoder(folder / "image_encoder")
    save_file(tensors, folder / "like.safetensors")
    return folder / "like.safetensors"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda all_: {name: each for name, each in all_.items() if name.startswith("image")}, "without ip_adapter"),
        (lambda all_: {name: each for name, each in all_.items() if "1.to_k" not in name}, "does not fit"),
        (lambda all_: all_ | {"ip_adapter.99.to_k_ip.weight": torch.zeros(4, 4)}, "does not fit"),
        (lambda all_: all_ | {"ip_adapter.1.to_k_ip.weight": torch.zeros(4, 4)}, "does not fit"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    change: Any, sentence: str, files: dict[str, Path], plain_model: Model, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=sentence):
        load_adapter(broken(files, tmp_path / "broken", change), plain_model)


def test_names_and_encoders_that_do_not_fit_get_a_sentence(
    files: dict[str, Path], plain_model: Model, tmp_path: Path
) -> None:
    file = broken(files, tmp_path / "other", dict)
    save_image_encoder(file.parent / "image_encoder", embedding=40)
    with pytest.raises(ModelError, match="reads 24 numbers .* gives 40"):
        load_adapter(file, plain_model)
    for each in (file.parent / "image_encoder").iterdir():
        each.unlink()
    with pytest.raises(ModelError, match="image encoder"):
        load_adapter(file, plain_model)
    for name, sentence in (
        ("like-sdxl", "made for sdxl"),
        ("no-such", "like-sd15"),
        ("like.bin", "pickle"),
        (str(tmp_path), "needed: one of"),
    ):
        with pytest.raises(ModelError, match=sentence):
            load_adapter(name, plain_model)


def test_an_adapter_of_another_model_is_refused(adapter: PictureAdapter, tiny_model: Model, plain_model: Model) -> None:
    with pytest.raises(ModelError, match="another model"):
        Engine(tiny_model, adapter=adapter)


# Files


def test_a_recording_holds_its_pictures_and_is_painted_like_them_again(
    adapter: PictureAdapter, plain_model: Model
) -> None:
    files = {"frames/a.png": encoded(Image.fromarray(square()), "PNG"), "frames/b.png": encoded(other_picture(), "PNG")}
    frame = FrameSent(0, "frames/a.png")
    events = (frame, Liked(1, "frames/b.png"), FrameSent(1, "frames/a.png"), Liked(2, ""), FrameSent(2, "frames/a.png"))
    made = Recording(
        plain_model.name, (32, 32), 5, events, {"steadiness": 0.0}, files, memory="none", adapter=adapter.name
    )
    recording = read_recording(packed(made))
    assert (recording.events, recording.adapter, set(recording.files)) == (events, adapter.name, set(files))
    with Engine(plain_model, "none", adapter=adapter) as engine:
        painted = [each.translation.picture for each in replayed(engine, recording)]
        throughout = [each.translation.picture for each in replayed(engine, recording, like=other_picture())]
        session = engine.open(seed=5)
        session.be_like(other_picture())
        live = np.asarray(session.translate(square(), plain_model.entry.defaults.changed(steadiness=0.0)))
    assert np.array_equal(painted[0], painted[2]) and not np.array_equal(painted[0], painted[1])
    assert np.array_equal(painted[1], live)
    assert all(np.array_equal(each, live) for each in throughout)
    with Engine(plain_model, "none") as engine, pytest.raises(ModelError, match="no adapter"):
        list(replayed(engine, recording))


def test_a_drawing_is_drawn_again_like_its_picture(adapter: PictureAdapter, plain_model: Model) -> None:
    events = (Liked(0, "frames/b.png"), Drawn(1, operation_of("it", {"op": "clear", "layer": "ink", "t": 0})))
    files = {"frames/b.png": encoded(other_picture(), "PNG")}
    painted = []
    for told in (events, events[1:]):
        recording = Recording(plain_model.name, (32, 32), 5, told, files=files, memory="none")
        with Engine(plain_model, "none", adapter=adapter) as engine:
            painted.append([each.translation.picture for each in replayed(engine, recording)])
    assert not np.array_equal(painted[0][-1], painted[1][-1])


def test_a_video_file_is_like_a_picture_too(
    files: dict[str, Path], plain_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, like = write_clip(tmp_path / "in.mp4", [0, 512]), tmp_path / "like.png"
    other_picture().save(like)
    words = ["--model", str(plain_folder), "--size", "32", "--adapter", str(files["plain"]), "--like", str(like)]
    pictures = []
    for strength in ("0", "1.5"):
        out = tmp_path / f"{strength}.mp4"
        assert translate_file([str(source), str(out), *words, "--like-strength", strength]) == 0
        pictures.append(read_clip(out).pictures)
    assert not np.array_equal(pictures[0][0], pictures[1][0])
    like.write_bytes(b"none")
    assert translate_file([str(source), str(tmp_path / "out.mp4"), *words]) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert translate_file([str(source), str(tmp_path / "out.mp4"), *words[:-1], str(tmp_path / "no.png")]) == 1
    assert "no.png is not there" in capsys.readouterr().err


def test_a_picture_alone_takes_the_first_adapter_that_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sd15: Model, sdxl_model: Model
) -> None:
    source, like = write_clip(tmp_path / "in.mp4", [0, 512]), tmp_path / "like.png"
    other_picture().save(like)
    words = [str(source), str(tmp_path / "out.mp4"), "--model", "embedded", "--like", str(like)]
    assert translate_file(words) == 1
    assert "needed: no adapter" in capsys.readouterr().err
    xl = replace(sdxl_model, entry=replace(sdxl_model.entry, family="sdxl"))
    assert (adapter_for(sd15), adapter_for(xl)) == ("like-sd15", "like-sdxl")
