"""Any picture in, `uint8 [H, W, 3]` out; what is refused is refused with a sentence."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import PictureError
from pipeline.frames.codec import (
    as_frame,
    as_picture,
    as_pixels,
    decode,
    encode,
    fitted,
    pixels_per_latent,
    restored_size,
    unfitted,
)


def saved(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (5, 3)])
def test_every_mode_becomes_rgb(mode: str, size: tuple[int, int]) -> None:
    frame = as_frame(Image.new(mode, size))
    assert frame.shape == (size[1], size[0], 3) and frame.dtype == np.uint8


@pytest.mark.parametrize(
    "form, mode",
    [("PNG", "RGBA"), ("PNG", "P"), ("PNG", "I;16"), ("JPEG", "CMYK"), ("JPEG", "L"), ("WEBP", "RGBA"), ("GIF", "P"),
     ("BMP", "RGB"), ("TIFF", "F"), ("TIFF", "I;16")],
)  # fmt: skip
def test_files_are_read_from_bytes_and_paths(form: str, mode: str, tmp_path: Path) -> None:
    data = saved(Image.new(mode, (6, 4)), form)
    (tmp_path / "picture").write_bytes(data)
    assert np.array_equal(as_frame(data), as_frame(tmp_path / "picture"))


def test_what_is_transparent_shows_white() -> None:
    picture = np.zeros((2, 2, 4), np.uint8)
    picture[0, 0] = (10, 20, 30, 255)
    frame = as_frame(picture)
    assert frame[0, 0].tolist() == [10, 20, 30] and frame[1, 1].tolist() == [255, 255, 255]
    palette = Image.new("P", (1, 1))
    palette.putpalette([9, 9, 9])
    assert as_frame(saved(palette, transparency=0)).tolist() == [[[255, 255, 255]]]


def test_sixteen_bits_and_floats_keep_their_brightness() -> None:
    for dtype, half in ((np.uint16, 32768), (np.float32, 0.5), (np.uint8, 128), (np.float64, 0.5)):
        assert as_frame(np.full((2, 2), half, dtype)).tolist() == [[[128] * 3] * 2] * 2
    assert as_frame(saved(Image.fromarray(np.full((1, 1), 32768, np.uint16)))).tolist() == [[[128] * 3]]
    assert as_frame(np.array([[True, False]])).tolist() == [[[255] * 3, [0] * 3]]


def test_orientation_tags_are_followed() -> None:
    image = Image.new("RGB", (4, 2))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert as_frame(saved(image, "JPEG", exif=exif)).shape == (4, 2, 3)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_huge_picture_is_shrunk(form: str) -> None:
    assert as_frame(saved(Image.new("L", (8000, 8000), 200), form)).shape == (2048, 2048, 3)


@pytest.mark.parametrize("size", [(8000, 1), (1, 8000)])
def test_extreme_aspects_are_fitted(size: tuple[int, int]) -> None:
    frame = as_frame(Image.new("RGB", size))
    for fit in ("crop", "pad"):
        assert fitted(frame, (64, 32), fit).shape == (32, 64, 3)


def test_truncated_and_foreign_files_are_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for form in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        data = saved(Image.fromarray(noise), form)
        with pytest.raises(PictureError, match="needed"):
            as_frame(data[: len(data) // 2])
    for data in (b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n"):
        with pytest.raises(PictureError, match="needed"):
            as_frame(data)


def test_more_than_64_megapixels_are_refused_by_the_header() -> None:
    header = saved(Image.new("1", (8001, 8000)))[:64]
    with pytest.raises(PictureError, match="8001x8000.*at most 64000000"):
        as_frame(header)
    with pytest.raises(PictureError, match="at most 64000000"):
        as_frame(saved(Image.new("1", (20000, 20000))))


@pytest.mark.parametrize(
    "picture",
    [np.zeros((2, 2, 5), np.uint8), np.zeros(3), np.zeros((0, 4, 3), np.uint8), np.full((2, 2), np.nan),
     np.zeros((2, 2), np.complex64), np.zeros((2, 2), np.int64), None, 3],
)  # fmt: skip
def test_what_is_no_picture_is_refused(picture: object) -> None:
    with pytest.raises(PictureError, match="came.*needed"):
        as_frame(picture)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 300), st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF"]))
def test_damaged_files_are_pictures_or_sentences(damage: bytes, place: int, form: str) -> None:
    data = bytearray(saved(Image.new("P" if form == "GIF" else "RGB", (20, 12)), form))
    data[place : place + len(damage)] = damage
    try:
        frame = as_frame(bytes(data))
    except PictureError as error:
        assert "needed" in str(error)
    else:
        assert frame.ndim == 3 and frame.shape[2] == 3


def test_crop_cuts_and_pad_keeps() -> None:
    frame = np.zeros((20, 40, 3), np.uint8)
    assert fitted(frame, (16, 16), "crop").max() == 0
    padded = fitted(frame, (16, 16), "pad")
    assert padded[0].min() == 255 and padded[8].max() == 0
    assert fitted(frame, (40, 20), "crop") is frame


def test_pixels_and_back_are_exact() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (8, 16, 3)).astype(np.uint8)
    pixels = as_pixels(frame, torch.device("cpu"), torch.float32)
    assert pixels.shape == (1, 3, 8, 16) and pixels.min() >= -1 and pixels.max() <= 1
    assert np.array_equal(as_picture(pixels), frame)


def test_both_autoencoders_meet_the_scale_of_their_unet() -> None:
    tiny = AutoencoderTiny(encoder_block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8),
                           num_encoder_blocks=(1, 1, 1, 1), num_decoder_blocks=(1, 1, 1, 1))  # fmt: skip
    full = AutoencoderKL(block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
                         up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4, scaling_factor=0.5)  # fmt: skip
    pixels = torch.rand(1, 3, 32, 32)
    for vae in (tiny, full):
        latents = encode(vae, pixels)
        assert latents.shape[-1] * pixels_per_latent(vae) == 32
        assert torch.equal(latents, encode(vae, pixels))
        assert decode(vae, latents).shape == pixels.shape
    mode = full.encode(pixels).latent_dist.mode()
    torch.testing.assert_close(encode(full, pixels), mode * 0.5)
    full.register_to_config(shift_factor=0.25)
    torch.testing.assert_close(encode(full, pixels), (mode - 0.25) * 0.5)
    torch.testing.assert_close(decode(full, (mode - 0.25) * 0.5), full.decode(mode).sample)


@pytest.mark.parametrize("size", [(48, 40), (64, 32), (3, 200), (200, 3), (33, 41), (3000, 1501)])
def test_pad_is_undone(size: tuple[int, int]) -> None:
    frame = np.full((size[1], size[0], 3), 40, np.uint8)
    picture = fitted(as_frame(frame), (64, 64), "pad")
    assert picture.max() == 255 or size[0] == size[1]
    restored = unfitted(picture, size, "pad")
    assert restored.shape == frame.shape
    assert restored.min() == restored.max() == 40


@pytest.mark.parametrize(("size", "rest"), [((96, 48), (48, 48)), ((48, 96), (48, 48)), ((64, 64), (64, 64))])
def test_what_crop_left_comes_back_as_large_as_it_was(size: tuple[int, int], rest: tuple[int, int]) -> None:
    assert restored_size(size, (64, 64), "crop") == rest
    picture = np.zeros((64, 64, 3), np.uint8)
    assert unfitted(picture, size, "crop").shape == (rest[1], rest[0], 3)


def test_nothing_is_done_to_a_picture_that_fits() -> None:
    picture = np.zeros((32, 64, 3), np.uint8)
    assert unfitted(picture, (64, 32), "pad") is picture
