"""Calls that OpenVINO runs on a CPU: compiled in the background in a process of their own, kept in the user's cache.

The engine's thread asks for a call and never waits for it. What was compiled before is read within a second; what was
not is compiled by `pipeline.calls.compiling`, checked there against PyTorch, and read here only if it came out well.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import platform
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch

from pipeline.calls.compiling import LIMIT_S, MemorySource, Work, write_network
from pipeline.compute.openvino_calls import (
    BLOB,
    FACTS,
    Call,
    digest_of,
    facts_of,
    is_installed,
    options,
    ports_in,
    read_call,
    version,
)
from pipeline.compute.tree_files import filled, write_tree
from pipeline.models.load import Model

MOST_NETWORK_BYTES = 1 << 30
"""Of a network's weights: each kind of call holds a copy of them."""
MOST_CACHED_BYTES = 2 << 30
MOST_FAILURES = 3
MOST_COMPILED_AN_HOUR = 24
"""For visitors: each takes a core for some seconds, though after all else that wants it."""
HOUR_S = 3600.0
AT_ONCE, FOR_SOMEBODY, FOR_THE_CACHE = range(3)
CACHE_VARIABLE = "REARVIEW_CACHE"
COMMAND = (sys.executable, "-m", "pipeline.calls.compiling")
CODE = Path(__file__).parents[1]

log = logging.getLogger(__name__)


class TooLargeError(Exception):
    """A network whose calls are left to PyTorch."""


class StaleError(Exception):
    """The weights have changed since a call was asked for."""


@dataclass(frozen=True, eq=False)
class Ready:
    """A compiled call, the tree that its outputs make, and about how many bytes it takes: its weights once as they were
    compiled and once as they are read, which was measured."""

    call: Call
    result: Any
    nbytes: int = 0


@dataclass(frozen=True, eq=False)
class Order:
    """A call that is wanted: of which part, with which example of inputs, for a name that tells it from all others;
    `done` gets it, or `None` where it is not to be had; without `done` it is for the cache, and comes after all that
    somebody waits for. `change` is how often weights had changed by then."""

    part: str
    name: str
    inputs: Any
    memory: MemorySource | None
    change: int
    done: Callable[[Ready | None], None] | None


class Compiler:
    """The other process, as long as it lives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = os.pathsep.join([str(CODE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    def compiled(self, path: Path, seconds: float) -> str:
        """Have the work in this file done; why it could not be, or nothing."""
        assert self._process.stdin is not None and self._process.stdout is not None
        timer = threading.Timer(seconds, self._process.kill)
        timer.start()
        try:
            self._process.stdin.write(f"{path}\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except OSError:
            answer = ""
        finally:
            timer.cancel()
        if answer:
            return str(json.loads(answer))
        return f"the process that compiles it has died (status {self._process.wait()})"

    @property
    def alive(self) -> bool:
        """Whether it can do more."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    pass
        shutil.rmtree(self.folder, ignore_errors=True)


