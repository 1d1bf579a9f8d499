"""Pictures in a row are bounded in a video as they are by themselves, and codecs are those that people have."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from pipeline.errors import VideoError
from pipeline.frames.picture_parts import MOST_SCANS
from pipeline.video.codecs import READ, check_codec
from pipeline.video.reader import SourceFrame, VideoReader, facts_of
from tests.support.clips import write_avi_of, write_clip


def picture(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(file, kind, **options)
    return file.getvalue()


def with_scans(count: int) -> bytes:
    data = picture("JPEG", progressive=True)
    scan = b"\xff\xda" + struct.pack(">H", 8) + b"\x01\x01\x00\x01\x3f\x00" + bytes(8)
    return data[:-2] + scan * (count - data.count(b"\xff\xda")) + data[-2:]


def with_text(kind: str) -> bytes:
    texts = PngImagePlugin.PngInfo()
    if kind == "iTXt":
        texts.add_itxt("a", 1000 * "b", zip=True)
    else:
        texts.add_text("a", 1000 * "b", zip=kind == "zTXt")
    return picture("PNG", pnginfo=texts)


def read(path: Path) -> tuple[int, int]:
    """How many frames are read, and how many pieces are passed over."""
    with VideoReader(path) as reader:
        return sum(isinstance(each, SourceFrame) for each in reader.pieces()), reader.damaged


def test_a_jpeg_of_many_scans_is_passed_over_before_it_is_decoded(tmp_path: Path) -> None:
    frames = [picture("JPEG"), with_scans(MOST_SCANS + 1), with_scans(MOST_SCANS), picture("JPEG", progressive=True)]
    assert read(write_avi_of(tmp_path / "in.avi", 64, frames)) == (3, 1)


def test_the_second_field_of_a_packet_counts_too(tmp_path: Path) -> None:
    frames = [picture("JPEG") + with_scans(MOST_SCANS), picture("JPEG")]
    assert read(write_avi_of(tmp_path / "in.avi", 64, frames)) == (1, 1)


def test_a_png_whose_texts_would_be_unpacked_is_passed_over(tmp_path: Path) -> None:
    profile = picture("PNG", icc_profile=bytes(1000))
    frames = [picture("PNG"), with_text("zTXt"), with_text("iTXt"), profile, with_text("tEXt")]
    assert read(write_avi_of(tmp_path / "in.avi", 64, frames, b"MPNG")) == (2, 3)


def test_a_png_of_tiny_parts_is_passed_over(tmp_path: Path) -> None:
    whole = picture("PNG")
    empty = struct.pack(">I4sI", 0, b"tEXt", zlib.crc32(b"tEXt"))
    frames = [whole, whole[:33] + 1000 * empty + whole[33:]]
    assert read(write_avi_of(tmp_path / "in.avi", 64, frames, b"MPNG")) == (1, 1)


def test_a_video_of_nothing_but_bombs_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="without a frame that can be read"):
        facts_of(write_avi_of(tmp_path / "in.avi", 64, [with_scans(3000)]))


def test_picture_files_of_other_kinds_are_no_video(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="in tiff; needed: a codec of cameras"):
        facts_of(write_avi_of(tmp_path / "in.avi", 64, [picture("TIFF")], b"tiff"))


def test_what_people_have_is_read(tmp_path: Path) -> None:
    assert facts_of(write_clip(tmp_path / "in.mp4")).frames == 8
    assert facts_of(write_clip(tmp_path / "in.webm")).size == (48, 32)
    for codec in READ:
        check_codec("a", codec, None)
