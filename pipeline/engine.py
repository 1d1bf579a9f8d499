"""One thread owns the device and takes the newest frame of each waiting session in turn."""

from __future__ import annotations

import time
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Condition, Lock, Thread, current_thread
from types import TracebackType
from typing import Any
from weakref import WeakSet

import cv2
import torch
from torch import Tensor

from pipeline.attention import choose_kernel
from pipeline.codec import LONGEST_SIDE, Frame, as_picture, as_pixels, decode, encode, pixels_per_latent
from pipeline.conditioning import conditioning_channels
from pipeline.cuts import thumbnail_of
from pipeline.errors import FrameError, ModelError, SessionClosedError
from pipeline.history import steadied
from pipeline.memory import Memory, create_memory
from pipeline.models import Model
from pipeline.packing import convolutions_packed
from pipeline.prompts import PromptEncoder
from pipeline.schedule import Schedule
from pipeline.session import NoiseKey, RowKey, Session, StreamState, Translation, noise_for
from pipeline.settings import MAXIMUM_SEED, FrameSettings, SettingsError

_served: WeakSet[Any] = WeakSet()
_served_lock = Lock()


@dataclass(frozen=True, eq=False)
class Translator:
    """The parts that turn one frame into another. It changes nothing: a stream's state comes in, the next goes out."""

    model: Model
    memory: Memory
    prompts: PromptEncoder
    schedule: Schedule

    def translated(
        self, frame: Frame, state: StreamState, settings: FrameSettings, seed: int
    ) -> tuple[Frame, StreamState]:
        """The picture `[H, W, 3]` of a frame `[H, W, 3]`, and what the stream knows after it.

        `seed` is the session's; `settings.seed` goes before it for the noise. Raises `PromptError` or `FrameError`.
        """
        model = self.model
        thumbnail = thumbnail_of(frame)
        state = state.before(frame, thumbnail, settings)
        stillness = state.stillness.after(thumbnail)
        with torch.inference_mode():
            embeddings = self.prompts.encode_batch(prompts_of(settings)).to(model.dtype)
            source = encode(model.vae, as_pixels(frame, model.device, model.dtype)).float()
            noise = self._noise(state, seed if settings.seed is None else settings.seed, settings.steps, source)
            generator = state.merge_generator(seed)
            latents, calls = self._denoised(source, list(noise.values()), embeddings, state, settings, generator)
            pixels = decode(model.vae, latents.to(model.dtype))
            # Read back before the bank is renewed: a picture that is no picture must leave nothing behind.
            if not bool(pixels.isfinite().all()):
                raise FrameError(
                    "the model gave NaN or infinity for this frame; needed: numbers. Lower guidance or prompt weights, "
                    "or load the model with dtype=torch.float32."
                )
            rows = state.rows if stillness.rests(settings) else self._renewed(calls, settings, generator)
        picture, history = steadied(frame, as_picture(pixels), state.history, settings.steadiness)
        return picture, StreamState(
            rows=rows,
            noise=noise,
            size=(frame.shape[1], frame.shape[0]),
            thumbnail=thumbnail,
            stillness=stillness,
            settings=settings,
            history=history,
            frames=state.frames + 1,
            bank_fill=min(self.memory.fill(row, settings) for row in rows.values()),
        )

    def _renewed(self, calls: list[Any], settings: FrameSettings, generator: torch.Generator) -> dict[RowKey, Any]:
        """What each step and branch remembers after a frame."""
        rows: dict[RowKey, Any] = {}
        for step, call in enumerate(calls):
            updated = self.memory.updated(call, settings, generator)
            rows |= {(step, branch): row for branch, row in enumerate(updated)}
        return rows

    def _noise(self, state: StreamState, seed: int, steps: int, source: Tensor) -> dict[NoiseKey, Tensor]:
        """The noise of each step, taken from the stream's last frame where it had the same."""
        keys: list[NoiseKey] = [(seed, step, tuple(source.shape)) for step in range(steps)]
        return {key: state.noise[key] if key in state.noise else noise_for(*key).to(source.device) for key in keys}

    def _denoised(
        self,
        source: Tensor,
        noise: list[Tensor],
        embeddings: Tensor,
        state: StreamState,
        settings: FrameSettings,
        generator: torch.Generator,
    ) -> tuple[Tensor, list[Any]]:
        """source and each noise `[1, C, h, w]`, embeddings `[B, L, C]` with a row a branch: the clean latents
        `[1, C, h, w]`, and each step's call of the memory."""
        steps = self.schedule.steps(settings.strength, settings.steps)
        beside = conditioning_channels(self.model.entry.latent_conditioning, source, settings.strength)
        clean, calls = source, []
        for index, (step, step_noise) in enumerate(zip(steps, noise, strict=True)):
            noisy = step.noisy(clean, step_noise)
            rows = [state.rows.get((index, branch)) for branch in range(len(embeddings))]
            calls.append(self.memory.open(rows, settings, generator))
            predictions = self._predicted(torch.cat([noisy, beside], dim=1), step.timestep, embeddings, calls[-1])
            prediction = guided(predictions, settings.guidance)
            clean = step.denoised(prediction, noisy, self.schedule.prediction_type)
        return clean, calls

    def _predicted(self, sample: Tensor, timestep: int, embeddings: Tensor, call: Any) -> Tensor:
        """One UNet call: sample `[1, C', h, w]`, the same for each branch; `[B, C, h, w]` float32."""
        sample = sample.expand(len(embeddings), -1, -1, -1)
        prediction: Tensor = self.model.unet(
            sample.to(self.model.dtype, memory_format=torch.channels_last),
            torch.tensor(timestep, device=sample.device),
            encoder_hidden_states=embeddings,
            cross_attention_kwargs={"memory": call},
            return_dict=False,
        )[0]
        return prediction.float()


