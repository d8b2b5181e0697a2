"""An image file of any kind as pixels of one size."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import jpeg_factory

from advss_zoo.files import POINTER

Pixels = NDArray[np.uint8]

# Of what Pillow can read: no format that starts another program (EPS) or is a document (PDF).
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM", "JPEG2000", "TGA")
MOST_PIXELS = 89_478_485
"""What Pillow takes to be safe; beyond it a small file may unpack to fill the memory."""
MOST_OF_JPEG = 250_000_000
"""Where it is decoded at a fraction of its size, which MOST_PIXELS bounds: more than a telephone's has."""
MOST_BYTES = 2**30
PIECE = 2**16  # values that are brought to 8 bits at once
ORIENTATION = 0x0112  # the EXIF tag


class Facts(NamedTuple):
    """What a file is: the sha256 of its bytes, the sides and the mode that its image has, and two kinds of oddity."""

    sha256: str
    width: int
    height: int
    mode: str
    turned: bool  # EXIF says that the camera was held another way
    animated: bool


def read(path: Path, side: int) -> tuple[Pixels, Facts] | str:
    """Return the middle square of an image as (3, side, side), and what the file is; or why it cannot be read.

    The shorter side is resized to `side` pixels (bilinear, antialiased); an image of that size stays as it is, bit for
    bit. Grey becomes colour, 16 bits become 8, what is transparent lies on white, EXIF turns are made, and of an
    animation the first frame counts.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            return f"more than {MOST_BYTES:,} bytes"
        content = path.read_bytes()
    except OSError as error:
        return error.strerror or str(error)
    if not content:
        return "0 bytes"
    if content.startswith(POINTER):
        return "a Git LFS pointer, not the file: run `git lfs pull`"
    try:
        with _opened(content) as image:
            return _decoded(image, side, hashlib.sha256(content).hexdigest())
    except UnidentifiedImageError:
        return "not a readable image"
    except Image.DecompressionBombError:
        return f"more than {MOST_PIXELS:,} pixels"
    except Exception as error:  # what damaged bytes make Pillow raise has no common base
        return f"damaged: {error}" if str(error) else "damaged"


def _opened(content: bytes) -> Image.Image:
    if content.startswith(b"\xff\xd8\xff"):
        return jpeg_factory(io.BytesIO(content))  # Image.open would refuse what can be decoded at a fraction
    return Image.open(io.BytesIO(content), formats=FORMATS)


def _decoded(image: Image.Image, side: int, sha256: str) -> tuple[Pixels, Facts] | str:
    width, height = image.size
    image.draft(None, (4 * side, 4 * side))  # JPEG alone: decoded at a fraction of its size, no smaller than this
    if width * height > MOST_OF_JPEG or image.width * image.height > MOST_PIXELS:
        return f"{width:,}x{height:,} pixels exceed the limit of {MOST_PIXELS:,}"
    turned = image.getexif().get(ORIENTATION, 1) != 1
    facts = Facts(sha256, width, height, image.mode, turned, bool(getattr(image, "is_animated", False)))
    return pixels(image, side), facts


def pixels(image: Image.Image, side: int) -> Pixels:
    """Make an open image what `read` would make of its file: (3, side, side)."""
    if image.getexif().get(ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    square = np.asarray(_square(_coloured(image), side).convert("RGB"))
    return np.ascontiguousarray(square.transpose(2, 0, 1))


def _coloured(image: Image.Image) -> Image.Image:
    """Grey or in RGB, 8 bits a channel."""
    if image.mode == "F" or image.mode.startswith("I"):  # Pillow would cut off what is above 255
        return _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image)
        image = page
    return image if image.mode == "L" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 8 bits from more; piece by piece, for the values in between take eight times the memory."""
    values = np.asarray(image)
    flat, grey = values.reshape(-1), np.empty(values.size, np.uint8)
    most, clear = _white(flat), image.info.get("transparency")
    for begin in range(0, len(flat), PIECE):
        piece = slice(begin, begin + PIECE)
        found = np.nan_to_num(flat[piece].astype(np.float64)).clip(0, most)
        grey[piece] = np.where(flat[piece] == clear, 255, (found * (255 / most)).round())
    return Image.fromarray(grey.reshape(values.shape))


def _white(values: NDArray[np.generic]) -> int:
    """The largest value that may be there: they have 16 bits, or 8 in a larger type, or lie in [0,1]."""
    if values.dtype.itemsize == 2:
        return 65535
    largest = np.nan_to_num(np.fmax.reduce(values))
    if values.dtype.kind == "f" and largest <= 1:
        return 1
    return 65535 if largest > 255 else 255


def _square(image: Image.Image, side: int) -> Image.Image:
    shorter = min(image.size)
    left, top = ((length - shorter) // 2 for length in image.size)
    box = (left, top, left + shorter, top + shorter)
    return image.resize((side, side), Image.Resampling.BILINEAR, box=box)
