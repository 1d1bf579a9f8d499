"""The process that we run in: what PyTorch's CPU speed asks of threads and of the C library, and what the libraries
may say. None of it changes a result."""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import ParamSpec, TypeVar

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8

GIVE_BACK_EVERY_S = 60.0
"""Giving back takes 5 ms, and the frame after it 2 ms more (the embedded model at 256 px, two cores of an AMD EPYC)."""

P = ParamSpec("P")
T = TypeVar("T")


def in_passing_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `function` returns, called in a thread that ends with it.

    Each thread that computes keeps a team of OpenMP workers for as long as it lives. Once two teams together outnumber
    the cores, the workers of both sleep between any two operations, and on two cores the second core is lost. Work
    outside the engine's thread goes through here, so that the engine's team is the only one that stays.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="rearview-passing") as passing:
        return passing.submit(function, *args, **kwargs).result()


def keep_freed_memory() -> bool:
    """Let the C library keep what a frame frees for the next one; returns whether it was told so.

    By default glibc hands large blocks back to the system at once, and every frame faults their pages in again. This
    holds for the whole process, so a program decides it, not the engine. Elsewhere than on glibc nothing is done. What
    takes far more than a frame, such as a video, has to `give_freed_memory_back` when it ends, and what serves for long
    does so `now_and_then`.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(ctypes.util.find_library("c")).mallopt
    wanted = ((_M_MMAP_THRESHOLD, 1 << 30), (_M_TRIM_THRESHOLD, (1 << 31) - 1), (_M_ARENA_MAX, 1))
    return all([mallopt(name, value) == 1 for name, value in wanted])


def give_freed_memory_back() -> None:
    """Let the system have what the C library keeps of freed memory; the next frames fault their pages in once more."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(ctypes.util.find_library("c")).malloc_trim(0)


def start_uncollected() -> None:
    """Look for no garbage until `collect_from_now_on`: a start makes a million objects, nearly all of which stay, and
    to walk through them again and again takes a sixth of it."""
    gc.disable()


def collect_from_now_on() -> None:
    """Look for garbage once, then no more at what is there by now: a walk through all of it would stop the engine."""
    # What is frozen is never freed, and the start may have left weights behind.
    gc.collect()
    gc.freeze()
    gc.enable()


def now_and_then(work: Callable[[], None], every_s: float = GIVE_BACK_EVERY_S) -> None:
    """Do `work` every so many seconds for as long as the process lives."""

    def again_and_again() -> None:
        while True:
            time.sleep(every_s)
            work()

    Thread(target=again_and_again, name="rearview-now-and-then", daemon=True).start()


def hush() -> None:
    """Keep the libraries from writing advice and progress bars between our lines; errors still show, and how far a
    download is."""
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(name, "error")
    from diffusers.utils import logging as diffusers_logging
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import enable_progress_bars
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    # This one takes the hub's bars away too.
    transformers_logging.disable_progress_bar()
    if not constants.HF_HUB_DISABLE_PROGRESS_BARS:
        enable_progress_bars()
