"""The table of looks: what each is called, in a prompt and here, and one door to all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.looks.built import clay, papercut, toy
from training.looks.drawn import blueprint, ink, pencil
from training.looks.lit import glass, neon
from training.looks.painted import oil, painting, photo, vangogh, watercolor
from training.looks.printed import anime, comic, pixel, ukiyoe
from training.styles.filters import colour, mix
from training.styles.grades import GRADES, Grade

__all__ = ["DEFAULT_LOOK", "GRADES", "LOOKS", "Grade", "Look", "canonical_prompt", "looked"]

DEFAULT_LOOK = "toy"
TAKEN = {"night": 0.78, "fog": 0.78}
"""How much of a grade is taken where it is not all of it: at night and in fog a thing is still to be seen."""
GRADED_BEFORE = 0.35
"""How much of a grade a look with its own ink and paper sees of it; it takes the grade's tint afterwards."""


@dataclass(frozen=True)
class Look:
    """A way of painting: `words` name it in a prompt, the usual one first.

    `own_light` says that it keeps its ink and paper under a grade and takes the grade's tint alone.
    """

    apply: Callable[[np.ndarray, np.ndarray], np.ndarray]
    words: tuple[str, ...]
    own_light: bool = False

    @property
    def name(self) -> str:
        return self.apply.__name__


def _look(apply: Callable[[np.ndarray, np.ndarray], np.ndarray], words: str, own_light: bool = False) -> Look:
    return Look(apply, tuple(words.split(", ")), own_light)


_ALL = (
    _look(toy, "toy, 3d toy render, cute 3d, 3d render, plastic toy, 3d icon, pixar style, vinyl toy"),
    _look(
        painting,
        "storybook painting, painting, gouache, storybook illustration, picture book, illustration, fairy tale, "
        "soft brush, acrylic painting, children's book",
    ),
    _look(
        watercolor,
        "watercolor painting, watercolor, watercolour, watercolour painting, aquarelle, wet wash, pale washes, "
        "turner watercolor, wet on wet, watercolor sketch, delicate",
    ),
    _look(
        oil,
        "oil painting, oil on canvas, impasto, monet, impressionist, impressionism, renoir, rembrandt, cezanne, "
        "thick paint, palette knife, old master",
    ),
    _look(
        ink,
        "ink painting, sumi-e, ink wash, brush and ink, chinese ink painting, japanese ink, calligraphy, sesshu, "
        "rice paper, zen",
        own_light=True,
    ),
    _look(
        pencil,
        "pencil drawing, pencil sketch, graphite, hatching, crosshatching, charcoal, sketchbook, "
        "black and white sketch, hand drawn, durer",
        own_light=True,
    ),
    _look(
        comic,
        "comic book, comic, pop art, halftone, lichtenstein, superhero comic, graphic novel, bold outlines, "
        "ben-day dots, comic strip",
    ),
    _look(
        anime,
        "anime, studio anime, manga, cel shading, anime illustration, cartoon, animated film, cel animation, "
        "anime background, kawaii",
    ),
    _look(
        pixel,
        "pixel art, pixel, 8-bit, 8-bit game, 16-bit, retro game, video game sprite, arcade, low resolution, "
        "pixelated, voxel",
    ),
    _look(
        neon,
        "neon lights, neon, cyberpunk, glowing neon, synthwave, neon sign, tron, vaporwave, laser, electric glow, "
        "blacklight",
        own_light=True,
    ),
    _look(
        blueprint,
        "blueprint, technical drawing, blueprint drawing, architect's plan, cyanotype, engineering drawing, schematic, "
        "white on blue, drafting",
        own_light=True,
    ),
    _look(
        glass,
        "stained glass, stained glass window, mosaic, leaded glass, tiffany glass, cathedral window, church window, "
        "gothic, tesserae",
    ),
    _look(
        ukiyoe,
        "japanese woodblock print, ukiyo-e, ukiyoe, hokusai, hiroshige, woodblock, woodcut, edo period, utamaro, "
        "the great wave, block print",
    ),
    _look(
        vangogh,
        "van gogh, van gogh painting, starry night, vincent van gogh, swirling brushstrokes, swirls, "
        "post-impressionist, post-impressionism, expressionist, munch",
    ),
    _look(
        papercut, "paper cut, papercut, cut paper, paper collage, layered paper, paper craft, kirigami, matisse cutout"
    ),
    _look(clay, "clay, clay toy, claymation, plasticine, clay animation, modelling clay, play dough, stop motion"),
    _look(
        photo,
        "photo, photograph, realistic, photorealistic, realistic photo, photography, film still, natural, 35mm, "
        "plain photo",
    ),
)
LOOKS: dict[str, Look] = {each.name: each for each in _ALL}


def looked(image: np.ndarray, noise: np.ndarray, look: str, grade: str = "") -> np.ndarray:
    """The picture float32 `[S, S, 3]` in 0..1 in one of `LOOKS` under one of `GRADES`, float32.

    `noise [16, S/8, S/8]` is what the model gets at its first step. Raises `KeyError` for a name that neither table
    has and `ValueError` where picture and noise do not fit.
    """
    side = image.shape[0]
    if image.dtype != np.float32 or image.shape != (side, side, 3) or noise.shape != (16, side // 8, side // 8):
        raise ValueError(
            f"got a picture {image.dtype} {list(image.shape)} and noise {list(noise.shape)}; needed: float32 [S, S, 3] "
            "and [16, S/8, S/8]. Draw the noise for this picture."
        )
    chosen, mood = LOOKS[look], GRADES[grade]
    noise = noise.astype(np.float32)
    graded = mix(image, mood.apply(image), TAKEN.get(grade, 1.0))
    if chosen.own_light:
        result = chosen.apply(mix(image, graded, GRADED_BEFORE), noise) * colour(*mood.tint)
    else:
        result = chosen.apply(graded, noise)
    return np.clip(result, 0, 1).astype(np.float32, copy=False)


def canonical_prompt(look: str, grade: str = "") -> str:
    """The plainest prompt for one of `LOOKS` under one of `GRADES`."""
    return ", ".join([LOOKS[look].words[0], *GRADES[grade].words[:1]])
