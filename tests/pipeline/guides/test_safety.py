"""The safety checker: Stable Diffusion's own verdicts, a blur that hides, and frames that go on after a flagged one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import app
from demo.live import wire
from demo.space.spacefile import SAFETY_VARIABLE
from pipeline import Engine, FrameError, FrameSettings, Model, ModelError
from pipeline.engine.translator import Translator
from pipeline.frames.codec import Frame, as_pixels
from pipeline.guides.safety import (
    FLAGGED,
    FOLDERS,
    HUB_CHECKER,
    PARTS,
    Concepts,
    SafetyChecker,
    blurred,
    is_flagged,
    load_safety_checker,
    load_safety_checker_to_lend,
    prepared,
)
from pipeline.memory import create_memory
from pipeline.models.catalogue import CATALOGUE
from pipeline.models.hub import Hub
from pipeline.models.schedule import Schedule
from pipeline.prompts.encoder import PromptEncoder
from pipeline.video.translate import translate_video
from tests.pipeline.engine.test_lanes import Ground, Visitor
from tests.support.clips import write_clip
from tests.support.weights.hub_layout import FakeHub, serving

CPU = torch.device("cpu")
SIDE = 28
PLAIN = FrameSettings(bank_frames=0.0)
NEVER = 2.0


def clip_config() -> CLIPConfig:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    # Large weights, so that pictures differ in their embeddings as they do in a trained model's.
    vision = {**sizes, "image_size": SIDE, "patch_size": 14, "initializer_factor": 10.0}
    return CLIPConfig(text_config={**sizes, "vocab_size": 20}, vision_config=vision, projection_dim=8)


def picture(number: int) -> Frame:
    return np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)


def pixels(*numbers: int) -> torch.Tensor:
    return torch.cat([as_pixels(picture(number), CPU, torch.float32) for number in numbers])


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hub's layout and its names of weights; the one concept that can be seen looks like picture 0."""
    folder = tmp_path_factory.mktemp("checker")
    torch.manual_seed(0)
    model = StableDiffusionSafetyChecker(clip_config()).eval()
    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    processor.save_pretrained(folder)
    seen = prepared(pixels(0, 1, 2), SIDE, processor.image_mean, processor.image_std)
    with torch.no_grad():
        embeddings = torch.nn.functional.normalize(model.visual_projection(model.vision_model(seen)[1]))
        model.concept_embeds[0] = embeddings[0]
        model.concept_embeds_weights.fill_(NEVER)
        model.special_care_embeds_weights.fill_(NEVER)
        model.concept_embeds_weights[0] = (1 + (embeddings[1:] @ embeddings[0]).max()) / 2
    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    encoder = "vision_model."
    plain = {name.replace(encoder + encoder, encoder): weight for name, weight in weights.items()}
    hub = {name.replace(encoder, encoder + encoder): weight.clone() for name, weight in plain.items()}
    hub["vision_model.vision_model.embeddings.position_ids"] = torch.arange((SIDE // 14) ** 2 + 1)[None]
    save_file(hub, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def checker(hub_folder: Path) -> SafetyChecker:
    return load_safety_checker(str(hub_folder), CPU)


def test_a_picture_is_flagged_and_another_is_not(checker: SafetyChecker) -> None:
    assert checker.flags(pixels(0, 1, 2)).tolist() == [True, False, False]
    assert checker.flags(pixels(1)).tolist() == [False] and checker.flags(pixels(0)).tolist() == [True]


def test_a_lent_checker_is_the_same(hub_folder: Path) -> None:
    lent = load_safety_checker_to_lend(str(hub_folder), device="cpu")
    assert lent.model.dtype == torch.float32 and lent.flags(pixels(0, 1)).tolist() == [True, False]


def test_half_precision_gives_the_same_verdicts(hub_folder: Path) -> None:
    half = load_safety_checker(str(hub_folder), CPU, dtype=torch.bfloat16)
    assert half.model.dtype == torch.bfloat16 and half.flags(pixels(0, 1)).tolist() == [True, False]


def test_verdicts_are_those_of_the_checkers_own_program() -> None:
    draws = torch.Generator().manual_seed(1)
    pictures, concepts, special = (torch.randn(count, 8, generator=draws) for count in (200, 17, 3))
    # Thresholds that about half of the pictures pass somewhere, some of them by the care alone.
    thresholds, cares = 0.6 + 0.1 * torch.rand(17, generator=draws), 0.3 * torch.rand(3, generator=draws)
    own = SimpleNamespace(
        vision_model=lambda each: (None, each),
        visual_projection=lambda each: each,
        concept_embeds=concepts,
        special_care_embeds=special,
        concept_embeds_weights=thresholds,
        special_care_embeds_weights=cares,
    )
    unpainted = [np.zeros(1) for _ in pictures]
    _, expected = StableDiffusionSafetyChecker.forward(own, pictures, unpainted)
    found = is_flagged(pictures, Concepts(concepts, thresholds), Concepts(special, cares)).tolist()
    careless = is_flagged(pictures, Concepts(concepts, thresholds), Concepts(special, cares + NEVER)).tolist()
    assert found == expected and any(expected) and not all(expected) and found != careless


@pytest.mark.parametrize("size", [(512, 512), (96, 60), (31, 64), (20, 20)])
def test_pictures_are_prepared_as_by_the_processor(size: tuple[int, int]) -> None:
    small = np.random.default_rng(3).integers(0, 256, (8, 8, 3), np.uint8)
    image = np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))
    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    expected = torch.from_numpy(np.stack(processor(image)["pixel_values"]))
    found = prepared(as_pixels(image, CPU, torch.float32), SIDE, processor.image_mean, processor.image_std)
    assert found.shape == expected.shape
    assert ((found - expected).abs() * torch.tensor(processor.image_std)[:, None, None]).max() <= 2 / 255


@pytest.mark.parametrize("size", [(256, 256), (40, 64), (64, 24), (3, 5)])
def test_a_blur_leaves_nothing_to_recognise(size: tuple[int, int]) -> None:
    height, width = size
    letters = np.random.default_rng(0).integers(0, 2, (*size, 1)).astype(np.uint8) * np.full(3, 255, np.uint8)
    hidden = blurred(letters)
    assert hidden.shape == letters.shape and hidden.dtype == np.uint8
    if min(size) >= 24:
        steps = np.abs(np.diff(hidden.astype(int), axis=1))
        assert steps.max() < 255 * 12 / width and hidden.std() < letters.std() / 2


@dataclass
class Picky:
    """A checker that flags the frames of these numbers, in the order in which it sees them, and keeps how many came
    at once."""

    numbers: set[int] = field(default_factory=set)
    batches: list[int] = field(default_factory=list)

    def flags(self, pixels: torch.Tensor) -> torch.Tensor:
        first = sum(self.batches)
        self.batches.append(len(pixels))
        return torch.tensor([first + index in self.numbers for index in range(len(pixels))])


@pytest.fixture
def picky(tiny_model: Model) -> Iterator[tuple[Engine, Picky]]:
    stand_in: Any = Picky()
    with Engine(tiny_model, safety=stand_in) as engine:
        yield engine, stand_in


def test_a_flagged_frame_is_blurred_and_said_and_the_next_holds_on_to_nothing(
    picky: tuple[Engine, Picky], frames: list[Frame]
) -> None:
    engine, stand_in = picky
    plain = [engine.open().submit(frame, PLAIN).result(30) for frame in frames[:3]]
    assert not any(each.flagged or each.notice for each in plain)
    stand_in.numbers = {4}
    session = engine.open()
    first, hidden, after = (session.submit(frame, PLAIN).result(30) for frame in frames[:3])
    assert (first.flagged, hidden.flagged, after.flagged) == (False, True, False)
    assert (first.notice, hidden.notice, after.notice) == ("", FLAGGED, "")
    assert np.array_equal(hidden.picture, blurred(plain[1].picture))
    # As the first picture of a session: without a bank, nothing else of the past shows.
    assert np.array_equal(after.picture, plain[2].picture)
    assert (session.flagged, session.frames) == (1, 3)


def test_a_checker_that_flags_nothing_changes_nothing(picky: tuple[Engine, Picky], frames: list[Frame]) -> None:
    engine, _ = picky
    session = engine.open()
    watched = [np.asarray(session.translate(frame)) for frame in frames[:3]]
    engine.close()
    with Engine(engine.model) as unwatched:
        session = unwatched.open()
        assert all(
            np.array_equal(np.asarray(session.translate(frame)), each)
            for frame, each in zip(frames, watched, strict=False)
        )


def test_a_checker_that_fails_shows_nothing(
    picky: tuple[Engine, Picky], frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, stand_in = picky
    session = engine.open()
    with monkeypatch.context() as patch, pytest.raises(FrameError, match="blind"):
        patch.setattr(stand_in, "flags", lambda _: (_ for _ in ()).throw(FrameError("the checker is blind")))
        session.translate(frames[0], PLAIN)
    session.translate(frames[0], PLAIN)
    assert session.frames == 1


@pytest.mark.parametrize("pipelined", ["off", "on"])
def test_frames_that_finish_together_are_looked_over_together(tiny_model: Model, pipelined: str) -> None:
    memory = create_memory("none", tiny_model.entry.memory_layout, "sdpa")
    stand_in: Any = Picky({1, 2})
    with memory.installed(tiny_model.unet):
        schedule, encoder = Schedule.of(tiny_model.scheduler), PromptEncoder(tiny_model.text_encoders)
        ground = Ground(Translator(tiny_model, memory, encoder, schedule, safety=stand_in))
        visitors = [Visitor(seed, [PLAIN.changed(steps=2, pipelined=pipelined)]) for seed in range(2)]
        for _ in range(3):
            assert all(ground.send(each) for each in visitors)
            ground.tick()
            ground.tick()
    assert stand_in.batches == [2, 2, 2]
    assert [[each.flagged for each in visitor.outcomes] for visitor in visitors] == [
        [False, True, False],
        [True, False, False],
    ]


def test_a_real_checker_looks_over_what_an_engine_paints(
    tiny_model: Model, checker: SafetyChecker, frames: list[Frame]
) -> None:
    strict = replace(checker, model=SimpleNamespace(**{name: getattr(checker.model, name) for name in PARTS_OF_MODEL}))
    strict.model.concept_embeds_weights = torch.full((17,), -NEVER)
    for each, expected in ((checker, [False]), (strict, [True])):
        with Engine(tiny_model, safety=each) as engine:
            assert [engine.open().submit(frames[0]).result(30).flagged] == expected


PARTS_OF_MODEL = (
    "config", "vision_model", "visual_projection", "concept_embeds", "special_care_embeds",
    "concept_embeds_weights", "special_care_embeds_weights",
)  # fmt: skip


def test_a_video_says_how_many_frames_are_blurred(picky: tuple[Engine, Picky], tmp_path: Path) -> None:
    engine, stand_in = picky
    stand_in.numbers = {2, 3}
    report = translate_video(engine.open(), write_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4", PLAIN)
    assert report.notes == ("2 frames are blurred: the safety checker flagged what was painted.",)


def test_the_wire_says_that_a_picture_is_blurred() -> None:
    frame = wire.Frame(7, 1.0, b"")
    facts: dict[str, Any] = {"revision": 0, "seconds": 0.1, "bank_fill": 0.0, "count": 1, "resets": 0}
    kinds = [wire.pack_picture(frame, b"", kind=kind, **facts)[1] for kind in (wire.KIND_PICTURE, wire.KIND_BLURRED)]
    assert kinds == [wire.KIND_PICTURE, wire.KIND_BLURRED]
    assert wire.PICTURE_HEADER.unpack_from(wire.pack_picture(frame, b"", kind=wire.KIND_BLURRED, **facts))[3] == 7


@pytest.mark.parametrize("missing", [["config.json"], ["preprocessor_config.json"], ["model.safetensors"], list(PARTS)])
def test_a_folder_that_lacks_parts_is_a_sentence(hub_folder: Path, tmp_path: Path, missing: Sequence[str]) -> None:
    copied(hub_folder, tmp_path, *missing)
    with pytest.raises(ModelError, match=f"came without {' and '.join(missing)}; needed: config.json"):
        load_safety_checker(str(tmp_path), CPU)


def copied(source: Path, target: Path, *left_out: str) -> None:
    for part in set(PARTS) - set(left_out):
        (target / part).write_bytes((source / part).read_bytes())


def test_a_pickle_is_refused(hub_folder: Path, tmp_path: Path) -> None:
    copied(hub_folder, tmp_path, "model.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"a program")
    with pytest.raises(ModelError, match="only as pytorch_model.bin, a pickle.*needed"):
        load_safety_checker(str(tmp_path), CPU)


def test_files_that_cannot_be_used_are_a_sentence(hub_folder: Path, tmp_path: Path) -> None:
    copied(hub_folder, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["concept_embeds"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="lack concept_embeds.*needed"):
        load_safety_checker(str(tmp_path), CPU)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 16)
    with pytest.raises(ModelError, match="cannot be loaded.*needed"):
        load_safety_checker(str(tmp_path), CPU)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5, 0.5, 0.5]}))
    with pytest.raises(ModelError, match="image_std.*needed"):
        load_safety_checker(str(tmp_path), CPU)


