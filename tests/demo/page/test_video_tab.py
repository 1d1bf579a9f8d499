"""The tab for video files: what it shows, whom it serves, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import base64
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest

from demo.page import page, video, video_jobs
from demo.page.video import View, pictures_html, status_line, views
from demo.page.video_jobs import BusyError, VideoJob, VideoJobs, check_limits
from demo.words import word
from pipeline import Engine, FrameError, FrameSettings, Session, VideoError
from pipeline.settings import DECLARATIONS
from pipeline.video.reader import VideoFacts
from tests.support.clips import Mirror, read_clip, sound_of, write_clip

PAD = FrameSettings(fit="pad")
AT_ONCE_S = 0.001


@dataclass
class Sessions:
    """Opens sessions, and remembers them."""

    on_frame: Callable[[int], None] | None = None
    opened: list[Mirror] = field(default_factory=list)

    def __call__(self, party: str) -> Any:
        self.opened.append(Mirror(on_frame=self.on_frame))
        return self.opened[-1]


class Gate:
    """Lets `frames` frames pass, tells when the next one stands before it, and lets the rest pass once it opens."""

    def __init__(self, frames: int) -> None:
        self.reached = Event()
        self.opened = Event()
        self._frames = frames

    def __call__(self, frame: int) -> None:
        if frame >= self._frames:
            self.reached.set()
            assert self.opened.wait(60)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "my clip.mp4")


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate(2)
    yield gate
    gate.opened.set()


def folder_of(job: VideoJob) -> Path:
    assert job.out is not None
    return job.out.parent


def test_a_video_ends_as_a_file_to_play_and_leaves_nothing(clip: Path) -> None:
    sessions = Sessions()
    job = VideoJobs(sessions).start("anna", clip, PAD)
    seen = list(views(job, AT_ONCE_S))
    assert seen[0].running
    assert all(view.running and view.result is None for view in seen[:-1])
    last = seen[-1]
    assert not last.running
    assert last.status == "my clip-painted.mp4 holds 8 frames."
    assert last.result is not None
    assert len(read_clip(last.result).pictures) == 8
    assert last.pictures is not None
    assert last.pictures.count("<img") == 2
    job.close()
    job.join()
    assert not folder_of(job).exists()
    assert [session.closed for session in sessions.opened] == [True]
    assert clip.exists()


def test_each_new_pair_is_shown_while_it_goes_on(clip: Path, gate: Gate) -> None:
    job = VideoJobs(Sessions(gate)).start("anna", clip, PAD)
    gate.reached.wait(60)
    watching = views(job, AT_ONCE_S)
    assert next(watching) == View(word("video.first"), "", running=True)
    second = next(watching)
    assert second.status.startswith("frame 2 of 8, ")
    assert second.pictures is not None
    assert second.pictures.count("<img") == 2
    gate.opened.set()
    assert list(watching)[-1].result is not None
    job.close()


def test_a_stopped_video_can_be_played(clip: Path, gate: Gate) -> None:
    jobs = VideoJobs(Sessions(gate))
    job = jobs.start("anna", clip, PAD)
    gate.reached.wait(60)
    jobs.stop("anna")
    jobs.stop("nobody")
    gate.opened.set()
    last = list(views(job, AT_ONCE_S))[-1]
    assert last.status == "Stopped: my clip-painted.mp4 holds 3 of 8 frames."
    assert last.result is not None
    assert len(read_clip(last.result).pictures) == 3
    job.close()


def test_a_closed_page_leaves_nothing(clip: Path, gate: Gate) -> None:
    sessions = Sessions(gate)
    jobs = VideoJobs(sessions)
    job = jobs.start("anna", clip, PAD)
    gate.reached.wait(60)
    jobs.leave("nobody")
    jobs.leave("anna")
    gate.opened.set()
    job.join()
    assert sessions.opened[0].closed
    assert sessions.opened[0].frames == 3
    assert not folder_of(job).exists()
    assert job.pair is None


def test_a_file_that_nobody_fetches_is_removed(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_jobs, "FETCH_WITHIN_S", 0.0)
    job = VideoJobs(Sessions()).start("anna", clip, PAD)
    job.join()
    assert not folder_of(job).exists()


def test_no_two_videos_share_a_folder(clip: Path) -> None:
    jobs = VideoJobs(Sessions())
    both = [jobs.start(name, clip, PAD) for name in ("anna", "bert")]
    assert all(job.ended.wait(60) for job in both)
    assert folder_of(both[0]) != folder_of(both[1])
    for job in both:
        job.close()


def test_places_are_counted_and_given_back(clip: Path, gate: Gate) -> None:
    jobs = VideoJobs(Sessions(gate), maximum_jobs=2)
    first = jobs.start("anna", clip, PAD)
    with pytest.raises(BusyError, match="last video is still being painted"):
        jobs.start("anna", clip, PAD)
    second = jobs.start("bert", clip, PAD)
    with pytest.raises(BusyError, match="All 2 places for videos are taken"):
        jobs.start("carl", clip, PAD)
    gate.opened.set()
    assert first.ended.wait(60)
    assert second.ended.wait(60)
    third = jobs.start("carl", clip, PAD)
    for job in (first, second, third):
        job.close()


def test_one_address_leaves_a_place_for_others(clip: Path, gate: Gate) -> None:
    jobs = VideoJobs(Sessions(gate), maximum_jobs=2)
    first = jobs.start("anna", clip, PAD, "192.0.2.1")
    with pytest.raises(BusyError, match="from your network"):
        jobs.start("bert", clip, PAD, "192.0.2.1")
    other = jobs.start("carl", clip, PAD, "192.0.2.2")
    gate.opened.set()
    assert first.ended.wait(60)
    again = jobs.start("bert", clip, PAD, "192.0.2.1")
    for job in (first, other, again):
        job.close()


def test_nobody_s_file_is_looked_into_before_they_have_a_place(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looking, go_on, looks = Event(), Event(), []

    def facts_of(source: Path, longest_side: int) -> VideoFacts:
        looks.append(source)
        looking.set()
        assert go_on.wait(60)
        raise VideoError("It is none.")

    monkeypatch.setattr(video_jobs, "facts_of", facts_of)
    jobs = VideoJobs(Sessions(), maximum_jobs=1)
    with ThreadPoolExecutor(1) as pool:
        anna = pool.submit(jobs.start, "anna", clip, PAD)
        assert looking.wait(60)
        with pytest.raises(BusyError, match="place"):
            jobs.start("bert", clip, PAD)
        with pytest.raises(BusyError, match="last video"):
            jobs.start("anna", clip, PAD)
        go_on.set()
        with pytest.raises(VideoError, match="It is none"):
            anna.result()
    assert looks == [clip]
    with pytest.raises(VideoError, match="It is none"):
        jobs.start("bert", clip, PAD)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (VideoFacts((64, 64), 1801, 60.0, None), "1801 frames; at most 1800"),
        (VideoFacts((64, 5000), 10, 1.0, None), "64 x 5000 pixels; at most 4096"),
    ],
)
def test_what_is_too_much_for_a_shared_page_gets_a_sentence(facts: VideoFacts, words: str) -> None:
    with pytest.raises(VideoError, match=words):
        check_limits("in.mp4", facts, video_jobs.MAXIMUM_FRAMES)
    check_limits("in.mp4", VideoFacts((64, 64), None, None, None), video_jobs.MAXIMUM_FRAMES)


def test_a_video_that_hides_its_length_ends_at_the_limit(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.h264", range(8))
    job = VideoJobs(Sessions(), maximum_frames=5).start("anna", source, PAD)
    last = list(views(job, AT_ONCE_S))[-1]
    assert "holds 5 frames" in last.status
    assert "at most 5 frames" in last.status
    job.close()


def test_a_video_as_long_as_the_limit_is_whole(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", sound="aac", sound_s=2.0)
    job = VideoJobs(Sessions(), maximum_frames=8).start("anna", source, PAD)
    last = list(views(job, AT_ONCE_S))[-1]
    assert last.status == "in-painted.mp4 holds 8 frames."
    assert last.result is not None
    assert sound_of(last.result) == sound_of(source)
    job.close()


def raising(error: Exception) -> Callable[[int], None]:
    def raise_it(frame: int) -> None:
        raise error

    return raise_it


def test_a_failure_is_a_sentence(clip: Path) -> None:
    job = VideoJobs(Sessions(raising(FrameError("the model gave NaN; needed: numbers.")))).start("anna", clip, PAD)
    assert list(views(job, AT_ONCE_S))[-1] == View("the model gave NaN; needed: numbers.")
    job.close()
    job.join()


def test_a_fault_of_ours_is_logged_and_told_without_its_words(clip: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "demo.page.video_jobs"):
        job = VideoJobs(Sessions(raising(ZeroDivisionError("secret")))).start("anna", clip, PAD)
        assert list(views(job, AT_ONCE_S))[-1] == View(word("video.failed"))
    assert "secret" in caplog.text
    job.close()


@pytest.mark.parametrize(
    ("frames", "expected", "seconds", "line"),
    [
        (12, 240, 2.0, "frame 12 of 240, 6.0 frames/s, 0:38 left"),
        (12, 1200, 2.0, "frame 12 of 1200, 6.0 frames/s, 3:18 left"),
        (240, 240, 40.0, "frame 240 of 240, 6.0 frames/s, 0:00 left"),
        (241, 240, 40.0, "frame 241, 6.0 frames/s"),
        (12, None, 2.0, "frame 12, 6.0 frames/s"),
        (0, 240, 0.0, "frame 0, 0.0 frames/s"),
    ],
)
def test_the_status_line(frames: int, expected: int | None, seconds: float, line: str) -> None:
    assert status_line(frames, expected, seconds) == line


def test_large_pictures_are_shown_small() -> None:
    large = np.random.default_rng(0).integers(0, 255, (1080, 1920, 3), np.uint8)
    assert len(pictures_html((large, large))) < 600_000
    assert pictures_html(None) == ""


def test_words_of_a_file_cannot_become_markup() -> None:
    assert "<img" not in video.status_html("<img src=x>.mp4 cannot be read")


@pytest.fixture
def built(engine: Engine) -> gr.Blocks:
    live: Any = SimpleNamespace(mint=str, leave=str, address_of=str, engine=engine, sure_guess=None)

    async def build() -> gr.Blocks:
        return page.build(live)

    # In a running loop, because Gradio makes one that it never closes where there is none.
    return asyncio.run(build())


def event(blocks: gr.Blocks, name: str) -> Any:
    """The event of the tab \"Video file\" that runs the function of this name."""
    named = (each for each in blocks.fns.values() if each.name == name)
    return next(each for each in named if not each.inputs or each.inputs[0].elem_id == "video_file")


