"""Render the example sketches: every `sketches/NAME.json`, a list of strokes and fills, to `sketches/NAME.png`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

FOLDER = Path(__file__).resolve().parent / "sketches"
SIDE = 512
OVERSAMPLING = 3


def render(sketch: dict[str, Any]) -> Image.Image:
    """The picture of a sketch, 512 x 512: its marks one over the other, as they were drawn."""
    side = SIDE * OVERSAMPLING
    picture = Image.new("RGB", (side, side), sketch["background"])
    draw = ImageDraw.Draw(picture)
    for mark in sketch["marks"]:
        points = [(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in mark["points"]]
        if mark["kind"] == "fill":
            draw.polygon(points, fill=mark["colour"])
        else:
            _draw_stroke(draw, points, mark["colour"], mark["width"] * OVERSAMPLING)
    return picture.resize((SIDE, SIDE), Image.Resampling.BOX)


def _draw_stroke(draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], colour: str, width: float) -> None:
    """A line with round joints and ends, as a brush draws it."""
    draw.line(points, fill=colour, width=round(width))
    for x, y in points:
        draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=colour)


def main() -> None:
    """Render every sketch of the folder."""
    for path in sorted(FOLDER.glob("*.json")):
        sketch = json.loads(path.read_text(encoding="utf-8"))
        render(sketch).save(path.with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main()
