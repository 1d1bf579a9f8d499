"""How good a trained model is: contact sheets, held-out errors, and how often a classifier knows the style.

`python -m training.evaluate --work build/training --model build/training/model`
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import nn

from pipeline import Engine, FrameSettings, load_model
from pipeline.frames.codec import as_picture, as_pixels, decode, encode
from pipeline.models.load import Model
from training.model.data import FRAME, HELD_OUT_PHOTOS, Shards, load_photos
from training.model.progress import Progress
from training.model.tensors import as_tensor
from training.scenes.captions import canonical_prompt
from training.scenes.scenes import draw_scene
from training.styles.styles import GRADES, STYLES, styled

HELD_OUT_SEED = 1_000_003
SHEET_STEPS = (1, 2, 4)


def held_out_scenes(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(sketch, rendering), uint8 `[256, 256, 3]`, of scenes that no training set holds."""
    rng = np.random.default_rng(HELD_OUT_SEED)
    scenes = [draw_scene(rng, FRAME) for _ in range(count)]
    return [(scene.sketch, scene.rendering) for scene in scenes]


def held_out_photos() -> list[np.ndarray]:
    """Square middles of photos that training never saw, uint8 `[256, 256, 3]`: a face, a cat, a cup."""
    corners = {"astronaut.png": (0, 90, 280), "chelsea.png": (0, 80, 300), "coffee.png": (0, 100, 400)}
    crops = []
    for name, photo in zip(HELD_OUT_PHOTOS, load_photos(HELD_OUT_PHOTOS), strict=True):
        y, x, side = corners[name]
        crops.append(cv2.resize(photo[y : y + side, x : x + side], (FRAME, FRAME), interpolation=cv2.INTER_AREA))
    return crops


def hand_drawn(folder: Path) -> list[np.ndarray]:
    """The example sketches, drawn by hand and not by the generator."""
    files = sorted(folder.glob("*.png"))
    size = (FRAME, FRAME)
    return [np.array(Image.open(file).convert("RGB").resize(size, Image.Resampling.LANCZOS)) for file in files]


def translated(engine: Engine, picture: np.ndarray, settings: FrameSettings) -> np.ndarray:
    """One picture without a past."""
    session = engine.open(seed=7)
    try:
        return np.array(session.translate(picture, settings))
    finally:
        session.close()


def contact_sheet(engine: Engine, pictures: Sequence[np.ndarray], prompts: Sequence[str], steps: int) -> Image.Image:
    """Rows: pictures; columns: the picture itself, then each prompt."""
    rows = []
    for picture in pictures:
        settings = [FrameSettings(prompt=prompt, strength=1.0, steps=steps) for prompt in prompts]
        painted = [translated(engine, picture, each) for each in settings]
        rows.append(np.concatenate([picture, *painted], axis=1))
    return Image.fromarray(np.concatenate(rows))


def mean_error(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference in 0..255."""
    return float(np.abs(one.astype(np.float32) - other.astype(np.float32)).mean())


def through_codec(model: Model, picture: np.ndarray) -> np.ndarray:
    """Encoded and decoded, nothing else."""
    with torch.inference_mode():
        latents = encode(model.vae, as_pixels(picture, model.device, model.dtype))
        return as_picture(decode(model.vae, latents))


def error_table(engine: Engine, pairs: Sequence[tuple[np.ndarray, np.ndarray]], title: str) -> list[str]:
    """Markdown rows: for each style, errors against the style's own rendering. pairs are (source, full rendering)."""
    lines = [
        f"| {title} | 1 step | 2 steps | 4 steps | the codec alone | copy the input | mean colour |",
        "|---|---|---|---|---|---|---|",
    ]
    cases = [(style, "") for style in STYLES] + [("painting", grade) for grade in GRADES if grade]
    totals = []
    for style, grade in cases:
        errors = []
        for source, rendering in pairs:
            target = (styled(rendering.astype(np.float32) / 255, style, grade) * 255 + 0.5).astype(np.uint8)
            prompt = canonical_prompt(style, grade)
            painted = [
                translated(engine, source, FrameSettings(prompt=prompt, strength=1.0, steps=steps))
                for steps in SHEET_STEPS
            ]
            mean = np.broadcast_to(target.mean((0, 1)), target.shape)
            others = [through_codec(engine.model, target), source, mean]
            errors.append([mean_error(each, target) for each in [*painted, *others]])
        totals.append(np.mean(errors, axis=0))
        name = ", ".join(word for word in (style, grade) if word)
        lines.append(f"| {name} | " + " | ".join(f"{value:.1f}" for value in totals[-1]) + " |")
    lines.append("| **mean** | " + " | ".join(f"{value:.1f}" for value in np.mean(totals, axis=0)) + " |")
    return lines


def new_classifier() -> nn.Module:
    """A small convolutional network from a picture to a style."""
    widths = (3, 32, 48, 64, 96)
    layers: list[nn.Module] = []
    for before, after in zip(widths, widths[1:], strict=False):
        layers += [nn.Conv2d(before, after, 5, stride=2, padding=2), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], len(STYLES)))


