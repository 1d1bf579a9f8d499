"""Plots and filmstrips, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PAPER, INK, RULE = "#ffffff", "#222222", "#dddddd"
COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#8c8c8c")
TEXT = 15
LINE = 24
GAP = 10


def bars(title: str, values: Mapping[str, float]) -> Image.Image:
    """One bar a name, from 0, with its finite value beside it."""
    font = ImageFont.load_default(TEXT)
    label = max(_width(name, font) for name in values) + 2 * GAP
    length, top = 420, LINE + 2 * GAP
    picture = Image.new("RGB", (label + length + 90, top + LINE * len(values) + GAP), PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((GAP, GAP), title, INK, font)
    most = max(*values.values(), 1e-9)
    for index, (name, value) in enumerate(values.items()):
        y = top + LINE * index
        pen.text((GAP, y), name, INK, font)
        end = label + round(length * max(value, 0.0) / most)
        pen.rectangle((label, y + 2, end, y + LINE - 6), COLOURS[0])
        pen.text((end + GAP, y), f"{value:.2f}", INK, font)
    return picture


def lines(title: str, across: str, values: Mapping[str, Sequence[float]]) -> Image.Image:
    """One line a name (8 at most) over 1, 2, 3, ..., on a scale from 0 to 1 or to what the largest value needs."""
    font = ImageFont.load_default(TEXT)
    highest = max(1.0, *(max(each) for each in values.values()))
    width, height, left, top = 560, 300, _width(f"{highest:.2f}", font) + 2 * GAP, LINE + 2 * GAP
    legend = max(_width(name, font) for name in values) + 4 * GAP
    picture = Image.new("RGB", (left + width + GAP + legend, top + height + 2 * LINE), PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((GAP, GAP), title, INK, font)
    longest = max(len(each) for each in values.values())
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = top + height * (1 - share)
        pen.line((left, y, left + width, y), RULE)
        pen.text((GAP, y - TEXT / 2), f"{share * highest:.2f}", INK, font)
    for index in range(0, longest, max(1, longest // 8)):
        pen.text((left + width * index / max(1, longest - 1) - 4, top + height + 4), str(index + 1), INK, font)
    pen.text((left, top + height + LINE), across, INK, font)
    for index, (name, series) in enumerate(values.items()):
        points = [
            (left + width * place / max(1, longest - 1), top + height * (1 - max(value, 0.0) / highest))
            for place, value in enumerate(series)
        ]
        pen.line(points, COLOURS[index], 3)
        pen.text((left + width + 2 * GAP, top + LINE * index), name, COLOURS[index], font)
    return picture


def filmstrip(rows: Mapping[str, np.ndarray], columns: Sequence[int], side: int = 160) -> Image.Image:
    """Rows of pictures uint8 `[T, H, W, 3]` by name, at the frames `columns`, each `side` x `side` pixels."""
    font = ImageFont.load_default(TEXT)
    label = max(_width(name, font) for name in rows) + 2 * GAP
    strip = Image.new("RGB", (label + side * len(columns), LINE + side * len(rows)), PAPER)
    pen = ImageDraw.Draw(strip)
    for column, frame in enumerate(columns):
        pen.text((label + side * column + GAP, 2), f"frame {frame}", INK, font)
    for row, (name, pictures) in enumerate(rows.items()):
        y = LINE + side * row
        pen.text((GAP, y + side // 2), name, INK, font)
        for column, frame in enumerate(columns):
            picture = Image.fromarray(pictures[frame]).resize((side, side), Image.Resampling.LANCZOS)
            strip.paste(picture, (label + side * column, y))
    return strip


def slices(rows: Mapping[str, np.ndarray], thickness: int = 3) -> Image.Image:
    """The middle line of pictures uint8 `[T, H, W, 3]` by name, over time: each frame is `thickness` pixels high.

    What stands still is a straight column there, what moves evenly a slope, and what trembles is frayed.
    """
    font = ImageFont.load_default(TEXT)
    times, height, width = next(iter(rows.values())).shape[:3]
    side = max(width, *(_width(name, font) for name in rows)) + GAP
    picture = Image.new("RGB", (side * len(rows), LINE + thickness * times), PAPER)
    pen = ImageDraw.Draw(picture)
    for column, (name, pictures) in enumerate(rows.items()):
        pen.text((side * column, 2), name, INK, font)
        lines_over_time = np.repeat(pictures[:, height // 2], thickness, axis=0)
        picture.paste(Image.fromarray(lines_over_time), (side * column, LINE))
    return picture


def _width(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> int:
    return round(font.getlength(text))
