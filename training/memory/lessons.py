"""Lessons for a memory of a model that translates: what it paints by itself, made to stay with the things, as a target.

A model's own pictures of a moving scene are averaged along the true motion (`along_motion`) and encoded again: so a
memory need not learn to paint, only to hold still what is painted. Drawn once and kept, a file a scene.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline import Model
from pipeline.engine.stream import noise_for
from pipeline.errors import ModelError
from pipeline.frames.codec import decode, encode
from pipeline.memory import create_memory
from pipeline.models.conditioning import conditioning_channels
from pipeline.models.schedule import StepCoefficients
from pipeline.prompts.embeddings import PromptEmbeddings
from pipeline.prompts.encoder import PromptEncoder
from training.clips.stage import Clip
from training.looks.looks import GRADES, LOOKS
from training.memory.scenes import along_motion, draw_moving_scene
from training.memory.seam import KnownMotion, Lesson, Segments, painter
from training.model.progress import Progress
from training.model.tensors import as_tensor

NEWEST = 0.4
"""Share of the newest picture in the mean along the motion: a window of a few frames can come near it."""
SCREEN_BOUND = ("glass", "pixel", "blueprint")
"""Looks with a pattern of the screen, through which things move: along the motion they are a mush, or pale."""
SHARE_OF_LATER_STEPS = 0.5
STEADIED_SHARE = 0.8
"""How steady the pictures are that a later step begins with: a memory was at work, though not a perfect one."""


@dataclass(frozen=True)
class Task:
    """What is asked of all frames of a scene: a prompt, a strength, how many steps, and which of these it is about;
    `seed` is the session's, which draws the noise."""

    prompt: str
    strength: float
    steps: int
    step: int
    seed: int


def draw_task(rng: np.random.Generator) -> Task:
    """One of what visitors ask; most of them at full strength and in two steps; no look of `SCREEN_BOUND`."""
    look = LOOKS[str(rng.choice([name for name in LOOKS if name not in SCREEN_BOUND]))]
    grade = GRADES[str(rng.choice(list(GRADES)))] if rng.random() < 0.3 else GRADES[""]
    strength = 1.0 if rng.random() < 0.6 else float(rng.uniform(0.4, 1.0))
    is_later = rng.random() < SHARE_OF_LATER_STEPS
    steps = int(rng.choice([2, 2, 3, 4])) if is_later else int(rng.choice([1, 2, 2, 4]))
    step = int(rng.integers(1, steps)) if is_later else 0
    said = [str(rng.choice(each.words)) for each in (look, grade) if each.words]
    return Task(", ".join(said), strength, steps, step, int(rng.integers(1 << 31)))


def coefficients(model: Model, task: Task) -> StepCoefficients:
    """Those of the task's step."""
    return model.schedule.steps(task.strength, task.steps)[task.step]


def noise_of(model: Model, task: Task, step: int, latents: Tensor) -> Tensor:
    """The noise `[1, C, h, w]` of a step, as a session has it: the same for all frames of latents `[F, C, h, w]`."""
    return noise_for(task.seed, model.entry.noise_number(step), (1, *latents.shape[1:])).to(latents)


def sample_of(model: Model, task: Task, clean: Tensor, source: Tensor) -> Tensor:
    """What the UNet meets, `[F, C', h, w]`, where the task's step begins with these clean latents `[F, C, h, w]`."""
    noisy = coefficients(model, task).noisy(clean, noise_of(model, task, task.step, clean))
    return torch.cat([noisy, conditioning_channels(model.entry.latent_conditioning, source, task.strength)], dim=1)


def embedded(prompts: PromptEncoder, asked: Sequence[str]) -> PromptEmbeddings:
    """Embeddings, a row a prompt, that may take part in gradients: those of an encoder come from inference mode."""
    rows = prompts.encode_batch(asked)
    return PromptEmbeddings(rows.tokens.clone(), None if rows.pooled is None else rows.pooled.clone())


class Studio:
    """Paints scenes with a model as it is, without a memory."""

    def __init__(self, model: Model) -> None:
        """Raises `ModelError` for a model that predicts anything but clean latents."""
        if model.schedule.prediction_type != "sample":
            raise ModelError(
                f"model {model.name!r} came with a UNet that predicts {model.schedule.prediction_type}; needed: one "
                "that predicts clean latents, as the embedded model's. Train its memory on --videos."
            )
        self.model, self.prompts = model, PromptEncoder(model.text_encoders)
        self.memory = create_memory("none", model.entry.memory_layout, "sdpa")

    @torch.no_grad()
    def drawn(self, clip: Clip, task: Task) -> dict[str, Tensor]:
        """What a lesson needs: `clean` latents that the step begins with and `wanted` ones `[F, C, h, w]`, and the
        `pictures` uint8 `[F, H, W, 3]` that these stand for."""
        source = self.encoded(clip.frames)
        clean = source
        with self.memory.installed(self.model.unet):
            for step in range(task.step):
                painted = self._painted(Task(**asdict(task) | {"step": step}), clean, source)
                clean = torch.lerp(painted, self._steadied(clip, painted)[0], STEADIED_SHARE)
            wanted, pictures = self._steadied(clip, self._painted(task, clean, source))
        return {"clean": clean.half(), "wanted": wanted.half(), "pictures": torch.from_numpy(pictures)}

    def encoded(self, pictures: np.ndarray) -> Tensor:
        """Latents of pictures `[F, H, W, 3]`, of 0..255."""
        return encode(self.model.vae, _pixels(pictures).to(self.model.device)).float()

    def _painted(self, task: Task, clean: Tensor, source: Tensor) -> Tensor:
        step = coefficients(self.model, task)
        samples = sample_of(self.model, task, clean, source)
        side = 8 * samples.shape[-1]
        timesteps = torch.tensor([step.timestep], device=samples.device)
        text = embedded(self.prompts, [task.prompt]).to(samples.device, samples.dtype)
        lesson = Lesson(samples[None], timesteps, text, clean[None], (side, side))
        return painter(self.model.unet)(lesson, slice(None), None)[0]

    def _steadied(self, clip: Clip, painted: Tensor) -> tuple[Tensor, np.ndarray]:
        """Latents and pictures whose paint stays with the things. What the codec changes by itself is left out of the
        latents: where there is nothing to steady, they are what was painted."""
        pixels = decode(self.model.vae, painted).float().clamp(-1, 1)
        pictures = ((pixels.permute(0, 2, 3, 1).cpu().numpy() + 1) * 127.5).astype(np.float32)
        steady = along_motion(pictures, clip.flow, clip.visible, NEWEST).clip(0, 255)
        latents = painted + self.encoded(steady) - self.encoded(pictures)
        return latents, (steady + 0.5).astype(np.uint8)


