"""A drawing that moves: what is sent and translated while something is measured."""

from __future__ import annotations

import io
import math
from functools import lru_cache

from PIL import Image, ImageDraw

SKY, GRASS, WALL, ROOF, SUN = "#9cc9ee", "#76a85a", "#e8d3a9", "#a8483c", "#f6c945"


def moving_drawing(size: int, frames: int) -> list[Image.Image]:
    """`frames` pictures `size x size` of a house under a sun that crosses the sky, as a person would draw it."""
    return [_house(size, moment / max(1, frames - 1)) for moment in range(frames)]


def _house(size: int, moment: float) -> Image.Image:
    """The picture at `moment`, 0 (sunrise) to 1 (sunset)."""
    picture = Image.new("RGB", (size, size), SKY)
    pen = ImageDraw.Draw(picture)
    x, y, radius = size * (0.1 + 0.8 * moment), size * (0.35 - 0.2 * math.sin(math.pi * moment)), size * 0.08
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=SUN)
    pen.rectangle((0, size * 0.7, size, size), fill=GRASS)
    pen.rectangle((size * 0.3, size * 0.5, size * 0.65, size * 0.8), fill=WALL, outline="black", width=3)
    roof = [(size * 0.25, size * 0.5), (size * 0.475, size * 0.3), (size * 0.7, size * 0.5)]
    pen.polygon(roof, fill=ROOF, outline="black")
    return picture


@lru_cache(maxsize=4)
def encoded_drawing(size: int, frames: int, quality: int) -> tuple[bytes, ...]:
    """The moving drawing as JPEG files of that quality (1 to 95); drawn and encoded once."""
    return tuple(_jpeg(picture, quality) for picture in moving_drawing(size, frames))


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