def painted(blocks: gr.Blocks, source: Path | None, **changes: Any) -> list[dict[str, Any]]:
    """What the button's event shows, moment by moment: id of the component -> its new value or properties."""
    paint = event(blocks, "paint")
    values = {**page.first_settings(), "video_like": "", **changes}
    request = SimpleNamespace(session_hash="anna", request="192.0.2.1")
    inputs = [values[each.elem_id] for each in paint.inputs[1:]]
    moments = paint.fn(request, source and str(source), *inputs)
    return [{each.elem_id: value for each, value in moment.items()} for moment in moments]


def test_the_button_takes_every_setting_of_the_page(built: gr.Blocks) -> None:
    assert [each.elem_id for each in event(built, "paint").inputs][0] == "video_file"
    *settings, picture = event(built, "paint").inputs[1:]
    assert picture.elem_id == "video_like"
    assert {each.elem_id for each in settings} == set(DECLARATIONS) - {
        "control_strength",
        "gamma",
        "like_strength",
        "like_part",
        "memory",
    }


def test_a_video_is_painted_like_the_picture_in_the_well(
    built: gr.Blocks, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    liked: list[Any] = []
    monkeypatch.setattr(Session, "be_like", lambda _, picture: liked.append(picture))
    painted(built, clip, video_like=base64.b64encode(b"a picture").decode())
    assert liked == [b"a picture"]
    painted(built, clip)
    assert liked == [b"a picture"]
    assert "no base64" in painted(built, clip, video_like="?")[-1]["video_status"]


def test_a_picture_that_this_server_cannot_read_gets_a_sentence(built: gr.Blocks, clip: Path) -> None:
    assert "adapter" in painted(built, clip, video_like=base64.b64encode(b"a picture").decode())[-1]["video_status"]


def test_the_page_paints_a_video(built: gr.Blocks, engine: Engine, clip: Path) -> None:
    moments = painted(built, clip, prompt="oil painting", steps=2)
    assert moments[0]["video_start"]["interactive"] is False
    assert moments[0]["video_stop"]["interactive"] is True
    last = moments[-1]
    assert last["video_start"]["interactive"] is True
    assert "holds 8 frames" in last["video_status"]
    assert last["video_result"]["visible"] is True
    assert last["video_result"]["value"].endswith("my clip-painted.mp4")
    assert engine.session_count == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"prompt": "(neon"}, "prompt"), ({"steps": 9}, "steps came as 9"), ({"seed": None}, "holds 8")],
)
def test_settings_out_of_order_get_a_sentence(
    changes: dict[str, Any], words: str, built: gr.Blocks, clip: Path
) -> None:
    last = painted(built, clip, **changes)[-1]
    assert words in last["video_status"]
    assert last["video_start"]["interactive"] is True


