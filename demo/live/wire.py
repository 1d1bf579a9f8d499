"""What travels on the live wire: binary frames, pictures, tokens, and the checks that come before any decoding."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import secrets
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from pipeline.frames.picture_file import LargePictureError, opened_picture
from pipeline.settings import JsonError, parsed_json

if TYPE_CHECKING:
    from pipeline.guides.sketches import Guess

VERSION = 2
KIND_FRAME = 1
KIND_PICTURE = 2
KIND_BLURRED = 3
KIND_FINER = 4
MAXIMUM_MESSAGE_BYTES = 512 * 1024
MAXIMUM_SIDE = 4096
MAXIMUM_PIXELS = 2048 * 2048
MAXIMUM_SENTENCE = 400
MAXIMUM_VALUES = 50_000
"""Of a JSON message, which takes a few megabytes in memory: prompts may be all commas, which count."""
FORMATS = ("JPEG", "PNG")
JPEG_QUALITY = 85
STILL_SIDE = 160
TOKEN_LIFETIME_S = 12 * 3600

CLOSE_BYE = 1000
CLOSE_TOO_LARGE = 1009
CLOSE_AGAIN = 1012
CLOSE_TOKEN = 4401
CLOSE_FOREIGN = 4403
CLOSE_GONE = 4404
CLOSE_REPLACED = 4409
CLOSE_OVER = 4410
CLOSE_FLOOD = 4420
CLOSE_FULL = 4429
MAXIMUM_CLOSE_REASON_BYTES = 123

FRAME_HEADER = struct.Struct("<BBHId")
"""Version, kind, reserved, sequence, client time in ms; a JPEG or PNG follows."""

PICTURE_HEADER = struct.Struct("<BBHIdffII")
"""Version, kind, settings revision, sequence, client time, engine ms, bank fill 0..1, frame number, resets; a JPEG
follows. The kind says whether the picture is blurred because the safety checker flagged it, or is that of a frame which
was answered before, painted finer. Frame numbers tell the
order in which the engine took the frames, and the frames of one number of resets have one past: a frame that was sent
before a reset may well be the first one after it."""


class WireError(ValueError):
    """A message that cannot be taken; the message says what came, what is needed, what to do."""


@dataclass(frozen=True)
class Frame:
    """One frame as it came over the wire, its picture still encoded."""

    sequence: int
    client_time: float
    data: bytes


def unpack_frame(message: bytes, maximum_bytes: int = MAXIMUM_MESSAGE_BYTES) -> Frame:
    """Split a binary message; raises `WireError` for one that is no frame of this version."""
    if len(message) > maximum_bytes:
        raise WireError(
            f"A frame came with {len(message)} bytes; needed: at most {maximum_bytes}. Send a smaller picture."
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


def pack_picture(
    frame: Frame,
    jpeg: bytes,
    *,
    revision: int,
    seconds: float,
    bank_fill: float,
    count: int,
    resets: int,
    kind: int = KIND_PICTURE,
) -> bytes:
    """The reply to `frame`: its sequence and client time, what the engine says, and the picture."""
    header = PICTURE_HEADER.pack(
        VERSION,
        kind,
        revision % 2**16,
        frame.sequence,
        frame.client_time,
        seconds * 1000.0,
        bank_fill,
        count % 2**32,
        resets % 2**32,
    )
    return header + jpeg


def decode_picture(data: bytes) -> np.ndarray:
    """The picture of a frame as `uint8 [H, W, 3]`; format and size are read from its header before it is decoded.

    Raises `WireError` for anything but a whole JPEG or PNG of at most `MAXIMUM_SIDE` pixels a side and
    `MAXIMUM_PIXELS` in all.
    """
    try:
        with opened_picture(data, FORMATS, MAXIMUM_PIXELS, MAXIMUM_SIDE) as picture:
            return np.asarray(picture.convert("RGB"))
    except LargePictureError as error:
        raise WireError(
            f"A picture came with {error}; needed: at most {MAXIMUM_SIDE} a side and "
            f"{MAXIMUM_PIXELS} in all. Shrink it."
        ) from error
    except Exception as error:  # decoders have a kind of error for each way in which a file can be broken
        raise WireError(
            "A picture came that cannot be read; needed: a whole JPEG or PNG. Send it again, or choose another file."
        ) from error


def unpack_picture(text: Any) -> bytes:
    """The bytes of a picture that came in words, in base64; raises `WireError`."""
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError) as error:
        raise WireError(
            "A picture to be like came that is no base64; needed: a JPEG or PNG in it. Send it again."
        ) from error


def encode_picture(picture: np.ndarray) -> bytes:
    """`uint8 [H, W, 3]` as a JPEG that keeps colours as sharp as light."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def encode_still(picture: np.ndarray) -> bytes:
    """`uint8 [H, W, 3]` as a small JPEG of `STILL_SIDE` pixels on its longer side."""
    buffer, still = io.BytesIO(), Image.fromarray(picture)
    still.thumbnail((STILL_SIDE, STILL_SIDE))
    still.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


class Tokens:
    """Mints and checks the tokens that bind a connection to a page, and to who is logged in on it.

    Servers that share a `secret` know each other's tokens, but not who is logged in where, so these tokens are bound to
    the page alone; without one, a new server knows no old one's.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        self._secret = secret or secrets.token_bytes(32)
        self._is_shared = secret is not None

    def mint(self, visitor: str, lifetime_s: float = TOKEN_LIFETIME_S, user: str | None = None) -> str:
        """A token for the page `visitor`, on which `user` is logged in, that ends after `lifetime_s` seconds."""
        claim = f"{visitor}.{int(time.time() + lifetime_s)}"
        return f"{claim}.{self._sign(claim, user)}"

    def visitor(self, token: object, user: str | None = None) -> str | None:
        """Whom `token` was minted for, or `None` where it is forged, foreign, another user's, or over."""
        if not isinstance(token, str) or token.count(".") < 2:
            return None
        claim, signature = token.rsplit(".", 1)
        visitor, expiry = claim.rsplit(".", 1)
        if not hmac.compare_digest(self._sign(claim, user).encode(), _encoded(signature)):
            return None
        return visitor if int(expiry) > time.time() else None

    def _sign(self, claim: str, user: str | None) -> str:
        # As JSON, because no two pairs look the same there.
        return hmac.new(
            self._secret, json.dumps([claim, None if self._is_shared else user]).encode(), hashlib.sha256
        ).hexdigest()


