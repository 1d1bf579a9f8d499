"""What a session holds goes on in another process, whatever its memory is."""

from __future__ import annotations

import pickle  # noqa: TID251 - what carries a parcel from one process to another
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from pipeline import Engine, FrameSettings, Model
from pipeline.compute.trees import mapped
from pipeline.frames.codec import Frame

SETTINGS = FrameSettings(prompt="oil painting", steps=2, fusion_threshold=0.0, bank_interval=1, bank_frames=1.0)


def kinds_in(tree: Any) -> set[type]:
    found: set[type] = set()

    def note(leaf: Any) -> Any:
        found.add(type(leaf))
        return leaf

    mapped(tree, note, of=Tensor)
    return found


@pytest.mark.parametrize("memory", ["feature-bank", "none"])
def test_a_session_that_is_carried_over_paints_as_one_that_stays(
    tiny_model: Model, frames: list[Frame], memory: str
) -> None:
    with Engine(tiny_model, memory=memory) as engine:
        session = engine.open(seed=3)
        for frame in frames[:3]:
            session.submit(frame, SETTINGS).result()
        parcel = pickle.loads(pickle.dumps(session.packed()))
        wanted = session.submit(frames[3], SETTINGS).result().picture
        assert kinds_in(parcel.state) == set()
        assert parcel.nbytes == pytest.approx(session.nbytes, rel=0.2)
    with Engine(deepcopy(tiny_model), memory=memory) as engine:
        session = engine.open(seed=3)
        session.resume(parcel)
        assert np.array_equal(session.submit(frames[3], SETTINGS).result().picture, wanted)
