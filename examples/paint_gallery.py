"""Paint the pictures of the README with the app's own engine: `python -m examples.paint_gallery`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from demo import presets
from pipeline import Engine, FrameSettings, Session, load_model

HERE = Path(__file__).resolve().parent
SKETCHES = HERE / "sketches"
GALLERY = HERE / "gallery"
SIDE = 256
CAPTION = 28
GAP = 6

TOP = {
    "house": ["watercolor painting", "japanese woodblock print", "anime", "stained glass", "oil painting, night"],
    "cat": ["storybook painting", "comic book", "pixel art", "neon lights", "van gogh"],
}
STYLES = list(presets.STYLES.values())
TIMES = [f"{style}, {time}" for style in ("storybook painting", "anime") for time in presets.TIMES.values()]


def sketch(name: str) -> Image.Image:
    """An example sketch at the size the model works at."""
    return Image.open(SKETCHES / f"{name}.png").convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def painted(session: Session, picture: Image.Image, prompt: str, steps: int = 2) -> Image.Image:
    """One picture without a past."""
    session.reset()
    return session.translate(picture, FrameSettings(prompt=prompt, strength=1.0, steps=steps))


def captioned(picture: Image.Image, words: str) -> Image.Image:
    """The picture on white with words below it."""
    card = Image.new("RGB", (SIDE, SIDE + CAPTION), "white")
    card.paste(picture, (0, 0))
    draw = ImageDraw.Draw(card)
    draw.text((SIDE / 2, SIDE + CAPTION / 2), words, "#333333", ImageFont.load_default(15), anchor="mm")
    return card


def in_rows(rows: list[list[Image.Image]]) -> Image.Image:
    """A grid of cards of one size."""
    width, height = rows[0][0].size
    columns = max(map(len, rows))
    grid = Image.new("RGB", (columns * (width + GAP) - GAP, len(rows) * (height + GAP) - GAP), "white")
    for down, row in enumerate(rows):
        for along, card in enumerate(row):
            grid.paste(card, (along * (width + GAP), down * (height + GAP)))
    return grid


def row_of(session: Session, name: str, prompts: Sequence[str]) -> list[Image.Image]:
    """A sketch, and what becomes of it under each prompt."""
    pictures = [captioned(painted(session, sketch(name), prompt), prompt) for prompt in prompts]
    return [captioned(sketch(name), "drawn by hand"), *pictures]


def main() -> None:
    """Write every picture of the gallery."""
    GALLERY.mkdir(exist_ok=True)
    with Engine(load_model("embedded"), memory="none") as engine:
        session = engine.open(seed=7)
        sheets = {
            "top": [row_of(session, name, prompts) for name, prompts in TOP.items()],
            "styles": [row_of(session, name, STYLES[k : k + 7]) for k in (0, 7) for name in ("house", "face", "lake")],
            "times": [row_of(session, name, TIMES[k : k + 6]) for k, name in ((0, "house"), (6, "lake"))],
        }
        session.close()
    for name, rows in sheets.items():
        in_rows(rows).save(GALLERY / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
