"""What the stage's model paints so far: held-out outlines on a sheet, and scores of their colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline.memory import create_memory
from training.meaning.latents import encoded
from training.meaning.outlines import Outline, held_out_outlines, scores
from training.model.model import MEMORY_LAYOUT
from training.model.painter import Painter, Parts, training_kernel
from training.model.tensors import as_pictures, half_precision
from training.things.icons import Icons

AT_ONCE = 12


def without_memory(parts: Parts) -> Painter:
    """Runs the parts on the CPU as the engine does, without a past."""
    device = torch.device("cpu")
    return Painter(parts, create_memory("none", MEMORY_LAYOUT, training_kernel(device)), device)


def predict(painter: Painter, noisy: Tensor, sketches: Tensor, timesteps: Tensor, prompts: Tensor) -> Tensor:
    """Clean latents `[B, 16, h, w]` at strength 1, in the UNet's own precision."""
    precision = next(painter.parts.unet.parameters()).dtype
    call = painter.opened([None] * len(noisy), None)
    strength = torch.ones(len(noisy), device=noisy.device)
    return painter.predicted(
        noisy.to(precision), sketches.to(precision), strength, timesteps, prompts.to(precision), call
    )


@torch.no_grad()
def painted(painter: Painter, pictures: list[np.ndarray], prompts: list[str]) -> list[np.ndarray]:
    """Pictures uint8 `[S, S, 3]` painted in one step at strength 1, with one noise for all."""
    result = []
    for start in range(0, len(pictures), AT_ONCE):
        chosen = np.stack(pictures[start : start + AT_ONCE])
        side = chosen.shape[1] // 8
        noise = torch.randn(1, 16, side, side, generator=torch.Generator().manual_seed(7)).to(painter.device)
        sketches = encoded(painter.parts.codec, chosen).float().to(painter.device)
        timesteps = torch.full((len(chosen),), 999, device=painter.device)
        noisy = painter.noised(sketches, noise, timesteps)
        with half_precision(painter.device):
            embeddings = painter.prompt_embeddings(prompts[start : start + AT_ONCE])
            predicted = predict(painter, noisy, sketches, timesteps, embeddings)
            result.extend(as_pictures(painter.decoded(predicted)))
    return result


def look(painter: Painter, icons: Icons, folder: Path, style: str, step: int) -> None:
    """Paint the held-out outlines: a sheet (each with its word, and without), and the colour scores as a line."""
    outlines = held_out_outlines(icons, 128)
    figures = scores(outlines, lambda pictures, prompts: painted(painter, list(pictures), list(prompts)), style)
    line = "; ".join(f"{name}: nearest {each.nearest:.2f}, chroma {each.chroma:.0f}" for name, each in figures.items())
    print(f"look: step {step}, {line}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "scores.txt").open("a") as file:
        file.write(f"{step}\t{line}\n")
    sheet(painter, outlines, style).save(folder / f"meaning_{step:06d}.png")


def sheet(painter: Painter, outlines: list[Outline], style: str, columns: int = 4) -> Image.Image:
    """Each outline, painted with its word and without, side by side."""
    pictures = [each.picture for each in outlines]
    with_word = painted(painter, pictures, [f"{style}, a {each.word}" for each in outlines])
    without = painted(painter, pictures, [style] * len(outlines))
    cells = [np.hstack(each) for each in zip(pictures, with_word, without, strict=True)]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % columns)
    rows = [np.hstack(cells[start : start + columns]) for start in range(0, len(cells), columns)]
    return Image.fromarray(np.vstack(rows))
