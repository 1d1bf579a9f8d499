"""What anybody may send: JSON of every kind, and valid words with a part of them changed. The same each run."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

SAME_EACH_RUN = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

SPECIAL = (10**400, -1, 2**63, 1e308, "", "\0", "\ud800", "__proto__", "../../x", "9" * 400, "²", "null", True)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(SPECIAL),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(["toString", "valueOf", "length", "name"]), inner)
    ),
    max_leaves=8,
)


@st.composite
def changed_json(draw: st.DrawFn, valid: Any) -> Any:
    """`valid`, with a few of its values replaced by anything, or left out."""
    value = json.loads(json.dumps(valid))
    for _ in range(draw(st.integers(1, 2))):
        places = [
            (each, key) for each in _nodes(value) for key in (each if isinstance(each, dict) else range(len(each)))
        ]
        if not places:
            return draw(JSON)
        holder, key = draw(st.sampled_from(range(len(places))).map(places.__getitem__))
        if draw(st.booleans()):
            holder[key] = draw(JSON)
        else:
            del holder[key]
    return value


def _nodes(value: Any) -> list[Any]:
    found, left = [], [value]
    while left:
        each = left.pop()
        if isinstance(each, dict | list):
            found.append(each)
            left.extend(each.values() if isinstance(each, dict) else each)
    return found


@st.composite
def changed_bytes(draw: st.DrawFn, valid: bytes) -> bytes:
    """`valid`, with a few of its bytes replaced, or cut off."""
    data = bytearray(valid)
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)) | st.just(len(data)))])
