"""What the model paints so far, on a sheet: pictures by looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from PIL import Image

from pipeline.memory import create_memory
from training.looks.looks import LOOKS
from training.meaning.looking import painted
from training.meaning.outlines import held_out_outlines
from training.model.model import MEMORY_LAYOUT
from training.model.painter import Painter, Parts, training_kernel
from training.things.icons import Icons
from training.things.photos import held_out_photos


@dataclass(frozen=True)
class Asked:
    """A picture uint8 `[S, S, 3]`, and what it is said to show; nothing for a blank sheet or a photograph."""

    picture: np.ndarray
    words: str


def held_out(icons: Icons, side: int, outlines: int = 5) -> list[Asked]:
    """What no sample shows: outlines in another hand, a blank sheet, and photographs."""
    drawn = [Asked(each.picture, f" of a {each.word}") for each in held_out_outlines(icons, side)[:outlines]]
    photos = [cv2.resize(each, (side, side), interpolation=cv2.INTER_AREA) for each in held_out_photos()[:2]]
    return [*drawn, Asked(np.full((side, side, 3), 255, np.uint8), ""), *(Asked(each, "") for each in photos)]


def looks_sheet(parts: Parts, device: torch.device, asked: Sequence[Asked]) -> Image.Image:
    """Rows: what is asked; columns: the picture itself, then each look of it."""
    painter = Painter(parts, create_memory("none", MEMORY_LAYOUT, training_kernel(device)), device)
    rows = []
    with painter.memory.installed(parts.unet):
        for each in asked:
            prompts = [f"{look.words[0]}{each.words}" for look in LOOKS.values()]
            rows.append(np.hstack([each.picture, *painted(painter, [each.picture] * len(prompts), prompts)]))
    return Image.fromarray(np.vstack(rows))
