"""What a script can ask of the app: a real server, and the real `gradio_client` that asks it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from demo.live.live import Live
from demo.page import api, page
from demo.page.api import build_api
from demo.page.video_jobs import VideoJobs
from examples import translate_folder
from pipeline import Engine, FrameSettings, Model
from pipeline.errors import NoRoomError
from pipeline.frames.codec import Frame
from pipeline.settings import CHOICES, DECLARATIONS, FIT, RANGES
from pipeline.video.translate import translated_frames
from tests.support.clips import Mirror, read_clip, write_clip
from tests.support.standin import eventually

pytestmark = [
    # Gradio's queue counts with options of pandas that this pandas calls deprecated.
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
    # It leaves the socket with which it looks for a free port to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning"),
]

PROMPT = "(neon)1.4 cat"
SEED = 5
ENDPOINTS = ["/translate_frames", "/translate_picture", "/translate_video"]


@dataclass
class Served:
    """A page at a port, and a client that knows it."""

    blocks: gr.Blocks
    client: Client
    url: str


def served(blocks: gr.Blocks) -> Iterator[Served]:
    _, url, _ = blocks.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", ssr_mode=False)
    client = Client(url, verbose=False, analytics_enabled=False)
    try:
        yield Served(blocks, client, url)
    finally:
        client.close()
        blocks.close(verbose=False)


@pytest.fixture(scope="module")
def painter(tiny_model: Model) -> Iterator[Engine]:
    with Engine(tiny_model) as engine:
        yield engine


@pytest.fixture(scope="module")
def app(painter: Engine) -> Iterator[Served]:
    live = Live(painter)
    yield from served(page.build(live))
    live.close()


@pytest.fixture(scope="module")
def files(frames: list[Frame], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five of the frames, as files."""
    folder = tmp_path_factory.mktemp("frames")
    paths = [folder / f"square {index}.png" for index in range(5)]
    for path, frame in zip(paths, frames, strict=False):
        Image.fromarray(frame).save(path)
    return paths


def asked(app: Served, name: str, **arguments: Any) -> Any:
    """What the endpoint answers; files are named by their paths."""
    return app.client.predict(**{"prompt": PROMPT, "seed": SEED, **arguments}, api_name=f"/{name}")


def read(path: str) -> Frame:
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


def parameters(app: Served, endpoint: str) -> dict[str, dict[str, Any]]:
    described: Any = app.client.view_api(return_format="dict", print_info=False)
    return {each["parameter_name"]: each for each in described["named_endpoints"][endpoint]["parameters"]}


def test_there_are_three_endpoints_and_everything_else_of_the_page_is_its_own(app: Served) -> None:
    described: Any = app.client.view_api(return_format="dict", print_info=False)
    assert sorted(described["named_endpoints"]) == ENDPOINTS
    assert described["unnamed_endpoints"] == {}
    assert all(len(each["description"]) > 80 for each in described["named_endpoints"].values())


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_setting_is_a_keyword_as_declared(app: Served, endpoint: str) -> None:
    first, *settings, like = parameters(app, endpoint).values()
    assert not first["parameter_has_default"]
    assert (like["parameter_name"], like["parameter_default"]) == ("like", None) and like["parameter_has_default"]
    assert [each["parameter_name"] for each in settings] == [*DECLARATIONS, "fit"]
    defaults = {**page.first_settings(), "fit": "pad"}
    for each in settings:
        name = each["parameter_name"]
        assert each["parameter_default"] == defaults[name]
        assert {**DECLARATIONS, "fit": FIT}[name].help in each["python_type"]["description"]
        if name in RANGES:
            assert (each["type"]["minimum"], each["type"]["maximum"]) == (RANGES[name].minimum, RANGES[name].maximum)
            assert each["python_type"]["type"] == ("int" if RANGES[name].integer else "float")
        if name in CHOICES:
            assert each["type"]["enum"] == list(CHOICES[name].choices)


