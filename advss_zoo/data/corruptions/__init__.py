"""The 15 corruptions of CIFAR-10-C and ImageNet-C, and 4 extra ones (Hendrycks and Dietterich, ICLR 2019), made here.

The published images came from a generator without a seed. Those made here have the same constants and distribution,
but other random numbers; `archive` reads the published ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from advss_zoo.data.corruptions import blur, digital, noise, weather
from advss_zoo.data.corruptions.base import SEVERITIES, Corruption, randoms_of
from advss_zoo.data.imageset import ImageSet
from advss_zoo.errors import DataError, UsageError, nearest

CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(
    {
        value.name: value
        for family in (noise, blur, weather, digital)
        for value in vars(family).values()
        if isinstance(value, Corruption)
    }
)
BENCHMARK = tuple(name for name, corruption in CORRUPTIONS.items() if not corruption.extra)
"""The 15 whose mean is reported."""

SMALLEST_SIDE = 3  # pixels: glass_blur and elastic_transform have nothing to move in less
PIECE = 2**18  # pixels that are worked on at once


def find(name: str, severity: int) -> Corruption:
    """Return the corruption of that name, if it has that severity.

    Raises:
        UsageError: there is none of that name, or the severity is not 1 to 5.
    """
    if name not in CORRUPTIONS:
        hint = f"Choose from {', '.join(CORRUPTIONS)}."
        raise UsageError(f"Unknown corruption {name!r}{nearest(name, CORRUPTIONS)}.", hint)
    if severity not in SEVERITIES:
        raise UsageError(f"Severity must be {SEVERITIES[0]} to {SEVERITIES[-1]}, got {severity}.")
    return CORRUPTIONS[name]


def corrupt(
    images: NDArray[np.uint8], name: str, severity: int, index: NDArray[np.int64], seed: int
) -> NDArray[np.uint8]:
    """Corrupt images.

    The constants are those of CIFAR-10-C, for images of 32 x 32 pixels, and from sides of `LARGE` pixels on those of
    ImageNet-C, for images of 224 x 224 pixels. On others, pixelate, elastic_transform, fog and frost keep their
    proportions to the image, the widths of blurs and noise stay as many pixels as they are: what the published
    generators write in units of the image's side is scaled, and the photographs of frost, too.

    Args:
        images: uint8 (N, 3, H, W).
        index: (N,) positions in the data set. What is random in an image is a function of `seed`, its index, `name`
            and `severity`, whichever images it is in a batch with.
        seed: any integer.

    Raises:
        UsageError: there is no such corruption or severity.
        DataError: the images are smaller than 3 x 3 pixels, or not in colour.
    """
    corruption = find(name, severity)
    channels, height, width = images.shape[1:]
    if channels != 3:
        raise DataError(f"Corruptions need images with 3 channels, got {channels}.")
    if min(height, width) < SMALLEST_SIDE:
        raise DataError(f"Corruptions need sides of at least {SMALLEST_SIDE} pixels, got {height} x {width}.")
    corrupted = np.empty(images.shape, np.uint8)
    length = max(1, PIECE // (height * width))
    for begin in range(0, len(images), length):
        piece = slice(begin, begin + length)
        pixels = np.ascontiguousarray(images[piece].transpose(0, 2, 3, 1))
        randoms = randoms_of(name, severity, index[piece].tolist(), seed)
        corrupted[piece] = corruption(pixels, severity, randoms).transpose(0, 3, 1, 2)
    return corrupted


def generated(images: ImageSet, name: str, severity: int, seed: int = 0) -> ImageSet:
    """Corrupt each image of a set by `corrupt`; its name is like "cifar10-c generated snow 3".

    Raises:
        UsageError: there is no such corruption or severity.
        DataError: the images are smaller than 3 x 3 pixels.
    """
    corrupted = corrupt(images.images, name, severity, images.index, seed)
    label = f"{images.name}-c generated {name} {severity}" + (f" seed {seed}" if seed else "")
    return replace(images, name=label, images=corrupted)
