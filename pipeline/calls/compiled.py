"""Calls on a CPU that OpenVINO makes once it can, and PyTorch until then: the UNet's, and the codec's.

Which of both makes a call is looked up by its kind. Whoever wants one runtime throughout, because pictures are to be
the same bit for bit, waits for the kinds that come.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Literal

from diffusers import UNet2DConditionModel
from torch import Tensor

from pipeline.calls.compiling import MemorySource
from pipeline.calls.graphs import inputs_read, kind_of
from pipeline.calls.plain_codec import PlainCodec
from pipeline.calls.recordings import copy_all
from pipeline.calls.runtimes import OPENVINO, PYTORCH, Used
from pipeline.calls.workshop import Order, Ready, Workshop, kind_name
from pipeline.compute.trees import mapped, signature_of, tensors_in
from pipeline.frames.codec import Autoencoder
from pipeline.frames.recurrent_decoder import Remembered, joined
from pipeline.models.unet_call import UnetInputs, UnetRunner, predicted

log = logging.getLogger(__name__)

Compiled = Literal["off", "auto", "wait"]
CALLS_BEFORE = 2
MOST_KINDS = 16
MOST_KINDS_BYTES = 4 << 30
"""Of what makes them, for all visitors together: beside what sessions hold, because it is nobody's own."""
UNUSED_CALLS = 2000
"""After so many calls of other kinds, a minute of painting or so, what makes one is let go: it lies in the cache, from
which it is read in a moment. In calls, not in seconds: nobody loses what they had because they rested."""
MOST_SEEN = 256
WAIT_S = 600.0


@dataclass(eq=False)
class Kind:
    """A kind of call: how often it came, and, once it is there, what makes it."""

    calls: int = 0
    used_at: int = 0
    ordered: bool = False
    ready: Ready | None = None
    settled: threading.Event = field(default_factory=threading.Event)

    def done(self, ready: Ready | None) -> None:
        """From now on OpenVINO makes its calls, or never does."""
        self.ready = ready
        self.settled.set()


class Kinds:
    """What OpenVINO makes by now. One thread at a time may use it."""

    def __init__(self, workshop: Workshop, waits: bool = False) -> None:
        self._workshop = workshop
        self._waits = waits
        # The kind that was used last at the end.
        self._kinds: OrderedDict[Hashable, Kind] = OrderedDict()
        self._calls = 0
        self.used = Used()

    def prepare(
        self, part: str, kind: Hashable, inputs: Callable[[], Any], later: bool, memory: MemorySource | None = None
    ) -> None:
        """Have what makes calls of this kind compiled, to be there when they come, or `later`: to be read from the
        cache then."""
        if later:
            self._order(part, kind, inputs, memory, None)
            return
        known = self._kinds.setdefault((part, kind), Kind(used_at=self._calls))
        if not known.ordered:
            known.ordered = True
            self._order(part, kind, inputs, memory, known.done)

    def ready(
        self, part: str, kind: Hashable, inputs: Callable[[], Any], memory: MemorySource | None = None
    ) -> Ready | None:
        """What makes calls of this kind, if OpenVINO does by now; `inputs` are an example for it to be made."""
        known = self._kinds.pop((part, kind), None) or Kind()
        self._kinds[part, kind] = known
        self._calls += 1
        known.calls, known.used_at = known.calls + 1, self._calls
        if not known.ordered and (self._waits or known.calls > CALLS_BEFORE):
            known.ordered = True
            self._order(part, kind, inputs, memory, known.done)
        self._make_room()
        if self._waits:
            known.settled.wait(WAIT_S)
        self.used.add(PYTORCH if known.ready is None else OPENVINO)
        return known.ready

    @property
    def count(self) -> int:
        """How many kinds of calls OpenVINO makes."""
        return sum(each.ready is not None for each in self._kinds.values())

    def forget(self) -> None:
        """The weights have changed: all calls are made anew."""
        self._workshop.changed()
        self._kinds.clear()

    def close(self) -> None:
        """Make nothing more."""
        self._workshop.close()

    def _order(
        self,
        part: str,
        kind: Hashable,
        inputs: Callable[[], Any],
        memory: MemorySource | None,
        done: Callable[[Ready | None], None] | None,
    ) -> None:
        example = mapped(inputs(), lambda tensor: tensor.clone())
        self._workshop.order(Order(part, kind_name(part, kind), example, memory, self._workshop.changes, done))

    def _make_room(self) -> None:
        """Forget the kinds that came longest ago, while there are too many or nobody uses them; never the last."""
        ordered = [key for key, each in self._kinds.items() if each.ordered]
        held = sum(each.ready.nbytes for each in self._kinds.values() if each.ready is not None)
        while len(ordered) > 1 and (
            len(ordered) > MOST_KINDS
            or held > MOST_KINDS_BYTES
            or self._calls - self._kinds[ordered[0]].used_at > UNUSED_CALLS
        ):
            gone = self._kinds.pop(ordered.pop(0)).ready
            held -= 0 if gone is None else gone.nbytes
        if len(self._kinds) > MOST_SEEN:
            del self._kinds[next(key for key, each in self._kinds.items() if not each.ordered)]


