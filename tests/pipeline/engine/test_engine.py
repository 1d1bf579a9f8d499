"""The engine and its sessions, end to end, on a tiny model with the embedded model's layout."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline import (
    Engine,
    FrameError,
    FrameSettings,
    MemoryNameError,
    Model,
    ModelError,
    PictureError,
    PromptError,
    Session,
    SessionClosedError,
    SettingsError,
    load_model,
)
from pipeline.engine.lanes import Tick
from pipeline.engine.stream import noise_for
from pipeline.frames.codec import Frame
from pipeline.settings import RANGES
from tests.conftest import TINY_SIZE

LIVELY = FrameSettings(prompt="(neon)1.4 cat", fusion_threshold=0.0, bank_interval=1, bank_frames=1.0)


def played(session: Session, frames: list[Frame], settings: FrameSettings) -> list[Frame]:
    return [np.asarray(session.translate(frame, settings)) for frame in frames]


def same(some: list[Frame], others: list[Frame]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


def counted_bytes(value: Any) -> int:
    """Bytes of every array in a session's state, found without the engine's help."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return value.nbytes
    if isinstance(value, dict):
        return sum(map(counted_bytes, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(counted_bytes, value))
    return counted_bytes(vars(value)) if hasattr(value, "__dict__") else 0


class Gate:
    """Holds the engine's thread inside a UNet call until it is opened."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()
        forward = engine.model.unet.forward

        def held(*args: Any, **kwargs: Any) -> Any:
            self.entered.set()
            assert self.opened.wait(30)
            return forward(*args, **kwargs)

        monkeypatch.setattr(engine.model.unet, "forward", held)


@pytest.fixture
def failing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Any]:
    """Runs a call while the decoder fails: after the memory was read, before anything is committed."""

    def run(call: Callable[[], Any]) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(engine.model.vae, "decode", lambda *_: (_ for _ in ()).throw(RuntimeError("out of paint")))
            return call()

    return run


@pytest.mark.parametrize("steps, guidance", [(1, 1.0), (3, 2.5)])
def test_visitors_in_turn_get_what_each_would_get_alone(
    engine: Engine, frames: list[Frame], steps: int, guidance: float
) -> None:
    settings = [LIVELY.changed(steps=steps, guidance=guidance, prompt=prompt) for prompt in ("cat", "(boat)1.3")]
    streams = [frames[:6], frames[6:]]
    alone = [played(engine.open(seed), *each) for seed, each in enumerate(zip(streams, settings, strict=True))]
    visitors = [engine.open(seed) for seed in range(2)]
    turns: list[list[Frame]] = [[], []]
    for pair in zip(*streams, strict=True):
        for index, frame in enumerate(pair):
            turns[index] += played(visitors[index], [frame], settings[index])
    assert same(alone[0], turns[0]) and same(alone[1], turns[1])
    assert not same(alone[0], alone[1])


def test_visitors_at_once_get_what_each_would_get_alone(engine: Engine, frames: list[Frame]) -> None:
    """To the rounding of a batched product: at most one value of 255."""
    ticks: list[Tick] = []
    engine.watch(ticks.append)
    alone = [played(engine.open(seed), frames, LIVELY) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: played(engine.open(seed), frames, LIVELY), range(4)))
    assert np.abs(np.array(alone).astype(int) - np.array(together)).max() <= 1
    assert max(tick.sessions for tick in ticks) > 1


@pytest.mark.parametrize("asked, most", [(None, 4), (2, 2)])
def test_a_call_on_a_cpu_has_as_many_rows_as_pay_or_as_it_was_told(
    tiny_model: Model, frames: list[Frame], asked: int | None, most: int
) -> None:
    ticks, waiting, all_here = list[Tick](), threading.Event(), threading.Event()

    def wait(_: Model) -> None:
        waiting.set()
        all_here.wait()

    with Engine(tiny_model, maximum_rows=asked) as engine:
        engine.watch(ticks.append)
        engine.change("waiting", wait)
        # Before it waits, the engine may have taken some of the frames already.
        waiting.wait()
        futures = [engine.open().submit(frame, LIVELY) for frame in frames[:6]]
        all_here.set()
        assert all(each.result() is not None for each in futures)
    assert max(tick.rows for tick in ticks) == most


def test_a_new_session_with_the_same_seed_gives_the_same_pictures(engine: Engine, frames: list[Frame]) -> None:
    first, second, other = (played(engine.open(seed), frames, LIVELY) for seed in (3, 3, 4))
    assert same(first, second) and not same(first, other)


def test_noise_is_fixed_by_seed_and_step() -> None:
    shape = (1, 4, 2, 2)
    assert torch.equal(noise_for(1, 0, shape), noise_for(1, 0, shape))
    assert not torch.equal(noise_for(1, 0, shape), noise_for(1, 1, shape))
    assert not torch.equal(noise_for(1, 0, shape), noise_for(2, 0, shape))


def test_the_memory_changes_the_picture_and_bank_zero_is_none(tiny_model: Model, frames: list[Frame]) -> None:
    pictures = {}
    for memory, bank_frames in (("feature-bank", 1.0), ("feature-bank", 0.0), ("none", 1.0)):
        with Engine(tiny_model, memory) as engine:
            pictures[memory, bank_frames] = played(engine.open(), frames, LIVELY.changed(bank_frames=bank_frames))
    assert same(pictures["feature-bank", 0.0], pictures["none", 1.0])
    assert not same(pictures["feature-bank", 1.0], pictures["none", 1.0])


def test_the_first_frame_has_no_past(tiny_model: Model, frames: list[Frame]) -> None:
    firsts = []
    for memory in ("feature-bank", "none"):
        with Engine(tiny_model, memory) as engine:
            firsts.append(played(engine.open(), frames[:1], LIVELY))
    assert same(*firsts)


def test_a_failed_frame_changes_nothing(engine: Engine, frames: list[Frame], failing: Callable[..., Any]) -> None:
    untouched, session = engine.open(), engine.open()
    expected = played(untouched, frames[:6], LIVELY)
    pictures = played(session, frames[:3], LIVELY)
    before, nbytes = session.state, session.nbytes
    with pytest.raises(RuntimeError, match="out of paint"):
        failing(lambda: session.translate(frames[7], LIVELY))
    with pytest.raises(PromptError, match="needed"):
        session.translate(frames[8], LIVELY.changed(prompt="(cat"))
    with pytest.raises(PictureError, match="needed"):
        session.translate(b"no picture", LIVELY)
    assert session.state is before and session.nbytes == nbytes and session.frames == 3
    pictures += played(session, frames[3:6], LIVELY)
    assert same(pictures, expected)


def test_a_failed_bank_update_fails_the_frame(
    engine: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = engine.open()
    played(session, frames[:2], LIVELY)
    before = session.state
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="full"):
        patch.setattr(engine.memory, "updated", lambda *_: (_ for _ in ()).throw(RuntimeError("full")))
        session.translate(frames[2], LIVELY)
    assert session.state is before


def test_numbers_that_are_none_are_a_sentence(
    engine: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = engine.open()
    played(session, frames[:2], LIVELY)
    before = session.state
    decode = engine.model.vae.decode
    with monkeypatch.context() as patch, pytest.raises(FrameError, match="NaN.*needed"):
        patch.setattr(engine.model.vae, "decode", lambda latents: decode(latents * float("nan")))
        session.translate(frames[2], LIVELY)
    assert session.state is before
    played(session, frames[2:3], LIVELY)


def test_after_a_reset_a_session_is_as_new(engine: Engine, frames: list[Frame]) -> None:
    session = engine.open()
    first = played(session, frames, LIVELY)
    assert not same(first, played(session, frames, LIVELY))
    session.reset()
    assert session.nbytes == 0 and session.bank_fill == 0
    assert same(first, played(session, frames, LIVELY))
    assert session.frames == 3 * len(frames)


def test_a_reset_during_a_frame_holds(engine: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch) -> None:
    session = engine.open()
    expected = played(engine.open(), frames[:1], LIVELY)
    played(session, frames[5:7], LIVELY)
    gate = Gate(engine, monkeypatch)
    under_way = session.submit(frames[7], LIVELY)
    assert gate.entered.wait(30) and engine.busy
    session.reset()
    gate.opened.set()
    under_way.result(30)
    assert session.nbytes == 0
    assert same(played(session, frames[:1], LIVELY), expected)


@pytest.mark.parametrize("bank_frames", [0.0, 0.25, 1.0, 4.0])
def test_bytes_are_known_and_constant_once_the_bank_is_full(
    engine: Engine, frames: list[Frame], bank_frames: float
) -> None:
    session = engine.open()
    settings = LIVELY.changed(bank_frames=bank_frames, steps=2, guidance=2.0)
    nbytes, fills = [], []
    for frame in frames:
        session.translate(frame, settings)
        assert session.nbytes == counted_bytes(session.state)
        nbytes.append(session.nbytes)
        fills.append(session.bank_fill)
    full_after = max(1, int(bank_frames))
    assert len(set(nbytes[full_after:])) == 1
    assert fills == sorted(fills) and fills[-1] == (1.0 if bank_frames else 0.0)
    if bank_frames == 4.0:
        assert fills[:4] == [0.25, 0.5, 0.75, 1.0] and nbytes[0] < nbytes[3]


def test_steps_and_guidance_change_live_and_leave_nothing_behind(engine: Engine, frames: list[Frame]) -> None:
    session = engine.open()
    for steps, guidance in ((1, 1.0), (4, 1.0), (4, 3.0), (1, 1.0)):
        session.translate(frames[0], LIVELY.changed(steps=steps, guidance=guidance))
        branches = 2 if guidance > 1 else 1
        assert set(session.state.rows) == {(step, branch) for step in range(steps) for branch in range(branches)}
        assert len(session.state.noise) == steps
    short, long = engine.open(), engine.open()
    assert not same(
        played(short, frames[:1], LIVELY.changed(steps=1)), played(long, frames[:1], LIVELY.changed(steps=4))
    )


@pytest.mark.parametrize("one_noise", [False, True])
def test_all_steps_begin_with_one_noise_where_the_model_asks_for_it(
    tiny_model: Model, frames: list[Frame], one_noise: bool
) -> None:
    with Engine(replace(tiny_model, entry=replace(tiny_model.entry, one_noise=one_noise))) as engine:
        session = engine.open()
        session.translate(frames[0], LIVELY.changed(steps=2))
        first, second = session.state.noise.values()
    assert torch.equal(first, second) is one_noise


def test_every_setting_at_its_ends_gives_a_picture(engine: Engine, frames: list[Frame]) -> None:
    session = engine.open()
    for name, declared in RANGES.items():
        for value in (declared.minimum, declared.maximum):
            settings = LIVELY.changed(**{name: int(value) if declared.integer else float(value)})
            assert session.translate(frames[0], settings).size == (TINY_SIZE, TINY_SIZE)
    for extreme in ("minimum", "maximum"):
        ends = {name: getattr(each, extreme) for name, each in RANGES.items()}
        session.translate(frames[0], FrameSettings(**ends))
        session.translate(frames[1], FrameSettings(**ends))


@pytest.mark.parametrize(
    "change", [{"prompt": "boat"}, {"strength": 0.3}, {"seed": 99}, {"fusion_strength": 0.0}, {"fit": "pad"},
               {"guidance": 3.0}, {"fusion_threshold": 1.0}, {"bank_frames": 0.25}],
)  # fmt: skip
def test_a_setting_acts_on_the_very_next_frame(engine: Engine, frames: list[Frame], change: dict[str, Any]) -> None:
    settings = LIVELY.changed(steps=2)
    plain, changed = engine.open(), engine.open()
    assert same(played(plain, frames[:3], settings), played(changed, frames[:3], settings))
    assert not same(played(plain, frames[3:4], settings), played(changed, frames[3:4], settings.changed(**change)))


def test_a_negative_prompt_acts_with_guidance_alone(engine: Engine, frames: list[Frame]) -> None:
    def first(**changes: Any) -> list[Frame]:
        return played(engine.open(), frames[:1], LIVELY.changed(**changes))

    assert same(first(), first(negative_prompt="(ugly)2.0"))
    assert not same(first(guidance=3.0), first(guidance=3.0, negative_prompt="(ugly)2.0"))


def test_prompts_of_different_length_share_a_call(engine: Engine, frames: list[Frame]) -> None:
    settings = LIVELY.changed(prompt='("cat", "boat").and()', negative_prompt="ugly", guidance=2.0)
    assert len(played(engine.open(), frames[:2], settings)) == 2


def test_a_new_prompt_leaves_nothing_of_the_old_style(engine: Engine, frames: list[Frame]) -> None:
    session = engine.open()
    played(session, frames[:2], LIVELY)
    asked = LIVELY.changed(prompt="boat")
    assert same(played(session, frames[2:3], asked), played(engine.open(), frames[2:3], asked))
    assert session.state.seen.frames == 3


@pytest.mark.parametrize("change", [{"strength": 0.5}, {"seed": 99}, {"fusion_strength": 0.2}])
def test_another_setting_keeps_the_features_and_paints_the_picture_anew(
    engine: Engine, frames: list[Frame], change: dict[str, Any]
) -> None:
    changed = LIVELY.changed(**change)
    pictures = []
    for steadiness in (LIVELY.steadiness, 0.0):
        session = engine.open()
        played(session, frames[:2], LIVELY)
        pictures.append(played(session, frames[2:3], changed.changed(steadiness=steadiness)))
    assert same(*pictures)
    assert not same(pictures[0], played(engine.open(), frames[2:3], changed))


def test_a_still_picture_comes_to_rest(engine: Engine, frames: list[Frame]) -> None:
    settings = LIVELY.changed(bank_interval=4)
    session = engine.open()
    pictures = played(session, frames[:1] * 20, settings)
    assert max(np.abs(one.astype(int) - other).max() for one, other in pairwise(pictures[8:])) <= 2
    row = session.state.rows[0, 0]
    played(session, frames[:1], settings)
    assert session.state.rows[0, 0] is row
    played(session, frames[1:2], settings)
    assert session.state.rows[0, 0] is not row


def test_the_papers_bank_is_renewed_though_nothing_moves(engine: Engine, frames: list[Frame]) -> None:
    session = engine.open()
    played(session, frames[:1] * 12, LIVELY.changed(steadiness=0.0))
    row = session.state.rows[0, 0]
    played(session, frames[:1], LIVELY.changed(steadiness=0.0))
    assert session.state.rows[0, 0] is not row


def test_a_new_size_clears_the_memory(engine: Engine, frames: list[Frame]) -> None:
    session, fresh = engine.open(), engine.open(size=(64, 40))
    played(session, frames[:3], LIVELY)
    session.resize((64, 40))
    resized = played(session, frames[3:6], LIVELY)
    assert resized[0].shape == (40, 64, 3)
    assert same(resized, played(fresh, frames[3:6], LIVELY))


def test_a_new_scene_starts_without_a_past(engine: Engine) -> None:
    """As bars that stand and bars that lie are, for the detector of cuts."""
    standing = np.zeros((TINY_SIZE, TINY_SIZE, 3), np.uint8)
    standing[:, ::4] = standing[:, 1::4] = 255
    lying = np.ascontiguousarray(standing.transpose(1, 0, 2))
    session = engine.open(seed=5)
    played(session, [standing, standing], LIVELY)
    assert same(played(session, [lying, lying], LIVELY), played(engine.open(seed=5), [lying, lying], LIVELY))
    assert session.frames == 4


@pytest.mark.parametrize("size", [(30, 32), (0, 32), (32, 4096), (32.0, 32), (-8, 32)])
def test_a_size_that_does_not_fit_is_refused(engine: Engine, size: Any) -> None:
    with pytest.raises(SettingsError, match="needed"):
        engine.open(size=size)
    with pytest.raises(SettingsError, match="needed"):
        engine.open().resize(size)


@pytest.mark.parametrize("seed", [-1, 2**31, 1.5, True, "7"])
def test_a_seed_that_is_none_is_refused(engine: Engine, seed: Any) -> None:
    with pytest.raises(SettingsError, match="needed"):
        engine.open(seed)


def test_pictures_of_any_kind_go_in_and_pil_comes_out(engine: Engine) -> None:
    session = engine.open()
    for mode, size in (("RGBA", (1, 1)), ("P", (300, 20)), ("I;16", (7, 90)), ("L", (32, 32))):
        picture = session.translate(Image.new(mode, size))
        assert isinstance(picture, Image.Image) and picture.size == (TINY_SIZE, TINY_SIZE)


def test_the_mailbox_keeps_the_newest(engine: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch) -> None:
    session, gate = engine.open(), Gate(engine, monkeypatch)
    under_way = session.submit(frames[0], LIVELY)
    assert gate.entered.wait(30)
    dropped = [session.submit(frame, LIVELY) for frame in frames[1:4]]
    newest = session.submit(frames[4], LIVELY)
    gate.opened.set()
    assert under_way.result(30).frame == 1 and newest.result(30).frame == 2
    assert all(each.cancelled() for each in dropped)
    assert session.frames == 2


def test_the_answer_to_a_picture_does_not_push_out_the_frame_that_waits(
    engine: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, gate, answers = engine.open(), Gate(engine, monkeypatch), []
    first = session.submit(frames[0], LIVELY)
    assert gate.entered.wait(30)
    # Runs in the engine's own thread, as early as an answer can come.
    first.add_done_callback(lambda _: answers.append(session.submit(frames[2], LIVELY)))
    second = session.submit(frames[1], LIVELY)
    gate.opened.set()
    assert [first.result(30).frame, second.result(30).frame, answers[0].result(30).frame] == [1, 2, 3]


def test_who_waits_longest_is_next(engine: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch) -> None:
    sessions, gate, order = [engine.open() for _ in range(4)], Gate(engine, monkeypatch), []
    blocker = sessions[0].submit(frames[0], LIVELY)
    assert gate.entered.wait(30)
    futures = []
    for index in (2, 1, 3, 2, 2):
        futures.append(sessions[index].submit(frames[index], LIVELY))
        futures[-1].add_done_callback(lambda done, index=index: done.cancelled() or order.append(index))
    gate.opened.set()
    assert not wait([blocker, *futures], timeout=30).not_done
    # One more answer, and the callbacks of those before it have run.
    sessions[0].translate(frames[0], LIVELY)
    assert order == [2, 1, 3]


def test_a_frame_cancelled_by_its_sender_is_skipped(
    engine: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, gate = engine.open(), Gate(engine, monkeypatch)
    under_way = engine.open().submit(frames[0], LIVELY)
    assert gate.entered.wait(30)
    waiting = session.submit(frames[1], LIVELY)
    assert waiting.cancel()
    gate.opened.set()
    under_way.result(30)
    session.translate(frames[2], LIVELY)
    assert session.frames == 1


def test_a_dropped_translate_says_so(engine: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch) -> None:
    session, gate = engine.open(), Gate(engine, monkeypatch)
    under_way = session.submit(frames[0], LIVELY)
    assert gate.entered.wait(30)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(session.translate, frames[1], LIVELY)
        while not engine._mailbox.waiting:
            time.sleep(0.001)
        newest = session.submit(frames[2], LIVELY)
        with pytest.raises(FrameError, match="newer.*needed"):
            waiting.result(30)
        gate.opened.set()
        assert under_way.result(30) and newest.result(30)


def test_a_translation_says_what_it_is(engine: Engine, frames: list[Frame]) -> None:
    session = engine.open()
    for number in (1, 2):
        translation = session.submit(frames[number], LIVELY).result(30)
        assert translation.picture.shape == (TINY_SIZE, TINY_SIZE, 3) and translation.picture.dtype == np.uint8
        assert translation.frame == number and 0 < translation.seconds < 30 and translation.bank_fill == 1.0


def test_closed_sessions_and_engines_refuse(tiny_model: Model, frames: list[Frame]) -> None:
    engine = Engine(tiny_model)
    session, other = engine.open(), engine.open()
    played(session, frames[:2], LIVELY)
    session.close()
    session.close()
    assert session.closed and session.nbytes == 0 and engine.session_count == 1
    with pytest.raises(SessionClosedError, match="needed"):
        session.translate(frames[0], LIVELY)
    played(other, frames[:1], LIVELY)
    engine.close()
    engine.close()
    assert other.closed and engine.session_count == 0
    for call in (engine.open, lambda: other.translate(frames[0], LIVELY)):
        with pytest.raises(SessionClosedError, match="needed"):
            call()


def test_closing_cancels_what_waits(engine: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch) -> None:
    session, gate = engine.open(), Gate(engine, monkeypatch)
    under_way = session.submit(frames[0], LIVELY)
    assert gate.entered.wait(30)
    waiting = session.submit(frames[1], LIVELY)
    session.close()
    gate.opened.set()
    under_way.result(30)
    with pytest.raises(CancelledError):
        waiting.result(30)
    assert session.nbytes == 0


def test_the_unet_is_whole_again_after_an_engine(tiny_model: Model, frames: list[Frame]) -> None:
    before = dict(tiny_model.unet.attn_processors)
    with pytest.raises(ZeroDivisionError), Engine(tiny_model) as engine:
        played(engine.open(), frames[:1], LIVELY)
        assert tiny_model.unet.attn_processors != before
        raise ZeroDivisionError
    after = tiny_model.unet.attn_processors
    assert after.keys() == before.keys() and all(after[name] is before[name] for name in before)
    assert not any(module._forward_hooks for module in tiny_model.unet.modules())


def test_one_engine_a_model(tiny_model: Model, engine: Engine) -> None:
    with pytest.raises(ModelError, match="needed: one engine a model"):
        Engine(tiny_model)


def test_an_unknown_memory_is_refused_and_takes_nothing(tiny_model: Model) -> None:
    with pytest.raises(MemoryNameError, match="needed"):
        Engine(tiny_model, memory="elephant")
    Engine(tiny_model).close()


def test_the_status_line_has_its_words(engine: Engine, tiny_model: Model) -> None:
    assert engine.kernel == "sdpa" and engine.memory_name == "feature-bank" and engine.model is tiny_model
    assert not engine.busy


def test_stable_diffusions_own_layout_runs(plain_model: Model, frames: list[Frame]) -> None:
    with Engine(plain_model) as engine:
        settings = LIVELY.changed(steps=3, guidance=2.0)
        first, second = (played(engine.open(), frames[:4], settings) for _ in range(2))
    assert same(first, second)


def test_half_precision_runs(tiny_folder: Any, frames: list[Frame]) -> None:
    with Engine(load_model(tiny_folder, device="cpu", dtype=torch.bfloat16)) as engine:
        assert len(played(engine.open(), frames[:3], LIVELY.changed(steps=2, guidance=2.0))) == 3
