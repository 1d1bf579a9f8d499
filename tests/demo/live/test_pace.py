"""A token bucket against the arithmetic that it stands for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.live.pace import TokenBucket


def test_it_grants_a_burst_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=10, capacity=5, now=100.0)
    assert [bucket.take(100.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert not bucket.take(100.09)
    assert bucket.take(100.11)
    assert not bucket.take(100.12)


def test_a_rest_saves_no_more_than_the_capacity() -> None:
    bucket = TokenBucket(rate=10, capacity=5, now=0.0)
    assert sum(bucket.take(1000.0) for _ in range(20)) == 5


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=200), st.integers(1, 50))
def test_nobody_gets_more_than_rate_and_capacity_allow(gaps: list[float], rate: int) -> None:
    bucket = TokenBucket(rate, capacity=3, now=0.0)
    now, granted = 0.0, 0
    for gap in gaps:
        now += gap
        granted += bucket.take(now)
    assert granted <= 3 + rate * now + 1e-6


@pytest.mark.parametrize("rate", [1, 7, 30])
def test_who_keeps_to_the_rate_is_never_refused(rate: int) -> None:
    bucket = TokenBucket(rate, capacity=2, now=0.0)
    assert all(bucket.take(frame / rate) for frame in range(500))
