"""How frames become pictures, stage by stage and many at once: begun, a UNet call a step, decoded, done.

Every stage takes frames of any number of sessions and changes nothing: what comes out is kept by whoever calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pipeline.codec import Frame, as_picture, as_pixels, decode, encode
from pipeline.conditioning import conditioning_channels
from pipeline.cuts import thumbnail_of
from pipeline.errors import FrameError
from pipeline.guidance import branch_prompts, guided
from pipeline.history import steadied
from pipeline.memory import Memory, MemoryRow
from pipeline.models import Model
from pipeline.prompts import PromptEmbeddings, PromptEncoder
from pipeline.schedule import Schedule, StepCoefficients
from pipeline.settings import FrameSettings
from pipeline.stream import Carried, NoiseKey, RowKey, Seen, StreamState, merge_generator, noise_for
from pipeline.unet_call import UnetInputs, predicted


@dataclass(frozen=True, eq=False)
class Asked:
    """A frame `[H, W, 3]` and how it is to be translated; `seed` is its session's, and `settings.seed` goes before it
    for the noise."""

    frame: Frame
    settings: FrameSettings
    seed: int


@dataclass(frozen=True, eq=False)
class UnderWay:
    """A frame on its way: what it was begun with, and where it is.

    source and clean are latents `[1, C, h, w]`, beside what the model sees beside the noisy ones, embeddings
    have a row a guidance branch; `rows` is what its steps so far leave to the next frame's, staged until this one has
    succeeded.
    """

    asked: Asked
    seen: Seen
    carried: Carried
    steps: tuple[StepCoefficients, ...]
    embeddings: PromptEmbeddings
    source: Tensor
    beside: Tensor
    clean: Tensor
    noise: Mapping[NoiseKey, Tensor]
    rows: Mapping[RowKey, Any] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """How many steps it has passed."""
        return len(self.rows) // len(self.embeddings)

    @property
    def is_denoised(self) -> bool:
        """Whether it has passed all of its steps."""
        return self.step == len(self.steps)

    def is_ready(self, past: Past) -> bool:
        """Whether it may pass its next step: it has one, and its past has been there already."""
        if self.is_denoised:
            return False
        return isinstance(past, StreamState) or past.is_denoised or past.step > self.step

    @property
    def batch_rows(self) -> int:
        """Rows that it takes in a UNet call: one a guidance branch."""
        return len(self.embeddings)

    @property
    def shape(self) -> tuple[int, ...]:
        """What frames must have in common to share a call: the shape of latents and that of a prompt's embeddings."""
        return *self.source.shape, *self.embeddings.shape

    def memory_rows(self, past: Past) -> list[MemoryRow]:
        """What each branch of its next step looks back at."""
        keys = [(self.step, branch) for branch in range(self.batch_rows)]
        rows = past.rows if self.carried.scene else {}
        asked, frame, reprompted = self.asked, self.seen.frames, not self.carried.features
        return [
            MemoryRow(rows.get(key), asked.settings, merge_generator(asked.seed, frame, key), reprompted)
            for key in keys
        ]

    def noisy(self) -> Tensor:
        """The latents `[1, C, h, w]` that its next step begins with."""
        noise = self.noise[noise_key(self.asked, self.step, self.source)]
        return self.steps[self.step].noisy(self.clean, noise)


Past = StreamState | UnderWay
"""What a frame looks back at: what the last frame of its stream left, or that frame while it is under way too."""