def prompts_of(settings: FrameSettings) -> tuple[str, ...]:
    """One prompt a guidance branch: the negative one takes part only where it acts."""
    return (settings.prompt, settings.negative_prompt) if settings.guidance > 1 else (settings.prompt,)


def guided(predictions: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance (arXiv 2207.12598) over `[prompt; negative prompt]` `[B, C, h, w]`: `[1, C, h, w]`."""
    if len(predictions) == 1:
        return predictions
    positive, negative = predictions.chunk(2)
    return negative + guidance * (positive - negative)


@dataclass(frozen=True, eq=False)
class _Request:
    session: Session
    frame: Frame
    settings: FrameSettings
    future: Future[Translation]


class Engine:
    """Serves any number of sessions with one model. A context manager; `close` ends its thread.

    While it is open, the model's UNet belongs to it alone.
    """

    def __init__(self, model: Model, memory: str = "feature-bank", size: tuple[int, int] | None = None) -> None:
        """`size` is (width, height) in pixels, by default the model's own; raises `ModelError`, `MemoryNameError` or
        `SettingsError`."""
        self.model = model
        self.kernel = choose_kernel(model.device, model.dtype)
        self.size = self.checked_size(size or (model.native_size, model.native_size))
        self.memory = create_memory(memory, model.entry.memory_layout, self.kernel)
        encoder = PromptEncoder(model.tokenizer, model.text_encoder)
        self._translator = Translator(model, self.memory, encoder, Schedule.of(model.scheduler))
        self._changed = Condition()
        # One slot a session, oldest waiting first: a newer frame takes the place of the one it drops.
        self._waiting: dict[Session, _Request] = {}
        self._sessions: set[Session] = set()
        self._translating = False
        self._closed = False
        # Its workers would wait beside PyTorch's, and results would depend on how many cores a machine has.
        cv2.setNumThreads(1)
        with ExitStack() as undo:
            take_unet(model)
            undo.callback(give_unet_back, model)
            undo.enter_context(convolutions_packed(model.unet, model.vae))
            undo.enter_context(self.memory.installed(model.unet))
            self._undo = undo.pop_all()
        # A daemon: a program that forgets to close its engine still ends.
        self._thread = Thread(target=self._run, name="rearview-engine", daemon=True)
        self._thread.start()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def memory_name(self) -> str:
        """The memory's name, for the status line."""
        return self.memory.name

    @property
    def busy(self) -> bool:
        """Whether a frame is being translated or waits."""
        return self._translating or bool(self._waiting)

    @property
    def session_count(self) -> int:
        """How many sessions are open."""
        return len(self._sessions)

    def open(self, seed: int = 7, size: tuple[int, int] | None = None) -> Session:
        """A new session; `size` is (width, height) in pixels, by default the engine's. Raises `SettingsError`."""
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAXIMUM_SEED:
            raise SettingsError(f"seed came as {seed!r}; needed: a whole number from 0 to {MAXIMUM_SEED}. Send one.")
        session = Session(self, seed, self.checked_size(size or self.size))
        with self._changed:
            self._refuse_if_closed()
            self._sessions.add(session)
        return session

    def checked_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """`size` (width, height) if the model can work at it; raises `SettingsError`."""
        multiple = pixels_per_latent(self.model.vae)
        for side in size:
            if isinstance(side, bool) or not isinstance(side, int) or side % multiple or not 0 < side <= LONGEST_SIDE:
                raise SettingsError(
                    f"size came as {size}; needed: (width, height) in multiples of {multiple}, at most {LONGEST_SIDE}. "
                    "Round it."
                )
        return size

    def submit(self, session: Session, frame: Frame, settings: FrameSettings) -> Future[Translation]:
        """Queue a fitted frame of an open session; `Session.submit` is the way in."""
        request = _Request(session, frame, settings, Future())
        with self._changed:
            if session not in self._sessions:
                raise SessionClosedError("the session is closed; needed: an open one. Open a new one.")
            dropped = self._waiting.get(session)
            self._waiting[session] = request
            self._changed.notify()
        # Outside the lock: cancelling runs callbacks of whoever waits, and these may call the engine.
        if dropped is not None:
            cancel(dropped.future)
        return request.future

    def forget(self, session: Session) -> None:
        """Drop a session and its waiting frame; `Session.close` is the way in."""
        with self._changed:
            self._sessions.discard(session)
            dropped = self._waiting.pop(session, None)
        if dropped is not None:
            cancel(dropped.future)

    def close(self) -> None:
        """Close all sessions, end the thread after the frame under way, and put the UNet back as it was."""
        with self._changed:
            self._closed = True
            sessions = list(self._sessions)
            self._changed.notify()
        for session in sessions:
            session.close()
        if current_thread() is not self._thread:
            self._thread.join()
        self._undo.close()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise SessionClosedError("the engine is closed; needed: an open one. Make a new Engine.")

    def _run(self) -> None:
        request: _Request | None = None
        while (request := request or self._next_request()) is not None:
            request = self._answered(request)

    def _next_request(self) -> _Request | None:
        """Wait for a frame; `None` once the engine is closed."""
        with self._changed:
            self._translating = False
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return self._taken()

    def _taken(self) -> _Request | None:
        """Take the frame that has waited longest; `None` if none waits or the engine is closed. Needs the lock."""
        self._translating = bool(self._waiting) and not self._closed
        return self._waiting.pop(next(iter(self._waiting))) if self._translating else None

    def _answered(self, request: _Request) -> _Request | None:
        """Answer a frame, and return the next one if it waits already.

        That one is taken first: many answer a picture with a new frame at once, which would push it out.
        """
        if not request.future.set_running_or_notify_cancel():
            return None
        outcome: Translation | Exception
        try:
            outcome = self._translated(request)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for this frame; the thread lives on
            outcome = error
        with self._changed:
            following = self._taken()
        if isinstance(outcome, Translation):
            request.future.set_result(outcome)
        else:
            request.future.set_exception(outcome)
        return following

    def _translated(self, request: _Request) -> Translation:
        """Translate and commit. The bank is renewed before the result is out: what a session says of itself after a
        frame is then always true, and a frame whose bank could not be renewed is a frame that failed."""
        start = time.perf_counter()
        session, frame = request.session, request.frame
        before = session.state
        picture, after = self._translator.translated(frame, before, request.settings, session.seed)
        number = session.commit(before, after)
        return Translation(picture, time.perf_counter() - start, after.bank_fill, number)


def cancel(future: Future[Translation]) -> None:
    """Cancel a future that waits, so that everybody who waits for it knows: `concurrent.futures.wait` does not hear
    of a cancellation alone."""
    if future.cancel():
        future.set_running_or_notify_cancel()


def take_unet(model: Model) -> None:
    """Mark a UNet as served; raises `ModelError` if another engine serves it: its memory would be overwritten."""
    with _served_lock:
        if model.unet in _served:
            raise ModelError(
                f"model {model.name!r} is in use by another engine; needed: one engine a model. "
                "Close that engine, or load the model again."
            )
        _served.add(model.unet)


def give_unet_back(model: Model) -> None:
    """Undo `take_unet`."""
    with _served_lock:
        _served.discard(model.unet)
