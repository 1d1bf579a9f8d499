"""At which sizes a model can work, and at which a host lets it."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.frames.codec import LONGEST_SIDE
from pipeline.settings import SettingsError


@dataclass(frozen=True)
class Sizes:
    """Sides are multiples of `multiple` pixels, at most `LONGEST_SIDE`; a frame has at most `most_pixels`, by default
    any number: while a frame passes a step, everybody waits."""

    multiple: int
    most_pixels: float | None = None

    def checked(self, size: tuple[int, int]) -> tuple[int, int]:
        """`size` (width, height) if it is one of these; raises `SettingsError`."""
        for side in size:
            if isinstance(side, bool) or not isinstance(side, int):
                raise SettingsError(self._refusal(size))
            if side % self.multiple or not 0 < side <= LONGEST_SIDE:
                raise SettingsError(self._refusal(size))
        if self.most_pixels is not None and size[0] * size[1] > self.most_pixels:
            square = int(self.most_pixels**0.5) // self.multiple * self.multiple
            raise SettingsError(
                f"size came as {size}; needed: no more pixels than {square} x {square} has, because everybody's frames "
                "are painted one after another here. Choose a smaller size."
            )
        return size

    def allows(self, size: tuple[int, int]) -> bool:
        """Whether `size` is one of these."""
        try:
            self.checked(size)
        except SettingsError:
            return False
        return True

    def _refusal(self, size: tuple[int, int]) -> str:
        return (
            f"size came as {size}; needed: (width, height) in multiples of {self.multiple}, at most {LONGEST_SIDE}. "
            "Round it."
        )
