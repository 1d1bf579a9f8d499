"""What a hand does to a drawing, one operation after another: strokes, shapes, fills, and what takes them back.

Coordinates and widths are units of a square canvas of 512, times milliseconds since the operation began.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from pipeline.recording.json_fields import Fields, checked_number, checked_numbers, refused

CANVAS_SIDE = 512
FARTHEST = 100_000.0
"""Units from the canvas's corner: whoever has zoomed out may draw far beside it."""
WIDEST = 2 * CANVAS_SIDE
LONGEST_MS = 6 * 3600 * 1000.0
MOST_POINTS = 50_000
IMAGE_NAME = r"images/[A-Za-z0-9_-]{1,60}\.(png|jpg|webp)"

LAYERS = ("picture", "ink", "ink2", "ink3", "ink4", "ink5", "ink6", "ink7")
"""All that there may be; a drawing begins with the first two, from the paper up."""
FIRST_LAYERS = LAYERS[:2]
Colour: TypeAlias = tuple[int, int, int]
"""Red, green, blue, 0..255."""


class Point(NamedTuple):
    """Where a pen was, how wide it drew, and when."""

    x: float
    y: float
    width: float
    ms: float


@dataclass(frozen=True)
class Stroke:
    """A line that follows `points`; the eraser takes the layer away, whatever its colour."""

    layer: str
    tool: Literal["brush", "eraser"]
    colour: Colour
    points: tuple[Point, ...]

    @property
    def ms(self) -> float:
        """How long it took."""
        return self.points[-1].ms


@dataclass(frozen=True)
class Shape:
    """A line, rectangle or ellipse that was pulled from one corner to the other in `ms`; `size` is its line's width."""

    kind: Literal["line", "rectangle", "ellipse"]
    layer: str
    colour: Colour
    size: float
    filled: bool
    start: tuple[float, float]
    end: tuple[float, float]
    ms: float


@dataclass(frozen=True)
class Fill:
    """The area around a point that shows nearly one colour gets another."""

    layer: str
    colour: Colour
    at: tuple[float, float]
    ms: float = 0.0


@dataclass(frozen=True)
class Clear:
    """A layer becomes empty, or with `None` all of them."""

    layer: str | None
    ms: float = 0.0


@dataclass(frozen=True)
class Paper:
    """What lies below all layers gets a colour."""

    colour: Colour
    ms: float = 0.0


@dataclass(frozen=True)
class Pasted:
    """A picture of the recording fills a layer, cut to a square."""

    layer: str
    image: str
    ms: float = 0.0


@dataclass(frozen=True)
class Restack:
    """All layers that there are from now on, from the paper up: one that was not there is empty."""

    order: tuple[str, ...]
    ms: float = 0.0


@dataclass(frozen=True)
class LayerLook:
    """How a layer shows; `opacity` is in 0..1."""

    layer: str
    visible: bool
    opacity: float
    ms: float = 0.0


@dataclass(frozen=True)
class Undo:
    """The last operation is taken back that was no look of a layer, and none of these two."""

    ms: float = 0.0


@dataclass(frozen=True)
class Redo:
    """The last operation that was taken back is done again."""

    ms: float = 0.0


Operation: TypeAlias = Stroke | Shape | Fill | Clear | Paper | Pasted | Restack | LayerLook | Undo | Redo


def operation_of(where: str, value: Any) -> Operation:
    """The operation that a JSON object, which stands at `where`, describes; raises `RecordingError`."""
    fields = Fields.of(where, value)
    return _READERS[fields.word("op", tuple(_READERS))](fields)


