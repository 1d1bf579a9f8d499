"""A recording comes back as it was written; a file that is no recording, or a trap, gets a sentence."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from demo.live import wire
from pipeline.errors import RecordingError
from pipeline.recording import archive
from pipeline.recording import recording as module
from pipeline.recording.operations import (
    Clear,
    Fill,
    LayerLook,
    Paper,
    Pasted,
    Point,
    Redo,
    Restack,
    Shape,
    Stroke,
    Undo,
    described,
    operation_of,
)
from pipeline.recording.recording import (
    Drawn,
    Forgotten,
    FrameSent,
    Recording,
    SettingsChanged,
    packed,
    read_recording,
    recording_of,
)
from tests.support.outside import JSON, SAME_EACH_RUN, changed_json


def encoded(kind: str, size: tuple[int, int] = (9, 7)) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)).save(buffer, kind)
    return buffer.getvalue()


OPERATIONS = [
    Stroke("ink", "brush", (1, 2, 255), (Point(1.5, 2.25, 14, 0), Point(-3, 600, 7.5, 33))),
    Stroke("picture", "eraser", (0, 0, 0), (Point(1, 2, 14, 0),)),
    Shape("ellipse", "ink", (9, 8, 7), 6, True, (10, 20), (30.5, 40), 300),
    Shape("line", "ink", (9, 8, 7), 6, False, (10, 20), (30.5, 40), 0),
    Fill("ink", (3, 4, 5), (100, 200)),
    Clear(None),
    Clear("ink"),
    Restack(("picture", "ink3", "ink")),
    Paper((255, 0, 255)),
    Pasted("picture", "images/1.png"),
    LayerLook("ink", False, 0.5),
    Undo(),
    Redo(),
]
EVENTS = (
    *(Drawn(10.0 * number, each) for number, each in enumerate(OPERATIONS)),
    SettingsChanged(200, {"steps": 2, "prompt": "oil"}),
    FrameSent(210, "frames/1.jpg"),
    Forgotten(220.5),
    FrameSent(230, "frames/1.jpg"),
)
WHOLE = Recording(
    model="embedded",
    model_title="The small one",
    title="A cat",
    size=(256, 256),
    seed=7,
    control="sketch-sd15",
    settings={"prompt": "a cat", "steps": 1},
    events=EVENTS,
    files={"frames/1.jpg": encoded("JPEG", (64, 64)), "images/1.png": encoded("PNG")},
)


def contents() -> Any:
    with zipfile.ZipFile(io.BytesIO(packed(WHOLE))) as archive:
        return json.loads(archive.read("recording.json"))


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "cat.rearview").write_bytes(packed(WHOLE))
    for source in (tmp_path / "cat.rearview", packed(WHOLE)):
        found = read_recording(source)
        assert vars(found) == vars(WHOLE)
        assert (found.has_frames, found.has_strokes) == (True, True)
    assert packed(WHOLE) == packed(read_recording(packed(WHOLE)))


def test_the_runtime_is_pytorch_where_none_is_named() -> None:
    assert "runtime" not in contents()
    assert read_recording(packed(WHOLE)).runtime == "PyTorch"
    assert read_recording(packed(replace(WHOLE, runtime="OpenVINO"))).runtime == "OpenVINO"


def test_frames_are_read_as_the_wire_reads_them() -> None:
    for name in ("frames/1.jpg", "images/1.png"):
        assert np.array_equal(WHOLE.picture(name), wire.decode_picture(WHOLE.files[name]))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: type(each).__name__)
def test_every_operation_comes_back(operation: Any) -> None:
    assert operation_of("it", json.loads(json.dumps(described(operation)))) == operation


SPOILT = [
    (("format",), "zip", "format of recording.json came as 'zip'"),
    (("version",), 2, "with a newer Rearview"),
    (("version",), True, "needed: a whole number"),
    (("model",), [], "needed: a JSON object"),
    (("model", "name"), 3, "needed: a text"),
    (("size",), [256], "needed: a list of 2 numbers"),
    (("size",), [256, 10**6], "needed: a number from 1"),
    (("seed",), -1, "needed: a whole number"),
    (("settings", "steps"), 9, "steps came as 9"),
    (("settings", "colour"), 9, "settings came with colour"),
    (("events",), {}, "needed: a list"),
    (("events",), [], "needed: a list of 1 to"),
    (("events", 0, "t"), float("1e300"), "t of event 1 came as 1e+300"),
    (("events", 1, "t"), -1, "t of event 2"),
    (("events", 2, "t"), 5, "t of event 3 came as 5; needed: a number from 10"),
    (("events", 0, "type"), "eval", "needed: one of set, reset, frame, rest, like, draw"),
    (("events", 0, "op"), None, "needed: a JSON object"),
    (("events", 0, "op", "op"), ["x"], "needed: one of stroke"),
    (("events", 0, "op", "layer"), "sky", "needed: one of picture, ink, ink2"),
    (("events", 0, "op", "colour"), "red", "a colour such as"),
    (("events", 0, "op", "tool"), "axe", "needed: one of brush, eraser"),
    (("events", 0, "op", "points"), [], "a list of 1 to"),
    (("events", 0, "op", "points", 1), [1, 2, 3], "a list of 4 numbers"),
    (("events", 0, "op", "points", 1, 0), 10**9, "needed: a number from"),
    (("events", 0, "op", "points", 1, 0), 10**400, "needed: a number from"),
    (("events", 0, "op", "points", 1, 2), -1, "width of point 2"),
    (("events", 1, "op", "points", 0, 3), -1, "time of point 1"),
    (("events", 2, "op", "filled"), 1, "true or false"),
    (("events", 7, "op", "order"), ["ink", "picture"], "needed: picture first"),
    (("events", 7, "op", "order"), ["picture", "ink", [1]], "needed: picture first"),
    (("events", 7, "op", "order"), ["picture", "ink", "ink"], "needed: picture first"),
    (("events", 9, "op", "image"), "../etc/passwd", "a name such as"),
    (("events", 9, "op", "image"), "images/2.png", "came without images/2.png"),
    (("events", 10, "op", "opacity"), 2, "needed: a number from 0 to 1"),
    (("events", 13, "settings", "prompt"), 5, "prompt came as int"),
    (("events", 14, "image"), "frames/../1.jpg", "a name such as"),
]


@pytest.mark.parametrize(("path", "value", "words"), SPOILT, ids=lambda each: str(each)[:40])
def test_a_field_that_is_not_what_it_has_to_be_is_named(path: tuple[Any, ...], value: Any, words: str) -> None:
    spoilt = contents()
    place = spoilt
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(RecordingError) as caught:
        recording_of(spoilt, WHOLE.files)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"version": NaN}', b"9" * 5000])
def test_what_is_no_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(RecordingError):
        read_recording(zipped({"recording.json": text}))


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "frames/../x.jpg", "frames\\1.jpg", "readme.txt", "frames/1.svg", "frames/"]
)
def test_a_name_that_is_none_of_ours_is_refused(name: str) -> None:
    with pytest.raises(RecordingError, match="each name once"):
        read_recording(zipped({"recording.json": json.dumps(contents()).encode(), name: b"x"}))


def test_a_name_that_comes_twice_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = io.BytesIO()
        with zipfile.ZipFile(twice, "w") as archive:
            for _ in range(2):
                archive.writestr("recording.json", "{}")
    with pytest.raises(RecordingError, match="each name once"):
        read_recording(twice.getvalue())


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zipped({"recording.json": b"{}", "frames/1.jpg": bytes(3_000_000)})
    assert len(bomb) < 10_000
    monkeypatch.setattr(archive, "MOST_BYTES", 2_000_000)
    with pytest.raises(RecordingError, match="unpacks to more than"):
        read_recording(bomb)
    monkeypatch.setattr(archive, "MOST_TEXT_BYTES", 1000)
    with pytest.raises(RecordingError, match="at most 1000"):
        read_recording(zipped({"recording.json": bytes(2000)}))
    monkeypatch.setattr(module, "MOST_FILE_BYTES", 1000)
    with pytest.raises(RecordingError, match="needed: at most 1000"):
        read_recording(bomb)
    monkeypatch.setattr(archive, "MOST_FILES", 0)
    with pytest.raises(RecordingError, match="came with 2 files"):
        read_recording(zipped({"recording.json": b"{}", "frames/1.jpg": b""}))


def test_a_size_that_lies_is_found() -> None:
    honest = bytearray(zipped({"recording.json": bytes(5000)}))
    at = honest.rindex(b"PK\x01\x02")
    honest[at + 24 : at + 28] = (100).to_bytes(4, "little")
    with pytest.raises(RecordingError, match="cannot be read"):
        read_recording(bytes(honest))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_that_unpacks_without_a_bound_is_refused_whatever_it_announces(method: int) -> None:
    bomb = bytearray(zipped({"recording.json": bytes(1_000_000)}, method))
    at = bomb.rindex(b"PK\x01\x02")
    bomb[at + 24 : at + 28] = (100).to_bytes(4, "little")
    with pytest.raises(RecordingError, match=f"packed by method {method}'; needed: stored or deflated"):
        read_recording(bytes(bomb))


def test_no_more_of_a_file_is_inflated_than_it_announces() -> None:
    bomb = bytearray(zipped({"recording.json": bytes(64 * 2**20)}))
    at = bomb.rindex(b"PK\x01\x02")
    bomb[at + 24 : at + 28] = (100).to_bytes(4, "little")
    tracemalloc.start()
    with pytest.raises(RecordingError, match="cannot be read"):
        read_recording(bytes(bomb))
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_small_files_grow_to_no_large_ones() -> None:
    with pytest.raises(RecordingError, match="unpacks to more than"):
        read_recording(zipped({"recording.json": b"{}", "frames/1.png": bytes(8 * 2**20)}))


def test_a_long_directory_is_refused_before_it_is_read() -> None:
    entry = struct.pack("<4s4B4H3L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * 30_000
    for count in (1, 20_000, 30_000):
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), 0, 0)
        with pytest.raises(RecordingError, match="came with 30000 files|the directory of"):
            read_recording(directory + end)
    large = struct.pack("<4sLQL", b"PK\6\7", 0, len(directory), 1)
    with pytest.raises(RecordingError, match="ZIP64"):
        read_recording(directory + large + end)


def test_json_is_counted_before_it_is_parsed() -> None:
    with pytest.raises(RecordingError, match="about 2000001 values came; needed: at most 2000000"):
        read_recording(zipped({"recording.json": b"[" + b"0," * 2_000_000 + b"0]"}))


def test_a_sentence_repeats_little_of_what_came() -> None:
    for spoilt in ("x" * 10**6, [[[[[[[1]] * 100] * 100]]]], 10**4000, {"\ud800": "\ud800"}, float("nan")):
        for place in ("settings", "seed"):
            with pytest.raises(RecordingError) as caught:
                recording_of({**contents(), place: {"steps": spoilt} if place == "settings" else spoilt}, WHOLE.files)
            assert len(str(caught.value)) < 600


def test_a_picture_that_is_none_or_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt = {**WHOLE.files, "frames/1.jpg": b"<svg>"}
    with pytest.raises(RecordingError, match="cannot be read as a picture"):
        recording_of(contents(), spoilt)
    cut = recording_of(contents(), {**WHOLE.files, "frames/1.jpg": WHOLE.files["frames/1.jpg"][:-100]})
    with pytest.raises(RecordingError, match="cannot be read as a picture"):
        cut.picture("frames/1.jpg")
    monkeypatch.setattr(module, "MOST_PIXELS", 20)
    with pytest.raises(RecordingError, match="64 x 64 pixels"):
        recording_of(contents(), WHOLE.files)


@pytest.mark.parametrize("source", [b"", b"PK", b"no zip at all", packed(WHOLE)[:-30]])
def test_what_is_no_zip_is_refused(source: bytes) -> None:
    with pytest.raises(RecordingError, match="cannot be read"):
        read_recording(source)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="gone.rearview cannot be read"):
        read_recording(tmp_path / "gone.rearview")


def test_a_directory_that_lies_before_the_file_is_refused() -> None:
    spoilt = bytearray(packed(WHOLE))
    spoilt[-4] = 1  # the offset of the zip's directory, 65,536 bytes too far
    with pytest.raises(RecordingError, match="cannot be read"):
        read_recording(bytes(spoilt))


@given(st.data())
def test_a_spoilt_byte_never_does_worse_than_a_sentence(data: st.DataObject) -> None:
    spoilt = bytearray(packed(WHOLE))
    for _ in range(data.draw(st.integers(1, 4))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_recording(bytes(spoilt))
        for name in found.files:
            found.picture(name)
    except RecordingError:
        pass


@SAME_EACH_RUN
@given(changed_json(contents()) | JSON)
def test_changed_words_never_do_worse_than_a_sentence(found: Any) -> None:
    try:
        assert read_recording(packed(recording_of(found, WHOLE.files))).size == tuple(found["size"])
    except RecordingError as error:
        assert "needed" in str(error)
