"""The colour profile (ICC) that a picture's file carries is followed, as browsers follow it: what comes out is sRGB."""

from __future__ import annotations

import zlib
from io import BytesIO

from PIL import Image, ImageCms

MOST_PROFILE_BYTES = 2**20
"""Of a profile: printers' take half of that, cameras' and screens' a few hundred to a few thousand."""

_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Pillow's mode of the pictures that a profile of each colour space describes."""
_ERRORS = (ImageCms.PyCMSError, OSError, ValueError, TypeError)


def inflated(packed: bytes) -> bytes:
    """A profile as PNG packs it; nothing where it is broken or larger than `MOST_PROFILE_BYTES`."""
    unpacking = zlib.decompressobj()
    try:
        profile = unpacking.decompress(packed, MOST_PROFILE_BYTES + 1)
    except zlib.error:
        return b""
    return profile if unpacking.eof and len(profile) <= MOST_PROFILE_BYTES else b""


def as_srgb(image: Image.Image) -> Image.Image:
    """An image in the colours that its profile means, in mode RGB or RGBA; the image itself where it has none, or one
    that does not describe it or cannot be read: then its numbers are sRGB."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 0 < len(profile) <= MOST_PROFILE_BYTES:
        return image
    colours = image.convert("RGB") if image.mode in ("RGBA", "YCbCr") else image
    try:
        described = ImageCms.ImageCmsProfile(BytesIO(profile))
        known = ImageCms.getProfileDescription(described).startswith("sRGB")
        if known or _MODES.get(described.profile.xcolor_space.strip()) != colours.mode:
            return image
        shown = ImageCms.profileToProfile(colours, described, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except _ERRORS:
        return image
    if shown is None:
        return image
    if image.mode == "RGBA":
        shown.putalpha(image.getchannel("A"))
    return shown
