"""Paint pictures with the app's own engine: those of README and docs with `python -m examples.paint_gallery`, those on
the cards of the page's styles with `--thumbnails`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from demo import assets
from demo.page import looks, presets
from pipeline import Engine, FrameSettings, Session, load_model
from pipeline.settings import FINER_TIMES

HERE = Path(__file__).resolve().parent
SKETCHES = HERE / "sketches"
DRAWINGS = HERE / "drawings"
GALLERY = HERE / "gallery"
SIDE = 256
CARD_SKETCH = "house"
CARD_TOP = 16
"""Where a card's picture begins in the painted one, in pixels from above."""
CARD_QUALITY, GALLERY_QUALITY = 48, 88
CAPTION = 28
GAP = 6

SUBJECTS = {each.name: each.subject for each in presets.EXAMPLES}
TOP = {
    "house": ["toy", "watercolor painting", "oil painting, sunset", "japanese woodblock print", "stained glass"],
    "cat": ["storybook painting", "comic book", "pixel art", "neon lights", "paper cut"],
}
WORDS = {
    "house": ["a red house", "a blue house", "a yellow house", "a house at night", "a house in the snow"],
    "cat": ["an orange cat", "a black cat", "a purple cat", "a cat at sunset", "a cat in the snow"],
    "flower": ["a red flower", "a yellow flower", "a blue flower", "a pink flower at night", "a flower in autumn"],
    "car": ["a car", "a blue car", "a green car", "a yellow car at night", "a car in the desert"],
}
"""Of bare outlines, all as a toy."""
STYLES = list(presets.STYLES.values())
STYLES_IN_A_ROW = 6
TIMES = {
    name: [f"{style}, {time}" for time in presets.TIMES.values()]
    for name, style in {"house": "toy", "lake": "oil painting"}.items()
}


def sketch(name: str, folder: Path = SKETCHES) -> Image.Image:
    """A drawing at the size that the page sends."""
    return resized(Image.open(folder / f"{name}.png").convert("RGB"), FINER_TIMES * SIDE)


def resized(picture: Image.Image, side: int) -> Image.Image:
    """A square picture at another size."""
    return picture.resize((side, side), Image.Resampling.LANCZOS)


def painted(session: Session, picture: Image.Image, prompt: str) -> Image.Image:
    """One picture without a past as it comes at rest, at the size of the gallery."""
    session.reset()
    settings = FrameSettings(prompt=prompt, strength=1.0)
    shown = np.asarray(session.translate(picture, settings))
    finer = session.submit_finer(picture, shown, settings).result()
    assert finer is not None, "nobody else waits"
    return resized(Image.fromarray(finer), SIDE)


def captioned(picture: Image.Image, words: str) -> Image.Image:
    """The picture on white with words below it."""
    width, height = picture.size
    card = Image.new("RGB", (width, height + CAPTION), "white")
    card.paste(picture, (0, 0))
    draw = ImageDraw.Draw(card)
    draw.text((width / 2, height + CAPTION / 2), words, "#333333", ImageFont.load_default(15), anchor="mm")
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


def row_of(session: Session, name: str, styles: Sequence[str]) -> list[Image.Image]:
    """A sketch, and what becomes of it in each style; a prompt is the style and what the sketch shows."""
    subject = SUBJECTS[name]
    pictures = [captioned(painted(session, sketch(name), f"{style}, {subject}"), style) for style in styles]
    return [captioned(resized(sketch(name), SIDE), subject), *pictures]


def words_of(session: Session, name: str, prompts: Sequence[str]) -> list[Image.Image]:
    """An outline that a hand has drawn, and what becomes of it under each prompt."""
    outline = sketch(name, DRAWINGS)
    pictures = [captioned(painted(session, outline, f"toy, {prompt}"), prompt) for prompt in prompts]
    return [captioned(resized(outline, SIDE), "drawn by hand"), *pictures]


def card(picture: Image.Image) -> Image.Image:
    """The part of a painted picture that stands on a card, at the card's size."""
    width, height = looks.CARD_SIZE
    part = picture.crop((0, CARD_TOP, SIDE, CARD_TOP + round(SIDE * height / width)))
    return part.resize((width, height), Image.Resampling.LANCZOS)


def cards_in_a_row(session: Session) -> Image.Image:
    """What the app makes of one sketch in every style, in the order of the styles."""
    width, height = looks.CARD_SIZE
    row = Image.new("RGB", (width * len(STYLES), height))
    for at, style in enumerate(STYLES):
        row.paste(card(painted(session, sketch(CARD_SKETCH), f"{style}, {SUBJECTS[CARD_SKETCH]}")), (width * at, 0))
    return row


def write_cards(session: Session) -> None:
    """Write the pictures on the cards of the page's styles."""
    cards_in_a_row(session).save(assets.STUDIO / looks.CARDS, quality=CARD_QUALITY, method=6)


def write_gallery(session: Session) -> None:
    """Write every picture of the gallery."""
    GALLERY.mkdir(exist_ok=True)
    sheets = {
        "words": [words_of(session, name, prompts) for name, prompts in WORDS.items()],
        "top": [row_of(session, name, styles) for name, styles in TOP.items()],
        "styles": [
            row_of(session, name, STYLES[at : at + STYLES_IN_A_ROW])
            for at in range(0, len(STYLES), STYLES_IN_A_ROW)
            for name in ("house", "cat", "lake")
        ],
        "times": [row_of(session, name, times) for name, times in TIMES.items()],
    }
    for name, rows in sheets.items():
        in_rows(rows).save(GALLERY / f"{name}.webp", quality=GALLERY_QUALITY, method=6)


def main() -> None:
    """Paint what the command line asks for."""
    parser = argparse.ArgumentParser(description="Paint pictures with the app's own engine.")
    parser.add_argument("--thumbnails", action="store_true", help="paint the cards of the styles, not the gallery")
    write = write_cards if parser.parse_args().thumbnails else write_gallery
    with Engine(load_model("embedded"), memory="none") as engine:
        session = engine.open(seed=7)
        write(session)
        session.close()


if __name__ == "__main__":
    main()
