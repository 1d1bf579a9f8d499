"""When the layers of a bank are renewed: together as in the paper, or spread over the frames of an interval."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from diffusers import UNet2DConditionModel
from hypothesis import given
from hypothesis import strategies as st

from pipeline import Engine, FrameSettings, SettingsError
from pipeline.frames.codec import Frame
from pipeline.memory import MemoryLayout, feature_bank
from pipeline.memory.bank import BankRow, bank_size
from pipeline.memory.feature_bank import FeatureBank
from pipeline.memory.merge import dynamic_merge
from pipeline.memory.renewal import balanced_shares, layers_due
from pipeline.settings import BANK_RENEWALS, BankRenewal
from tests.conftest import tiny_unet
from tests.pipeline.engine.test_engine import played, same
from tests.pipeline.memory.test_feature_bank import Stream, generator

COSTS = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.integers(1, 1000), max_size=9)
EMBEDDED = {
    **{f"1024 tokens, {number}": 1024**2 * 64 for number in range(3)},
    **{f"256 tokens, {number}": 256**2 * 128 for number in range(3)},
    **{f"64 tokens, {number}": 64**2 * 192 for number in range(4)},
}
"""What the layers of the embedded model cost at 256 x 256 pixels."""

SETTINGS = FrameSettings(fusion_threshold=0.0, bank_interval=3)
LAYOUTS = [MemoryLayout(), MemoryLayout(fuse=("up_blocks",), fuse_at="block")]


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return tiny_unet(4, 4).eval()


@given(costs=COSTS, interval=st.integers(1, 16), start=st.integers(0, 40))
def test_spread_renews_each_layer_once_in_any_interval(costs: dict[str, int], interval: int, start: int) -> None:
    frames = range(1 + start, 1 + start + interval)
    renewed = Counter(name for frame in frames for name in layers_due(costs, frame, interval, "spread"))
    assert renewed == dict.fromkeys(costs, 1)


@given(costs=COSTS, frame=st.integers(0, 60), interval=st.integers(1, 16))
def test_together_renews_all_layers_or_none(costs: dict[str, int], frame: int, interval: int) -> None:
    assert layers_due(costs, frame, interval, "together") == (set() if frame % interval else set(costs))


@given(costs=COSTS, frame=st.integers(0, 60))
def test_the_first_frame_and_an_interval_of_one_renew_all_layers_both_ways(costs: dict[str, int], frame: int) -> None:
    for renewal in BANK_RENEWALS:
        assert layers_due(costs, frame, 1, renewal) == layers_due(costs, 0, 4, renewal) == set(costs)


@given(costs=COSTS, count=st.integers(1, 16), order=st.randoms())
def test_shares_are_even_and_do_not_depend_on_the_order_of_the_layers(
    costs: dict[str, int], count: int, order: object
) -> None:
    shares = balanced_shares(costs, count)
    assert len(shares) == count and Counter(name for share in shares for name in share) == dict.fromkeys(costs, 1)
    sums = [sum(costs[name] for name in share) for share in shares]
    # No layer of the largest share could go elsewhere without making another share as large.
    assert max(sums) - min(sums) <= max(costs.values(), default=0)
    names = list(costs)
    order.shuffle(names)  # type: ignore[attr-defined]
    assert balanced_shares({name: costs[name] for name in names}, count) == shares


def test_the_embedded_model_has_no_frame_with_two_large_layers() -> None:
    sums = [sum(EMBEDDED[name] for name in share) for share in balanced_shares(EMBEDDED, 4)]
    assert max(sums) == 1024**2 * 64 and sum(sums) == sum(EMBEDDED.values())


def together_as_in_the_paper(row: BankRow | None, call: feature_bank.BankCall, number: int, settings: FrameSettings):
    """The tensors of each layer after frame `number`, by the words of section 4.3: every layer, every n-th frame."""
    held = None if row is None else {name: list(each.tensors.values()) for name, each in row.layers.items()}
    present = {name: [tensor.clone() for tensor in each.tensors.values()] for name, each in call.present.items()}
    if held is None:
        return present
    if number % settings.bank_interval == 0:
        split = generator(number)
        for name, tensors in held.items():
            joined = [torch.cat(pair, dim=1) for pair in zip(tensors, present[name], strict=True)]
            keep = bank_size(settings.bank_frames, call.present[name].frame_tokens)
            held[name] = list(dynamic_merge(*joined, keep=keep, generator=split))
    return held


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bank_frames", [1.0, 2.0])
def test_together_is_the_paper_bit_for_bit(
    unet: UNet2DConditionModel, layout: MemoryLayout, bank_frames: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS.changed(bank_frames=bank_frames, bank_renewal="together")
    bank = FeatureBank(layout, "sdpa")
    stream = Stream(unet, bank, settings)
    expected: list[dict[str, list[torch.Tensor]]] = []
    updated = bank.updated

    def watched(call: feature_bank.BankCall, index: int) -> BankRow:
        expected.append(together_as_in_the_paper(call.banks[0], call, len(expected), settings))
        return updated(call, index)

    monkeypatch.setattr(bank, "updated", watched)
    for number in range(8):
        stream.play(number)
        assert stream.row is not None
        for name, tokens in stream.row.layers.items():
            assert all(map(torch.equal, tokens.tensors.values(), expected[-1][name])), name


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("renewal", "most"), [("together", None), ("spread", 1)])
def test_spread_shares_the_merges_among_the_frames(
    unet: UNet2DConditionModel,
    layout: MemoryLayout,
    renewal: BankRenewal,
    most: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Work is counted, in products: no frame has more than its share, one layer being the least that can be shared."""
    stream = Stream(unet, FeatureBank(layout, "sdpa"), SETTINGS.changed(bank_renewal=renewal, bank_frames=1.0))
    products: list[int] = []

    def counted(keys: torch.Tensor, *others: torch.Tensor, keep: int, generator: torch.Generator):
        products[-1] += (keys.shape[1] - keep) * keep * keys.shape[2]
        return dynamic_merge(keys, *others, keep=keep, generator=generator)

    monkeypatch.setattr("pipeline.memory.bank.dynamic_merge", counted)
    for number in range(10):
        products.append(0)
        stream.play(number)
    assert stream.row is not None
    costs = [tokens.renewal_cost for tokens in stream.row.layers.values()]
    intervals = [products[start : start + 3] for start in (1, 4, 7)]
    assert products[0] == 0 and all(sum(each) == sum(costs) for each in intervals)
    largest = sum(costs) if most is None else max(sum(costs) / 3, *costs) + max(costs)
    assert all(max(each) <= largest for each in intervals)
    assert all((max(each) == sum(costs)) == (renewal == "together") for each in intervals)