class CompiledUnet:
    """A `UnetRunner` for calls that read one memory, which is made of `source`."""

    def __init__(self, kinds: Kinds, source: MemorySource) -> None:
        self._kinds = kinds
        self._source = source
        self._has_said = False

    def __call__(self, unet: UNet2DConditionModel, inputs: UnetInputs) -> Tensor:
        kind = kind_of(inputs)
        if kind is None:
            self._say_once()
            self._kinds.used.add(PYTORCH)
            return predicted(unet, inputs)
        ready = self._kinds.ready("unet", (self._source.name, kind), lambda: inputs_read(inputs), self._source)
        if ready is None:
            return predicted(unet, inputs)
        copy_all(list(tensors_in(inputs_read(inputs))), list(ready.call.inputs))
        ready.call.run()
        prediction, present = ready.result
        if inputs.memory is not None:
            inputs.memory.present.update(present)
        return prediction  # type: ignore[no-any-return]

    def _say_once(self) -> None:
        if not self._has_said:
            # No warning: it is so at each start, where what a session of each memory holds is measured.
            log.info(
                "calls that read the memory %s stay with PyTorch while their rows hold windows of different lengths",
                self._source.name,
            )
            self._has_said = True

    def preparing(self, later: bool) -> UnetRunner:
        """A runner that has the calls that come prepared, as `Kinds.prepare` does, and computes nothing: zeros."""

        def run(unet: UNet2DConditionModel, inputs: UnetInputs) -> Tensor:
            kind = kind_of(inputs)
            if kind is not None:
                name = (self._source.name, kind)
                self._kinds.prepare("unet", name, lambda: inputs_read(inputs), later, self._source)
            return inputs.samples.new_zeros(len(inputs.samples), unet.config.out_channels, *inputs.samples.shape[2:])

        return run


class CompiledCodec(PlainCodec):
    """The codec, by OpenVINO where it can."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds

    def encode(self, vae: Autoencoder, pixels: Tensor) -> Tensor:
        made = self._made("encoder", pixels)
        # A copy: a frame's latents are kept until it is painted, and longer.
        return super().encode(vae, pixels) if made is None else made.clone()

    def _decoded(self, vae: Autoencoder, latents: Tensor, before: Remembered) -> tuple[Tensor, Remembered]:
        made = self._made("decoder", (latents, before))
        return super()._decoded(vae, latents, before) if made is None else made

    def prepare(self, vae: Autoencoder, pixels: Tensor, latents: Tensor, later: bool) -> None:
        before = joined(vae, latents, [()] * len(latents))
        for part, inputs in (("encoder", pixels), ("decoder", (latents, before))):
            self._kinds.prepare(part, signature_of(inputs), lambda inputs=inputs: inputs, later)  # type: ignore[misc]

    def _made(self, part: str, inputs: Any) -> Any:
        """What a call with these inputs, a tree of tensors, gives; `None` where OpenVINO does not make it."""
        ready = self._kinds.ready(part, signature_of(inputs), lambda: inputs)
        if ready is None:
            return None
        copy_all(list(tensors_in(inputs)), list(ready.call.inputs))
        ready.call.run()
        return ready.result