@dataclass(frozen=True, eq=False)
class Translator:
    """The parts of a model and a memory that turn frames into pictures."""

    model: Model
    memory: Memory
    prompts: PromptEncoder
    schedule: Schedule

    def begun(self, asked: Asked, past: Past) -> UnderWay:
        """A frame that comes after `past`, ready for its first step. Raises `PromptError`."""
        model, settings = self.model, asked.settings
        seen, carried = past.seen.after(asked.frame, thumbnail_of(asked.frame), settings)
        with torch.inference_mode():
            embeddings = self.prompts.encode_batch(branch_prompts(settings)).to(model.device, model.dtype)
            source = encode(model.vae, as_pixels(asked.frame, model.device, model.dtype)).float()
            beside = conditioning_channels(model.entry.latent_conditioning, source, settings.strength)
        steps = self.schedule.steps(settings.strength, settings.steps)
        return UnderWay(asked, seen, carried, steps, embeddings, source, beside, source, noise_of(asked, source, past))

    def rebased(self, frame: UnderWay, past: Past) -> UnderWay:
        """The same frame at its beginning again, with another past: the one that it had has failed."""
        asked = frame.asked
        seen, carried = past.seen.after(asked.frame, thumbnail_of(asked.frame), asked.settings)
        return replace(frame, seen=seen, carried=carried, clean=frame.source, rows={})

    def stepped(self, frames: Sequence[tuple[UnderWay, Past]]) -> list[UnderWay]:
        """All frames, each with its past, one step further by one UNet call. They have to be of one `shape`."""
        with torch.inference_mode():
            noisy = [frame.noisy() for frame, _ in frames]
            samples = [
                torch.cat([latents, frame.beside], dim=1).expand(frame.batch_rows, -1, -1, -1)
                for latents, (frame, _) in zip(noisy, frames, strict=True)
            ]
            timesteps = [frame.steps[frame.step].timestep for frame, _ in frames for _ in range(frame.batch_rows)]
            embeddings = PromptEmbeddings.joined([frame.embeddings for frame, _ in frames])
            call = self.memory.open([row for frame, past in frames for row in frame.memory_rows(past)])
            predictions = predicted(self.model.unet, UnetInputs(torch.cat(samples), timesteps, embeddings, call))
            stepped, first = [], 0
            for latents, (frame, past) in zip(noisy, frames, strict=True):
                prediction = guided(predictions[first : first + frame.batch_rows], frame.asked.settings.guidance)
                clean = frame.steps[frame.step].denoised(prediction, latents, self.schedule.prediction_type)
                rows = {**frame.rows, **self._renewed(frame, past, call, first)}
                stepped.append(replace(frame, clean=clean, rows=rows))
                first += frame.batch_rows
            return stepped

    def _renewed(self, frame: UnderWay, past: Past, call: Any, first: int) -> dict[RowKey, Any]:
        """What each branch of a frame's step, from batch row `first` on, leaves to the next frame's."""
        keys = [(frame.step, branch) for branch in range(frame.batch_rows)]
        if frame.seen.stillness.rests(frame.asked.settings):
            return {key: past.rows.get(key) for key in keys}
        return {key: self.memory.updated(call, first + branch) for branch, key in enumerate(keys)}

    def decoded(self, frames: Sequence[UnderWay]) -> list[Tensor]:
        """Pixels `[1, 3, H, W]` of each frame, which have to be of one shape."""
        with torch.inference_mode():
            latents = torch.cat([frame.clean for frame in frames])
            pixels = decode(self.model.vae, latents.to(self.model.dtype))
            return [pixels[index : index + 1] for index in range(len(frames))]

    def done(self, frame: UnderWay, past: StreamState, pixels: Tensor) -> tuple[Frame, StreamState]:
        """The picture `[H, W, 3]` of a frame, and what it leaves to the next.

        Raises `FrameError` for pixels that are no numbers.
        """
        if not bool(pixels.isfinite().all()):
            raise FrameError(
                "the model gave NaN or infinity for this frame; needed: numbers. Lower guidance or prompt weights, "
                "or load the model with dtype=torch.float32."
            )
        settings = frame.asked.settings
        history = past.history if frame.carried.picture else None
        picture, history = steadied(frame.asked.frame, as_picture(pixels), history, settings.steadiness)
        fill = min(self.memory.fill(row, settings) for row in frame.rows.values())
        return picture, StreamState(frame.seen, frame.rows, frame.noise, history, fill)

    def translated(self, asked: Asked, past: StreamState) -> tuple[Frame, StreamState]:
        """One frame by itself, from its beginning to its end."""
        frame = self.begun(asked, past)
        while not frame.is_denoised:
            (frame,) = self.stepped([(frame, past)])
        (pixels,) = self.decoded([frame])
        return self.done(frame, past, pixels)


def noise_key(asked: Asked, step: int, source: Tensor) -> NoiseKey:
    """Which noise a step of a frame begins with."""
    seed = asked.seed if asked.settings.seed is None else asked.settings.seed
    return seed, step, tuple(source.shape)


def noise_of(asked: Asked, source: Tensor, past: Past) -> dict[NoiseKey, Tensor]:
    """The noise of each step, `[1, C, h, w]`, drawn only where the past had another."""
    known = past.noise
    keys = [noise_key(asked, step, source) for step in range(asked.settings.steps)]
    return {key: known[key] if key in known else noise_for(*key).to(source.device) for key in keys}
