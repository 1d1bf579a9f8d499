"""Lessons for a memory of any model from a folder of videos: what noise is in their frames.

Frames are encoded once and kept, a file a clip. The prompt of a video is the text beside it, `NAME.txt`, or one for all
of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline import Model
from pipeline.frames.codec import Frame, as_pixels, encode, fitted, pixels_per_latent
from pipeline.models.conditioning import conditioning_channels
from pipeline.models.schedule import StepCoefficients
from pipeline.prompts.encoder import PromptEncoder
from pipeline.video.reader import SourceFrame, VideoReader
from training.memory.lessons import embedded
from training.memory.seam import Lesson, Segments
from training.model.progress import Progress

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif")
SHARE_OF_FIXED_NOISE = 0.5
"""Of lessons whose frames have one noise, as those of a live session have; in the others each has its own."""
UNSEEN_EVERY = 10
"""One clip in so many is kept for looks at unseen ones."""


def videos_in(folder: Path) -> list[Path]:
    """The videos of a folder and those below it; raises `FileNotFoundError` where there is none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise FileNotFoundError(
            f"no videos in {folder}; needed: files that end in {', '.join(SUFFIXES)}. Name another folder."
        )
    return found


def prompt_of(video: Path, prompt: str) -> str:
    """The text beside a video, or else `prompt`."""
    beside = video.with_suffix(".txt")
    return beside.read_text(encoding="utf-8").strip() if beside.is_file() else prompt


def clips_of(video: Path, frames: int, side: int) -> Iterator[list[Frame]]:
    """All runs of `frames` frames of a video, one behind the other, cut to squares of `side` pixels."""
    with VideoReader(video) as reader:
        pictures = (
            fitted(piece.picture, (side, side), "crop") for piece in reader.pieces() if isinstance(piece, SourceFrame)
        )
        while len(clip := list(islice(pictures, frames))) == frames:
            yield clip


@torch.no_grad()
def write_clips(folder: Path, videos: Path, model: Model, prompt: str, frames: int, side: int) -> None:
    """Encode all clips of all videos that are not there yet: every tenth into `folder/unseen`, the others into
    `folder/clips`."""
    found = videos_in(videos)
    progress, number = Progress("videos", len(found)), 0
    for name in ("clips", "unseen"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index, video in enumerate(found):
        for clip in clips_of(video, frames, side):
            path = folder / ("clips" if number % UNSEEN_EVERY else "unseen") / f"{number:06d}.safetensors"
            if not path.exists():
                _write_clip(path, model, clip, prompt_of(video, prompt))
            number += 1
        progress.show(index + 1)
    if number < 2:
        raise ValueError(
            f"the videos in {videos} came with {number} clips of {frames} frames; needed: two at least, one of them to "
            "be tested with. Add longer ones."
        )


def _write_clip(path: Path, model: Model, clip: Sequence[Frame], prompt: str) -> None:
    latents = [encode(model.vae, as_pixels(frame, model.device, model.dtype)).half().cpu() for frame in clip]
    partial = path.with_suffix(".partial")
    save_file({"source": torch.cat(latents).contiguous()}, partial, {"prompt": prompt})
    partial.replace(path)


class VideoLessons:
    """Lessons from clips as they lie on disk; see `training.memory.seam.Lessons`."""

    def __init__(self, folder: Path, model: Model) -> None:
        self.paths = sorted(folder.glob("*.safetensors"))
        if not self.paths:
            raise FileNotFoundError(f"no clips in {folder}; needed: encoded ones. Run the data stage first.")
        self.model, self.prompts = model, PromptEncoder(model.text_encoders)

    def __len__(self) -> int:
        return len(self.paths)

    def chosen(self, numbers: Sequence[int], segments: Segments) -> list[Lesson]:
        """The lessons of the clips of these numbers; their noise comes from torch's own generator, one for all lessons
        of a clip."""
        model, paths = self.model, [self.paths[each] for each in numbers]
        sources = torch.stack([load_file(path)["source"] for path in paths]).to(model.device).float()
        steps = [_coefficients(model, int(each)) for each in torch.randint(0, _timesteps(model), (len(paths),))]
        noises = _noise(sources)
        pairs = [_noisy_and_wanted(model, *each) for each in zip(steps, sources, noises, strict=True)]
        beside = [conditioning_channels(model.entry.latent_conditioning, each, 1.0) for each in sources]
        samples = torch.stack([torch.cat([noisy, own], 1) for (noisy, _), own in zip(pairs, beside, strict=True)])
        wanted = torch.stack([wanted for _, wanted in pairs])
        text = embedded(self.prompts, [_prompt(path) for path in paths]).to(model.device, torch.float32)
        timesteps = torch.tensor([each.timestep for each in steps], device=model.device)
        height, width = (side * pixels_per_latent(model.vae) for side in sources.shape[-2:])
        return [
            Lesson(samples[:, frames], timesteps, text, wanted[:, frames], (height, width))
            for frames in segments(sources.shape[1])
        ]


def _prompt(path: Path) -> str:
    with safe_open(path, framework="pt") as file:
        return str(file.metadata()["prompt"])


def _timesteps(model: Model) -> int:
    return int(model.scheduler.config.num_train_timesteps)


def _coefficients(model: Model, timestep: int) -> StepCoefficients:
    alpha = float(model.scheduler.alphas_cumprod[timestep])
    return StepCoefficients.noised_anew(timestep, alpha)


def _noise(sources: Tensor) -> Tensor:
    """Noise for clips `[B, F, C, h, w]`: of each clip one for all frames, or one for each."""
    own = torch.randn_like(sources)
    fixed = torch.rand(len(sources), device=sources.device) < SHARE_OF_FIXED_NOISE
    return torch.where(fixed[:, None, None, None, None], own[:, :1].expand_as(own), own)


def _noisy_and_wanted(model: Model, step: StepCoefficients, source: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Noisy latents `[F, C, h, w]` and what the UNet should predict from them."""
    noisy = step.noisy(source, noise)
    kind = model.schedule.prediction_type
    return noisy, source if kind == "sample" else step.prediction_of(noise, noisy, kind)
