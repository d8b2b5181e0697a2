"""Values of more than 8 bits: what they are in the file, and as 8 bits.

Cameras and microscopes write 10, 12 or 14 bits into files of 16, without a word about it: which values are black and
white is taken from the largest that a set of images has.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ValueRange: TypeAlias = tuple[float, float]  # what becomes 0, and what becomes 255
WHITES = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)
MOST = 1e30  # beyond it a float says that there is no value
PIECE = 2**16  # values that are worked on at once: in between they take eight times the memory
RAW_MODES = {f"{mode};16{order}" for mode in ("RGB", "RGBX", "RGBA", "LA") for order in "LBN"}
OTHER_BYTE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}


def range_of(extents: Iterable[tuple[float | None, float | None]]) -> ValueRange:
    """Return the range of a set of images from the (smallest, largest) of each; those of 8 bits, with None, have none.

    White is 1 or the largest number of 8, 10, 12, 14 or 16 bits, the first of these that no value exceeds; else the
    largest value. Black is 0, or the smallest value if that is negative.
    """
    known = [(low, high) for low, high in extents if low is not None and high is not None]
    low, high = min((low for low, _ in known), default=0.0), max((high for _, high in known), default=1.0)
    return min(0.0, low), next((white for white in WHITES if high <= white), high)


def extent(found: NDArray[Any], clear: int | None = None) -> tuple[float, float]:
    """Return the smallest and the largest value, but for `clear`, NaN and infinities; (0, 0) if there is none."""
    flat, low, high = found.reshape(-1), np.inf, -np.inf
    for begin in range(0, len(flat), PIECE):
        piece = flat[begin : begin + PIECE].astype(np.float64)
        piece = piece[np.abs(piece) < MOST]  # false for NaN
        if clear is not None:
            piece = piece[piece != clear]
        if len(piece):
            low, high = min(low, piece.min()), max(high, piece.max())
    return (float(low), float(high)) if low <= high else (0.0, 0.0)


def eight_bits(found: NDArray[Any], by: ValueRange, clear: int | None = None) -> NDArray[np.uint8]:
    """Scale values so that the range goes from 0 to 255, and cut off the rest; `clear` and NaN: 255 and 0."""
    (black, white), flat = by, found.reshape(-1)
    scaled = np.empty(found.size, np.uint8)
    for begin in range(0, len(flat), PIECE):
        piece = slice(begin, begin + PIECE)
        inside = np.nan_to_num(flat[piece].astype(np.float64)).clip(black, white) - black
        scaled[piece] = np.where(flat[piece] == clear, 255, (inside * (255 / (white - black))).round())
    return scaled.reshape(found.shape)


def has_low_bytes(image: Image.Image) -> bool:
    """Tell whether colours have 16 bits in the file of an image that is not yet loaded, of which Pillow keeps 8."""
    raws = [_raw_mode(tile) for tile in getattr(image, "tile", ())]
    return bool(raws) and all(raw in RAW_MODES for raw in raws)


def with_low_bytes(image: Image.Image) -> Image.Image:
    """Make an image that is not yet loaded give the lower 8 bits of each colour: in the other order of bytes they are
    what Pillow takes to be the upper ones.
    """
    for place, tile in enumerate(tiles := getattr(image, "tile", [])):
        raw = _raw_mode(tile)
        raw = raw[:-1] + OTHER_BYTE[raw[-1]]
        tiles[place] = tile._replace(args=raw if isinstance(tile.args, str) else (raw, *tile.args[1:]))
    return image


def _raw_mode(tile: Any) -> str:
    first = tile.args if isinstance(tile.args, str) else (tile.args or ("",))[0]
    return first if isinstance(first, str) else ""


def joined(high: NDArray[Any], low: NDArray[Any]) -> NDArray[np.uint16]:
    """Return values of 16 bits from their upper and lower 8."""
    return high.astype(np.uint16) << 8 | low
