"""What travels on the live wire: binary frames, pictures, tokens, and the checks that come before any decoding."""

from __future__ import annotations

import hashlib
import hmac
import io
import secrets
import struct
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

VERSION = 1
KIND_FRAME = 1
KIND_PICTURE = 2
MAXIMUM_MESSAGE_BYTES = 512 * 1024
MAXIMUM_SIDE = 4096
FORMATS = ("JPEG", "PNG")
JPEG_QUALITY = 85
TOKEN_LIFETIME_S = 12 * 3600

FRAME_HEADER = struct.Struct("<BBHId")
"""Version, kind, reserved, sequence, client time in ms; a JPEG or PNG follows."""

PICTURE_HEADER = struct.Struct("<BBHIdffI")
"""Version, kind, settings revision, sequence, client time, engine ms, bank fill 0..1, frame number; a JPEG follows."""


class WireError(ValueError):
    """A message that cannot be taken; the message says what came, what is needed, what to do."""


@dataclass(frozen=True)
class Frame:
    """One frame as it came over the wire, its picture still encoded."""

    sequence: int
    client_time: float
    data: bytes


def unpack_frame(message: bytes) -> Frame:
    """Split a binary message; raises `WireError` for one that is no frame of this version."""
    if len(message) > MAXIMUM_MESSAGE_BYTES:
        raise WireError(
            f"A frame came with {len(message)} bytes; needed: at most {MAXIMUM_MESSAGE_BYTES}. Send a smaller picture."
        )
    if len(message) <= FRAME_HEADER.size:
        raise WireError(
            f"A frame came with {len(message)} bytes; needed: a header of {FRAME_HEADER.size} and a picture after it."
        )
    version, kind, _, sequence, client_time = FRAME_HEADER.unpack_from(message)
    if (version, kind) != (VERSION, KIND_FRAME):
        raise WireError(
            f"A frame came with version {version} and kind {kind}; needed: {VERSION} and {KIND_FRAME}. "
            "Reload the page to get its newest version."
        )
    return Frame(sequence, client_time, message[FRAME_HEADER.size :])


def pack_picture(frame: Frame, jpeg: bytes, *, revision: int, seconds: float, bank_fill: float, count: int) -> bytes:
    """The reply to `frame`: its sequence and client time, what the engine says, and the picture."""
    header = PICTURE_HEADER.pack(
        VERSION,
        KIND_PICTURE,
        revision % 2**16,
        frame.sequence,
        frame.client_time,
        seconds * 1000.0,
        bank_fill,
        count % 2**32,
    )
    return header + jpeg


def decode_picture(data: bytes) -> np.ndarray:
    """The picture of a frame as `uint8 [H, W, 3]`; format and size are read from its header before it is decoded.

    Raises `WireError` for anything but a whole JPEG or PNG of at most `MAXIMUM_SIDE` pixels a side.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            width, height = picture.size
            if max(width, height) > MAXIMUM_SIDE:
                raise WireError(
                    f"A picture came with {width} x {height} pixels; needed: at most {MAXIMUM_SIDE} a side. Shrink it."
                )
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise WireError(
            "A picture came that cannot be read; needed: a whole JPEG or PNG. Send it again, or choose another file."
        ) from error


def encode_picture(picture: np.ndarray) -> bytes:
    """`uint8 [H, W, 3]` as a JPEG that keeps colours as sharp as light."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


class Tokens:
    """Mints and checks the tokens that bind a connection to a page.

    Servers with the same `secret` know each other's tokens; without one, a new server does not know an old one's.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        self._secret = secret or secrets.token_bytes(32)

    def mint(self, visitor: str, lifetime_s: float = TOKEN_LIFETIME_S) -> str:
        """A token for `visitor` that ends after `lifetime_s` seconds."""
        claim = f"{visitor}.{int(time.time() + lifetime_s)}"
        return f"{claim}.{self._sign(claim)}"

    def visitor(self, token: object) -> str | None:
        """Whom `token` was minted for, or `None` where it is forged, foreign, or over."""
        if not isinstance(token, str) or token.count(".") < 2:
            return None
        claim, signature = token.rsplit(".", 1)
        visitor, expiry = claim.rsplit(".", 1)
        if not hmac.compare_digest(self._sign(claim).encode(), signature.encode()):
            return None
        return visitor if int(expiry) > time.time() else None

    def _sign(self, claim: str) -> str:
        return hmac.new(self._secret, claim.encode(), hashlib.sha256).hexdigest()


def origin_is_ours(origin: str | None, hosts: tuple[str | None, ...]) -> bool:
    """Whether a page of one of `hosts` sent the request; a program, which sends no origin, may."""
    return origin is None or urlsplit(origin).netloc in {host for host in hosts if host}
