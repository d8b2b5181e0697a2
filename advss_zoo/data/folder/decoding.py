"""An image file of any kind as pixels of one size, and what tells it from others."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from advss_zoo.data.folder import heif, values
from advss_zoo.data.folder.likeness import fingerprint
from advss_zoo.data.folder.repair import JPEG, repaired
from advss_zoo.data.folder.values import ValueRange
from advss_zoo.files import POINTER

Pixels: TypeAlias = NDArray[np.uint8]

# Of what Pillow can read: no format that starts another program (EPS) or is a document (PDF).
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM", "JPEG2000", "TGA")
MOST_PIXELS = 89_478_485
"""What Pillow takes to be safe; beyond it a small file may unpack to fill the memory."""
MOST_OF_JPEG = 250_000_000
"""Where it is decoded at a fraction of its size, which MOST_PIXELS bounds: more than a telephone's has."""
MOST_BYTES = 2**30
DRAFT = 1024
"""Pixels a side below which no JPEG is decoded at a fraction of its size: the same for all usual sizes of images, so
that what identifies a picture does not depend on them."""
STRIP = 2**20  # pixels that are hashed at once
ORIENTATION = 0x0112  # the EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
NEAR_WHITE = 16  # of 255: by less than this what is visible differs from white in the mean
UNIFORM = 8  # of 255: no colour of the pixels that are used spans as much


class Facts(NamedTuple):
    """What an image is.

    Attributes:
        sha256: of its decoded pixels as they are seen, whatever the file's format, metadata and size on use.
        likeness: its fingerprint, by which near copies are found; empty for a uniform image.
        mode: Pillow's; RGB;16 and RGBA;16 for colours of more than 8 bits.
        turned: EXIF says that the camera was held another way.
        uniform: the pixels that are used hardly differ from each other.
        on_black: it is nearly white on a transparent ground, for which black is taken.
        smallest, largest: its values, where they may have more than 8 bits.
    """

    sha256: bytes
    likeness: bytes
    width: int
    height: int
    mode: str
    turned: bool = False
    animated: bool = False
    uniform: bool = False
    on_black: bool = False
    smallest: float | None = None
    largest: float | None = None


Decoded: TypeAlias = tuple[Pixels, Facts]  # (3, side, side), and what the image is


def read(path: Path, side: int, value_range: ValueRange | None = None, *, truncated: bool = False) -> Decoded | str:
    """Return the middle square of an image as (3, side, side), and what the file is; or why it cannot be read.

    The shorter side is resized to `side` pixels (bilinear, antialiased); an image of that size stays as it is, bit for
    bit. Grey becomes colour, what is transparent lies on white (nearly white drawings on black), EXIF turns are made,
    and of an animation the first frame counts. Metadata that is broken counts for nothing.

    Args:
        value_range: the values that become black and white, of images with more than 8 bits; None: see
            `values.range_of`, for this image alone.
        truncated: use what there is of a JPEG that was cut off.
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
        return _read(content, side, value_range, truncated)
    except UnidentifiedImageError:
        return f"HEIC: {heif.MISSING}" if heif.is_heif(content) else "not a readable image"
    except Image.DecompressionBombError:
        return f"more than {MOST_PIXELS:,} pixels"
    except Exception as error:  # what damaged bytes make Pillow raise has no common base
        return f"damaged: {error}" if str(error) else "damaged"


def pixels(image: Image.Image, side: int, value_range: ValueRange | None = None) -> Pixels:
    """Make an open image what `read` would make of its file: (3, side, side)."""
    return _square(_seen(_upright(image)[0], value_range).image, side)


def _read(content: bytes, side: int, value_range: ValueRange | None, truncated: bool) -> Decoded | str:
    try:
        return _decoded(content, side, value_range)
    except Image.DecompressionBombError:
        raise
    except Exception:
        sound = repaired(content, lambda piece: _drafted(_opened(piece), side), truncated=truncated)
        if sound is None:
            raise
        return _decoded(sound, side, value_range)


def _opened(content: bytes) -> Image.Image:
    if content.startswith(JPEG):
        # Image.open would refuse what can be decoded at a fraction, and take a phone's second picture for an animation.
        return JpegImageFile(io.BytesIO(content))
    if heif.is_heif(content) and (image := heif.opened(content)):
        return image
    return Image.open(io.BytesIO(content), formats=FORMATS)


def _drafted(image: Image.Image, side: int) -> Image.Image:
    """JPEG alone is decoded at a fraction of its size, no smaller than this."""
    least = max(4 * side, DRAFT if image.width * image.height <= MOST_PIXELS else 1)
    image.draft(None, (least, least))
    return image


def _decoded(content: bytes, side: int, value_range: ValueRange | None) -> Decoded | str:
    with _opened(content) as image:
        width, height = image.size
        _drafted(image, side)
        if width * height > MOST_OF_JPEG or image.width * image.height > MOST_PIXELS:
            return f"{width:,}x{height:,} pixels exceed the limit of {MOST_PIXELS:,}"
        is_deep = values.has_low_bytes(image)
        mode = f"{image.mode};16" if is_deep else image.mode
        animated = bool(getattr(image, "is_animated", False))
        upright, turned = _upright(image)
        low = _upright(values.with_low_bytes(_opened(content)))[0] if is_deep else None
        seen = _seen(upright, value_range, low)
    square = _square(seen.image, side)
    uniform = bool(np.ptp(square.reshape(3, -1), axis=1).max() < UNIFORM)
    likeness = b"" if uniform else fingerprint(seen.own)
    sha256 = _sha256(seen.image) if seen.values is None else _sha256_of_values(seen.values)
    facts = Facts(sha256, likeness, width, height, mode, turned, animated, uniform, seen.on_black, *seen.extent)
    return square, facts


def _upright(image: Image.Image) -> tuple[Image.Image, bool]:
    """The image as EXIF says that it is to be seen, and whether that is another way."""
    as_tiff = getattr(image, "tag_v2", {}).get(ORIENTATION, 1) in TURNS  # Pillow turns it while it loads
    image.load()
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # what broken EXIF makes Pillow raise has no common base
        turn = None
    return (image.transpose(turn) if turn is not None else image), as_tiff or turn is not None


class _Seen(NamedTuple):
    """Grey or in RGB, 8 bits a channel; `own` the same by the range of the image's own values."""

    image: Image.Image
    own: Image.Image
    on_black: bool = False
    values: NDArray[np.generic] | None = None
    extent: tuple[float | None, float | None] = (None, None)


