"""How well the bank knows each place: against a loop, in its own layer, for nobody else, at no picture's cost."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient
from torch import Tensor

from demo.live import wire
from demo.live.live import SOCKET_PATH, Live
from pipeline import Engine, FrameSettings, Model
from pipeline.calls.graphs import RecordedUnet
from pipeline.engine.session import Translation
from pipeline.engine.translator import Asked
from pipeline.frames.codec import Frame
from pipeline.memory import MappedMemory, create_memory
from pipeline.memory.bank import LayerTokens
from pipeline.memory.bank_map import familiarity, grid_of
from pipeline.memory.feature_bank import finest
from pipeline.memory.fusion import fuse
from pipeline.models.unet_call import UnetRunner, predicted
from tests.pipeline.calls.test_graphs import Again, translator_of
from tests.pipeline.engine.test_lanes import Ground, Visitor
from tests.support.standin import Post, StandInEngine, frame, greet

LIVELY = FrameSettings(prompt="(neon)1.4 cat", fusion_threshold=0.4, bank_interval=1, bank_frames=1.0, steps=2)


def slow_familiarity(features: Tensor, bank: Tensor) -> list[float]:
    best = []
    for feature in features.double():
        cosines = [float(feature @ past / (feature.norm() * past.norm())) for past in bank.double()]
        best.append(min(1.0, max([0.0, *cosines])))
    return best


@settings(max_examples=40, deadline=None)
@given(tokens=st.integers(1, 9), held=st.integers(0, 9), width=st.integers(1, 6), seed=st.integers(0, 9999))
def test_familiarity_is_the_loop(tokens: int, held: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    features, bank = (torch.randn(count, width, generator=generator) for count in (tokens, held))
    found = familiarity(features, bank)
    assert found.dtype == torch.float32 and found.shape == (tokens,)
    assert found.tolist() == pytest.approx(slow_familiarity(features, bank), abs=1e-5)


def test_what_passes_the_threshold_is_what_is_fused() -> None:
    generator = torch.Generator().manual_seed(3)
    features, bank = torch.randn(20, 4, generator=generator), torch.randn(6, 4, generator=generator)
    changed = (fuse(features[None], bank[None], 0.5, 0.7)[0] != features).any(dim=1)
    assert 0 < changed.sum() < 20
    assert torch.equal(familiarity(features, bank) >= 0.7, changed)


@pytest.mark.parametrize(
    ("tokens", "size", "grid"),
    [(24, (4, 6), (4, 6)), (6, (4, 6), (2, 3)), (2, (4, 6), (1, 2)), (15, (5, 9), (3, 5)), (1, (1, 1), (1, 1))],
)
def test_tokens_lie_in_the_grid_of_their_layer(tokens: int, size: tuple[int, int], grid: tuple[int, int]) -> None:
    assert grid_of(tokens, size) == grid


def test_tokens_of_no_layer_are_refused() -> None:
    with pytest.raises(ValueError, match="7 tokens came for latents of 4 x 6"):
        grid_of(7, (4, 6))


def layer(tokens: int, fuses: bool) -> LayerTokens:
    held = torch.zeros(1, tokens, 2)
    return LayerTokens(tokens, keys=held, outputs=held if fuses else None)


def test_the_finest_layer_that_fuses_is_looked_at() -> None:
    present = {"down": layer(64, False), "mid": layer(4, True), "up": layer(16, True), "last": layer(16, True)}
    assert finest(present) == "last"
    assert finest({name: layer(tokens.frame_tokens, False) for name, tokens in present.items()}) == "down"


def test_a_picture_is_the_same_whether_its_map_is_asked_or_not(engine: Engine, frames: list[Frame]) -> None:
    plain, mapped = engine.open(), engine.open()
    maps = []
    for number, each in enumerate(frames[:6]):
        one = plain.submit(each, LIVELY).result(60)
        other = mapped.submit(each, LIVELY, with_map=number != 3).result(60)
        assert one.bank_map is None
        assert np.array_equal(one.picture, other.picture)
        maps.append(other.bank_map)
    assert maps[3] is None
    assert maps[0] is not None and not maps[0].any()
    for known in (*maps[1:3], *maps[4:]):
        assert known is not None and known.dtype == np.float32 and known.shape == (4, 4)
        assert 0 <= known.min() < known.max() <= 1
    assert plain.nbytes == mapped.nbytes


def test_the_map_is_of_the_visitor_s_own_bank_and_a_reset_empties_it(engine: Engine, frames: list[Frame]) -> None:
    anna, bert = engine.open(), engine.open()
    anna.translate(frames[0], LIVELY)
    same = anna.submit(frames[0], LIVELY, with_map=True).result(60).bank_map
    strange = bert.submit(frames[0], LIVELY, with_map=True).result(60).bank_map
    assert same is not None and strange is not None
    assert same.max() > 0.99 and not strange.any()
    anna.reset()
    forgotten = anna.submit(frames[0], LIVELY, with_map=True).result(60).bank_map
    assert forgotten is not None and not forgotten.any()


def test_another_prompt_is_unknown_to_the_bank(engine: Engine, frames: list[Frame]) -> None:
    session = engine.open()
    session.translate(frames[0], LIVELY)
    known = session.submit(frames[0], LIVELY.changed(prompt="oil"), with_map=True).result(60).bank_map
    assert known is not None and not known.any()


def test_a_memory_without_a_map_says_so(tiny_model: Model, frames: list[Frame]) -> None:
    with Engine(tiny_model, memory="none") as engine:
        session = engine.open()
        assert not session.has_map
        assert session.submit(frames[0], LIVELY, with_map=True).result(60).bank_map is None
    assert isinstance(create_memory("feature-bank", tiny_model.entry.memory_layout, "sdpa"), MappedMemory)


class Looking(Visitor):
    """A visitor who wants every map."""

    def asked(self, number: int) -> Asked:
        return replace(super().asked(number), with_map=True)


def maps_of_a_stream(model: Model, runner: UnetRunner) -> list[np.ndarray]:
    translator, visitor = translator_of(model, runner), Looking(0, [LIVELY])
    with translator.memory.installed(model.unet):
        ground = Ground(translator)
        for _ in range(8):
            ground.send(visitor)
            ground.flush()
    return [each.bank_map for each in visitor.outcomes if isinstance(each, Translation) and each.bank_map is not None]


def test_maps_of_replayed_calls_are_those_of_calls_made_anew(tiny_model: Model) -> None:
    recorder = Again()
    made, replayed = maps_of_a_stream(tiny_model, predicted), maps_of_a_stream(tiny_model, RecordedUnet(recorder, 1))
    assert recorder.replays > 4
    assert len(made) == 8 and made[-1].any()
    assert all(np.array_equal(one, other) for one, other in zip(made, replayed, strict=True))


@pytest.fixture
def standin() -> StandInEngine:
    return StandInEngine()


@pytest.fixture
def live(standin: StandInEngine) -> Iterator[Live]:
    served = Live(standin)  # type: ignore[arg-type]
    yield served
    served.close()


@pytest.fixture
def client(live: Live) -> Iterator[TestClient]:
    app = Starlette(routes=live.routes())
    with TestClient(app) as connected:
        yield connected


EMPTY = {"type": "map", "exists": True}
EXPECTED = {"width": 3, "height": 2, "threshold": 0.9, "share": 0.5}


def test_who_asks_gets_the_map_of_the_frame_after(client: TestClient, live: Live, standin: StandInEngine) -> None:
    with client.websocket_connect(SOCKET_PATH) as socket:
        greet(socket, live)
        for number in range(2):
            socket.send_bytes(frame(number))
            socket.receive_bytes()
        socket.send_json({"type": "map"})
        assert socket.receive_json() == EMPTY
        for number in range(2, 4):
            socket.send_bytes(frame(number))
            socket.receive_bytes()
        socket.send_json({"type": "map"})
        told = socket.receive_json()
        assert standin.sessions[0].maps == [False, False, True, False]
        socket.send_json({"type": "reset"})
        socket.send_json({"type": "map"})
        assert [socket.receive_json() for _ in range(2)] == [{"type": "reset", "resets": 1}, EMPTY]
    assert EMPTY.items() | EXPECTED.items() <= told.items()
    assert list(base64.b64decode(told["cosines"])) == [255, 230, 128, 51, 242, 0]


def test_the_same_over_post(client: TestClient, live: Live, standin: StandInEngine) -> None:
    post = Post(client, live.mint("anna"))
    post.say(type="hello")
    assert post.say(type="map").json() == [EMPTY]
    post.send(frame(1))
    assert post.say(type="map").json()[0].items() >= EXPECTED.items()


def test_a_memory_without_a_map_is_told_to_the_page() -> None:
    assert wire.map_reply(False, None) == {"type": "map", "exists": False}