def test_spread_renews_each_layer_of_a_unet_once_an_interval(unet: UNet2DConditionModel) -> None:
    stream = Stream(unet, FeatureBank(MemoryLayout(), "sdpa"), SETTINGS.changed(bank_renewal="spread"))
    stream.play(0)
    renewed: Counter[str] = Counter()
    for number in range(1, 10):
        before = stream.row
        stream.play(number)
        assert before is not None and stream.row is not None
        renewed.update(name for name, tokens in stream.row.layers.items() if tokens is not before.layers[name])
        if number % 3 == 0:
            assert renewed == dict.fromkeys(before.layers, number // 3)


@pytest.mark.parametrize("renewal", BANK_RENEWALS)
@pytest.mark.parametrize("bank_frames", [0.0, 0.25, 1.0, 2.0])
def test_bytes_stay_once_the_bank_is_full(
    engine: Engine, frames: list[Frame], renewal: str, bank_frames: float
) -> None:
    session = engine.open()
    settings = SETTINGS.changed(bank_renewal=renewal, bank_frames=bank_frames, steps=2)
    nbytes, fills = [], []
    for frame in frames:
        session.translate(frame, settings)
        nbytes.append(session.nbytes)
        fills.append(session.bank_fill)
    full = max(1, 3 * (int(bank_frames) - 1) + 1)
    assert len(set(nbytes[full:])) == 1 and fills == sorted(fills) and fills[-1] == (1.0 if bank_frames else 0.0)


def test_an_interval_of_one_makes_both_ways_one(engine: Engine, frames: list[Frame]) -> None:
    together, spread = (SETTINGS.changed(bank_interval=1, bank_renewal=each) for each in BANK_RENEWALS)
    assert same(played(engine.open(), frames, together), played(engine.open(), frames, spread))


def test_the_ways_differ_from_the_first_frame_that_one_of_them_renews(engine: Engine, frames: list[Frame]) -> None:
    together, spread = (played(engine.open(), frames, SETTINGS.changed(bank_renewal=each)) for each in BANK_RENEWALS)
    assert same(together[:2], spread[:2]) and not same(together[2:], spread[2:])


def test_sessions_of_both_ways_get_in_turn_what_each_would_get_alone(engine: Engine, frames: list[Frame]) -> None:
    ways = [SETTINGS.changed(bank_renewal=each) for each in ("together", "spread", "spread")]
    streams = [frames, frames[::-1], frames[3:] + frames[:3]]
    alone = [played(engine.open(seed), *each) for seed, each in enumerate(zip(streams, ways, strict=True))]
    sessions = [engine.open(seed) for seed in range(3)]
    turns: list[list[Frame]] = [[] for _ in sessions]
    for pictures in zip(*streams, strict=True):
        for session, picture, way, turn in zip(sessions, pictures, ways, turns, strict=True):
            turn += played(session, [picture], way)
    assert all(same(a, b) for a, b in zip(alone, turns, strict=True))


@pytest.mark.parametrize("came", ["at once", "", None, 4, ["spread"]])
def test_another_way_is_refused(came: object) -> None:
    with pytest.raises(SettingsError, match="bank_renewal came as .*; needed: one of together, spread"):
        FrameSettings().changed(bank_renewal=came)