def _seen(image: Image.Image, value_range: ValueRange | None, low: Image.Image | None = None) -> _Seen:
    deep = image.mode == "F" or image.mode.startswith("I")  # Pillow would cut off what is above 255
    if not deep and low is None:
        flat, on_black = _flat(image)
        return _Seen(flat, flat, on_black)
    found = np.asarray(image) if low is None else values.joined(np.asarray(image), np.asarray(low))
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    transparency = image.info.get("transparency")
    clear = transparency if isinstance(transparency, int) else None
    colours = found[..., :3] if found.ndim == 3 else found
    extent = values.extent(colours, clear)
    own = values.range_of([extent])

    def scaled(by: ValueRange) -> tuple[Image.Image, bool]:
        grey = Image.fromarray(values.eight_bits(colours, by, clear))
        if alpha:
            grey.putalpha(alpha)
        return _flat(grey)

    shown, on_black = scaled(value_range or own)
    return _Seen(shown, shown if value_range in (None, own) else scaled(own)[0], on_black, found, extent)


def _flat(image: Image.Image) -> tuple[Image.Image, bool]:
    """Grey or in RGB, on a ground of white, or of black where what is visible would be lost on white."""
    if not image.has_transparency_data:
        return image if image.mode == "L" else image.convert("RGB"), False
    image = image.convert("RGBA")
    on_black = _is_white_drawing(image)
    page = Image.new("RGBA", image.size, "black" if on_black else "white")
    page.alpha_composite(image)
    return page.convert("RGB"), on_black


def _is_white_drawing(image: Image.Image) -> bool:
    alpha = np.asarray(image.getchannel("A"))
    if alpha.min() == 255 or alpha.max() == 0:
        return False
    darkness = 255 - np.asarray(image.convert("L"))
    return bool(np.average(darkness, weights=alpha) < NEAR_WHITE)


def _sha256(image: Image.Image) -> bytes:
    """Strip by strip: the bytes of a large image are as many as the image has."""
    digest = hashlib.sha256(str(image.size).encode())
    step = max(1, STRIP // image.width)
    for top in range(0, image.height, step):
        digest.update(image.crop((0, top, image.width, min(top + step, image.height))).convert("RGB").tobytes())
    return digest.digest()


def _sha256_of_values(found: NDArray[np.generic]) -> bytes:
    """Of whole numbers the same in all types that hold them."""
    kind = "<f4" if found.dtype.kind == "f" else "<i4"
    return hashlib.sha256(str(found.shape).encode() + np.ascontiguousarray(found, kind).data).digest()


def _square(image: Image.Image, side: int) -> Pixels:
    shorter = min(image.size)
    left, top = ((length - shorter) // 2 for length in image.size)
    box = (left, top, left + shorter, top + shorter)
    square = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, box=box).convert("RGB"))
    return np.ascontiguousarray(square.transpose(2, 0, 1))
