"""Sessions whose decoder remembers: each its own frames, until the scene is cut; parked, packed and compiled as any."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline import Engine, FrameSettings, Model, ModelError, Session, load_model, with_decoder
from pipeline.calls import workshop
from pipeline.calls.graphs import RecordedCodec
from pipeline.calls.plain_codec import PlainCodec
from pipeline.calls.recordings import CudaRecorder
from pipeline.calls.streams import streams_for
from pipeline.engine.translator import Translator
from pipeline.frames.codec import Frame
from pipeline.frames.recurrent_decoder import remembers
from pipeline.memory import create_memory
from pipeline.models.parts import DECODER_FILE
from pipeline.prompts.encoder import PromptEncoder
from pipeline.recording.recording import FrameSent, Recording, packed, read_recording
from pipeline.recording.replay import main, replayed
from pipeline.recording.replay_files import encoded
from tests.pipeline.calls.test_compiled import Here
from tests.pipeline.calls.test_graphs import Again
from tests.pipeline.engine.test_lanes import Ground, Visitor, alone, assert_alike
from tests.support.weights.decoder_files import save_decoder

SETTINGS = FrameSettings(prompt="(neon)1.4 cat", steadiness=0.0, bank_frames=0.0)
CUT = np.full((40, 48, 3), 250, np.uint8)


@pytest.fixture(scope="module")
def file(tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_decoder(tmp_path_factory.mktemp("decoder"), tiny_model.vae)


@pytest.fixture
def fresh(tiny_folder: Path, file: Path) -> Model:
    """A model that no engine has."""
    return remembering_model(tiny_folder, file)


def remembering_model(folder: Path, file: Path) -> Model:
    return with_decoder(load_model(folder, device="cpu", dtype=torch.float32), file)


@pytest.fixture(scope="module")
def engine(tiny_folder: Path, file: Path) -> Iterator[Engine]:
    with Engine(remembering_model(tiny_folder, file)) as engine:
        yield engine


def painted(session: Session, frames: list[Frame], **changes: Any) -> list[Frame]:
    return [np.asarray(session.translate(frame, SETTINGS.changed(**changes))) for frame in frames]


def same(some: list[Frame], others: list[Frame]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(some, others, strict=True))


def test_a_frame_is_drawn_with_the_one_before(engine: Engine, frames: list[Frame]) -> None:
    first, second = painted(engine.open(), frames[:2])
    alone = [painted(engine.open(), [frame])[0] for frame in frames[:2]]
    assert np.array_equal(first, alone[0]) and not np.array_equal(second, alone[1])


def test_a_cut_a_reset_and_another_prompt_begin_anew(engine: Engine, frames: list[Frame]) -> None:
    session = engine.open()
    painted(session, frames[:2])
    assert same(painted(session, [CUT]), painted(engine.open(), [CUT]))
    session.reset()
    assert same(painted(session, frames[2:3]), painted(engine.open(), frames[2:3]))
    assert same(painted(session, frames[3:4], prompt="oil"), painted(engine.open(), frames[3:4], prompt="oil"))


def test_visitors_together_are_each_as_alone(engine: Engine, frames: list[Frame]) -> None:
    sessions = [engine.open(seed=number) for number in range(3)]
    together: list[list[Frame]] = [[] for _ in sessions]
    for turn in range(4):
        asked = [session.submit(frames[turn + number], SETTINGS) for number, session in enumerate(sessions)]
        for pictures, each in zip(together, asked, strict=True):
            pictures.append(each.result().picture)
    for number, pictures in enumerate(together):
        alone = painted(engine.open(seed=number), frames[number : number + 4])
        assert max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(pictures, alone, strict=True)) <= 1


@pytest.mark.parametrize("apart", ["parked", "packed"])
def test_a_visit_goes_on_as_if_it_had_not_rested(engine: Engine, frames: list[Frame], apart: str) -> None:
    expected = painted(engine.open(), frames[:4])
    session = engine.open()
    assert same(painted(session, frames[:2]), expected[:2])
    if apart == "parked":
        session.park(keep=True)
    else:
        parcel = session.packed()
        session = engine.open()
        session.resume(parcel)
    assert same(painted(session, frames[2:4]), expected[2:])


def test_what_it_remembers_is_counted_and_stays_of_one_size(engine: Engine, frames: list[Frame]) -> None:
    session = engine.open()
    painted(session, frames[:1])
    held = session.nbytes
    drawn = sum(each.nbytes for each in session.state.drawn)
    painted(session, frames[1:5])
    assert 0 < drawn < held == session.nbytes
    assert engine.session_nbytes(SETTINGS) >= held - session.state.seen.nbytes


def test_pipelined_frames_are_those_of_one_after_another(fresh: Model) -> None:
    opened = create_memory("none", fresh.entry.memory_layout, "sdpa")
    translator = Translator(fresh, opened, PromptEncoder(fresh.text_encoders), fresh.schedule)
    visitor = Visitor(0, [SETTINGS.changed(steps=3, pipelined="on")])
    with opened.installed(fresh.unet):
        expected = alone(translator, visitor, 6)
        ground = Ground(translator)
        while visitor.sent < 6:
            ground.send(visitor)
            ground.tick()
        ground.flush()
    assert max(tick.rows for tick in ground.ticks) > 1
    assert_alike(visitor.pictures, expected)


def pictures_of_two(model: Model, codec: PlainCodec) -> list[Frame]:
    """Of visitors of whom the second comes later and goes earlier, on whatever device the model is."""
    opened = create_memory("none", model.entry.memory_layout, "sdpa")
    encoder = PromptEncoder(model.text_encoders)
    translator = Translator(model, opened, encoder, model.schedule, codec=codec, streams=streams_for(model.device))
    visitors = [Visitor(number, [SETTINGS]) for number in range(2)]
    with opened.installed(model.unet):
        ground = Ground(translator)
        for turn in range(10):
            for visitor in visitors if 2 <= turn < 7 else visitors[:1]:
                ground.send(visitor)
            ground.tick()
        ground.flush()
    return [picture for visitor in visitors for picture in visitor.pictures]


def test_its_calls_are_recorded_bit_for_bit(fresh: Model) -> None:
    codec = RecordedCodec(Again(), calls_before=1)
    assert same(pictures_of_two(fresh, codec), pictures_of_two(fresh, PlainCodec()))
    assert codec.recordings == 2


@pytest.mark.gpu
def test_on_a_card_its_recordings_draw_what_it_draws(tiny_folder: Path, file: Path) -> None:
    """To the rounding of kernels that may be chosen differently: at most one value of 255."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    model = with_decoder(load_model(tiny_folder, device="cuda", dtype=torch.float32), file)
    codec = RecordedCodec(CudaRecorder(), calls_before=1)
    pairs = zip(pictures_of_two(model, codec), pictures_of_two(model, PlainCodec()), strict=True)
    assert max(int(np.abs(one.astype(int) - other).max()) for one, other in pairs) <= 1
    assert codec.recordings == 2


