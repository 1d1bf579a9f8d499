"""What no pack of icons knows: it is drawn in lines, and becomes something round."""

from __future__ import annotations

import numpy as np

from training.things.crude import draw_crude


def test_crude_scenes_are_white_sheets_with_few_lines_and_become_pictures() -> None:
    rng = np.random.default_rng(0)
    scenes = [draw_crude(rng, rng.normal(size=(16, 8, 8)).astype(np.float32), 64) for _ in range(24)]
    inked = [float((each.sketch.min(2) < 200).mean()) for each in scenes]
    assert 0 in inked and max(inked) < 0.4
    for each, share in zip(scenes, inked, strict=True):
        assert each.sketch.shape == each.rendering.shape == (64, 64, 3)
        assert each.bare and len(each.things) <= 1
        if share > 0.02:
            assert each.rendering.std() > 5
    assert {each.things[0].name for each in scenes if each.things} == {"red-heart", "person-standing-medium-light"}
