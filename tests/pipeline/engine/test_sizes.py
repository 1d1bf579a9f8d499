"""At which sizes a session may work."""

from __future__ import annotations

import pytest

from pipeline.engine.sizes import Sizes
from pipeline.settings import SettingsError


@pytest.mark.parametrize("size", [(60, 64), (64, 0), (64, -8), (64, 4096), (64.0, 64), (True, 64)])
def test_sides_are_multiples_that_the_model_can_work_at(size: tuple[int, int]) -> None:
    with pytest.raises(SettingsError, match="multiples of 8"):
        Sizes(8).checked(size)


def test_a_host_allows_any_shape_of_no_more_pixels_than_it_says() -> None:
    sizes = Sizes(8, most_pixels=48 * 48)
    assert sizes.allows((48, 48)) and sizes.allows((64, 32)) and not sizes.allows((64, 40))