class Workshop:
    """Reads and compiles calls of one model, one after the other, on a thread of its own that computes nothing."""

    def __init__(self, model: Model, cache: Path | None = None) -> None:
        self._model = model
        self._cache = cache or cache_folder()
        self._orders: queue.PriorityQueue[tuple[int, int, Order | None]] = queue.PriorityQueue()
        self._numbers = itertools.count()
        # When calls of visitors were compiled, the last of them.
        self._compiled_at: deque[float] = deque(maxlen=MOST_COMPILED_AN_HOUR)
        self._compiler: Compiler | None = None
        self._digests: dict[tuple[bool, int], str] = {}
        self._failures = 0
        self._closed = False
        self._said: set[str] = set()
        self.changes = 0
        self.precision = "bf16" if model.dtype == torch.bfloat16 else "f32"
        self.threads = torch.get_num_threads()
        self._thread = threading.Thread(target=self._run, name="rearview-workshop", daemon=True)
        self._thread.start()

    def order(self, order: Order) -> None:
        """Have a call made, sooner or later."""
        self._orders.put((FOR_SOMEBODY if order.done else FOR_THE_CACHE, next(self._numbers), order))

    def changed(self) -> None:
        """The weights are others: what is under way is of no use."""
        self.changes += 1

    def close(self) -> None:
        """Make nothing more."""
        self._closed = True
        self._orders.put((AT_ONCE, next(self._numbers), None))
        compiler = self._compiler
        if compiler is not None:
            compiler.close()
        self._thread.join()

    def _run(self) -> None:
        while (order := self._orders.get()[-1]) is not None and not self._closed:
            ready = None
            try:
                if order.change == self.changes and self._failures < MOST_FAILURES:
                    ready = self._made(order)
            except StaleError:
                continue
            except TooLargeError as reason:
                self._say_once(f"calls of the {order.part} stay with PyTorch: {reason}")
            except Exception as reason:  # noqa: BLE001 - the engine makes this call as ever
                self._refused(order, f"{type(reason).__name__}: {reason}")
            if order.done is not None and order.change == self.changes:
                order.done(ready)
        if self._compiler is not None:
            self._compiler.close()
        while not self._orders.empty():
            left = self._orders.get()[-1]
            if left is not None and left.done is not None:
                left.done(None)

    def _made(self, order: Order) -> Ready | None:
        self._cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        how = options(self.precision, self.threads)
        stem = self._cache / named(order.name, order.memory, self._digest(order), how)
        if order.done is None and stem.with_suffix(FACTS).exists():
            return None
        facts = facts_of(stem)
        if facts is None and self._may_compile(order) and self._compiled(order, stem):
            facts = facts_of(stem)
        if facts is None or order.done is None or self._closed:
            return None
        os.utime(stem.with_suffix(BLOB))
        call = read_call(stem, ports_in(facts["inputs"]), ports_in(facts["outputs"]), how)
        return Ready(call, filled(facts["tree"], call.outputs), 2 * stem.with_suffix(BLOB).stat().st_size)

    def _may_compile(self, order: Order) -> bool:
        """Whether it is not too many: whoever changes settings again and again asks for one kind after another."""
        if order.done is None:
            return True
        now = time.monotonic()
        if len(self._compiled_at) == MOST_COMPILED_AN_HOUR and now - self._compiled_at[0] < HOUR_S:
            self._say_once(f"no more calls are compiled for now: {MOST_COMPILED_AN_HOUR} were within an hour")
            return False
        self._compiled_at.append(now)
        return True

    def _say_once(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            log.warning(sentence)

    def _part(self, order: Order) -> Any:
        return self._model.unet if order.part == "unet" else self._model.vae

    def _digest(self, order: Order) -> str:
        """What tells the weights of an order's part from others."""
        key = (order.part == "unet", order.change)
        if key not in self._digests:
            self._digests[key] = weights_digest(self._part(order))
        return self._digests[key]

    def _network(self, order: Order) -> Path:
        """A file of the weights of an order's part as they were when it came; raises `StaleError` once they have
        changed."""
        network = self._part(order)
        nbytes = sum(each.nbytes for each in network.state_dict().values())
        if nbytes > MOST_NETWORK_BYTES:
            raise TooLargeError(f"its weights take {nbytes >> 20} MiB, and each kind of call would hold a copy")
        path = self._opened().folder / f"{'unet' if order.part == 'unet' else 'vae'}-{order.change}.safetensors"
        if not path.exists():
            write_network(path, network)
            # Who changes weights says so before: what was written until now is whole.
            if order.change != self.changes:
                path.unlink()
                raise StaleError
        return path

    def _opened(self) -> Compiler:
        if self._compiler is None or not self._compiler.alive:
            if self._compiler is not None:
                self._compiler.close()
            self._compiler = Compiler(Path(tempfile.mkdtemp(prefix="rearview-")))
        return self._compiler

    def _compiled(self, order: Order, stem: Path) -> bool:
        compiler, network = self._opened(), str(self._network(order))
        work = Work(order.part, network, order.inputs, order.memory, self.precision, self.threads, str(stem))
        path = compiler.folder / "work.safetensors"
        write_tree(path, work)
        reason = compiler.compiled(path, LIMIT_S)
        if reason and not self._closed:
            self._failures += 1
            self._refused(order, reason)
        clean(self._cache, MOST_CACHED_BYTES)
        return not reason

    def _refused(self, order: Order, reason: str) -> None:
        log.warning("a call of the %s stays with PyTorch (%s)", order.part, reason)
        if self._failures == MOST_FAILURES:
            log.warning("nothing more is compiled: %d calls in a row could not be", MOST_FAILURES)


def named(name: str, memory: MemorySource | None, digest: str, how: dict[str, Any]) -> str:
    """What tells a compiled call from all others: what it does, with which weights, how, by whose code, on which CPU.

    `Hashable` kinds are told apart by what Python writes of them.
    """
    weights = "" if memory is None or memory.weights is None else str(folder_digest(Path(memory.weights)))
    parts = (name, str(memory), weights, digest, str(how), versions(), code_digest(), processor())
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def weights_digest(network: Any) -> str:
    """What tells a network's weights, and what it is, from others."""
    found = hashlib.blake2b(network.to_json_string().encode(), digest_size=16)
    for name, tensor in network.state_dict().items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()


def folder_digest(folder: Path) -> str:
    """What tells the files of a folder from others."""
    return " ".join(digest_of(path) for path in sorted(folder.rglob("*")) if path.is_file())


def versions() -> str:
    """What exports and compiles."""
    return f"{torch.__version__} {diffusers.__version__} {version()}"


def code_digest() -> str:
    """What tells this code from another: a call is what it says."""
    found = hashlib.blake2b(digest_size=16)
    for path in sorted(CODE.rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


def processor() -> str:
    """The CPU's name, and what it can do."""
    facts = [platform.machine(), platform.processor(), str(torch.backends.cpu.get_cpu_capability())]
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        facts += sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    except OSError:
        pass
    return " ".join(facts)


def cache_folder() -> Path:
    """Where compiled calls are kept: in the user's cache, or where the variable `REARVIEW_CACHE` says."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "rearview" / "openvino"


def clean(folder: Path, most_bytes: int) -> None:
    """Delete the compiled calls that were used longest ago, until the others take no more than this."""
    blobs = sorted(folder.glob(f"*{BLOB}"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for blob in blobs:
        total += blob.stat().st_size
        if total > most_bytes:
            blob.with_suffix(FACTS).unlink(missing_ok=True)
            blob.unlink(missing_ok=True)


def can_compile(model: Model) -> bool:
    """Whether OpenVINO is here, and knows this model's device and numbers; the log says where it is not on a CPU."""
    if model.device.type != "cpu":
        return False
    if not is_installed():
        log.warning("all calls stay with PyTorch: openvino and onnx are not installed")
        return False
    if model.dtype not in (torch.float32, torch.bfloat16):
        log.warning("all calls stay with PyTorch: OpenVINO computes in float32 or bfloat16, not in %s", model.dtype)
        return False
    return True


def kind_name(part: str, kind: Hashable) -> str:
    """A kind of call, in words that are the same in every process."""
    return f"{part} {kind!r}"
