"""What the machine below is asked for."""

from __future__ import annotations

import gc
import platform
import subprocess
import sys
import threading

import pytest
from diffusers.utils import logging as diffusers_logging
from huggingface_hub.utils import are_progress_bars_disabled

from pipeline.compute.host import collect_from_now_on, hush, in_passing_thread, start_uncollected


def test_a_passing_thread_ends_with_its_work_and_returns_what_it_returns() -> None:
    before = threading.active_count()
    name = in_passing_thread(lambda word: f"{word} {threading.current_thread().name}", "in")
    assert name.startswith("in rearview-passing")
    assert threading.active_count() == before


def test_an_error_in_a_passing_thread_comes_back() -> None:
    with pytest.raises(ZeroDivisionError):
        in_passing_thread(lambda: 1 // 0)


def test_freed_memory_is_kept_where_the_library_can() -> None:
    # In a process of its own: it cannot be undone.
    code = "from pipeline.compute.host import keep_freed_memory; print(keep_freed_memory())"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert finished.stdout.split()[-1] == str(platform.libc_ver()[0] == "glibc")


def test_the_libraries_are_quiet_but_a_download_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        monkeypatch.setenv(name, "error")
    hush()
    assert not are_progress_bars_disabled()
    assert not diffusers_logging.is_progress_bar_enabled()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another")
def test_what_a_peak_has_freed_goes_back_to_the_system() -> None:
    # In a process of its own: what is set there cannot be undone.
    script = """
import time
from pipeline.compute.host import give_freed_memory_back, keep_freed_memory, now_and_then

def resident() -> int:
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20

keep_freed_memory()
before = resident()
peak = [b"x" * (1 << 20) for _ in range(64)]
del peak
assert resident() > before + 48
now_and_then(give_freed_memory_back, 0.05)
end = time.monotonic() + 20
while resident() >= before + 16:
    assert time.monotonic() < end
    time.sleep(0.05)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_what_a_start_has_made_is_not_walked_through_again() -> None:
    frozen = gc.get_freeze_count()
    start_uncollected()
    try:
        assert not gc.isenabled()
        collect_from_now_on()
        assert gc.isenabled() and gc.get_freeze_count() > frozen
    finally:
        gc.enable()
        gc.unfreeze()