def described(operation: Operation) -> dict[str, Any]:
    """The JSON object of an operation, which `operation_of` reads."""
    if isinstance(operation, Stroke):
        points = [[tidy(each) for each in point] for point in operation.points]
        return {**_on(operation, "stroke"), "tool": operation.tool, "colour": _hex(operation.colour), "points": points}
    if isinstance(operation, Shape):
        drawn = {"size": tidy(operation.size), "filled": operation.filled, "ms": tidy(operation.ms)}
        corners = {"from": [tidy(each) for each in operation.start], "to": [tidy(each) for each in operation.end]}
        return {**_on(operation, operation.kind), "colour": _hex(operation.colour), **drawn, **corners}
    if isinstance(operation, Fill):
        at = [tidy(each) for each in operation.at]
        return {**_on(operation, "fill"), "colour": _hex(operation.colour), "at": at}
    if isinstance(operation, Clear):
        return {"op": "clear", "layer": operation.layer or "all"}
    if isinstance(operation, Paper):
        return {"op": "paper", "colour": _hex(operation.colour)}
    if isinstance(operation, Pasted):
        return {**_on(operation, "picture"), "image": operation.image}
    if isinstance(operation, Restack):
        return {"op": "layers", "order": list(operation.order)}
    if isinstance(operation, LayerLook):
        return {**_on(operation, "layer"), "visible": operation.visible, "opacity": tidy(operation.opacity)}
    return {"op": "undo" if isinstance(operation, Undo) else "redo"}


def _on(operation: Stroke | Shape | Fill | Pasted | LayerLook, name: str) -> dict[str, Any]:
    return {"op": name, "layer": operation.layer}


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def tidy(number: float) -> float | int:
    """To a hundredth, and without a point where there is nothing behind it."""
    rounded = round(number, 2)
    return int(rounded) if rounded == int(rounded) else rounded


def _layer(fields: Fields) -> str:
    return fields.word("layer", LAYERS)


def _place(fields: Fields, name: str) -> tuple[float, float]:
    x, y = fields.numbers(name, 2, -FARTHEST, FARTHEST)
    return x, y


def _stroke(fields: Fields) -> Operation:
    tool: Any = fields.word("tool", ("brush", "eraser"))
    points, last = [], 0.0
    for number, each in enumerate(fields.items("points", 1, MOST_POINTS)):
        where = f"point {number + 1} of {fields.where}"
        x, y, width, ms = checked_numbers(where, each, 4, -LONGEST_MS, LONGEST_MS)
        checked_number(f"place of {where}", max(abs(x), abs(y)), 0, FARTHEST)
        checked_number(f"width of {where}", width, 0, WIDEST)
        last = checked_number(f"time of {where}", ms, last, LONGEST_MS)
        points.append(Point(x, y, width, ms))
    return Stroke(_layer(fields), tool, fields.colour("colour"), tuple(points))


def _shape(fields: Fields) -> Operation:
    return Shape(
        fields.values["op"],
        _layer(fields),
        fields.colour("colour"),
        fields.number("size", 0, WIDEST),
        fields.flag("filled"),
        _place(fields, "from"),
        _place(fields, "to"),
        fields.number("ms", 0, LONGEST_MS),
    )


def _clear(fields: Fields) -> Operation:
    return Clear(None if fields.values.get("layer") == "all" else _layer(fields))


def _restack(fields: Fields) -> Operation:
    order = tuple(fields.items("order", len(FIRST_LAYERS), len(LAYERS)))
    known = all(isinstance(each, str) and each in LAYERS for each in order)
    if not known or len(set(order)) < len(order) or order[0] != FIRST_LAYERS[0] or FIRST_LAYERS[1] not in order:
        raise refused(fields.of_name("order"), list(order), f"picture first, ink, and more of {', '.join(LAYERS[2:])}")
    return Restack(order)


def _pasted(fields: Fields) -> Operation:
    return Pasted(_layer(fields), fields.name("image", IMAGE_NAME))


def _look(fields: Fields) -> Operation:
    return LayerLook(_layer(fields), fields.flag("visible"), fields.number("opacity", 0, 1))


_READERS: dict[str, Callable[[Fields], Operation]] = {
    "stroke": _stroke,
    "line": _shape,
    "rectangle": _shape,
    "ellipse": _shape,
    "fill": lambda fields: Fill(_layer(fields), fields.colour("colour"), _place(fields, "at")),
    "clear": _clear,
    "paper": lambda fields: Paper(fields.colour("colour")),
    "picture": _pasted,
    "layers": _restack,
    "layer": _look,
    "undo": lambda fields: Undo(),
    "redo": lambda fields: Redo(),
}
