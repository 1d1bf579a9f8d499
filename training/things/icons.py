"""Icons as pictures: each thing as a flat drawing and as what it should become, which lie over each other.

Drawn once into `icons.npy`, uint8 `[N, 2, 192, 192, 4]` RGBA (0 flat, 1 rendering), with `icons.json` beside it.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from training.things.catalogue import VIOLET, wanted
from training.things.packs import fetched
from training.things.shading import coloured_like, inflated, without_violet

SIDE = 192
"""Pixels of an icon."""
LEAST_OVERLAP = 0.86
"""Intersection over union from which a 3D rendering counts as lying over the flat drawing."""

MOST_DIFFERENCE = 45.0
"""Of 255, between the mean colours of a drawing and of its rendering."""

MOST_APART = 25.0
"""In CIELAB, between the mean colours of two drawings of one thing: a word that has two answers is painted in the mean
of both, and a butterfly of orange and blue is mauve."""


@dataclass(frozen=True)
class Icons:
    """pictures uint8 `[N, 2, 192, 192, 4]`; rows of a name are all drawings of that thing, the first one Fluent's."""

    pictures: np.ndarray
    rows: dict[str, list[int]]

    def pair(self, name: str, variant: int = 0) -> np.ndarray:
        """Flat drawing and rendering, uint8 `[2, 192, 192, 4]`; variants count around."""
        rows = self.rows[name]
        return np.ascontiguousarray(self.pictures[rows[variant % len(rows)]])

    def has_two_of_one_colour(self, name: str) -> bool:
        """Whether a thing has a second drawing, in nearly the colours of the first."""
        return len(self.rows[name]) > 1 and alike_in_colour(self.pair(name)[0], self.pair(name, 1)[0])


def load_icons(folder: Path) -> Icons:
    """The icons of `folder`, read through a memory map."""
    return Icons(np.load(folder / "icons.npy", mmap_mode="r"), json.loads((folder / "icons.json").read_text()))


def write_icons(packs: Path, folder: Path, workers: int) -> Icons:
    """Fetch the packs into `packs`, draw all wanted icons into `folder` if they are not there, and load them."""
    if not (folder / "icons.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        names = wanted(_icon_names(fetched(packs)["flat"]))
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            drawn = pool.map(_drawn, [(packs, name) for name in names], chunksize=16)
        rows: dict[str, list[int]] = {}
        pictures: list[np.ndarray] = []
        for name, pairs in zip(names, drawn, strict=True):
            rows[name] = list(range(len(pictures), len(pictures) + len(pairs)))
            pictures.extend(pairs)
        np.save(folder / "icons.npy", np.stack(pictures))
        (folder / "icons.json").write_text(json.dumps(rows))
    return load_icons(folder)


def _drawn(job: tuple[Path, str]) -> list[np.ndarray]:
    """The pairs of one thing: Fluent's, and Noto's with a shading of ours where Noto has it."""
    cv2.setNumThreads(1)
    packs, name = job
    places = fetched(packs)
    plain = np.copy if name in VIOLET else without_violet
    flat = plain(_vector(places["flat"], name))
    pairs = [np.stack([flat, plain(_rendering(places, name, flat))])]
    other = _twin(places, name)
    if other is not None:
        drawing = _vector(places["noto"], other)
        pairs.append(np.stack([drawing, inflated(drawing)]))
    return pairs


def alike_in_colour(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two drawings RGBA uint8 `[H, W, 4]` have nearly the same mean colour where they are."""
    first, second = (
        cv2.cvtColor(each[..., :3].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[each[..., 3] > 127].mean(0)
        for each in (one, other)
    )
    return bool(np.linalg.norm(first - second) <= MOST_APART)


def _rendering(places: dict[str, Path], name: str, flat: np.ndarray) -> np.ndarray:
    """The best that lies over the flat drawing and has its colours: the 3D one, the shaded one, or one of ours."""
    solid = _solid(places, name)
    moved = None if solid is None else laid_over(solid, flat)
    for rendering in (moved, _vector(places["shaded"], name)):
        if rendering is not None and colour_difference(flat, rendering) <= MOST_DIFFERENCE:
            return coloured_like(rendering, flat)
    return inflated(flat)


def colour_difference(flat: np.ndarray, rendering: np.ndarray) -> float:
    """Between the mean colours of both where both are, 0..255: some packs swap the tones of skin."""
    both = (flat[..., 3] > 200) & (rendering[..., 3] > 200)
    if not both.any():
        return 255.0
    return float(np.abs(flat[both][:, :3].mean(0) - rendering[both][:, :3].mean(0)).mean())


def laid_over(solid: np.ndarray, flat: np.ndarray) -> np.ndarray | None:
    """The rendering, moved and scaled so that its box is the drawing's; None where their shapes differ all the same."""
    (x0, y0, x1, y1), (u0, v0, u1, v1) = _box(flat), _box(solid)
    scale_x, scale_y = (x1 - x0) / (u1 - u0), (y1 - y0) / (v1 - v0)
    matrix = np.float32([[scale_x, 0, x0 - scale_x * u0], [0, scale_y, y0 - scale_y * v0]])
    moved = cv2.warpAffine(solid, matrix, (SIDE, SIDE), flags=cv2.INTER_AREA)
    ours, theirs = moved[..., 3] > 127, flat[..., 3] > 127
    overlap = (ours & theirs).sum() / max(1, (ours | theirs).sum())
    return moved if overlap >= LEAST_OVERLAP else None


def _box(picture: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(picture[..., 3] > 127)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


@cache
def _icon_set(pack: Path) -> dict:
    return json.loads((pack / "icons.json").read_text())


@cache
def _names_of(pack: Path) -> dict[str, str]:
    """Icon names by code points, written as `1f469-200d-1f33e`, without the selectors of a variant."""
    return {_plain(code): name for code, name in json.loads((pack / "chars.json").read_text()).items()}


def _plain(code: str) -> str:
    return code.replace("-fe0f", "")


def _icon_names(pack: Path) -> dict[str, list[str]]:
    """Icon names by category."""
    return json.loads((pack / "metadata.json").read_text())["categories"]


def _vector(pack: Path, name: str) -> np.ndarray:
    """An icon of an Iconify set, drawn: uint8 `[192, 192, 4]`."""
    import resvg_py

    entries = _icon_set(pack)
    side, body = entries.get("width", 16), entries["icons"][name]["body"]
    size = f'width="{SIDE}" height="{SIDE}" viewBox="0 0 {side} {side}"'
    png = resvg_py.svg_to_bytes(svg_string=f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{body}</svg>')
    decoded = cv2.imdecode(np.frombuffer(bytes(png), np.uint8), cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA)


def _codes(places: dict[str, Path], name: str) -> Sequence[str]:
    return [code for code, other in _names_of(places["flat"]).items() if other == name]


def _solid(places: dict[str, Path], name: str) -> np.ndarray | None:
    files = _solid_files(places["solid"] / "assets")
    for code in _codes(places, name):
        if code in files:
            picture = Image.open(files[code]).convert("RGBA").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            return np.array(picture)
    return None


@cache
def _solid_files(folder: Path) -> dict[str, Path]:
    return {_plain(file.stem): file for file in folder.glob("*.webp")}


def _twin(places: dict[str, Path], name: str) -> str | None:
    names = _names_of(places["noto"])
    for code in _codes(places, name):
        if names.get(code) in _icon_set(places["noto"])["icons"]:
            return names[code]
    return None
