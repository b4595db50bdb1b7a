"""Images that lie about their size, end early, or hold other bytes."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from .byte_edits import edited
from .draws import Draws

FORMATS = {"png": "PNG", "jpg": "JPEG", "ppm": "PPM", "bmp": "BMP", "gif": "GIF", "tif": "TIFF", "webp": "WEBP"}
MODES = ("L", "RGB", "RGBA", "P", "1", "I;16", "LA")


def originals() -> dict[str, bytes]:
    """A small picture in each format."""
    pixels = np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3)
    return {suffix: encoded(Image.fromarray(pixels), name) for suffix, name in FORMATS.items()}


def encoded(picture: Image.Image, name: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, name)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(draws: Draws) -> bytes:
    """A header of any size, depth and color with the right checksum, and rows of few or many zeros."""
    width, height = (max(0, min(draws.number(10), 2**32 - 1)) for _ in range(2))
    depth, color = draws.pick((1, 2, 4, 8, 16, 3)), draws.pick((0, 2, 3, 4, 6, 9))
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, draws.below(3))
    rows = zlib.compress(bytes(draws.pick((0, 100, 10_000, 1 << 22))))
    extra = chunk(
        draws.pick((b"tEXt", b"zTXt", b"iCCP", b"eXIf")), b"a\x00\x00" + zlib.compress(bytes(draws.pick((9, 1 << 22))))
    )
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + (extra if draws.chance(3) else b"")
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )


def mutant(draws: Draws, base: dict[str, bytes]) -> tuple[str, bytes]:
    """(file name, bytes)."""
    how = draws.below(8)
    if how == 0:
        return "a.png", png(draws)
    if how == 1:
        width, height, most = (draws.number(10) for _ in range(3))
        return "a.ppm", f"{draws.pick(('P6', 'P5', 'P3', 'P1'))} {width} {height} {most}\n".encode() + bytes(
            draws.below(400)
        )
    if how == 2:
        mode = draws.pick(MODES)
        size = (1 + draws.below(40), 1 + draws.below(40))
        return "a.png", edited(encoded(Image.new(mode, size), "PNG"), draws) if draws.chance(2) else encoded(
            Image.new(mode, size), "PNG"
        )
    suffix = draws.pick(sorted(base))
    named = draws.pick(sorted(base)) if draws.chance(5) else suffix
    return f"a.{named}", edited(base[suffix], draws)
