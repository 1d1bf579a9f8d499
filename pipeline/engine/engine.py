"""One thread owns the device: at each tick the frames of all sessions that are ready pass a step in one UNet call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from os import PathLike
from pathlib import Path
from threading import Thread, current_thread
from types import TracebackType
from typing import TypeVar

import cv2
import numpy as np
import torch

from pipeline.calls.compiled import Compiled, CompiledCodec, CompiledUnet, Kinds
from pipeline.calls.compiling import MemorySource
from pipeline.calls.graphs import Graphs, codec_runner, unet_runner
from pipeline.calls.plain_codec import PlainCodec
from pipeline.calls.runtimes import OPENVINO, PYTORCH, Used
from pipeline.calls.streams import streams_for
from pipeline.calls.workshop import Workshop, can_compile
from pipeline.compute.devices import settle
from pipeline.compute.kernels import choose_kernels
from pipeline.compute.packing import convolutions_packed
from pipeline.compute.peak import PeakBytes
from pipeline.engine.budget import ByteBudget
from pipeline.engine.finer import Resting, alone, finer_translator, rested_picture
from pipeline.engine.guidance import branch_count
from pipeline.engine.holdings import Holdings
from pipeline.engine.lanes import NO_BANK, Lanes, Observer, Outcome, Request, Tick
from pipeline.engine.mailbox import Mailbox, cancel
from pipeline.engine.memory_choice import MemoryChoice, loaded_memories, own_folder
from pipeline.engine.reading import ReadingRoom
from pipeline.engine.serving import unet_served
from pipeline.engine.session import Session, Translation
from pipeline.engine.sizes import Sizes
from pipeline.engine.stream import StreamState
from pipeline.engine.translator import Asked, Translator
from pipeline.errors import FrameError, ModelError, NoRoomError, SessionClosedError
from pipeline.frames.codec import Frame, pixels_per_latent
from pipeline.frames.paper import over_paper
from pipeline.guides.adapter import LikePicture, PictureAdapter
from pipeline.guides.control import Control
from pipeline.guides.depth import depth_model_for
from pipeline.guides.safety import SafetyChecker
from pipeline.memory import MappedMemory, Memory
from pipeline.models.hub import Hub
from pipeline.models.load import Model
from pipeline.models.unet_call import UnetRunner, predicted
from pipeline.prompts.encoder import PromptEncoder
from pipeline.settings import MAXIMUM_SEED, OWN_MEMORY, FrameSettings, SettingsError

TOGETHER = 4
"""Visitors whose frames are likely to go together."""
MAXIMUM_ROWS, MAXIMUM_ROWS_OF_CPU = 16, TOGETHER
"""Rows of a UNet call: beyond it a call gets longer without getting cheaper for each of its rows. Two cores are full
with one row, and calls of more than `TOGETHER` rows are not compiled before somebody has waited for them."""

T = TypeVar("T")
log = logging.getLogger(__name__)


class Engine:
    """Serves any number of sessions with one model. A context manager; `close` ends its thread.

    While it is open, the model's UNet belongs to it alone.
    """

    def __init__(
        self,
        model: Model,
        memory: str = "feature-bank",
        size: tuple[int, int] | None = None,
        maximum_rows: int | None = None,
        byte_budget: int | None = None,
        safety: SafetyChecker | None = None,
        control: Control | None = None,
        adapter: PictureAdapter | None = None,
        graphs: Graphs = "auto",
        memory_weights: str | PathLike[str] | None = None,
        memories: Sequence[str] = (),
        hub: Hub | None = None,
        largest_area: float | None = None,
        compiled: Compiled = "off",
    ) -> None:
        """`size` is (width, height) in pixels, by default the model's own; a UNet call has at most `maximum_rows` rows,
        by default as many as pay on the device, or those of one frame; all sessions together hold at most `byte_budget`
        bytes, by default any number. Pictures that `safety` flags come out blurred; `control` and `adapter`, which lets
        pictures be like another, were loaded for this very model. `graphs` says whether the UNet calls that come again
        and again are recorded and replayed: "auto" where a device can. A memory that has weights reads them from the
        folder `memory_weights`, by default the one of its name in the model's. `memories` are those that sessions may
        choose beside it with `FrameSettings.memory`; their weights lie in the model's folder. Those that read depth
        name a depth model, a folder or one that comes from `hub`, by default the Hugging Face hub. Sessions may work at
        `largest_area` times the area of `size`, by default at any: while a frame of theirs passes a step, everybody
        waits. `compiled` says whether calls on a CPU are OpenVINO's: "auto" once they are compiled, in the background
        and in a process of their own, "wait" from their first on, which waits until they are; where OpenVINO is not to
        be had, they are PyTorch's. A program says so, not the default: that process loads the weights once more.

        Raises `ModelError`, `MemoryNameError` or `SettingsError`.
        """
        self.model = model
        side = pixels_per_latent(model.vae)
        self.size = Sizes(side).checked(size or (model.native_size, model.native_size))
        self.sizes = Sizes(side, None if largest_area is None else largest_area * self.size[0] * self.size[1])
        for kind, guide in (("control", control), ("adapter", adapter)):
            if guide is not None and guide.unet is not model.unet:
                raise ModelError(
                    f"{kind} {guide.name!r} was loaded for another model than {model.name!r}; needed: its own. "
                    "Load it again with this one."
                )
        self.control = control
        self.adapter = adapter
        kernels = choose_kernels(model.unet, (self.size[1] // side, self.size[0] // side), model.device)
        self.kernel = str(kernels)
        given = None if memory_weights is None else Path(memory_weights)
        loaded = loaded_memories(model, (memory, *memories), kernels.plain, kernels.ragged, given)
        self.memory_names = tuple(loaded)
        choice = MemoryChoice(loaded) if len(loaded) > 1 else None
        self.memory: Memory = choice or loaded[memory]
        self._prompts = PromptEncoder(model.text_encoders)
        self.runner = unet_runner(model.device, graphs)
        self._kinds = (
            None if compiled == "off" or not can_compile(model) else Kinds(Workshop(model), compiled == "wait")
        )
        self._choice = choice
        self._compiled = self._compiled_runners(given) if self._kinds else {}
        translator = Translator(
            model,
            self.memory,
            self._prompts,
            model.schedule,
            safety=safety,
            control=control,
            adapter=adapter,
            depth=depth_model_for(loaded.values(), model.device, hub),
            runner=self._runner_with(self._compiled),
            codec=CompiledCodec(self._kinds) if self._kinds else codec_runner(model.device, graphs),
            used=self._kinds.used if self._kinds else Used(),
            streams=streams_for(model.device),
        )
        unrecorded = choice.running(predicted) if choice else predicted
        self._finer = finer_translator(
            translator,
            translator.runner if self._kinds else unrecorded,
            translator.codec if self._kinds else PlainCodec(),
        )
        self._observers: list[Observer] = []
        self._translator = translator
        rows = maximum_rows or (MAXIMUM_ROWS_OF_CPU if model.device.type == "cpu" else MAXIMUM_ROWS)
        self._lanes = Lanes(translator, rows, self._observe, self._make_room, self.size[0] * self.size[1])
        self._budget = None if byte_budget is None else ByteBudget(byte_budget)
        self._holdings = None if self._budget is None else Holdings(self._budget)
        self._parks_beside = model.device.type == "cpu"
        self._row_peak = 0
        self._examples: dict[str, StreamState] = {}
        self._mailbox = Mailbox()
        self._reading = ReadingRoom(self._prompts)
        self._under_way: dict[Future[Translation], Request] = {}
        # Its workers would wait beside PyTorch's, and results would depend on how many cores a machine has.
        cv2.setNumThreads(1)
        with ExitStack() as undo:
            undo.enter_context(unet_served(model))
            undo.enter_context(convolutions_packed(model.unet, model.vae))
            undo.enter_context(self.memory.installed(model.unet))
            if control is not None:
                undo.enter_context(control.installed(kernels.plain))
            self._undo = undo.pop_all()
        # A daemon: a program that forgets to close its engine still ends.
        self._thread = Thread(target=self._run, name="rearview-engine", daemon=True)
        self._thread.start()
        if self._budget is not None:
            for name in self.memory_names:
                self.session_nbytes(self.asking(FrameSettings(memory=name)))  # type: ignore[arg-type]
            if largest_area is not None and largest_area > 1:
                self._row_peak = self.change("peak", lambda _: peak_of_a_frame(translator, self.size)).result()

    def _compiled_runners(self, weights: Path | None) -> dict[str, CompiledUnet]:
        """For each memory what makes its calls; `weights` is the folder of the first, where one was named."""
        if self._kinds is None:
            return {}
        layout = self.model.entry.memory_layout
        folders = {name: own_folder(self.model, name) for name in self.memory_names}
        if weights is not None:
            folders[self.memory_names[0]] = weights
        sources = [MemorySource(name, layout, None if each is None else str(each)) for name, each in folders.items()]
        return {source.name: CompiledUnet(self._kinds, source) for source in sources}

    def _runner_with(self, runners: Mapping[str, UnetRunner]) -> UnetRunner:
        """The engine's runner, but for calls that read a memory of these names."""
        if self._choice is None:
            return runners.get(self.memory_names[0], self.runner)
        return self._choice.running(self.runner, runners)

    @property
    def runtime(self) -> str:
        """What paints by now, for the status line: PyTorch, or OpenVINO where it makes calls of some kind."""
        return OPENVINO if self._kinds is not None and self._kinds.count else PYTORCH

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def memory_name(self) -> str:
        """The name of the memory that it was started with, for the status line."""
        return self.memory.name

    @property
    def finer_steps(self) -> int:
        """In how many steps the model paints a picture at rest once more."""
        return self.model.entry.finer_steps

    @property
    def has_map(self) -> bool:
        """Whether the memory can say how well it knows each place of a frame."""
        return isinstance(self.memory, MappedMemory)

    @property
    def control_name(self) -> str | None:
        """The control's name, for the page; `None` without one."""
        return None if self.control is None else self.control.name

    @property
    def adapter_name(self) -> str | None:
        """The adapter's name, for the page; `None` without one."""
        return None if self.adapter is None else self.adapter.name

    @property
    def decoder_name(self) -> str | None:
        """What the decoder is called that stands in the place of the model's own, for the page."""
        return self.model.decoder

    def offer_styles(self, names: Sequence[str]) -> None:
        """Before the first frame: the LoRA that a prompt may ask for, which the caller picks."""
        self._prompts.offer(names)

    @property
    def busy(self) -> bool:
        """Whether a frame is being translated or waits."""
        return self._mailbox.busy

    @property
    def session_count(self) -> int:
        """How many sessions are open."""
        return len(self._mailbox.sessions)

    @property
    def alive(self) -> bool:
        """Whether the engine's thread is there to answer frames."""
        return self._thread.is_alive() and not self._mailbox.closed

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays of all sessions."""
        return sum(session.nbytes for session in self._mailbox.sessions)

    def session_nbytes(self, settings: FrameSettings | None = None, size: tuple[int, int] | None = None) -> int:
        """Bytes that a session of these settings (by default the defaults) comes to once its bank is full, at `size`
        (width, height), by default the engine's; with a picture to be like, where an adapter can read one.

        The first call translates a frame to see what a row holds; not to be called on the engine's thread then.
        """
        settings = self.asking(settings or FrameSettings())
        if settings.memory not in self._examples:
            session = Session(self, 0, self.size)
            self._mailbox.open(session)
            asked = Asked(grey_frame(self.size), FrameSettings(memory=settings.memory), session.seed)
            self._queued(Request(session, asked, Future())).result()
            self._examples[settings.memory] = session.state
            session.close()
        width, height = size or self.size
        share = width * height / (self.size[0] * self.size[1])
        like = 0 if self.adapter is None else self.adapter.nbytes_a_session
        return like + round(share * self._examples[settings.memory].full_nbytes(self.memory, settings))

    def asking(self, settings: FrameSettings) -> FrameSettings:
        """The same settings, where those that name the engine's own memory are the same as those that name none.

        Raises `SettingsError` for a memory that the engine has not loaded.
        """
        if settings.memory == OWN_MEMORY:
            return settings
        if settings.memory not in self.memory_names:
            raise SettingsError(
                f"memory came as {settings.memory!r}; needed: one that this engine has loaded, "
                f"{', '.join(self.memory_names)}. Choose one of these."
            )
        return settings.changed(memory=OWN_MEMORY) if settings.memory == self.memory_name else settings

    def open(self, seed: int = 7, size: tuple[int, int] | None = None, party: str = "") -> Session:
        """A new session; `size` is (width, height) in pixels, by default the engine's, and `party` whom it is served
        for. Raises `SettingsError`, or `NoRoomError` where its bytes do not fit beside those of the others."""
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAXIMUM_SEED:
            raise SettingsError(f"seed came as {seed!r}; needed: a whole number from 0 to {MAXIMUM_SEED}. Send one.")
        session = Session(self, seed, self.sizes.checked(size or self.size), party)
        if self._holdings is not None:
            self._holdings.open(session, self.session_nbytes(size=session.size))
        try:
            self._mailbox.open(session)
        except SessionClosedError:
            self.forget(session)
            raise
        return session

    def submit(
        self,
        session: Session,
        frame: Frame,
        settings: FrameSettings,
        with_map: bool = False,
        like: LikePicture | None = None,
    ) -> Future[Translation]:
        """Queue a fitted frame of an open session; `Session.submit` is the way in."""
        future: Future[Translation] = Future()
        try:
            settings = self.asking(settings)
            if self._holdings is not None:
                nbytes = self.session_nbytes(settings, (frame.shape[1], frame.shape[0]))
                self._holdings.add(session, future, nbytes, self._passing_nbytes(frame, settings))
        except (NoRoomError, SettingsError) as error:
            future.set_exception(error)
            return future
        return self._queued(Request(session, Asked(frame, settings, session.seed, with_map, like), future))

    def submit_resting(
        self, session: Session, frame: Frame, settings: FrameSettings, shown: Frame | None
    ) -> Future[Frame | None]:
        """Queue a picture at rest, behind everything else, over what is `shown`; `Session.submit_finer`, `submit_still`
        are ways in."""
        future: Future[Frame | None] = Future()
        if shown is not None:
            frame = over_paper(frame, shown, self.model.entry.finer_ink)
        try:
            asked = Asked(frame, alone(self.asking(settings)), session.seed, like=session.like)
        except SettingsError as error:
            future.set_exception(error)
            return future
        # One is painted at a time, and keeps nothing: it needs no more than that there is room.
        if self._budget is not None and self._passing_nbytes(frame, asked.settings) > self._budget.free:
            future.set_result(None)
            return future
        self._mailbox.put_resting(Resting(session, asked, shown, future))
        return future

    def _queued(self, request: Request) -> Future[Translation]:
        self._mailbox.put(request)
        return request.future

    def _passing_nbytes(self, frame: Frame, settings: FrameSettings) -> int:
        """Bytes that a frame takes while it is painted, beyond those that one of the engine's size takes, for which the
        host has room beside the budget. Attention may take as many as the square of the area."""
        share = frame.shape[0] * frame.shape[1] / (self.size[0] * self.size[1])
        return round(self._row_peak * branch_count(settings, 0) * max(0.0, share**2 - 1))

    def forget(self, session: Session) -> None:
        """Drop a session and its waiting frame; `Session.close` is the way in."""
        dropped = self._mailbox.forget(session)
        if self._holdings is not None:
            self._holdings.close(session)
        for future in dropped:
            cancel(future)

    def release(self, session: Session) -> None:
        """Let others have the bytes of a session that is parked: all of them, or, where what it keeps lies in the very
        memory that the budget is of, those that it does not keep."""
        if self._holdings is not None:
            self._holdings.park(session, session.nbytes if self._parks_beside else 0)

    def change(self, kind: str, function: Callable[[Model], T]) -> Future[T]:
        """Run `function(model)` on the engine's thread between two UNet calls; what it returns or raises comes with the
        future. It writes into the model's tensors and replaces none.

        Frames under way go on with the changed model, and each session's next picture is painted anew. Of several
        functions of one `kind` that wait, the newest is run and the futures of the others are cancelled. Raises
        `SessionClosedError` on a closed engine; a function that waits when it is closed is cancelled.
        """
        return self._mailbox.put_change(kind, function)

    def prepare(self, settings: FrameSettings | None = None, together: int = TOGETHER) -> Future[None]:
        """Have the calls that frames of these settings (by default the model's own) need compiled in the background,
        where calls are compiled, for up to so many visitors `together`: none of them has to come often first. One frame
        is painted for it; the future is done when all has been asked for. The log says where it failed."""
        asked = Asked(grey_frame(self.size), self.asking(settings or self.model.entry.defaults), 0)
        future = self._mailbox.put_change("prepare", lambda _: self._rehearse(asked, together), of_weights=False)
        future.add_done_callback(say_if_failed)
        return future

    def _rehearse(self, asked: Asked, together: int) -> None:
        if self._kinds is None:
            return
        _, state = self._translator.translated(asked, StreamState())
        for past, rows in ((StreamState(), 1), *((state, rows) for rows in range(1, together + 1))):
            preparing = {name: each.preparing(later=rows > 1) for name, each in self._compiled.items()}
            replace(self._translator, runner=self._runner_with(preparing)).rehearse(asked, past, rows)
        # What this was made by is of no interest to the next picture.
        self._kinds.used.taken()

    def _make_room(self, only: Session | None) -> Session | None:
        """Take the bank from `only`, or from the session that came last, of those that may have one: the device's
        memory is full."""
        for session in reversed(self._mailbox.sessions) if only is None else (only,):
            if not session.notice:
                session.refuse_bank(NO_BANK)
                return session
        return None

    def watch(self, observer: Observer) -> None:
        """Call `observer` after each UNet call, on the engine's thread: it must be quick and raise nothing."""
        self._observers.append(observer)

    def close(self) -> None:
        """Close all sessions, end the thread after the frames under way, and put the UNet back as it was."""
        self._mailbox.close()
        for session in self._mailbox.sessions:
            session.close()
        if self._kinds is not None:
            self._kinds.close()
        if current_thread() is not self._thread:
            self._thread.join()
            self._lanes.close()
        self._undo.close()

    def _observe(self, tick: Tick) -> None:
        for observer in self._observers:
            observer(tick)

    def _run(self) -> None:
        """Take, answer, change, tick: until the engine is closed and no frame is under way.

        What waits is taken before anybody is answered: many answer a picture with a new frame at once, which would push
        it out of the mailbox.
        """
        outcomes: list[Outcome] = []
        while outcomes or self._lanes or self._reading or not self._mailbox.closed:
            at_rest = not (outcomes or self._lanes or self._reading)
            requests = self._mailbox.taken(self._has_room, can_wait=at_rest)
            for request, outcome in outcomes:
                answer(request, outcome)
            self._apply_changes()
            outcomes = self._moved_on(requests)
            if not (outcomes or self._lanes or self._reading):
                self._paint_resting()

    def _paint_resting(self) -> None:
        """Paint one picture that rests, unless anything else waits, until anything does."""
        resting = self._mailbox.taken_resting()
        if resting is None or not resting.future.set_running_or_notify_cancel():
            return
        try:
            picture = rested_picture(self._finer, resting, lambda: self._mailbox.waits or resting.session.closed)
        except torch.OutOfMemoryError:
            resting.future.set_result(None)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for this picture
            resting.future.set_exception(error)
        else:
            resting.future.set_result(picture)

    def _has_room(self, request: Request) -> bool:
        return self._lanes.has_room(request, before=self._reading.waiting(request.session))

    def _moved_on(self, requests: Sequence[Request]) -> list[Outcome]:
        """What came of these frames and of those under way in one tick. What nobody has foreseen ends all of them, and
        never the thread: everybody would wait for ever."""
        self._under_way.update((request.future, request) for request in requests)
        try:
            self._reading.enter(requests)
            outcomes = self._reading.closed()
            outcomes += self._lanes.enter(self._reading.read(self._lanes.served, self._lanes.charge))
            outcomes += self._lanes.tick()
        except Exception as error:
            # They learn it from their futures.
            log.exception("a tick failed, and all frames under way with it")
            self._lanes.give_up()
            self._reading.give_up()
            outcomes = [(request, error) for request in self._under_way.values()]
        for request, _ in outcomes:
            self._under_way.pop(request.future, None)
        return outcomes

    def _apply_changes(self) -> None:
        for change in self._mailbox.taken_changes():
            if not change.future.set_running_or_notify_cancel():
                continue
            try:
                work = change.function
                result, error = self._changed_by(work) if change.of_weights else work(self.model), None
            except Exception as raised:  # noqa: BLE001 - it belongs to whoever waits for this change
                result, error = None, raised
            # Last, so that whoever has waited sees the change in the next picture.
            if error is None:
                change.future.set_result(result)
            else:
                change.future.set_exception(error)

    def _changed_by(self, function: Callable[[Model], T]) -> T:
        """What `function` makes of the model; nobody holds on to what the old one painted, even where it fails."""
        settle(self.model.device)
        self._forget_compiled()
        try:
            return function(self.model)
        finally:
            settle(self.model.device)
            self._forget_compiled()
            self._prompts.forget()
            for session in self._mailbox.sessions:
                session.repaint()

    def _forget_compiled(self) -> None:
        """Before weights change and after: what is compiled in between is of no use."""
        if self._kinds is not None:
            self._kinds.forget()


def peak_of_a_frame(translator: Translator, size: tuple[int, int]) -> int:
    """Bytes of all tensors that live at once while a frame of `size` (width, height) is painted with one row a step."""
    with PeakBytes() as counted:
        translator.translated(Asked(grey_frame(size), FrameSettings(), 0), StreamState())
    return int(counted.peak)


def say_if_failed(prepared: Future[None]) -> None:
    """Calls that could not be prepared are made by PyTorch until they come often."""
    if not prepared.cancelled() and (error := prepared.exception()) is not None:
        log.warning("calls could not be prepared: %s: %s", type(error).__name__, error)


def grey_frame(size: tuple[int, int]) -> Frame:
    """A frame of `size`, (width, height), that shows nothing."""
    return np.full((size[1], size[0], 3), 128, np.uint8)


def answer(request: Request, outcome: Translation | Exception) -> None:
    """Give whoever waits for a frame its picture, or what became of it."""
    if isinstance(outcome, Translation):
        request.future.set_result(outcome)
    elif isinstance(outcome, torch.OutOfMemoryError):
        # Without its cause, whose traceback would keep the tensors of the call alive.
        request.future.set_exception(FrameError(no_memory_for(request.asked)))
    else:
        request.future.set_exception(outcome)


def no_memory_for(asked: Asked) -> str:
    """Why a frame that the device has no room for comes to nothing."""
    height, width = asked.frame.shape[:2]
    return (
        f"a frame of {width} x {height} pixels came, and the device has no memory left to paint it; needed: less. "
        "Choose a smaller size or a guidance of 1, or try again when others have left."
    )
