"""A stranger's words become data only within bounds, and no setting takes what is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.live import wire
from pipeline.settings import DECLARATIONS, FrameSettings, JsonError, SettingsError, parsed_json, shown


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, "1" * 5000, '"\\ud800"', '{"\\udfff": 1}', "[" + "[]," * 200 + "[]]", "\ud800"],
)
def test_json_that_is_too_much_or_half_is_refused(text: str) -> None:
    with pytest.raises(JsonError):
        parsed_json(text, 100)


def test_json_of_whole_characters_is_read() -> None:
    assert parsed_json(b'{"a": "\\ud83d\\ude00"}', 10) == {"a": "\U0001f600"}


@pytest.mark.parametrize("value", [10**400, -(10**400), float("nan"), float("inf"), "x" * 10**6, "\ud800", [[]], None])
@pytest.mark.parametrize("name", DECLARATIONS)
def test_a_value_that_is_none_gets_a_short_sentence(name: str, value: Any) -> None:
    if name == "seed" and value is None:
        return
    with pytest.raises(SettingsError) as caught:
        FrameSettings().changed(**{name: value})
    assert name in str(caught.value)
    assert "needed" in str(caught.value)
    assert len(str(caught.value)) < wire.MAXIMUM_SENTENCE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.sampled_from([*DECLARATIONS, "fit"]), JSON)
def test_any_value_is_taken_or_gets_a_sentence(name: str, value: Any) -> None:
    try:
        settings = FrameSettings().changed(**{name: value})
    except SettingsError as error:
        assert "needed" in str(error)
    else:
        json.dumps(vars(settings), allow_nan=False).encode()


def test_what_is_shown_is_short() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, 10**4000, "x" * 10**6, list(range(10**5)), {"a": "b" * 1000}):
        assert len(shown(value)) < 70