@pytest.mark.skipif(not workshop.is_installed(), reason="needs openvino and onnx")
def test_it_is_compiled(
    fresh: Model, frames: list[Frame], engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(workshop.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(workshop, "Compiler", Here)
    with Engine(fresh, compiled="wait") as compiled:
        session = compiled.open()
        translations = [session.submit(frame, SETTINGS).result() for frame in frames[:4]]
    assert {each.runtime for each in translations} == {"OpenVINO"}
    expected = painted(engine.open(), frames[:4])
    assert max(int(np.abs(a.picture.astype(int) - b).max()) for a, b in zip(translations, expected, strict=True)) <= 1


def test_a_recording_names_its_decoder_and_is_drawn_by_it_again(
    engine: Engine, tiny_folder: Path, tiny_model: Model, file: Path, frames: list[Frame], tmp_path: Path
) -> None:
    files = {f"frames/{number}.png": encoded(Image.fromarray(each), "PNG") for number, each in enumerate(frames[:3])}
    sent = tuple(FrameSent(float(number), name) for number, name in enumerate(files))
    recording = Recording(str(tiny_folder), (32, 32), 5, sent, {"steadiness": 0.0}, files, decoder=engine.model.decoder)
    assert read_recording(packed(recording)).decoder == str(file)
    (tmp_path / "visit.rearview").write_bytes(packed(recording))
    assert main([str(tmp_path / "visit.rearview"), str(tmp_path / "out")]) == 0
    again = [np.asarray(Image.open(each)) for each in sorted((tmp_path / "out").glob("*.png"))]
    with Engine(tiny_model) as plain:
        theirs, others = (last_picture(each, recording) for each in (engine, plain))
    # The command paints in the machine's own precision, which is less than float32 where it has bfloat16.
    assert distance(again[-1], theirs) < distance(again[-1], others) / 3


def last_picture(engine: Engine, recording: Recording) -> Frame:
    *_, last = replayed(engine, recording)
    return last.translation.picture


def distance(one: Frame, other: Frame) -> float:
    return float(np.abs(one.astype(float) - other).mean())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("taesdv.pth", "came as a pickle.*scripts.convert_weights"),
        ("nowhere.safetensors", "needed: a .safetensors file, or owner/name"),
    ],
)
def test_what_is_no_decoder_gets_a_sentence(tiny_model: Model, name: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        with_decoder(tiny_model, name)


def test_a_decoder_for_other_latents_is_refused(plain_model: Model, file: Path) -> None:
    with pytest.raises(ModelError, match="does not fit model .*needed: a tiny decoder whose blocks remember"):
        with_decoder(plain_model, file)


@pytest.fixture
def folder_with_decoder(tiny_folder: Path, file: Path, tmp_path: Path) -> Path:
    """A model that comes with a decoder that remembers."""
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    shutil.copy2(file, folder / DECODER_FILE)
    return folder


def test_a_model_may_come_with_a_decoder_that_remembers(
    engine: Engine, folder_with_decoder: Path, frames: list[Frame]
) -> None:
    model = load_model(folder_with_decoder, device="cpu", dtype=torch.float32)
    with Engine(model) as own:
        assert own.decoder_name is None
        assert same(painted(own.open(), frames), painted(engine.open(), frames))


def test_its_plain_decoder_or_another_can_be_had(folder_with_decoder: Path, file: Path, tiny_model: Model) -> None:
    model = load_model(folder_with_decoder, device="cpu", dtype=torch.float32)
    plain = with_decoder(model, "plain")
    assert plain.decoder == "plain"
    assert all(
        torch.equal(one, other)
        for one, other in zip(plain.vae.state_dict().values(), tiny_model.vae.state_dict().values(), strict=True)
    )
    assert with_decoder(model, file).decoder == str(file)
    assert with_decoder(tiny_model, "plain") is tiny_model


def test_one_in_the_models_folder_has_a_name(folder_with_decoder: Path) -> None:
    (folder_with_decoder / DECODER_FILE).rename(folder_with_decoder / "calm.safetensors")
    model = load_model(folder_with_decoder, device="cpu", dtype=torch.float32)
    assert not remembers(model.vae)
    calm = with_decoder(model, "calm")
    assert remembers(calm.vae) and calm.decoder == "calm"
    with pytest.raises(ModelError, match="needed: a .safetensors file"):
        with_decoder(model, "wild")


def test_the_embedded_model_has_one() -> None:
    assert remembers(with_decoder(load_model("embedded", device="cpu"), "steadier").vae)


def test_a_damaged_decoder_of_a_model_is_said(folder_with_decoder: Path) -> None:
    (folder_with_decoder / DECODER_FILE).write_bytes(b"none")
    with pytest.raises(ModelError, match="cannot be loaded.*Check the files"):
        load_model(folder_with_decoder, device="cpu")