def test_a_picture_comes_back_in_its_size_and_its_seed_makes_it_the_same(app: Served, files: list[Path]) -> None:
    first, again, other = (
        read(asked(app, "translate_picture", picture=handle_file(files[0]), seed=seed)) for seed in (1, 1, 2)
    )
    assert first.shape == (40, 48, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_frames_come_back_as_one_session_paints_them(
    app: Served, painter: Engine, files: list[Path], frames: list[Frame]
) -> None:
    painted = asked(app, "translate_frames", frames=[handle_file(each) for each in files])
    settings = FrameSettings(prompt=PROMPT, seed=SEED, fit="pad")
    session = painter.open()
    expected = list(translated_frames(session, frames[:5], settings))
    session.close()
    assert [Path(each).name for each in painted] == [f"{number:04d}-square {number - 1}.png" for number in range(1, 6)]
    assert all(np.array_equal(read(path), frame) for path, frame in zip(painted, expected, strict=True))
    alone = asked(app, "translate_picture", picture=handle_file(files[4]))
    assert not np.array_equal(read(alone), expected[4])


def test_a_video_comes_back_whole(app: Served, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "my clip.mp4")
    painted, outcome = asked(app, "translate_video", video=handle_file(clip))
    assert outcome == "my clip-painted.mp4 holds 8 frames."
    assert len(read_clip(Path(painted)).pictures) == 8


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"strength": 7}, "strength came as 7; needed: a number from 0.1 to 1"),
        ({"steps": "many"}, "steps came as 'many'; needed: a whole number from 1 to 4"),
        ({"guidance_kind": "loud"}, "guidance_kind came as 'loud'; needed: one of full, onetime, self, none"),
        ({"fit": "stretch"}, "fit came as 'stretch'; needed: one of crop, pad"),
        ({"prompt": "(neon"}, "prompt came with"),
    ],
)
def test_a_setting_that_is_not_in_order_gets_its_own_sentence(
    app: Served, files: list[Path], settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(AppError, match=sentence):
        asked(app, "translate_picture", picture=handle_file(files[0]), **settings)


def test_all_endpoints_tell_such_a_sentence(app: Served, files: list[Path], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4")
    with pytest.raises(AppError, match="steps came as 9"):
        asked(app, "translate_frames", frames=[handle_file(files[0])], steps=9)
    for settings, sentence in ({"steps": 9}, "steps came as 9"), ({"prompt": "(neon"}, "prompt came with"):
        with pytest.raises(AppError, match=sentence):
            asked(app, "translate_video", video=handle_file(clip), **settings)


def test_a_file_that_is_no_picture_gets_a_sentence_that_tells_nothing_of_the_server(
    app: Served, files: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "in.png").write_text("no picture")
    with pytest.raises(AppError, match="needed: a whole JPEG") as refused:
        asked(app, "translate_frames", frames=[handle_file(each) for each in (files[0], tmp_path / "in.png")])
    assert "in.png" not in str(refused.value)
    with pytest.raises(AppError, match="in.png came without a frame"):
        asked(app, "translate_video", video=handle_file(tmp_path / "in.png"))


def test_the_number_of_pictures_is_limited(app: Served, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MAXIMUM_PICTURES", 2)
    with pytest.raises(AppError, match="3 pictures came; needed: 1 to 2"):
        asked(app, "translate_frames", frames=[handle_file(each) for each in files[:3]])
    with pytest.raises(AppError, match="0 pictures came"):
        asked(app, "translate_frames", frames=[])


def test_nobody_gets_past_the_queue(app: Served) -> None:
    posted = httpx.post(f"{app.url}gradio_api/run/translate_picture", json={"data": []})
    assert posted.status_code == 404
    assert app.blocks._queue.max_size == api.CALLS_IN_LINE


def test_nothing_is_left_when_calls_have_ended(app: Served, painter: Engine) -> None:
    assert eventually(lambda: painter.session_count == 0)


class Held(Mirror):
    """A session of no model, which paints beside whoever asks."""

    like: bytes | None = None

    def be_like(self, picture: bytes) -> None:
        self.like = picture

    def submit(self, frame: Frame, settings: FrameSettings) -> Future[Any]:
        future: Future[Any] = Future()

        def paint() -> None:
            future.set_result(SimpleNamespace(picture=np.asarray(self.translate(frame, settings))))

        Thread(target=paint).start()
        return future


@dataclass
class Sessions:
    """Opens sessions of no model whose second frame waits until `opened`; remembers them."""

    reached: Event = field(default_factory=Event)
    opened: Event = field(default_factory=Event)
    made: list[Held] = field(default_factory=list)
    full: bool = False

    def open(self) -> Any:
        if self.full:
            raise NoRoomError("all sessions together take too much; needed: room for one more. Come back later.")
        self.made.append(Held(on_frame=self._wait))
        return self.made[-1]

    def _wait(self, frame: int) -> None:
        if frame == 1:
            self.reached.set()
            assert self.opened.wait(60)


@pytest.fixture(scope="module")
def stage() -> list[Sessions]:
    """Whose last sessions are those of the test."""
    return []


@pytest.fixture(scope="module")
def slow(stage: list[Sessions]) -> Iterator[Served]:
    """A page with nothing on it but what scripts may call, over the last sessions of the stage."""

    def opened(party: str) -> Any:
        return stage[-1].open()

    with gr.Blocks(analytics_enabled=False) as blocks:
        build_api(blocks, opened, VideoJobs(opened), page.first_settings(), lambda _: "192.0.2.1")
    yield from served(blocks)


@pytest.fixture
def sessions(stage: list[Sessions]) -> Iterator[Sessions]:
    stage.append(Sessions())
    yield stage[-1]
    stage[-1].opened.set()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_picture_to_be_like_reaches_the_session_as_it_came(
    slow: Served, sessions: Sessions, files: list[Path], tmp_path: Path, endpoint: str
) -> None:
    sessions.opened.set()
    first = next(iter(parameters(slow, endpoint)))
    source = handle_file(write_clip(tmp_path / "in.mp4") if first == "video" else files[0])
    given: Any = {first: [source] if first == "frames" else source, "like": handle_file(files[1])}
    slow.client.predict(**given, api_name=endpoint)
    assert sessions.made[0].like == files[1].read_bytes()


def test_a_model_that_reads_no_picture_says_so(app: Served, files: list[Path]) -> None:
    with pytest.raises(AppError, match="no adapter that reads one"):
        asked(app, "translate_picture", picture=handle_file(files[0]), like=handle_file(files[1]))


@pytest.mark.parametrize("endpoint", ["translate_frames", "translate_video"])
def test_a_cancelled_job_ends_after_the_frame_under_way(
    slow: Served, sessions: Sessions, files: list[Path], tmp_path: Path, endpoint: str
) -> None:
    source: Any = {"video": handle_file(write_clip(tmp_path / "in.mp4"))}
    if endpoint == "translate_frames":
        source = {"frames": [handle_file(each) for each in files]}
    job = slow.client.submit(**source, api_name=f"/{endpoint}")
    assert sessions.reached.wait(60)
    job.cancel()
    assert eventually(job.done)
    sessions.opened.set()
    assert eventually(lambda: sessions.made[0].closed)
    assert sessions.made[0].frames <= 2


def test_a_caller_who_leaves_leaves_nothing(slow: Served, sessions: Sessions, files: list[Path]) -> None:
    uploads = [("files", (each.name, each.read_bytes())) for each in files]
    paths = httpx.post(f"{slow.url}gradio_api/upload", files=uploads).raise_for_status().json()
    pictures = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in paths]
    call = f"{slow.url}gradio_api/call/translate_frames"
    values = list(api.setting_parameters(page.first_settings()).values())
    event = httpx.post(call, json={"data": [pictures, *(each.value for each in values), None]}).raise_for_status()
    with httpx.stream("GET", f"{call}/{json.loads(event.text)['event_id']}"):
        assert sessions.reached.wait(60)
    sessions.opened.set()
    assert eventually(lambda: sessions.made[0].closed)


def test_calls_of_an_address_wait_for_each_other_and_too_many_are_refused(
    slow: Served, sessions: Sessions, files: list[Path]
) -> None:
    pictures = [handle_file(each) for each in files[:2]]
    calls = api.CALLS_WAITING_OF_ADDRESS + 1
    jobs = [slow.client.submit(frames=pictures, api_name="/translate_frames") for _ in range(calls)]
    assert sessions.reached.wait(60) and eventually(lambda: any(job.done() for job in jobs))
    assert len(sessions.made) == api.CALLS_AT_ONCE_OF_ADDRESS
    sessions.opened.set()
    refusals = [str(error) for job in jobs if (error := job.exception(60)) is not None]
    assert len(refusals) == 1 and "at most 4 of one address" in refusals[0]
    assert all(session.closed for session in sessions.made)


def test_a_host_without_room_says_so(slow: Served, sessions: Sessions, files: list[Path]) -> None:
    sessions.full = True
    with pytest.raises(AppError, match="needed: room for one more"):
        slow.client.predict(picture=handle_file(files[0]), api_name="/translate_picture")


def test_the_example_paints_a_folder(
    app: Served, files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    for each in files[1:3]:
        shutil.copy(each, tmp_path / "in")
    words = [str(tmp_path / "in"), str(tmp_path / "out"), "--url", app.url]
    assert translate_folder.main([*words, "--set", f"prompt={PROMPT}", "--set", f"seed={SEED}"]) == 0
    painted = sorted((tmp_path / "out").iterdir())
    assert [each.name for each in painted] == [each.name for each in files[1:3]]
    expected = asked(app, "translate_frames", frames=[handle_file(each) for each in files[1:3]])
    assert all(np.array_equal(read(ours), read(theirs)) for ours, theirs in zip(painted, expected, strict=True))
    assert translate_folder.main([*words, "--set", "steps=9"]) == 1
    assert "steps came as 9; needed" in capsys.readouterr().err
