"""Replays give the pictures of the visit, bit for bit, and go wherever they are sent."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from demo.live import wire
from demo.live.limits import HostLimits
from demo.live.live import SOCKET_PATH, Live
from pipeline import Engine, RecordingError
from pipeline.frames.codec import Frame, fitted
from pipeline.recording.moments import moment_count
from pipeline.recording.operations import Paper, Pasted, Point, Stroke
from pipeline.recording.recording import (
    Drawn,
    Event,
    Forgotten,
    FrameSent,
    Recording,
    Rested,
    SettingsChanged,
    packed,
    read_recording,
)
from pipeline.recording.replay import main, replayed, write_replay
from tests.support.recorder import Player, Recorder
from tests.support.standin import greet


def jpeg_of(frame: Frame) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def png_of(frame: Frame) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def live(engine: Engine) -> Iterator[Live]:
    served = Live(engine, HostLimits(frames_per_second=1000.0))
    yield served
    served.close()


def visited(live: Live, frames: list[Frame], settings: dict[str, Any], under_way: int = 2) -> tuple[Recorder, int]:
    """A visit that is recorded from its middle on: frames without a break, settings and resets between them."""
    app = Starlette(routes=live.routes())
    with TestClient(app) as client, client.websocket_connect(SOCKET_PATH) as socket:
        recorder = Recorder(greet(socket, live))
        player = Player(socket, recorder, under_way)
        player.say(type="set", settings=settings)
        for frame in frames[:3]:
            player.show(jpeg_of(frame))
        first = player.reset()
        for number, frame in enumerate(frames):
            if number == 4:
                player.say(type="set", settings={"prompt": "(oil)1.2 painting", "steps": 2, "seed": 3})
            if number == 6:
                player.say(type="reset")
            if number == 7:
                player.say(type="set", settings={"guidance": 2.0, "guidance_kind": "self", "steadiness": 0.5})
            if number == 9:
                player.say(type="reset")
                player.say(type="reset")
            player.show(jpeg_of(frame))
        player.finish()
    return recorder, first


LIVELY = {"prompt": "watercolor house", "bank_frames": 1.0, "bank_interval": 1, "fusion_threshold": 0.1, "seed": 9}


@pytest.mark.parametrize("under_way", [1, 2, 4])
def test_a_visit_over_the_wire_is_replayed_bit_for_bit(
    under_way: int, live: Live, engine: Engine, frames: list[Frame]
) -> None:
    recorder, first = visited(live, frames, LIVELY, under_way)
    recording = read_recording(packed(recorder.recording(first)))
    if under_way <= 2:
        # More than the server takes at once push each other out, also all that were sent between two resets; a frame
        # that waited may set out between the two that follow each other.
        assert sum(isinstance(event, Forgotten) for event in recording.events) in (2, 3)
    again = [wire.encode_picture(each.translation.picture) for each in replayed(engine, recording)]
    numbers = sorted(each.number for each in recorder.taken if each.resets >= first)
    assert len(again) == len(numbers) >= 1
    assert all(recorder.pictures[number] == jpeg for number, jpeg in zip(numbers, again, strict=True))


def test_frames_of_a_pipelined_visit_are_replayed_to_the_rounding_of_a_shared_call(
    live: Live, engine: Engine, frames: list[Frame]
) -> None:
    recorder, first = visited(live, frames, LIVELY | {"steps": 2, "pipelined": "on"}, 3)
    recording = recorder.recording(first)
    numbers = sorted(each.number for each in recorder.taken if each.resets >= first)
    for number, each in zip(numbers, replayed(engine, recording), strict=True):
        known = wire.decode_picture(recorder.pictures[number]).astype(int)
        assert np.abs(known - wire.decode_picture(wire.encode_picture(each.translation.picture))).max() <= 4


def sent(frames: list[Frame], *more: Event, **facts: Any) -> Recording:
    """A recording of frames, one every 100 ms, and of other events, in the order of their times."""
    files = {f"frames/{number}.png": png_of(frame) for number, frame in enumerate(frames)}
    shown = [FrameSent(100.0 * number, name) for number, name in enumerate(files)]
    events = tuple(sorted([*more, *shown], key=lambda event: event.ms))
    return Recording(**{"model": "tiny", "size": (32, 32), "seed": 5, "events": events, "files": files, **facts})


def stroke(ms: float = 400.0) -> Stroke:
    return Stroke(
        "ink", "brush", (200, 30, 30), (Point(60, 60, 60, 0), Point(256, 300, 60, ms / 2), Point(450, 100, 60, ms))
    )


def drawn(*more: Event) -> Recording:
    events = (Drawn(0, Paper((20, 90, 200))), Drawn(100, stroke()), *more)
    return Recording(model="tiny", size=(32, 32), seed=5, events=events, settings={"prompt": "a boat"})


def pictures(engine: Engine, recording: Recording, *args: Any, **more: Any) -> list[Frame]:
    return [each.translation.picture for each in replayed(engine, recording, *args, **more)]


def same(some: list[Frame], others: list[Frame]) -> bool:
    return len(some) == len(others) and all(np.array_equal(one, other) for one, other in zip(some, others, strict=True))


def test_what_is_changed_is_changed_all_the_time(engine: Engine, frames: list[Frame]) -> None:
    recording = sent(frames[:4], SettingsChanged(150, {"prompt": "neon", "steps": 2}))
    assert same(pictures(engine, recording), pictures(engine, recording))
    asked = pictures(engine, recording, {"prompt": "an old town", "steps": 1})
    alone = pictures(engine, sent(frames[:4], settings={"prompt": "an old town", "steps": 1}))
    assert same(asked, alone)
    assert not same(asked, pictures(engine, recording))


def test_a_reset_and_the_seed_are_replayed(engine: Engine, frames: list[Frame]) -> None:
    plain = pictures(engine, sent(frames[:3]))
    assert not np.array_equal(plain[2], pictures(engine, sent(frames[:3], Forgotten(150)))[2])
    assert not np.array_equal(plain[0], pictures(engine, sent(frames[:3], seed=6))[0])


def test_another_size_gives_other_pictures_of_that_size(engine: Engine, frames: list[Frame]) -> None:
    shown = list(replayed(engine, sent(frames[:2]), size=(64, 48)))
    assert [each.translation.picture.shape for each in shown] == [(48, 64, 3)] * 2
    assert [each.frame.shape for each in shown] == [(48, 64, 3)] * 2


def test_strokes_are_drawn_while_they_are_painted_and_come_to_rest(engine: Engine) -> None:
    shown = list(replayed(engine, drawn(), fps=10))
    times = [each.ms for each in shown]
    assert times[:6] == [0, 100, 200, 300, 400, 500]
    assert times[-1] == 1300
    inked = [int((each.frame[..., 0] > 150).sum()) for each in shown]
    assert inked[0] == 0
    assert inked[1] < inked[3] < inked[5] == inked[-1]
    assert same(pictures(engine, drawn(), fps=10), [each.translation.picture for each in shown])


def test_nothing_is_painted_while_nothing_happens(engine: Engine) -> None:
    late = SettingsChanged(60_000, {"prompt": "winter"})
    times = [each.ms for each in replayed(engine, drawn(late), fps=10)]
    assert len(times) < 30
    assert [time for time in times if time > 2000][0] == 60_000


def test_frames_go_before_strokes_unless_strokes_are_asked_for(engine: Engine, frames: list[Frame]) -> None:
    both = sent(frames[:2], Drawn(0, stroke()))
    assert len(pictures(engine, both)) == 2
    assert len(pictures(engine, both, strokes=True, fps=10)) > 4
    with pytest.raises(RecordingError, match="without strokes"):
        pictures(engine, sent(frames[:2]), strokes=True)
    with pytest.raises(RecordingError, match="fps came as 0"):
        pictures(engine, drawn(), fps=0)
    with pytest.raises(RecordingError, match="without frames and strokes"):
        pictures(engine, replace(both, events=(Forgotten(0),)))


def test_a_picture_to_draw_on_is_drawn_on(engine: Engine, frames: list[Frame]) -> None:
    below = Drawn(0, Pasted("picture", "images/1.png"))
    recording = replace(drawn(), events=(below, Drawn(100, stroke())), files={"images/1.png": png_of(frames[0])})
    shown = list(replayed(engine, recording, fps=10))
    assert shown[0].frame[16, 16, 0] > 0
    assert shown[-1].frame.shape == (32, 32, 3)


def opened(file: Path) -> Image.Image:
    """The last picture in a file."""
    with Image.open(file) as image:
        image.seek(getattr(image, "n_frames", 1) - 1)
        return image.convert("RGB")


@pytest.mark.parametrize("side_by_side", [False, True])
@pytest.mark.parametrize("name", ["out.mp4", "out.webm", "out.gif", "out.png", "out"])
def test_every_kind_of_file_is_written(
    name: str, side_by_side: bool, engine: Engine, frames: list[Frame], tmp_path: Path
) -> None:
    recording = sent(frames[:4])
    report = write_replay(replayed(engine, recording), tmp_path / name, side_by_side=side_by_side)
    assert (report.frames, report.stopped) == (4, False)
    size = (64, 32) if side_by_side else (32, 32)
    if name == "out":
        assert [each.name for each in sorted((tmp_path / name).iterdir())] == [f"{n:05d}.png" for n in range(1, 5)]
        last = opened(tmp_path / name / "00004.png")
    elif name.endswith(("gif", "png")):
        last = opened(tmp_path / name)
    else:
        with av.open(tmp_path / name) as file:
            decoded = list(file.decode(video=0))
        assert [round(1000 * each.time) for each in decoded] == [0, 100, 200, 300]
        last = decoded[-1].to_image()
    assert last.size == size
    picture = np.asarray(last).astype(int)[:, -32:]
    assert np.abs(picture - pictures(engine, recording)[-1]).mean() < 20


def test_a_replay_that_is_stopped_keeps_what_there_is(engine: Engine, frames: list[Frame], tmp_path: Path) -> None:
    done: list[Any] = []
    out = tmp_path / "out.mp4"
    frames_of_it = replayed(engine, sent(frames[:4]))
    report = write_replay(frames_of_it, out, progress=done.append, stop=lambda: len(done) == 2)
    assert (report.frames, report.stopped) == (2, True)
    assert out.stat().st_size > 0
    assert engine.session_count == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [("out.avi", "suffix '.avi'"), ("no/out.mp4", "is not there"), ("full", "new or an empty folder")],
)
def test_a_place_that_cannot_be_written_to_is_named(
    name: str, words: str, engine: Engine, frames: list[Frame], tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(RecordingError, match=words):
        write_replay(replayed(engine, sent(frames[:1])), tmp_path / name)


def test_the_command_line_replays(
    tiny_folder: Path, frames: list[Frame], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "one.rearview"
    file.write_bytes(packed(sent(frames[:3], model=str(tiny_folder))))
    assert main([str(file), str(tmp_path / "as_it_was")]) == 0
    assert "as_it_was holds 3 frames" in capsys.readouterr().out
    more = ["--steps", "3", "--size", "64x48", "--prompt", "neon", "--memory", "none", "--side-by-side", "--seed", "4"]
    assert main([str(file), str(tmp_path / "other.png"), *more]) == 0
    assert opened(tmp_path / "other.png").size == (128, 48)
    file.write_bytes(packed(replace(drawn(), model=str(tiny_folder))))
    assert main([str(file), str(tmp_path / "drawn"), "--strokes", "--fps", "4", "--model", str(tiny_folder)]) == 0
    assert len(list((tmp_path / "drawn").iterdir())) > 4


def test_the_command_line_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.rearview").write_bytes(b"no zip")
    assert main([str(tmp_path / "bad.rearview"), str(tmp_path / "out.mp4")]) == 1
    assert "bad.rearview is not replayed: bad.rearview cannot be read" in capsys.readouterr().err
    assert main([str(tmp_path / "none.rearview"), str(tmp_path / "out.mp4")]) == 1
    (tmp_path / "drawn.rearview").write_bytes(packed(drawn()))
    assert main([str(tmp_path / "drawn.rearview"), str(tmp_path / "out.mp4"), "--fps", "100"]) == 1
    assert "fps came as 100" in capsys.readouterr().err


def test_a_picture_that_came_finer_comes_so_again(engine: Engine, frames: list[Frame], tmp_path: Path) -> None:
    files = {f"frames/{number}.png": png_of(frame) for number, frame in enumerate(frames[:2])}
    events: list[Event] = [FrameSent(0, "frames/0.png"), FrameSent(40, "frames/1.png"), Rested(900)]
    written = Recording(engine.model.name, engine.size, 5, (*events, FrameSent(1200, "frames/0.png")), files=files)
    recording = read_recording(packed(written))
    assert recording.events == written.events
    session = engine.open(5)
    settings = engine.model.entry.defaults
    live = [np.asarray(session.translate(frame, settings)) for frame in frames[:2]]
    finer = session.submit_finer(frames[1], live[1], settings).result()
    assert finer is not None
    live += [fitted(finer, engine.size, "crop"), np.asarray(session.translate(frames[0], settings))]
    again = list(replayed(engine, recording))
    assert [each.ms for each in again] == [0, 40, 900, 1200]
    for one, other in zip(live, again, strict=True):
        assert np.array_equal(one, other.translation.picture)
    assert moment_count(recording, strokes=False) == 4