def trained_classifier(shards: Shards, steps: int = 500, batch: int = 32, side: int = 128) -> nn.Module:
    """Learns from the styles' own renderings only."""
    torch.manual_seed(0)
    rng, names = np.random.default_rng(0), list(STYLES)
    classifier = new_classifier()
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=2e-3)
    progress = Progress("classifier", steps)
    for step in range(steps):
        drawn = shards.batch(rng, batch, side)
        wanted = torch.tensor([names.index(style) for style in drawn.styles])
        scores = classifier(as_tensor(drawn.targets[:, 0], torch.device("cpu")))
        loss = nn.functional.cross_entropy(scores, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        progress.show(step + 1, f"loss {loss.item():.3f}")
    return classifier.eval()


def recognised(classifier: nn.Module, pictures: Iterable[tuple[str, np.ndarray]]) -> dict[str, float]:
    """Share of pictures of each style that the classifier gives to that style."""
    names, right = list(STYLES), {style: [] for style in STYLES}
    with torch.inference_mode():
        for style, picture in pictures:
            best = int(classifier(as_tensor(picture[None], torch.device("cpu"))).argmax())
            right[style].append(names[best] == style)
    return {style: float(np.mean(each)) for style, each in right.items() if each}


def evaluate(engine: Engine, shards: Shards, sketches: Path, out: Path, scenes: int) -> str:
    """Write the sheets into `out`; returns the tables as Markdown."""
    out.mkdir(parents=True, exist_ok=True)
    drawn, photos = held_out_scenes(scenes), held_out_photos()
    prompts = [canonical_prompt(style) for style in STYLES]
    for steps in SHEET_STEPS:
        contact_sheet(engine, hand_drawn(sketches), prompts, steps).save(out / f"sketches_{steps}.png")
        contact_sheet(engine, photos, prompts, steps).save(out / f"photos_{steps}.png")
    graded = [
        canonical_prompt(style, grade) for grade in GRADES if grade for style in ("painting", "watercolor", "anime")
    ]
    contact_sheet(engine, [*hand_drawn(sketches), *photos], graded, 1).save(out / "grades.png")
    classifier = trained_classifier(shards)
    sources = [sketch for sketch, _ in drawn] + photos
    painted = (
        (style, translated(engine, source, FrameSettings(prompt=canonical_prompt(style), strength=1.0)))
        for style in STYLES
        for source in sources
    )
    known = recognised(classifier, painted)
    rows = [
        *error_table(engine, drawn, "held-out sketches, mean error of 255"),
        "",
        *error_table(engine, [(photo, photo) for photo in photos], "held-out photos, mean error of 255"),
        "",
        "| style | recognised |",
        "|---|---|",
        *(f"| {style} | {share:.0%} |" for style, share in known.items()),
        f"| **all** | {np.mean(list(known.values())):.0%} |",
    ]
    return "\n".join(rows) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the training run: its shards are read")
    parser.add_argument("--model", default="embedded", help="a name of the catalogue, or a folder")
    parser.add_argument("--sketches", type=Path, default=Path("examples/sketches"), help="folder of hand-drawn PNGs")
    parser.add_argument("--scenes", type=int, default=12, help="how many held-out scenes")
    chosen = parser.parse_args(arguments)
    out = chosen.work / "evaluation"
    with Engine(load_model(chosen.model), memory="none") as engine:
        tables = evaluate(engine, Shards(chosen.work / "shards"), chosen.sketches, out, chosen.scenes)
    (out / "tables.md").write_text(tables)
    print(tables)
