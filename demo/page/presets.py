"""Styles, times of day and example sketches, and how a preset finds its place in a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from demo.words import word

STYLES: dict[str, str] = {
    "toy": "toy",
    "storybook": "storybook painting",
    "watercolor": "watercolor painting",
    "oil": "oil painting",
    "ink": "ink painting",
    "pencil": "pencil drawing",
    "comic": "comic book",
    "anime": "anime",
    "pixel": "pixel art",
    "neon": "neon lights",
    "blueprint": "blueprint",
    "stained_glass": "stained glass",
    "ukiyo_e": "japanese woodblock print",
    "van_gogh": "van gogh",
    "paper_cut": "paper cut",
    "clay": "clay",
    "photo": "photo",
}
"""Name of a style -> phrase in the prompt. What its card says stands at `styles.NAME` of the page's words; the cards'
pictures lie in `studio/settings/styles.webp` in this order."""

TIMES: dict[str, str] = {
    "day": "daytime",
    "sunset": "sunset",
    "night": "night",
    "winter": "winter",
    "autumn": "autumn",
    "fog": "fog",
}
"""Times of day and seasons; they combine with every style. What their buttons say stands at `times.NAME`."""

AS_DRAWN = "as_drawn"
"""The choice of no time at all."""

EXAMPLE_FOLDER = Path(__file__).resolve().parents[2] / "examples"
SKETCH_FOLDER = EXAMPLE_FOLDER / "sketches"


@dataclass(frozen=True)
class Example:
    """A sketch that a click draws on the canvas, and the words that go with it."""

    name: str
    subject: str
    style: str
    time: str = AS_DRAWN

    @property
    def title(self) -> str:
        """What the sketch is called, in words for the visitor."""
        return word(f"examples.{self.name}")

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
        return SKETCH_FOLDER / f"{self.name}.rearview"


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
    Example("house", "a house with a tree", "toy"),
    Example("face", "portrait of a woman", "comic"),
    Example("sailboat", "a sailboat at sea", "oil", "sunset"),
    Example("cat", "a cat", "storybook"),
    Example("vase", "flowers on a table", "van_gogh"),
    Example("lake", "mountains and pine trees", "ukiyo_e"),
)