def _pixels(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def write_scene(path: Path, studio: Studio, seed: int, frames: int, side: int, tasks: int) -> None:
    """Draw a scene, let the model paint it for so many tasks, and write all that lessons need."""
    rng = np.random.default_rng([0x4D454D, seed])
    clip = draw_moving_scene(rng, frames, side)
    asked = [draw_task(rng) for _ in range(tasks)]
    tensors = {
        "source": studio.encoded(clip.frames).half(),
        "flow": torch.from_numpy(clip.flow).half(),
        "visible": torch.from_numpy(clip.visible),
    }
    for number, task in enumerate(asked):
        tensors |= {f"{number} {name}": each for name, each in studio.drawn(clip, task).items()}
    partial = path.with_suffix(".partial")
    save_file({name: each.cpu().contiguous() for name, each in tensors.items()}, partial)
    path.with_suffix(".json").write_text(json.dumps([asdict(each) for each in asked]))
    partial.replace(path)  # last: its presence says that the scene is whole


def write_scenes(folder: Path, model: Model, scenes: int, seed: int, frames: int, side: int, tasks: int) -> None:
    """Draw and paint the scenes that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    studio, progress = Studio(model), Progress(f"scenes in {folder.name}", scenes)
    for number in range(scenes):
        path = folder / f"{number:05d}.safetensors"
        if not path.exists():
            write_scene(path, studio, seed + number, frames, side, tasks)
        progress.show(number + 1)


@dataclass(frozen=True, eq=False)
class PaintedScene:
    """A scene from disk under one of its tasks."""

    tensors: dict[str, Tensor]
    number: int
    task: Task

    def of_task(self, name: str) -> Tensor:
        """What `Studio.drawn` gave under this name."""
        return self.tensors[f"{self.number} {name}"]

    @property
    def begins_with(self) -> tuple[Tensor, Tensor]:
        """Clean latents that the task's step begins with, and those of the source."""
        return self.of_task("clean"), self.tensors["source"]


class SceneLessons:
    """Lessons from scenes as they lie on disk; see `training.memory.seam.Lessons`."""

    def __init__(self, folder: Path, model: Model) -> None:
        paths = sorted(folder.glob("*.safetensors"))
        if not paths:
            raise FileNotFoundError(f"no scenes in {folder}; needed: drawn ones. Run the data stage first.")
        self.clips = [
            (path, number, Task(**task))
            for path in paths
            for number, task in enumerate(json.loads(path.with_suffix(".json").read_text()))
        ]
        self.model, self.prompts = model, PromptEncoder(model.text_encoders)

    def __len__(self) -> int:
        """How many clips there are: each scene under each of its tasks."""
        return len(self.clips)

    def chosen(self, numbers: Sequence[int], segments: Segments) -> list[Lesson]:
        """The lessons of the clips of these numbers, together, in the order in which they are passed."""
        scenes = [PaintedScene(load_file(path), at, task) for path, at, task in (self.clips[each] for each in numbers)]
        text = embedded(self.prompts, [each.task.prompt for each in scenes]).to(self.model.device, torch.float32)
        return [self._lesson(scenes, text, frames) for frames in segments(len(scenes[0].tensors["source"]))]

    def _lesson(self, scenes: Sequence[PaintedScene], text: PromptEmbeddings, frames: list[int]) -> Lesson:
        device = self.model.device
        samples = [
            sample_of(self.model, each.task, *(whole[frames].to(device).float() for whole in each.begins_with))
            for each in scenes
        ]
        pictures = [as_tensor(each.of_task("pictures")[frames].numpy(), device) for each in scenes]
        return Lesson(
            torch.stack(samples),
            torch.tensor([coefficients(self.model, each.task).timestep for each in scenes], device=device),
            text,
            torch.stack([each.of_task("wanted")[frames].to(device).float() for each in scenes]),
            (pictures[0].shape[-2], pictures[0].shape[-1]),
            KnownMotion(
                torch.stack(pictures),
                torch.stack([each.tensors["flow"][frames].to(device).float() for each in scenes]),
                torch.stack([each.tensors["visible"][frames].to(device) for each in scenes]),
                tuple(index > 0 and frame == frames[index - 1] + 1 for index, frame in enumerate(frames)),
            ),
        )