def _encoded(text: str) -> bytes:
    """`text` as bytes, also where it holds half a surrogate pair, which JSON lets through."""
    return text.encode("utf-8", "surrogatepass")


def origin_is_ours(origin: str, hosts: tuple[str | None, ...]) -> bool:
    """Whether a page of one of `hosts` sent the request."""
    try:
        return urlsplit(origin).netloc in {host for host in hosts if host}
    except ValueError:
        return False


def parsed(text: str | bytes) -> dict[str, Any]:
    """A JSON message, or an empty one where it is no JSON object."""
    try:
        message = parsed_json(text, MAXIMUM_VALUES)
    except JsonError:
        return {}
    return message if isinstance(message, dict) else {}


def sequence_of(message: bytes) -> int | None:
    """The sequence number in a frame's header, or `None` for a message too short to have one."""
    if len(message) < FRAME_HEADER.size:
        return None
    return int(FRAME_HEADER.unpack_from(message)[3])


def error_reply(message: str, **more: Any) -> dict[str, Any]:
    """A sentence for the person, as JSON; it repeats no more of what came than a person reads."""
    return {"type": "error", "message": shortened(message, MAXIMUM_SENTENCE), **more}


def applied_reply(revision: int, settings: dict[str, Any], resting: dict[str, str]) -> dict[str, Any]:
    """The settings that are used from now on, and of those that do not act beside the others, a sentence that says
    why."""
    return {"type": "applied", "revision": revision, "settings": settings, "resting": resting}


def liked_reply(is_like: bool, revision: int) -> dict[str, Any]:
    """Whether pictures are to be like one that was sent, from this revision on."""
    return {"type": "liked", "on": is_like, "revision": revision}


def not_liked_reply(sentence: str) -> dict[str, Any]:
    """Why pictures stay like what they were like before, for the person, as of `error_reply`."""
    return error_reply(sentence, like=True)


def stills_reply(pictures: Sequence[bytes]) -> dict[str, Any]:
    """What is shown as it would be under the settings that were asked for, JPEGs in base64; none where somebody else
    needed the time."""
    return {"type": "stills", "pictures": [base64.b64encode(each).decode("ascii") for each in pictures]}


def guesses_reply(guesses: Sequence[Guess]) -> dict[str, Any]:
    """What a drawing looks like, [name, probability 0..1] each, the likeliest first; none for a blank sheet."""
    return {"type": "guesses", "guesses": [[each.name, round(each.probability, 3)] for each in guesses]}


def dropped_reply(sequence: int | None) -> dict[str, Any]:
    """The news that this frame gets no picture: a newer one took its place, or it came too soon."""
    return {"type": "dropped", "sequence": sequence}


def unsent_reply(picture: bytes) -> dict[str, Any]:
    """The news that a packed picture is not sent: a newer one took its place, but what its frame has left to the next
    stays, so whoever records has to know of it."""
    _, _, revision, sequence, _, _, _, count, resets = PICTURE_HEADER.unpack_from(picture)
    return {**dropped_reply(sequence), "frame": count, "revision": revision, "resets": resets}


def reset_reply(resets: int) -> dict[str, Any]:
    """The past is forgotten: pictures whose header says so many `resets`, or more, know nothing of it."""
    return {"type": "reset", "resets": resets}


def map_reply(exists: bool, bank_map: np.ndarray | None, threshold: float = 0.0) -> dict[str, Any]:
    """How well the bank knew each place of the newest frame that was asked about: the cosines `[h, w]` in 0..1 as bytes
    0..255 in base64, row by row; the threshold from which on a place is held by the past; and the share of the places
    that are. `exists`: whether the memory has such a map at all; there may be no frame yet."""
    reply: dict[str, Any] = {"type": "map", "exists": exists}
    if bank_map is None:
        return reply
    height, width = bank_map.shape
    data = base64.b64encode((bank_map * 255).round().astype(np.uint8).tobytes()).decode("ascii")
    share = float((bank_map >= threshold).mean())
    return {**reply, "width": width, "height": height, "threshold": threshold, "share": share, "cosines": data}


def notice_reply(message: str) -> dict[str, Any]:
    """A sentence that the person should know, about nothing that they just sent."""
    return {"type": "notice", "message": message}


def runtime_reply(runtime: str) -> dict[str, Any]:
    """The news that from a picture that was sent just now on this paints."""
    return {"type": "runtime", "runtime": runtime}


def too_large_sentence(maximum_bytes: int) -> str:
    """What a page is told that sent a message of more than `maximum_bytes`."""
    return f"A message was larger than {maximum_bytes // 1024} KB. Send smaller pictures."


def shortened(text: str, maximum: int) -> str:
    """`text` with at most `maximum` characters, its end kept: there stands what to do."""
    if len(text) <= maximum:
        return text
    half = (maximum - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def close_reason(sentence: str) -> str:
    """`sentence` as short as a WebSocket's close frame takes it (RFC 6455, 5.5)."""
    return sentence.encode("utf-8", "replace")[:MAXIMUM_CLOSE_REASON_BYTES].decode("utf-8", "ignore")
