"""The first 1,000 test images of CIFAR-10, shipped in the package so that the first command needs no data."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import numpy as np

from advss_zoo.data.catalogue import CIFAR10, SUBSET
from advss_zoo.data.imageset import ImageSet
from advss_zoo.errors import AdvssError, DataError
from advss_zoo.files import explained, read_json

CONTENT_SHA256 = "09f27c48f8ef1306c9e28f5fba4eef29d6fbd627be8a3fd7debb22e135c49a66"


def path() -> Path:
    """Return the path of a lossless WebP mosaic, 40 images to a row; its labels are in a JSON file of the same name."""
    return Path(__file__).parent / "bundled" / f"{SUBSET}.webp"


def load_subset() -> ImageSet:
    """Load the 1,000 test images of CIFAR-10 in the package.

    Raises:
        DataError: the files of this installation are missing or damaged, or Pillow cannot read WebP.
    """
    mosaic = path()
    try:
        subset = ImageSet(
            name=SUBSET,
            split="test",
            images=_read(mosaic),
            labels=np.array(read_json(mosaic.with_suffix(".json")), dtype=np.int64),
            index=np.arange(1000),
            classes=CIFAR10.classes,
        )
        if subset.content_sha256 != CONTENT_SHA256:
            raise DataError(f"its sha256 is {subset.content_sha256}, expected {CONTENT_SHA256}.")
    except (AdvssError, ValueError) as error:
        reason = error.message if isinstance(error, AdvssError) else str(error)
        hint = "Reinstall advss-zoo, with a Pillow that reads WebP."
        raise DataError(f"The {SUBSET} inside this installation is damaged: {reason}", hint) from error
    return subset


def _read(mosaic: Path) -> np.ndarray:
    with explained("read", mosaic):
        return _cut(mosaic.read_bytes()).copy()


@lru_cache(maxsize=1)  # decoded once in a process: a command may ask for them several times
def _cut(mosaic: bytes) -> np.ndarray:
    """An image of (rows * 32, columns * 32) RGB pixels -> uint8 (rows * columns, 3, 32, 32), row by row."""
    from PIL import Image

    with Image.open(io.BytesIO(mosaic)) as image:
        pixels = np.asarray(image)
    rows, columns = pixels.shape[0] // 32, pixels.shape[1] // 32
    tiles = pixels.reshape(rows, 32, columns, 32, 3).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(tiles.reshape(-1, 3, 32, 32))
