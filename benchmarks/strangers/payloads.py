"""Files of a few kilobytes that announce little and unfold to much, and words that no field takes."""

from __future__ import annotations

import bz2
import io
import json
import random
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

HUGE_NUMBER = "1" + "0" * 400
_BLOCK = 8
_RUN_OF_EMPTY_BLOCKS = 21846
"""The most blocks that one code of a progressive scan passes over: EOB14 with all its bits set."""


def picture(side: int, kind: str = "JPEG") -> bytes:
    """A plain picture of `side` x `side` pixels."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (128, 90, 30)).save(file, kind)
    return file.getvalue()


def many_scans(side: int, size: int) -> bytes:
    """A progressive JPEG of `side` x `side` pixels and at most `size` bytes, all of them scans that change nothing and
    that a decoder passes over block by block."""
    blocks = (side // _BLOCK) ** 2
    head = b"\xff\xd8" + _segment(0xDB, b"\0" + bytes([1] * 64))
    head += _segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\x01\x11\x00")
    head += _segment(0xC4, b"\x00" + bytes([1] + [0] * 15) + b"\x00")
    head += _segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\xe0")
    head += _scan(0, 0) + bytes(blocks // 8)
    runs = -(-blocks // _RUN_OF_EMPTY_BLOCKS)
    empty = _scan(1, 63) + _packed([(0, 1), (5462, 14)] * runs)
    return head + empty * ((size - len(head) - 2) // len(empty)) + b"\xff\xd9"


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def _scan(first: int, last: int) -> bytes:
    return _segment(0xDA, b"\x01\x01\x00" + bytes([first, last, 0]))


def _packed(pairs: Sequence[tuple[int, int]]) -> bytes:
    """Numbers of so many bits each, packed as a JPEG's entropy-coded data are."""
    bits = "".join(format(value, f"0{length}b") for value, length in pairs)
    bits += "1" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)).replace(b"\xff", b"\xff\x00")


def recording(events: Sequence[Mapping[str, Any]], files: Mapping[str, bytes] | None = None, side: int = 256) -> bytes:
    """A recording of those events and pictures."""
    document = {
        "format": "rearview-recording",
        "version": 1,
        "model": {"name": "embedded"},
        "size": [side, side],
        "seed": 7,
        "events": list(events),
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("recording.json", json.dumps(document))
        for name, content in (files or {}).items():
            archive.writestr(name, content)
    return file.getvalue()


def pasted_pictures(count: int, side: int = 2048) -> bytes:
    """A recording that pastes `count` large pictures before its first frame, a few bytes each."""
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG", optimize=True)
    names = [f"images/a{number}.png" for number in range(count)]
    pasted = [{"op": "picture", "layer": "picture", "image": name} for name in names]
    return recording([_draw(each) for each in pasted], dict.fromkeys(names, file.getvalue()))


def long_strokes(points: int, side: int = 1024) -> bytes:
    """A recording with one stroke of so many points, each as wide as the sheet."""
    path = [[0 if number % 2 else 512, number % 512, 1024, number] for number in range(points)]
    stroke = {"op": "stroke", "layer": "ink", "tool": "brush", "colour": "#000000", "points": path}
    return recording([_draw(stroke)], side=side)


def undo_steps(count: int, side: int = 512) -> bytes:
    """A recording that fills eight layers and then changes the paper so often, each time an undo step of all layers."""
    noise = np.random.default_rng(7).integers(0, 255, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", quality=50)
    layers = ["picture", "ink", *(f"ink{number}" for number in range(2, 8))]
    filled = [{"op": "picture", "layer": layer, "image": "images/n.jpg"} for layer in layers]
    papers = [{"op": "paper", "colour": "#ffffff"}] * count
    operations: list[dict[str, Any]] = [{"op": "layers", "order": layers}, *filled, *papers]
    return recording([_draw(each) for each in operations], {"images/n.jpg": file.getvalue()})


def _draw(operation: Mapping[str, Any]) -> dict[str, Any]:
    return {"t": 0, "type": "draw", "op": dict(operation)}


def unfolding(size: int) -> bytes:
    """An archive whose only entry announces 100 bytes and comes to `size`, packed by BZIP2."""
    packer, block = bz2.BZ2Compressor(9), bytes(2**20)
    packed = b"".join(packer.compress(block) for _ in range(size // len(block))) + packer.flush()
    name = b"recording.json"
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 46, 0, 12, 0, 33, 0, len(packed), 100, len(name), 0) + name
    central = struct.pack(
        "<4s4B4H3L5H2L", b"PK\1\2", 46, 3, 46, 0, 0, 12, 0, 33, 0, len(packed), 100, len(name), *[0] * 6
    )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(central) + len(name), len(local) + len(packed), 0)
    return local + packed + central + name + end


def growing_video(side: int, frames: int = 6) -> bytes:
    """An AVI of JPEG frames: the first as its header says, 64 x 64 pixels, all others of `side` x `side`."""
    pictures = [picture(64), *[picture(side)] * frames]
    count = len(pictures)
    main = struct.pack("<14L", 40000, 0, 0, 0x10, count, 0, 1, 0, 64, 64, 0, 0, 0, 0)
    stream = b"vidsMJPG" + struct.pack("<LHHLLLLLLLLHHHH", 0, 0, 0, 0, 1, 25, 0, count, 0, 0, 0, 0, 0, 64, 64)
    form = struct.pack("<LllHH4sLllLL", 40, 64, 64, 1, 24, b"MJPG", 64 * 64 * 3, 0, 0, 0, 0)
    described = _chunk(b"LIST", b"strl" + _chunk(b"strh", stream) + _chunk(b"strf", form))
    header = b"hdrl" + _chunk(b"avih", main) + described
    movie = b"movi" + b"".join(_chunk(b"00dc", each) for each in pictures)
    body = b"AVI " + _chunk(b"LIST", header) + _chunk(b"LIST", movie)
    return b"RIFF" + struct.pack("<L", len(body)) + body


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<L", len(content)) + content + b"\0" * (len(content) % 2)


def costly_prompts(number: int) -> dict[str, str]:
    """Three prompts that nobody has sent before, of as many weighted fragments as fit in their length."""
    fragments = "(a)0.5 b " * 38
    return {field: f"{number} {field} {fragments}" for field in ("prompt", "second_prompt", "negative_prompt")}


def nonsense(generator: random.Random) -> str | bytes:
    """A message that no socket takes: half of a JSON, a number without end, other types, other fields, noise."""
    messages: tuple[str | bytes, ...] = (
        '{"type":"set","settings":{"steps":' + HUGE_NUMBER + "}}",
        '{"type":"set","settings":{"steps":NaN,"strength":1e999}}',
        '{"type":"set","settings":{"prompt":' + "[" * 200 + "]" * 200 + "}}",
        '{"type":"set","settings":[1,2,3]}',
        '{"type":"' + "x" * 1000 + '"}',
        '{"type":',
        "\x00",
        generator.randbytes(generator.randrange(1, 64)),
        struct.pack("<BBHId", 2, 1, 0, generator.randrange(2**32), float("nan")) + generator.randbytes(200),
        struct.pack("<BBHId", 255, 255, 65535, 0, 0.0) + picture(8),
    )
    return generator.choice(messages)
