"""A picture's colour profile is followed as browsers follow it, and a file cannot make it large."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.errors import PictureError
from pipeline.frames.codec import as_frame
from pipeline.frames.colour_profile import MOST_PROFILE_BYTES, as_srgb, inflated
from tests.pipeline.frames.test_picture_file import chunk, saved

DISPLAY_P3 = {
    b"rXYZ": (0.51512, 0.2412, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.1571, 0.06657, 0.78407),
}
ORANGE, SHOWN = (230, 60, 40), [250, 31, 14]
"""Display P3's numbers, and what browsers show on a screen of sRGB."""


def display_p3() -> bytes:
    """sRGB's profile with the primaries of Display P3, and another name."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for index in range(struct.unpack(">I", profile[128:132])[0]):
        name, at, length = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        if name in DISPLAY_P3:
            profile[at + 8 : at + 20] = struct.pack(">iii", *(round(each * 65536) for each in DISPLAY_P3[name]))
        if name == b"desc":
            profile[at : at + length] = profile[at : at + length].replace(
                "sRGB".encode("utf-16-be"), "DispP3"[:4].encode("utf-16-be")
            )
    return bytes(profile)


def file_of(kind: str, mode: str = "RGB", profile: bytes | None = None, **options: Any) -> bytes:
    image = Image.new("RGB", (8, 8), ORANGE)
    image = image.quantize(2) if mode == "P" else image.convert(mode)
    return saved(image, kind, icc_profile=display_p3() if profile is None else profile, **options)


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [("PNG", "RGB", {}), ("PNG", "RGBA", {}), ("PNG", "P", {}), ("TIFF", "RGB", {}),
     ("WEBP", "RGB", {"lossless": True}), ("WEBP", "RGBA", {"lossless": True}),
     ("JPEG", "RGB", {"quality": 100, "subsampling": 0})],
)  # fmt: skip
def test_display_p3_shows_its_own_colours(kind: str, mode: str, options: dict[str, Any]) -> None:
    frame = as_frame(file_of(kind, mode, **options))
    assert np.abs(frame[4, 4].astype(int) - SHOWN).max() <= 3


def test_the_colours_are_those_of_little_cms() -> None:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(display_p3()))
    image = Image.new("RGB", (8, 8), ORANGE)
    expected = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"))
    assert expected is not None and np.array_equal(as_frame(file_of("PNG")), np.asarray(expected))


def test_what_is_transparent_stays_so() -> None:
    image = Image.new("RGBA", (2, 1), (*ORANGE, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    frame = as_frame(saved(image, "PNG", icc_profile=display_p3()))
    assert frame[0, 1].tolist() == [255, 255, 255] and frame[0, 0].tolist() != list(ORANGE)


@pytest.mark.parametrize(
    "profile",
    [b"", b"nonsense", b"\0" * 200, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
     ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(), b"x" * (MOST_PROFILE_BYTES + 1)],
)  # fmt: skip
def test_a_profile_that_says_nothing_changes_nothing(profile: bytes) -> None:
    for kind in ("PNG", "TIFF"):
        assert as_frame(file_of(kind, profile=profile)).tolist() == [[list(ORANGE)] * 8] * 8


def test_a_profile_of_other_colours_than_the_picture_s_is_left_alone() -> None:
    grey = Image.new("L", (2, 2), 90)
    grey.info["icc_profile"] = display_p3()
    assert as_srgb(grey) is grey


def test_a_profile_that_unpacks_to_much_is_not_unpacked() -> None:
    bomb = zlib.compress(bytes(64 * 2**20), 9)
    assert inflated(bomb) == b"" and inflated(zlib.compress(b"icc")) == b"icc" and inflated(b"\xff") == b""
    plain = saved(Image.new("RGB", (8, 8), ORANGE), "PNG")
    with_bomb = plain[:33] + chunk(b"iCCP", b"x\0\0" + bomb) + plain[33:]
    assert as_frame(with_bomb)[0, 0].tolist() == list(ORANGE)


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"\0\0\0\x20ftypavif", "AVIF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x20ftypisom", "a video"),
        (b"\xff\x0a\xfa", "JPEG XL"),
        (b"<svg xmlns=", "SVG"),
    ],
)
def test_a_picture_of_another_kind_is_named(start: bytes, what: str) -> None:
    with pytest.raises(PictureError, match=f"it is {what}.*needed: a whole JPEG") as raised:
        as_frame(start + bytes(64))
    assert "BytesIO" not in str(raised.value)
