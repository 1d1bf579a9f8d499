"""How frames become pictures, stage by stage and many at once: begun, a UNet call a step, decoded, done.

Every stage takes frames of any number of sessions and changes nothing: what comes out is kept by whoever calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pipeline.calls.plain_codec import PlainCodec
from pipeline.calls.runtimes import Used
from pipeline.calls.streams import Arriving, OneStream, Streams
from pipeline.compute.devices import leaving, numbers_on, sent
from pipeline.compute.trees import tensors_in
from pipeline.engine.guidance import branch_count, branch_prompts, guided
from pipeline.engine.stream import Carried, NoiseKey, RowKey, Seen, StreamState, merge_generator, noise_for
from pipeline.errors import FrameError
from pipeline.frames.codec import Frame, as_pixels
from pipeline.frames.cuts import thumbnail_of
from pipeline.frames.history import steadied
from pipeline.frames.recurrent_decoder import Remembered
from pipeline.guides.adapter import LikePicture, PictureAdapter, Read
from pipeline.guides.control import Control
from pipeline.guides.depth import DepthModel, DepthRange, FrameDepth, depths_of
from pipeline.guides.safety import SafetyChecker, blurred
from pipeline.memory import MappedMemory, Memory, MemoryRow
from pipeline.memory.depth import depth_model_of
from pipeline.models.catalogue import ModelEntry
from pipeline.models.conditioning import conditioning_channels
from pipeline.models.load import Model
from pipeline.models.schedule import Schedule, StepCoefficients
from pipeline.models.unet_call import UnetInputs, UnetRunner, predicted
from pipeline.prompts.embeddings import PromptEmbeddings
from pipeline.prompts.encoder import PromptEncoder
from pipeline.settings import FrameSettings


@dataclass(frozen=True, eq=False)
class Asked:
    """A frame `[H, W, 3]` and how it is to be translated; `seed` is its session's, and `settings.seed` goes before it
    for the noise. `with_map`: it also wants to know how well the bank knows each place of it; `like`: the picture that
    it is to be like, if there is one."""

    frame: Frame
    settings: FrameSettings
    seed: int
    with_map: bool = False
    like: LikePicture | None = None

    @property
    def like_digest(self) -> str:
        """What tells the picture that acts on it from others; empty where none does."""
        return self.like.digest if self.like is not None and self.settings.like_strength > 0 else ""


@dataclass(frozen=True, eq=False)
class UnderWay:
    """A frame on its way: what it was begun with, and where it is.

    source, latents and anchor are `[1, C, h, w]`: those of the frame, those that its last step gave (clean ones, if it
    was the last of all), and those that residual guidance leads away from. beside is what the model sees beside the
    noisy ones; embeddings have a row a prompt that takes part; control is what a control made of the frame; read is
    what was read from the picture that it is to be like, and likeness a row of that a branch. `step` is how many steps
    it has passed, and `rows` what these leave to the next frame's, staged until this one has succeeded. `known`,
    float32 `[h', w']` on the CPU and whole when the frame is decoded, is how well the bank knew each place at the last
    step, if that was asked. `depth` is there from the first step on where its memory reads it: only then is the past
    there that it follows.
    """

    asked: Asked
    seen: Seen
    carried: Carried
    steps: tuple[StepCoefficients, ...]
    embeddings: PromptEmbeddings
    source: Tensor
    beside: Tensor
    latents: Tensor
    anchor: Tensor
    noise: Mapping[NoiseKey, Tensor]
    control: Any = None
    read: Read | None = None
    likeness: Tensor | None = None
    step: int = 0
    rows: Mapping[RowKey, Any] = field(default_factory=dict)
    known: Tensor | None = None
    depth: FrameDepth | None = None

    @property
    def depth_range(self) -> DepthRange | None:
        """The range that its depth is shown in, if it has one yet."""
        return None if self.depth is None else self.depth.range

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
        """Rows that its next step takes in a UNet call: one a guidance branch."""
        return branch_count(self.asked.settings, self.step)

    @property
    def row_keys(self) -> list[RowKey]:
        """The rows of its next step, in batch order."""
        return [(self.step, branch) for branch in range(self.batch_rows)]

    @property
    def likeness_rows(self) -> list[Tensor | None]:
        """What each row of its next step adds of the picture that it is to be like, in batch order."""
        rows = range(self.batch_rows)
        return [None if self.likeness is None else self.likeness[row : row + 1] for row in rows]

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width in pixels; frames of one `shape` have one."""
        return self.asked.frame.shape[0], self.asked.frame.shape[1]

    @property
    def notice(self) -> str:
        """A sentence where whoever asked for it has to know something."""
        return self.embeddings.notice

    @property
    def shape(self) -> tuple[int | str, ...]:
        """What frames must have in common to share a call: the shape of latents and that of a prompt's embeddings, and
        the memory that they ask for."""
        return *self.source.shape, *self.embeddings.shape, self.asked.settings.memory

    def memory_rows(self, past: Past) -> list[MemoryRow]:
        """What each branch of its next step looks back at."""
        rows = past.rows if self.carried.scene else {}
        asked, frame, reprompted = self.asked, self.seen.frames, not self.carried.features
        depth = None if self.depth is None else self.depth.latents
        return [
            MemoryRow(rows.get(key), asked.settings, merge_generator(asked.seed, frame, key), reprompted, depth)
            for key in self.row_keys
        ]

    def noisy(self) -> Tensor:
        """The latents `[1, C, h, w]` that its next step begins with."""
        noise = self.noise[noise_key(self.asked, self.step, self.source)]
        return self.steps[self.step].noisy(self.latents, noise)


