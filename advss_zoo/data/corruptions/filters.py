"""Filters that several corruptions share, on batches of images (N, H, W) or (N, H, W, C).

Each does what the library does that the published generator of CIFAR-10-C calls.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[Any]


def gaussian(images: Array, sigma: float, mode: str = "nearest", truncate: float = 4.0) -> Array:
    """Filter each channel as skimage.filters.gaussian does; sigma in pixels."""
    return ndimage.gaussian_filter(images, sigma, axes=(1, 2), mode=mode, truncate=truncate)


def motion_blurred(images: NDArray[np.uint8], radius: float, sigma: float, degrees: Array) -> NDArray[np.uint8]:
    """Blur each image in its own direction, as ImageMagick's MotionBlurImage does.

    A pixel becomes the mean of those on one side of it, 2 * radius + 1 steps far, with weights of half a Gaussian;
    beyond an edge they are as at the edge. ImageMagick 6 rounds to 16 bits and cuts off to 8.

    Args:
        degrees: (N,) angles from the right, clockwise.
    """
    steps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    margin = (len(steps), len(steps))
    padded = np.pad(images, [(0, 0), margin, margin, (0, 0)][: images.ndim], mode="edge")
    height, width = images.shape[1:3]
    blurred = np.empty_like(images)
    for number, angle in enumerate(np.radians(degrees)):
        down, right = (np.ceil(steps * part - 0.5).astype(int) for part in (np.sin(angle), np.cos(angle)))
        total = np.zeros(images.shape[1:])
        for weight, y, x in zip(weights, down + len(steps), right + len(steps), strict=True):
            total += weight * padded[number, y : y + height, x : x + width]
        blurred[number] = (257 * total + 0.5).astype(np.uint16) // 257
    return blurred


def zoomed(images: Array, factor: float) -> Array:
    """Enlarge the middle of each image to the size of the whole, as scipy.ndimage.zoom does with order 1."""
    for axis in (1, 2):
        images = _zoomed_along(axis, images, factor)
    return images


def _zoomed_along(axis: int, images: Array, factor: float) -> Array:
    size = images.shape[axis]
    cut = math.ceil(size / factor)
    enlarged = round(cut * factor)
    positions = (np.arange(size) + (enlarged - size) // 2) * ((cut - 1) / (enlarged - 1)) + (size - cut) // 2
    low = np.floor(positions).astype(int)
    share = (positions - low).reshape((-1,) + (1,) * (images.ndim - axis - 1))
    return images.take(low, axis) * (1 - share) + images.take(np.minimum(low + 1, size - 1), axis) * share