@pytest.mark.parametrize("name", ["nobody/no-such-checker", "/no/such/folder", "no name"])
def test_what_is_nowhere_is_a_sentence(name: str) -> None:
    with pytest.raises(ModelError, match="needed"):
        load_safety_checker(name, CPU, hub=Hub(offline=True))


def whole_model(checker: Path, folder: Path) -> Path:
    """A whole model's folder as far as the checker goes: it lies in two folders, in half precision and in full."""
    network, pictures = (folder / each for each in FOLDERS)
    for each in (network, pictures, folder / "unet"):
        each.mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"not asked for")
    (network / "config.json").write_bytes((checker / "config.json").read_bytes())
    (network / "model.safetensors").write_bytes(b"not asked for")
    (network / "pytorch_model.bin").write_bytes(b"a program")
    (pictures / "preprocessor_config.json").write_bytes((checker / "preprocessor_config.json").read_bytes())
    weights = {name: each.half() for name, each in load_file(checker / "model.safetensors").items()}
    save_file(weights, network / "model.fp16.safetensors", metadata={"format": "pt"})
    return folder


def test_the_hubs_own_checker_is_two_folders_of_a_whole_model_and_fetched_once(
    hub_folder: Path, tmp_path: Path
) -> None:
    assert (CATALOGUE["sd15-lcm"].source, FOLDERS) == (HUB_CHECKER, ("safety_checker", "feature_extractor"))
    with serving(FakeHub({HUB_CHECKER: whole_model(hub_folder, tmp_path / "model")})) as served:
        hub = Hub(endpoint=served.url, cache=tmp_path / "cache")
        assert load_safety_checker(HUB_CHECKER, CPU, hub=hub).flags(pixels(0, 1)).tolist() == [True, False]
        fetched = {path.partition("/resolve/")[2].partition("/")[2] for path in served.asked if "/resolve/" in path}
    assert fetched == {
        "model_index.json",
        "safety_checker/config.json",
        "safety_checker/model.fp16.safetensors",
        "feature_extractor/preprocessor_config.json",
    }
    # The hub is gone.
    assert load_safety_checker(HUB_CHECKER, CPU, hub=hub).flags(pixels(0)).tolist() == [True]


