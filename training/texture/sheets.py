"""What the model paints so far, on a sheet: pictures by looks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from pipeline.memory import create_memory
from training.looks.looks import LOOKS
from training.meaning.looking import painted
from training.meaning.outlines import Outline
from training.model.model import MEMORY_LAYOUT
from training.model.painter import Painter, Parts


def looks_sheet(parts: Parts, device: torch.device, outlines: Sequence[Outline]) -> Image.Image:
    """Rows: outlines; columns: the outline, then each look of the thing that it shows."""
    painter = Painter(parts, create_memory("none", MEMORY_LAYOUT, "sdpa"), device)
    rows = []
    with painter.memory.installed(parts.unet):
        for each in outlines:
            prompts = [f"{look.words[0]} of a {each.word}" for look in LOOKS.values()]
            rows.append(np.hstack([each.picture, *painted(painter, [each.picture] * len(prompts), prompts)]))
    return Image.fromarray(np.vstack(rows))
