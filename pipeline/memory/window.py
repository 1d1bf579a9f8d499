"""Which frames a frame sees under causal attention: the first ones of its stream, and the newest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

Each = TypeVar("Each")


@dataclass(frozen=True)
class Window:
    """A setting of motion modules, which were trained under it: a frame sees `length` frames, itself among them. The
    first `sinks` of a stream stay for good, `1 <= sinks < length`; the others are the newest.

    The defaults are those of Live2Diff (arXiv 2407.08701). A frame's position is its place among the frames that are
    seen, oldest first: once there are more than `length`, positions slide.
    """

    length: int = 16
    sinks: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.sinks < self.length:
            raise ValueError(
                f"a window came with {self.sinks} sinks of {self.length} frames; needed: at least one sink, and one "
                "frame more than there are sinks. Correct the settings of these weights."
            )

    @property
    def held(self) -> int:
        """How many frames have to be kept for the next one, which brings itself."""
        return self.length - 1

    @property
    def joining(self) -> int:
        """How many frames fill the sinks together with the present one."""
        return self.sinks - 1

    def kept(self, frames: tuple[Each, ...]) -> tuple[Each, ...]:
        """Of all frames so far, oldest first, those that the next one sees: the ring's oldest has left."""
        newest = max(self.sinks, len(frames) - (self.held - self.sinks))
        return frames[: self.sinks] + frames[newest:]
