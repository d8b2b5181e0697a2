"""An image file of any kind as pixels of one size."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

Pixels = NDArray[np.uint8]

# Of what Pillow can read: no format that starts another program (EPS) or is a document (PDF).
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM", "JPEG2000", "TGA")
MOST_PIXELS = 89_478_485
"""What Pillow takes to be safe; beyond it a small file may unpack to fill the memory."""
MOST_BYTES = 2**30
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
    """The middle square of an image as (3, side, side), and what the file is; or why it cannot be read.

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
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return _decoded(image, side, hashlib.sha256(content).hexdigest())
    except UnidentifiedImageError:
        return "not an image that can be read"
    except Image.DecompressionBombError:
        return f"more than {MOST_PIXELS:,} pixels"
    except Exception as error:  # what damaged bytes make Pillow raise has no common base
        return f"damaged: {error}" if str(error) else "damaged"


def _decoded(image: Image.Image, side: int, sha256: str) -> tuple[Pixels, Facts] | str:
    width, height = image.size
    if width * height > MOST_PIXELS:
        return f"{width:,}x{height:,} pixels are more than {MOST_PIXELS:,}"
    turned = image.getexif().get(ORIENTATION, 1) != 1
    facts = Facts(sha256, width, height, image.mode, turned, bool(getattr(image, "is_animated", False)))
    image.draft(None, (4 * side, 4 * side))  # JPEG alone: decoded at a fraction of its size, no smaller than this
    upright = ImageOps.exif_transpose(image) if turned else image
    square = np.asarray(_square(_coloured(upright), side))
    return np.ascontiguousarray(square.transpose(2, 0, 1)), facts


def _coloured(image: Image.Image) -> Image.Image:
    """In RGB, 8 bits a channel."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image)
        image = page
    elif image.mode == "F" or image.mode.startswith("I"):  # Pillow would cut off what is above 255
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    return image.convert("RGB")


def _eight_bits(values: NDArray[np.generic]) -> Pixels:
    """Grey values of 16 bits, of 8 in a larger type, or in [0,1], as 8 bits."""
    found = np.nan_to_num(values.astype(np.float64))
    if values.dtype.kind == "f" and found.max() <= 1:
        most = 1
    else:
        most = 65535 if values.dtype.itemsize == 2 or found.max() > 255 else 255
    return (found.clip(0, most) * (255 / most)).round().astype(np.uint8)


def _square(image: Image.Image, side: int) -> Image.Image:
    shorter = min(image.size)
    left, top = ((length - shorter) // 2 for length in image.size)
    box = (left, top, left + shorter, top + shorter)
    return image.resize((side, side), Image.Resampling.BILINEAR, box=box)
