"""The styles that the embedded model learns, as pure functions from a picture to a picture.

A small network has to learn them from pairs, so each is deterministic, local, and moves along with a picture moved by
32 px. Pictures are float32 [H, W, 3] in 0..1; H and W are multiples of 32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from training.styles.filters import (
    PERIOD,
    blur,
    cel_shaded,
    cell_means,
    colour,
    contrast,
    dabs,
    dot_distance,
    glass_cells,
    grain,
    in_palette,
    looked_up,
    luma,
    mix,
    openness,
    outlines,
    palette,
    palette_table,
    ramp,
    relief,
    ruled,
    saturate,
    saturation,
    simplified,
    stepped,
    stripes,
    swirl_phase,
    swirled,
)
from training.styles.grades import GRADES, Grade

__all__ = ["DEFAULT_STYLE", "GRADES", "STYLES", "Grade", "Style", "styled"]

DEFAULT_STYLE = "painting"

_PIXEL_BLOCK = 8
_PIXEL_COLOURS = palette(
    "1a1c2c 5d275d b13e53 ef7d57 ffcd75 a7f070 38b764 257179 29366f 3b5dc9 41a6f6 9be4f7 f4f4f4 94b0c2 566c86 333c57 "
    "78462a be825a ebbea0 f9e0c0 821e28 f5aa28 145a32 7a4aa8"
)
_WOODBLOCK_INKS = "1d2538 2b4a73 5f87a6 a9c3c4 efe3c4 d9b36a c4512d 8a3324 6d7f4a 9aa77a 6b4a33 e6bd96 8c8577"


@dataclass(frozen=True)
class Style:
    """A way of painting.

    `words` name it in a prompt, the canonical one first. `texture` is how uneven its paint is, the amplitude per
    channel of the blotches that the trainer seeds from the noise. A `monochrome` style keeps its own ink and paper
    under a grade and takes only the grade's tint.
    """

    name: str
    words: tuple[str, ...]
    apply: Callable[[np.ndarray], np.ndarray]
    texture: tuple[float, float, float]
    monochrome: bool = False


def painting(image: np.ndarray) -> np.ndarray:
    """Gouache of a picture book: calm areas, clear colours, warm lights, cool shadows, a soft brush."""
    height, width = image.shape[:2]
    base = simplified(image, 5)
    light = luma(base)[..., None]
    base = contrast(saturate(base, 1.3), 0.25) + 0.06 * (light - 0.5) * colour(1.0, 0.35, -0.9)
    brush = 0.035 * dabs(height, width) * ramp(light[..., 0], 0.02, 0.3) * ramp(light[..., 0], 1.1, 0.8)
    base = base * (1 + brush[..., None]) + 0.10 * relief(base, 1.6)[..., None]
    return base * (1 - 0.30 * outlines(image, 1.3, 0.05, 0.16))[..., None]


def watercolor(image: np.ndarray) -> np.ndarray:
    """Pale washes that run out into white paper, with pigment gathered at their edges."""
    height, width = image.shape[:2]
    base = simplified(simplified(image, 7), 5)
    rich = saturate(base, 1.7)
    wash = 0.62 * rich + 0.38 * blur(rich, 5)
    light = luma(wash)
    wash = 1 - (1 - wash) * (0.80 - 0.42 * ramp(light, 0.2, 0.9))[..., None]
    pooled = np.clip(luma(blur(base, 8)) - luma(base), -0.25, 0.25)
    granulation = 1 + 0.06 * grain(height, width) * ramp(light, 1.0, 0.6)
    wash = (wash - 0.25 * pooled[..., None]) * granulation[..., None]
    pigment = 0.45 * outlines(base, 1.5, 0.02, 0.12) + 0.35 * outlines(blur(image, 0.7), 1.0, 0.05, 0.16)
    wash = mix(wash, saturate(rich, 1.2) * 0.5, np.minimum(pigment, 0.75))
    return np.clip(wash, 0, 1) * colour(1.0, 0.985, 0.945)


def oil(image: np.ndarray) -> np.ndarray:
    """Thick dabs of rich paint on a dark warm ground, lit from the upper left."""
    height, width = image.shape[:2]
    base = simplified(simplified(image, 9), 5)
    base = contrast(saturate(base, 1.45), 0.5) * colour(0.98, 0.91, 0.78)
    brush = dabs(height, width)
    base = base * (0.90 + 0.10 * brush)[..., None] + 0.025 * brush[..., None] * colour(1.0, 0.8, 0.3)
    base = base + 0.35 * relief(base, 1.6)[..., None]
    base = mix(base, base * colour(0.45, 0.34, 0.30), 0.6 * outlines(image, 1.6, 0.05, 0.16))
    return np.clip(base, 0, 1) * 0.96 + colour(0.03, 0.018, 0.0)


def ink(image: np.ndarray) -> np.ndarray:
    """Sumi-e: a black brush, a few grey washes, warm rice paper; vermilion only for what is very red."""
    height, width = image.shape[:2]
    base = simplified(simplified(image, 7), 5)
    tone = stepped(np.clip(luma(blur(base, 1.5)), 0, 1) ** 0.7 * 1.08, 4, 0.35)
    paper = colour(0.96, 0.925, 0.845) * (1 + 0.02 * grain(height, width))[..., None]
    page = paper * (0.26 + 0.74 * np.minimum(tone, 1))[..., None] + 0.02
    red = ramp(base[..., 0] - np.maximum(base[..., 1], base[..., 2]), 0.34, 0.5)
    page = mix(page, colour(0.82, 0.19, 0.12) * (0.6 + 0.45 * tone)[..., None], red)
    fine, thick = outlines(blur(image, 0.8), 1.1, 0.035, 0.11), outlines(base, 2.6, 0.08, 0.18)
    return mix(page, colour(0.07, 0.065, 0.07), 0.95 * np.maximum(fine * 0.9, thick))


def pencil(image: np.ndarray) -> np.ndarray:
    """Graphite: two directions of hatching over soft tone, a firm contour, ivory paper."""
    height, width = image.shape[:2]
    base = simplified(image, 5)
    light = luma(base) ** 0.8
    first, second = stripes(height, width, 2, 1), stripes(height, width, -1, 2)
    shade = 0.55 * np.clip(0.94 - light, 0, 1) * (0.55 + 0.75 * first * ramp(light, 0.9, 0.6))
    shade = shade + 0.6 * np.clip(0.5 - light, 0, 1) * (0.35 + 0.8 * second)
    shade = shade * (1 + 0.08 * grain(height, width))
    page = np.clip(0.97 - shade, 0.13, 1) * (1 - 0.8 * outlines(blur(image, 0.7), 1.2, 0.03, 0.10))
    return page[..., None] * colour(1.0, 0.985, 0.95)


def comic(image: np.ndarray) -> np.ndarray:
    """Pop-art print: flat loud colours, a dot screen in the shadows, bold black outlines."""
    height, width = image.shape[:2]
    base = simplified(simplified(image, 7), 5)
    light = luma(base)
    flat = np.clip(saturate(cel_shaded(np.clip(base, 0, 1) ** 0.85, 3), 2.0) * 1.1 + 0.05, 0, 1)
    flat = mix(flat, colour(1.0, 0.93, 0.62), ramp(base.min(2), 0.78, 0.92))
    radius = 6.6 * ramp(light, 0.80, 0.15) * ramp(light, 0.03, 0.12)
    dots = np.clip(radius - dot_distance(height, width) + 0.5, 0, 1)
    flat = mix(flat, flat * colour(0.52, 0.38, 0.55), 0.85 * dots)
    line = np.maximum(outlines(base, 1.45, 0.045, 0.095), outlines(blur(image, 0.7), 1.2, 0.05, 0.11))
    return mix(flat, colour(0.03, 0.02, 0.05), line)


def anime(image: np.ndarray) -> np.ndarray:
    """Cel shading: few clean tones, violet shadows, bloom on the lights, a fine dark line."""
    base = np.clip(simplified(simplified(image, 5), 5), 0, 1)
    flat = saturate(cel_shaded(base**0.75, 4), 1.5)
    light = luma(base)
    flat = mix(flat * colour(0.86, 0.82, 1.14), flat, ramp(light, 0.15, 0.5))
    flat = mix(flat, colour(0.80, 0.93, 1.0), 0.75 * ramp(base.min(2), 0.76, 0.92))
    bloom = blur(np.clip(flat - 0.5, 0, 1), 8)
    flat = np.clip(flat + 0.6 * bloom * (1 - flat) + 0.03, 0, 1)
    return mix(flat, colour(0.16, 0.10, 0.22), 0.9 * outlines(blur(image, 0.8), 1.05, 0.05, 0.11))


def pixel(image: np.ndarray) -> np.ndarray:
    """A game of the eighties: blocks of 8 px in twenty-four colours."""
    height, width = image.shape[:2]
    blocks = cv2.resize(image, (width // _PIXEL_BLOCK, height // _PIXEL_BLOCK), interpolation=cv2.INTER_AREA)
    blocks = np.clip(blocks + 0.6 * (blocks - blur(blocks, 1.0)), 0, 1)
    blocks = contrast(saturate(blocks, 1.35), 0.25)
    blocks = 0.85 * in_palette(blocks, _PIXEL_COLOURS, 90.0) + 0.15 * blocks
    return cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)


def neon(image: np.ndarray) -> np.ndarray:
    """Glowing tubes along every contour, in the colour of the thing, before near-black."""
    base = simplified(image, 5)
    line = outlines(base, 1.4, 0.04, 0.10)
    around = blur(base, 4)
    grey = mix(colour(1.0, 0.15, 0.75), colour(0.10, 0.85, 1.0), ramp(luma(blur(base, 10)), 0.25, 0.7))
    chroma = saturation(around)
    pure = (around - around.min(2, keepdims=True)) / (chroma[..., None] + 1e-3)
    tube = mix(grey, 0.08 + 0.92 * pure, ramp(chroma, 0.08, 0.25))
    lit = tube * line[..., None]
    glow = 0.8 * blur(lit, 3.5) + 1.0 * blur(lit, 9)
    dim = saturate(base, 1.4) * colour(0.12, 0.07, 0.18) + colour(0.025, 0.012, 0.06)
    return dim + glow + 0.85 * lit + 0.35 * (line**3)[..., None]


def blueprint(image: np.ndarray) -> np.ndarray:
    """White lines on blue ruled paper, the shadows hatched."""
    height, width = image.shape[:2]
    base = simplified(image, 5)
    light = luma(base)
    paper = colour(0.055, 0.225, 0.56) * (0.92 + 0.16 * ramp(light, 0.1, 0.9))[..., None]
    rules = 0.055 * ruled(height, width, PERIOD // 2, 2) + 0.075 * ruled(height, width, PERIOD, 2)
    hatching = 0.34 * ramp(stripes(height, width, 2, 1), 0.3, 1.0) * ramp(light, 0.55, 0.15)
    page = paper + (rules + hatching)[..., None] * colour(0.75, 0.9, 1.0)
    return mix(page, colour(0.93, 0.97, 1.0), outlines(blur(image, 0.7), 1.3, 0.035, 0.09))


def glass(image: np.ndarray) -> np.ndarray:
    """Stained glass: panes of deep colour, lit from behind, set in lead; lead follows strong contours too."""
    height, width = image.shape[:2]
    labels, to_lead = glass_cells(height, width)
    base = simplified(image, 5)
    panes = mix(cell_means(base, labels), base, 0.35)
    panes = contrast(saturate(panes, 2.1), 0.35)
    panes = mix(panes, colour(0.88, 0.93, 0.74), 0.7 * ramp(panes.min(2), 0.65, 0.9))
    panes = 0.07 + panes * (0.80 + 0.45 * ramp(to_lead, 0.5, 8.0))[..., None]
    lead = np.maximum(ramp(to_lead, 1.9, 0.9), outlines(base, 1.5, 0.06, 0.13))
    return mix(panes, colour(0.05, 0.05, 0.06), 0.95 * lead)


def ukiyoe(image: np.ndarray) -> np.ndarray:
    """Woodblock print: a few muted inks laid flat, indigo fading toward what stands below, a dark key line."""
    height, width = image.shape[:2]
    base = simplified(simplified(image, 7), 5)
    inks = looked_up(saturate(base, 1.25), palette_table(_WOODBLOCK_INKS, 70.0))
    flat = 0.82 * inks + 0.18 * base * colour(1.0, 0.94, 0.80)
    key = outlines(blur(image, 0.8), 1.3, 0.045, 0.11)
    below = cv2.blur(key, (97, 65), anchor=(48, 0), borderType=cv2.BORDER_REPLICATE)
    flat = mix(flat, colour(0.22, 0.38, 0.57), 0.85 * ramp(blur(below, 8), 0.10, 0.0) * openness(base))
    wood = 1 + 0.06 * (stripes(height, width, 0, 2, 1.0) - 0.5)
    return mix(flat * wood[..., None], colour(0.10, 0.11, 0.17), 0.92 * key)


def vangogh(image: np.ndarray) -> np.ndarray:
    """Swirling strokes: cobalt shadows, chrome-yellow lights, every colour beside its opposite."""
    height, width = image.shape[:2]
    base = swirled(simplified(image, 7), 5.0)
    light = luma(base)
    rich = contrast(saturate(base, 1.6), 0.4)
    rich = rich * mix(colour(0.80, 0.92, 1.12), colour(1.0, 0.93, 0.66), ramp(light, 0.3, 0.85))
    rich = rich + colour(-0.03, 0.0, 0.10) * ramp(light, 0.5, 0.1)[..., None]
    night_blue = mix(colour(0.16, 0.32, 0.72), colour(0.50, 0.68, 0.86), ramp(light, 0.55, 1.0))
    rich = mix(rich, night_blue, 0.62 * openness(simplified(image, 5)))
    bend = 6.5 * luma(blur(image, 8))
    stroke = np.sin(swirl_phase(height, width) + bend) * (0.75 + 0.4 * grain(height, width))
    rich = rich + stroke[..., None] * mix(colour(0.06, 0.08, 0.12), colour(0.14, 0.10, -0.08), ramp(light, 0.3, 0.8))
    return mix(rich, colour(0.06, 0.08, 0.24), 0.75 * outlines(image, 1.6, 0.06, 0.15))


def photo(image: np.ndarray) -> np.ndarray:
    """The picture itself, with a little contrast."""
    return contrast(saturate(image, 1.05), 0.2)


def _style(apply: Callable[[np.ndarray], np.ndarray], texture: float, words: str, monochrome: bool = False) -> Style:
    """A style named after its function, with the same unevenness in every channel; `words` are parted by commas."""
    return Style(apply.__name__, tuple(words.split(", ")), apply, (texture, texture, texture), monochrome)


_ALL = (
    _style(
        painting,
        0.05,
        "storybook painting, painting, gouache, storybook illustration, picture book, illustration, fairy tale, "
        "soft brush, acrylic painting, children's book",
    ),
    _style(
        watercolor,
        0.07,
        "watercolor painting, watercolor, watercolour, watercolour painting, aquarelle, wet wash, pale washes, "
        "turner watercolor, wet on wet, watercolor sketch, delicate",
    ),
    _style(
        oil,
        0.06,
        "oil painting, oil on canvas, impasto, monet, impressionist, impressionism, renoir, rembrandt, cezanne, "
        "thick paint, palette knife, old master",
    ),
    _style(
        ink,
        0.05,
        "ink painting, sumi-e, ink wash, brush and ink, chinese ink painting, japanese ink, calligraphy, sesshu, "
        "rice paper, zen",
        monochrome=True,
    ),
    _style(
        pencil,
        0.03,
        "pencil drawing, pencil sketch, graphite, hatching, crosshatching, charcoal, sketchbook, "
        "black and white sketch, hand drawn, durer",
        monochrome=True,
    ),
    _style(
        comic,
        0.0,
        "comic book, comic, pop art, halftone, lichtenstein, superhero comic, graphic novel, bold outlines, "
        "ben-day dots, comic strip",
    ),
    _style(
        anime,
        0.0,
        "anime, studio anime, manga, cel shading, anime illustration, cartoon, animated film, cel animation, "
        "anime background, kawaii",
    ),
    _style(
        pixel,
        0.0,
        "pixel art, pixel, 8-bit, 8-bit game, 16-bit, retro game, video game sprite, arcade, low resolution, "
        "pixelated, voxel",
    ),
    _style(
        neon,
        0.0,
        "neon lights, neon, cyberpunk, glowing neon, synthwave, neon sign, tron, vaporwave, laser, electric glow, "
        "blacklight",
        monochrome=True,
    ),
    _style(
        blueprint,
        0.0,
        "blueprint, technical drawing, blueprint drawing, architect's plan, cyanotype, engineering drawing, schematic, "
        "white on blue, drafting",
        monochrome=True,
    ),
    _style(
        glass,
        0.0,
        "stained glass, stained glass window, mosaic, leaded glass, tiffany glass, cathedral window, church window, "
        "gothic, tesserae",
    ),
    _style(
        ukiyoe,
        0.04,
        "japanese woodblock print, ukiyo-e, ukiyoe, hokusai, hiroshige, woodblock, woodcut, edo period, utamaro, "
        "the great wave, block print",
    ),
    _style(
        vangogh,
        0.06,
        "van gogh, van gogh painting, starry night, vincent van gogh, swirling brushstrokes, swirls, "
        "post-impressionist, post-impressionism, expressionist, munch",
    ),
    _style(
        photo,
        0.0,
        "photo, photograph, realistic, photorealistic, realistic photo, photography, film still, natural, 35mm, "
        "plain photo",
    ),
)
STYLES: dict[str, Style] = {style.name: style for style in _ALL}

_MONOCHROME_GRADE = 0.35


def styled(image: np.ndarray, style: str, grade: str = "") -> np.ndarray:
    """The picture [H, W, 3] in 0..1 in one of `STYLES` under one of `GRADES`, float32.

    Raises KeyError for a name that neither table has and ValueError for a picture of another shape or type.
    """
    if image.dtype != np.float32 or image.ndim != 3 or image.shape[2] != 3 or any(n % PERIOD for n in image.shape[:2]):
        raise ValueError(
            f"got a picture {image.dtype} {list(image.shape)}; a style needs float32 [H, W, 3] in 0..1 with sides "
            f"that are multiples of {PERIOD}: convert and crop it first"
        )
    chosen, mood = STYLES[style], GRADES[grade]
    graded = mood.apply(image)
    if chosen.monochrome:
        result = chosen.apply(mix(image, graded, _MONOCHROME_GRADE)) * colour(*mood.tint)
    else:
        result = chosen.apply(graded)
    return np.clip(result, 0, 1).astype(np.float32, copy=False)
