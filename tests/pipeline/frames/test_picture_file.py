"""Whatever a picture's file announces, little is decoded of it; ordinary pictures come through as they are."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from pipeline.errors import PictureError
from pipeline.frames import picture_file
from pipeline.frames.codec import FORMATS, as_frame
from pipeline.frames.picture_file import LargePictureError, UnreadablePictureError, opened_picture
from pipeline.frames.picture_parts import MOST_SCANS, parts_of

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8))
KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(data: bytes) -> np.ndarray:
    with opened_picture(data, FORMATS, 10**7) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def turned(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    exif[0x010E] = "a description"
    return exif


@pytest.mark.parametrize("kind", KINDS)
def test_ordinary_pictures_are_what_pillow_reads(kind: str) -> None:
    for options in ({}, {"progressive": True, "optimize": True}, {"interlace": 1}, {"compression": "tiff_lzw"}):
        data = saved(NOISE, kind, **options)
        with Image.open(io.BytesIO(data)) as known:
            assert np.array_equal(pixels(data), np.asarray(known.convert("RGBA")))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_palettes_and_transparency_of_a_png_stay(mode: str) -> None:
    data = saved(NOISE.convert(mode) if mode != "I;16" else Image.new(mode, (9, 5), 40_000), "PNG")
    with Image.open(io.BytesIO(data)) as known:
        assert np.array_equal(pixels(data), np.asarray(known.convert("RGBA")))


def test_colours_of_every_jpeg_stay() -> None:
    for image in (NOISE.convert("CMYK"), NOISE.convert("L"), NOISE):
        for options in ({"keep_rgb": True}, {"subsampling": 2}, {"progressive": True}):
            data = saved(image, "JPEG", **options)
            with Image.open(io.BytesIO(data)) as known:
                assert np.array_equal(pixels(data), np.asarray(known.convert("RGB").convert("RGBA")))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("value", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says(kind: str, value: int) -> None:
    data = saved(NOISE, kind, exif=turned(value))
    with Image.open(io.BytesIO(data)) as known:
        assert np.array_equal(pixels(data), np.asarray(ImageOps.exif_transpose(known).convert("RGBA")))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_only_the_first_picture_is_read(kind: str) -> None:
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    data = saved(first, kind, save_all=True, append_images=[second] * 20, lossless=True)
    assert (pixels(data)[..., :3] == (255, 0, 0)).all()


def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded() -> None:
    data = saved(NOISE, "JPEG", progressive=True)
    scan = segment(0xDA, b"\x01\x01\x00\x01\x3f\x00") + bytes(8)
    bomb = data[:-2] + scan * 30_000 + data[-2:]
    began = time.perf_counter()
    with pytest.raises(PictureError, match=f"65 scans; needed: at most {MOST_SCANS}"):
        as_frame(bomb)
    assert time.perf_counter() - began < 0.5


def exif_of_overlapping_tags(count: int, length: int) -> bytes:
    entries = b"".join(struct.pack("<HHII", 1000 + each, 1, length, 8) for each in range(count))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entries + bytes(4 + length)


def test_metadata_is_neither_read_nor_unpacked() -> None:
    """Tags of Exif may all lie at one place, profiles and texts unpack to a thousand times their size."""
    exif = b"Exif\0\0" + exif_of_overlapping_tags(500, 50_000)
    jpeg, png, webp = (saved(NOISE, kind) for kind in ("JPEG", "PNG", "WEBP"))
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6))) + chunk(
        b"iCCP", b"a\0\0" + zlib.compress(bytes(10**6))
    )
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + (63).to_bytes(3, "little") + (47).to_bytes(3, "little")
    body = b"WEBP" + extended + webp[12:] + b"EXIF" + struct.pack("<I", len(exif)) + exif
    bombs = (
        jpeg[:2] + segment(0xE1, exif) * 20 + segment(0xE2, b"MPF\0" + exif[6:]) + jpeg[2:],
        png[:33] + text * 50 + chunk(b"eXIf", exif[6:]) * 20 + png[33:],
        b"RIFF" + struct.pack("<I", len(body)) + body,
    )
    for bomb, honest in zip(bombs, (jpeg, png, webp), strict=True):
        tracemalloc.start()
        assert np.array_equal(pixels(bomb), pixels(honest))
        assert tracemalloc.get_traced_memory()[1] < len(bomb) * 3 + 2**20
        tracemalloc.stop()


def test_a_tiff_whose_tags_overlap_is_refused() -> None:
    tiff = saved(NOISE, "TIFF")
    at = struct.unpack_from("<I", tiff, 4)[0]
    count = struct.unpack_from("<H", tiff, at)[0]
    kept = tiff[at + 2 : at + 2 + 12 * count]
    more = b"".join(struct.pack("<HHII", 60_000 + each, 1, 9000, 8) for each in range(100))
    bomb = tiff[:4] + struct.pack("<I", len(tiff)) + tiff[8:] + struct.pack("<H", count + 100) + kept + more + bytes(4)
    with pytest.raises(PictureError, match="longer than the file"):
        as_frame(bomb)
    with pytest.raises(PictureError, match="it holds a JPEG"):
        as_frame(saved(NOISE, "TIFF", compression="jpeg"))


def test_a_webp_is_refused_before_its_canvas_is_made() -> None:
    bits = 16382 | 16382 << 14
    body = b"WEBPVP8L" + struct.pack("<I", 10) + b"\x2f" + struct.pack("<I", bits) + bytes(5)
    with pytest.raises(PictureError, match="16383x16383"):
        as_frame(b"RIFF" + struct.pack("<I", len(body)) + body)


def test_texts_of_a_gif_are_not_put_together() -> None:
    gif = saved(NOISE, "GIF")
    at = 13 + 3 * 256
    comment = b"\x21\xfe" + (b"\xff" + bytes(255)) * 20_000 + b"\0"
    began = time.perf_counter()
    assert np.array_equal(pixels(gif[:at] + comment + gif[at:]), pixels(gif))
    assert time.perf_counter() - began < 0.5
    with pytest.raises(PictureError, match="tiny blocks"):
        as_frame(gif[:at] + b"\x21\xfe" + b"\x01\x01" * 10_000 + b"\0" + gif[at:])


def test_what_pillow_decodes_in_python_has_to_be_small() -> None:
    for data in (b"P2 1200 1000 255\n", b"P5 1200 1000 254\n"):
        with pytest.raises(PictureError, match="slow form"):
            as_frame(data + bytes(100))
    assert as_frame(b"P2 2 1 255\n0 255\n").tolist() == [[[0] * 3, [255] * 3]]


def test_a_picture_of_a_camera_is_read() -> None:
    picture = Image.linear_gradient("L").resize((4032, 3024)).convert("RGB")
    for options in ({}, {"progressive": True}):
        data = saved(picture, "JPEG", exif=turned(6), icc_profile=bytes(200_000), **options)
        assert as_frame(data).shape == (2048, 1536, 3)


def test_large_pictures_are_read_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_file, "LARGE_BYTES", 1000)
    monkeypatch.setattr(picture_file, "LARGE_PATIENCE_S", 0.01)
    data = saved(NOISE, "PNG")
    with opened_picture(data, FORMATS, 10**7), pytest.raises(UnreadablePictureError, match="needed: a moment"):
        pixels(data)
    assert pixels(data).shape == (48, 64, 4)
    with pytest.raises(LargePictureError, match="64 x 48 pixels"), opened_picture(data, FORMATS, 64 * 47):
        pass


def test_long_metadata_of_an_honest_png_stays_outside() -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("workflow", "x" * 100_000, zip=True)
    assert len(parts_of("PNG", saved(NOISE, "PNG", pnginfo=texts)).data) == len(saved(NOISE, "PNG"))


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(KINDS))
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_spoilt_files_are_pictures_or_sentences(data: st.DataObject, kind: str) -> None:
    spoilt = bytearray(saved(NOISE, kind))
    for _ in range(data.draw(st.integers(1, 6))):
        spoilt[data.draw(st.integers(0, min(len(spoilt) - 1, 400)))] = data.draw(st.integers(0, 255))
    try:
        assert as_frame(bytes(spoilt)).shape[2] == 3
    except PictureError as error:
        assert "needed" in str(error)
