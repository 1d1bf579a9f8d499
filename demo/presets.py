"""Styles, times of day and example sketches, and how a preset finds its place in a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STYLES: dict[str, str] = {
    "Storybook": "storybook painting",
    "Watercolor": "watercolor painting",
    "Oil": "oil painting",
    "Ink": "ink painting",
    "Pencil": "pencil drawing",
    "Comic": "comic book",
    "Anime": "anime",
    "Pixel": "pixel art",
    "Neon": "neon lights",
    "Blueprint": "blueprint",
    "Stained glass": "stained glass",
    "Ukiyo-e": "japanese woodblock print",
    "Van Gogh": "van gogh",
    "Photo": "photo",
}
"""Name on the button -> phrase in the prompt."""

TIMES: dict[str, str] = {
    "Day": "daytime",
    "Sunset": "sunset",
    "Night": "night",
    "Winter": "winter",
    "Autumn": "autumn",
    "Fog": "fog",
}
"""Times of day and seasons; they combine with every style."""

AS_DRAWN = "As drawn"
"""The choice of no time at all."""

EXAMPLE_FOLDER = Path(__file__).resolve().parent.parent / "examples"
SKETCH_FOLDER = EXAMPLE_FOLDER / "sketches"


@dataclass(frozen=True)
class Example:
    """A sketch that a click draws on the canvas, and the words that go with it."""

    name: str
    title: str
    subject: str
    style: str
    time: str = AS_DRAWN

    @property
    def prompt(self) -> str:
        """The whole prompt: style, subject, time."""
        return compose(self.subject, self.style, self.time)

    @property
    def picture(self) -> Path:
        """The rendered sketch, a PNG of 512 x 512."""
        return SKETCH_FOLDER / f"{self.name}.png"

    @property
    def recording(self) -> Path:
        """The recording of a hand that draws the sketch."""
        return EXAMPLE_FOLDER / f"{self.name}.rearview"


def compose(prompt: str, style: str | None, time: str | None) -> str:
    """`prompt` with the phrases of `style` and `time` in place of whatever preset phrases it held before.

    The style leads, the person's own words follow, the time ends; `None` or an unknown name leaves its place empty.
    """
    known = {phrase.casefold() for phrase in (*STYLES.values(), *TIMES.values())}
    own = [part.strip() for part in prompt.split(",")]
    kept = [part for part in own if part and part.casefold() not in known]
    return ", ".join(part for part in (STYLES.get(style or ""), *kept, TIMES.get(time or "")) if part)


def chosen(prompt: str) -> tuple[str | None, str]:
    """The names of the style and of the time whose phrases stand in `prompt`."""
    parts = {part.strip().casefold() for part in prompt.split(",")}
    style = next((name for name, phrase in STYLES.items() if phrase.casefold() in parts), None)
    time = next((name for name, phrase in TIMES.items() if phrase.casefold() in parts), AS_DRAWN)
    return style, time


EXAMPLES: tuple[Example, ...] = (
    Example("house", "House under a sun", "a house with a tree", "Watercolor"),
    Example("face", "Face", "portrait of a person", "Oil"),
    Example("sailboat", "Sailboat", "a sailboat on the sea", "Ukiyo-e", "Sunset"),
    Example("cat", "Cat", "a cat", "Storybook"),
    Example("vase", "Vase with flowers", "a vase with flowers", "Stained glass"),
    Example("lake", "Mountain lake", "a mountain lake with pines", "Van Gogh", "Night"),
)
