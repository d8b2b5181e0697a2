"""Little pictures, and how they are stored."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def picture(seed: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Image.Image:
    """Noise, another one for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG of any size, of a few bytes."""
    return _png((width, height, 8, 2), b"\0" * 100)


def png(values: NDArray[np.uint16]) -> bytes:
    """A PNG of 16 bits a channel, (H, W, 3), which Pillow does not write."""
    height, width, _ = values.shape
    return _png((width, height, 16, 2), b"".join(b"\0" + row.astype(">u2").tobytes() for row in values))


def chunk(kind: bytes, data: bytes, *, sound: bool = True) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ (not sound))


def with_chunk(png: bytes, chunk: bytes, before: bytes = b"IDAT") -> bytes:
    place = png.index(before) - 4
    return png[:place] + chunk + png[place:]


def _png(header: tuple[int, int, int, int], data: bytes) -> bytes:
    chunks = (
        chunk(b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0)),
        chunk(b"IDAT", zlib.compress(data)),
        chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