def test_a_folder_of_a_whole_model_and_a_repository_of_a_checker_alone_are_checkers_as_well(
    hub_folder: Path, tmp_path: Path
) -> None:
    folder = whole_model(hub_folder, tmp_path / "model")
    assert load_safety_checker(str(folder), CPU).flags(pixels(0)).tolist() == [True]
    with serving(FakeHub({"anna/checker": hub_folder})) as served:
        hub = Hub(endpoint=served.url, cache=tmp_path / "cache")
        assert load_safety_checker("anna/checker", CPU, hub=hub).flags(pixels(0)).tolist() == [True]
    (folder / "feature_extractor" / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="came without preprocessor_config.json"):
        load_safety_checker(str(folder), CPU)


def test_the_flag_is_off_by_default_and_also_a_variable(monkeypatch: pytest.MonkeyPatch, hub_folder: Path) -> None:
    monkeypatch.delenv(SAFETY_VARIABLE, raising=False)
    assert app.parse([]).safety == "off" and app.parse(["--safety", "on"]).safety == "on"
    monkeypatch.setenv(SAFETY_VARIABLE, str(hub_folder))
    loaded = app.safety_checker(app.parse([]).safety, CPU, Hub())
    assert loaded is not None and loaded.flags(pixels(0)).tolist() == [True]
    assert app.safety_checker("off", CPU, Hub()) is None


def test_on_means_the_hubs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.guides.safety.load_safety_checker", lambda name, device, hub: name)
    assert app.safety_checker("on", CPU, Hub()) == HUB_CHECKER
