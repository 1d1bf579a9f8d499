"""What things are made of, and the colours that they are painted in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.scenes.shapes import Colour, Part


@dataclass(frozen=True)
class Material:
    """How a thing looks when painted. Strengths are fractions of full brightness."""

    canonical: Colour
    texture: str = "canvas"
    strength: float = 0.05
    roundness: float = 0.3
    gloss: float = 0.0
    shadow: float = 0.3
    rim: float = 0.25
    softness: float = 0.0


MATERIALS: dict[str, Material] = {
    "sky": Material((0.36, 0.62, 0.9), shadow=0, roundness=0, rim=0),
    "sun": Material((1.0, 0.86, 0.35), strength=0, roundness=0.1, shadow=0, rim=0),
    "ray": Material((1.0, 0.9, 0.55), strength=0, roundness=0, shadow=0, rim=0, softness=1.6),
    "cloud": Material((0.96, 0.97, 1.0), "puffs", 0.05, roundness=0.2, shadow=0, rim=0, softness=1.5),
    "mountain": Material((0.48, 0.5, 0.6), "rock", 0.16, roundness=0.5, shadow=0.1),
    "ground": Material((0.42, 0.6, 0.26), "grass", 0.16, roundness=0.15, shadow=0.12, rim=0.1),
    "sand": Material((0.9, 0.8, 0.56), "grain", 0.08, roundness=0.15, shadow=0.1, rim=0.08),
    "water": Material((0.16, 0.46, 0.66), "waves", 0.12, roundness=0, shadow=0, rim=0.05),
    "road": Material((0.68, 0.6, 0.5), "grain", 0.1, roundness=0.15, shadow=0.08, rim=0.15),
    "plaster": Material((0.94, 0.88, 0.74), "plaster", 0.05, roundness=0.2, rim=0.25),
    "brick": Material((0.75, 0.42, 0.32), "bricks", 0.16, roundness=0.15),
    "boards": Material((0.62, 0.44, 0.28), "planks", 0.16, roundness=0.15),
    "roof": Material((0.72, 0.34, 0.24), "tiles", 0.2, roundness=0.25, shadow=0.45),
    "stone": Material((0.66, 0.64, 0.62), "bricks", 0.12, roundness=0.25),
    "tower": Material((0.6, 0.64, 0.7), "panes", 0.3, roundness=0.15, shadow=0.3),
    "glass": Material((0.6, 0.76, 0.86), strength=0, roundness=0, shadow=0.1, rim=0),
    "door": Material((0.45, 0.28, 0.17), "planks", 0.18, roundness=0.3),
    "trunk": Material((0.42, 0.29, 0.18), "bark", 0.18, roundness=0.7),
    "leaf": Material((0.27, 0.52, 0.2), "leaves", 0.26, roundness=0.6, shadow=0.4),
    "needle": Material((0.16, 0.4, 0.24), "needles", 0.26, roundness=0.4, shadow=0.4),
    "stem": Material((0.3, 0.55, 0.25), roundness=0.4, shadow=0.15),
    "petal": Material((0.93, 0.45, 0.55), strength=0.04, roundness=0.5, shadow=0.25),
    "wood": Material((0.58, 0.4, 0.25), "planks", 0.14, roundness=0.5),
    "table": Material((0.62, 0.43, 0.27), "table", 0.13, roundness=0, shadow=0.15, rim=0.3),
    "cloth": Material((0.42, 0.5, 0.72), "folds", 0.13, roundness=0.5, shadow=0.35),
    "skin": Material((0.95, 0.78, 0.66), strength=0.02, roundness=0.42, shadow=0.3, gloss=0.1),
    "hair": Material((0.42, 0.27, 0.17), "strands", 0.24, roundness=0.5, shadow=0.3, gloss=0.15),
    "fur": Material((0.82, 0.56, 0.32), "fur", 0.1, roundness=0.5, shadow=0.35),
    "feather": Material((0.45, 0.58, 0.8), "feathers", 0.17, roundness=0.5, shadow=0.3),
    "scale": Material((0.95, 0.55, 0.2), "tiles", 0.13, roundness=0.5, gloss=0.25),
    "fruit": Material((0.84, 0.2, 0.17), strength=0.03, roundness=0.6, gloss=0.6, shadow=0.4),
    "glaze": Material((0.55, 0.68, 0.78), strength=0.02, roundness=0.5, gloss=0.5, shadow=0.4),
    "metal": Material((0.8, 0.25, 0.22), strength=0.02, roundness=0.45, gloss=0.5, shadow=0.4),
    "rubber": Material((0.16, 0.16, 0.18), strength=0, roundness=0.6, gloss=0.2),
    "eyewhite": Material((0.97, 0.96, 0.94), strength=0, roundness=0.3, shadow=0.2, rim=0.35),
    "iris": Material((0.36, 0.26, 0.16), strength=0, roundness=0, shadow=0.1, rim=0.6),
    "ink": Material((0.08, 0.07, 0.08), strength=0, roundness=0, shadow=0, rim=0),
    "sheen": Material((1.0, 0.96, 0.9), strength=0, roundness=0, shadow=0, rim=0, softness=2.0),
    "glint": Material((1.0, 1.0, 1.0), strength=0, roundness=0, shadow=0, rim=0),
    "lip": Material((0.8, 0.36, 0.36), strength=0, roundness=0.6, shadow=0.15, gloss=0.3),
    "teeth": Material((0.96, 0.95, 0.92), strength=0, roundness=0.3, shadow=0, rim=0.2),
    "blush": Material((0.93, 0.42, 0.38), strength=0, roundness=0, shadow=0, rim=0, softness=5.0),
    "shade": Material((0.45, 0.22, 0.16), strength=0, roundness=0, shadow=0, rim=0, softness=2.5),
    "plain": Material((0.86, 0.83, 0.77), strength=0.05, roundness=0.5, gloss=0.15, shadow=0.35),
    "line": Material((0.18, 0.16, 0.18), strength=0, roundness=0.4, shadow=0.2, rim=0),
}
OPACITY = {"blush": 0.38, "shade": 0.3, "sheen": 0.5, "ray": 0.7, "cloud": 0.95}


def toned(colour: Colour | np.ndarray) -> np.ndarray:
    """A crayon's colour as a painter would mix it: the hue stays, pure black, white and neon go."""
    rgb = np.asarray(colour, np.float32)
    grey = float(rgb @ (0.3, 0.59, 0.11))
    return np.clip(0.09 + 0.83 * (grey + 0.84 * (rgb - grey)), 0.06, 0.95).astype(np.float32)


def base_colour(part: Part) -> np.ndarray:
    """The colour [3] to paint the part in: the crayon's where it was filled, else the canonical one."""
    if part.filled and part.colour is not None:
        return toned(part.colour)
    return np.asarray(MATERIALS[part.material].canonical, np.float32)