def test_without_a_file_there_is_a_sentence(built: gr.Blocks, tmp_path: Path) -> None:
    assert word("video.no_file") in painted(built, None)[-1]["video_status"]
    (tmp_path / "in.mp4").write_text("no video")
    last = painted(built, tmp_path / "in.mp4")[-1]
    assert "in.mp4 cannot be read" in last["video_status"]
    assert str(tmp_path) not in last["video_status"]


def test_a_page_that_closes_in_the_middle_gives_all_back(built: gr.Blocks, engine: Engine, clip: Path) -> None:
    paint = event(built, "paint")
    inputs = [{**page.first_settings(), "video_like": ""}[each.elem_id] for each in paint.inputs[1:]]
    moments = paint.fn(SimpleNamespace(session_hash="anna", request="192.0.2.1"), str(clip), *inputs)
    next(moments)
    (job,) = (each for each in threading.enumerate() if each.name == "rearview-video")
    moments.close()
    job.join()
    assert engine.session_count == 0
    assert "holds 8 frames" in painted(built, clip)[-1]["video_status"]


def test_both_tabs_stand_on_the_page(built: gr.Blocks) -> None:
    ids = [each["props"].get("elem_id") for each in built.get_config_file()["components"]]
    assert {"live", "live_tab", "video_tab", "video_file", "video_start", "video_stop", "video_status"} <= set(ids)
    assert page.launch_options()["max_file_size"] == video.MAXIMUM_UPLOAD