Past = StreamState | UnderWay
"""What a frame looks back at: what the last frame of its stream left, or that frame while it is under way too."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture that is on its way, and what the decoder remembers of it."""

    arriving: Arriving
    left: Remembered


@dataclass(frozen=True, eq=False)
class Translator:
    """The parts of a model and a memory that turn frames into pictures; what looks these over, what controls them and
    what reads pictures that they are to be like, if anything; what guesses the depth that the memory reads, if any;
    what makes the UNet's calls and the codec's, what of that was used, and where the stages run."""

    model: Model
    memory: Memory
    prompts: PromptEncoder
    schedule: Schedule
    _: KW_ONLY
    safety: SafetyChecker | None = None
    control: Control | None = None
    adapter: PictureAdapter | None = None
    depth: DepthModel | None = None
    runner: UnetRunner = predicted
    codec: PlainCodec = field(default_factory=PlainCodec)
    used: Used = field(default_factory=Used)
    streams: Streams = field(default_factory=OneStream)

    def begun(self, asked: Asked, past: Past) -> UnderWay:
        """A frame that comes after `past`, ready for its first step. Raises `PromptError`."""
        (frame,) = self.begun_together([(asked, past)])
        return frame

    def begun_together(self, frames: Sequence[tuple[Asked, Past]]) -> list[UnderWay]:
        """All frames, each with its past, ready for their first step; they have to be of one size, and none may be the
        past of another. Raises `PromptError`."""
        model = self.model
        with torch.inference_mode(), self.streams.encoding() as crossing:
            pixels = torch.cat([as_pixels(asked.frame, model.device, model.dtype) for asked, _ in frames])
            sources = self.codec.encode(model.vae, pixels.to(memory_format=torch.channels_last))
            begun = [self._begun(asked, past, sources[index : index + 1]) for index, (asked, past) in enumerate(frames)]
            crossing += begun
        return begun

    def _begun(self, asked: Asked, past: Past, source: Tensor) -> UnderWay:
        model, settings = self.model, asked.settings
        seen, carried = past.seen.after(asked.frame, thumbnail_of(asked.frame), settings, asked.like_digest)
        rows = self.prompts.encode_batch(branch_prompts(settings), settings.blend)
        embeddings = rows.to(model.device, model.dtype)
        beside = conditioning_channels(model.entry.latent_conditioning, source, settings.strength)
        control = self.control and self.control.of_frame(asked.frame, settings.control_strength)
        steps = self.schedule.steps(settings.strength, settings.steps, settings.gamma)
        noise = noise_of(asked, source, past, model.entry)
        read = self._read(asked, past)
        likeness = None if read is None or self.adapter is None else self.adapter.rows_of(read, settings)
        return UnderWay(
            asked, seen, carried, steps, embeddings, source, beside, source, source, noise, control, read, likeness
        )

    def _read(self, asked: Asked, past: Past) -> Read | None:
        """What a frame carries of the picture that it is to be like: its past's, where the picture is the same."""
        if asked.like is None or self.adapter is None:
            return None
        known = past.read
        return known if known is not None and known.digest == asked.like.digest else self.adapter.read(asked.like)

    def rebased(self, frame: UnderWay, past: Past) -> UnderWay:
        """The same frame at its beginning again, with another past: the one that it had has failed."""
        asked = frame.asked
        seen, carried = past.seen.after(asked.frame, thumbnail_of(asked.frame), asked.settings, asked.like_digest)
        source = frame.source
        return replace(frame, seen=seen, carried=carried, latents=source, anchor=source, step=0, rows={}, depth=None)

    def stepped(self, frames: Sequence[tuple[UnderWay, Past]]) -> list[UnderWay]:
        """All frames, each with its past, one step further by one UNet call. They have to be of one `shape`."""
        with torch.inference_mode():
            frames = self._with_depth(frames)
            noisy = [frame.noisy() for frame, _ in frames]
            inputs = self._inputs(frames, noisy)
            call = inputs.memory
            predictions = self.runner(self.model.unet, inputs)
            stepped, first = [], 0
            for begun, (frame, past) in zip(noisy, frames, strict=True):
                own = predictions[first : first + frame.batch_rows]
                latents, anchor = self._denoised(frame, begun, own)
                rows = {**frame.rows, **self._renewed(frame, past, call, first)}
                known = self._known(frame, call, first)
                stepped.append(
                    replace(frame, latents=latents, anchor=anchor, step=frame.step + 1, rows=rows, known=known)
                )
                first += frame.batch_rows
            return stepped

    def rehearse(self, asked: Asked, past: Past, rows: int) -> None:
        """Go through the calls of networks that so many frames like this one, each after such a past, take together,
        with a runner that prepares them."""
        with torch.inference_mode():
            frame = self.begun(asked, past)
            pixels = as_pixels(asked.frame, self.model.device, self.model.dtype)
            latents = frame.latents.to(self.model.dtype)
            pixels, latents = (each.repeat(rows, 1, 1, 1) for each in (pixels, latents))
            self.codec.prepare(self.model.vae, pixels, latents, later=rows > 1)
            for step in range(len(frame.steps)):
                frames = self._with_depth([(replace(frame, step=step), past)] * rows)
                self.runner(self.model.unet, self._inputs(frames, [each.noisy() for each, _ in frames]))

    def _inputs(self, frames: Sequence[tuple[UnderWay, Past]], noisy: Sequence[Tensor]) -> UnetInputs:
        """What the next step of all frames takes, whose noisy latents are these."""
        samples = [
            torch.cat([latents, frame.beside], dim=1).expand(frame.batch_rows, -1, -1, -1)
            for latents, (frame, _) in zip(noisy, frames, strict=True)
        ]
        passed = [frame.steps[frame.step].timestep for frame, _ in frames for _ in range(frame.batch_rows)]
        timesteps = numbers_on(self.model.device, passed, torch.int64)
        embeddings = PromptEmbeddings.joined([frame.embeddings.first(frame.batch_rows) for frame, _ in frames])
        call = self.memory.open([row for frame, past in frames for row in frame.memory_rows(past)])
        inputs = UnetInputs(torch.cat(samples), timesteps, embeddings, call, frames[0][0].frame_size)
        if self.control is not None:
            controlled = [frame.control for frame, _ in frames for _ in range(frame.batch_rows)]
            inputs = replace(inputs, control=self.control.residuals(inputs, controlled))
        if self.adapter is not None:
            liked = [row for frame, _ in frames for row in frame.likeness_rows]
            inputs = replace(inputs, likeness=self.adapter.joined(liked))
        return inputs

    def _with_depth(self, frames: Sequence[tuple[UnderWay, Past]]) -> Sequence[tuple[UnderWay, Past]]:
        """The same frames, each with its depth if their memory reads it: guessed before the first step, for all that
        are there together."""
        model, settings = self.model, frames[0][0].asked.settings
        new = [index for index, (frame, _) in enumerate(frames) if frame.depth is None]
        if self.depth is None or not new or depth_model_of(self.memory, settings) is None:
            return frames
        pixels = torch.cat([as_pixels(frames[index][0].asked.frame, model.device, model.dtype) for index in new])
        ranges = [past.depth_range if frame.carried.scene else None for frame, past in (frames[index] for index in new)]
        depths = dict(zip(new, depths_of(self.depth, model.vae, pixels, ranges), strict=True))
        return [
            (replace(frame, depth=depths.get(index, frame.depth)), past) for index, (frame, past) in enumerate(frames)
        ]

    def _denoised(self, frame: UnderWay, noisy: Tensor, predictions: Tensor) -> tuple[Tensor, Tensor]:
        """What the step gives by the predictions of its branches together, and the anchor from then on."""
        step, kind = frame.steps[frame.step], self.schedule.prediction_type
        prediction, anchor = guided(predictions, noisy, frame.anchor, step, kind, frame.asked.settings)
        return step.denoised(prediction, noisy, kind), anchor

    def _renewed(self, frame: UnderWay, past: Past, call: Any, first: int) -> dict[RowKey, Any]:
        """What each branch of a frame's step, from batch row `first` on, leaves to the next frame's."""
        if frame.seen.stillness.rests(frame.asked.settings):
            return {key: past.rows.get(key) for key in frame.row_keys}
        return {key: self.memory.updated(call, first + branch) for branch, key in enumerate(frame.row_keys)}

    def _known(self, frame: UnderWay, call: Any, row: int) -> Tensor | None:
        """How well the bank knew each place of a frame at its last step, under its prompt (batch row `row`); `None`
        where nobody asked, or the memory cannot say."""
        is_last = frame.step == len(frame.steps) - 1
        if not (is_last and frame.asked.with_map and isinstance(self.memory, MappedMemory)):
            return None
        known = self.memory.known(call, row, (frame.source.shape[2], frame.source.shape[3]))
        return None if known is None else leaving(known)

    def decoded(self, frames: Sequence[tuple[UnderWay, StreamState]]) -> list[Decoded]:
        """The pictures of frames, which have to be of one shape, each with its past, on their way from the device,
        looked over."""
        latents = [frame.latents for frame, _ in frames]
        before = [past.drawn if frame.carried.picture else () for frame, past in frames]
        with torch.inference_mode(), self.streams.decoding(*latents, *tensors_in(before)):
            pixels, left = self.codec.decode(self.model.vae, torch.cat(latents).to(self.model.dtype), before)
            flagged = [None] * len(frames) if self.safety is None else self.safety.flags(pixels)
            return [
                Decoded(self.streams.arriving(pixels[index : index + 1], flagged[index]), left[index])
                for index in range(len(frames))
            ]

    def done(self, frame: UnderWay, past: StreamState, decoded: Decoded) -> tuple[Frame, StreamState]:
        """The picture `[H, W, 3]` of a frame, once it is here, and what it leaves to the next; one that is flagged
        comes out blurred and leaves no picture to hold on to.

        Raises `FrameError` for pixels that are no numbers.
        """
        painted = decoded.arriving.waited_for()
        if painted is None:
            raise FrameError(
                "the model gave NaN or infinity for this frame; needed: numbers. Lower guidance or prompt weights, "
                "or load the model in float32 (--precision float32)."
            )
        settings = frame.asked.settings
        fill = min(self.memory.fill(row, settings) for row in frame.rows.values())
        left = StreamState(
            seen=frame.seen,
            rows=frame.rows,
            noise=frame.noise,
            bank_fill=fill,
            flagged=painted.flagged,
            resets=past.resets,
            depth_range=frame.depth_range,
            read=frame.read,
        )
        if painted.flagged:
            return blurred(painted.picture), left
        history = past.history if frame.carried.picture else None
        picture, history = steadied(frame.asked.frame, painted.picture, history, settings.steadiness)
        return picture, replace(left, history=history, drawn=decoded.left)

    def translated(self, asked: Asked, past: StreamState) -> tuple[Frame, StreamState]:
        """One frame by itself, from its beginning to its end."""
        frame = self.begun(asked, past)
        while not frame.is_denoised:
            (frame,) = self.stepped([(frame, past)])
        (decoded,) = self.decoded([(frame, past)])
        return self.done(frame, past, decoded)


def noise_key(asked: Asked, step: int, source: Tensor) -> NoiseKey:
    """Which noise a step of a frame begins with."""
    seed = asked.seed if asked.settings.seed is None else asked.settings.seed
    return seed, step, tuple(source.shape)


def noise_of(asked: Asked, source: Tensor, past: Past, entry: ModelEntry) -> dict[NoiseKey, Tensor]:
    """The noise of each step, `[1, C, h, w]`, drawn only where the past had another."""
    known = past.noise
    keys = [noise_key(asked, step, source) for step in range(asked.settings.steps)]
    return {key: known[key] if key in known else sent(_drawn_noise(key, entry), source.device) for key in keys}


def _drawn_noise(key: NoiseKey, entry: ModelEntry) -> Tensor:
    seed, step, shape = key
    return noise_for(seed, entry.noise_number(step), shape)
