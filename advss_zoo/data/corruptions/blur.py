"""Lenses out of focus, frosted glass, motion."""

from __future__ import annotations

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray
from scipy import ndimage

from advss_zoo.data.corruptions.base import Pixels, Randoms, Values, corruption, drawn
from advss_zoo.data.corruptions.filters import gaussian, motion_blurred, zoomed


@corruption(
    radius=((0.3, 0.4, 0.5, 1, 1.5), (3, 4, 6, 8, 10)),
    alias=((0.4, 0.5, 0.6, 0.2, 0.1), (0.1, 0.5, 0.5, 0.5, 0.5)),
)
def defocus_blur(images: Pixels, randoms: Randoms, *, radius: float, alias: float) -> Values:
    return 255 * ndimage.correlate(images / 255, _disk(radius, alias)[None, :, :, None], mode="mirror")


def _disk(radius: float, alias: float) -> NDArray[np.float32]:
    """Equal weights for the pixels within `radius`, then a Gaussian blur of 3x3 pixels, in single precision.

    On a square of 17 pixels or as large as the disk, whose edges reflect what is blurred; over 8 it is of 5x5 pixels.
    """
    most = max(8, int(radius))
    reach, near = np.arange(-most, most + 1), np.arange(-2, 3) if radius > 8 else np.arange(-1, 2)
    disk = (reach[:, None] ** 2 + reach**2 <= radius**2).astype(np.float32)
    disk /= disk.sum()
    blur = np.exp(-(near**2) / (2 * alias**2))
    blur = (blur / blur.sum()).astype(np.float32)
    for axis in (0, 1):
        disk = ndimage.correlate1d(disk, blur, axis, mode="mirror")
    rows = np.flatnonzero(disk.any(axis=1))
    middle = slice(rows[0], rows[-1] + 1)
    return disk[middle, middle]


@corruption(
    sigma=((0.05, 0.25, 0.4, 0.25, 0.4), (0.7, 0.9, 1, 1.1, 1.5)),
    reach=((1, 1, 1, 1, 1), (1, 2, 2, 3, 4)),
    iterations=((1, 1, 1, 2, 2), (2, 1, 3, 2, 2)),
)
def glass_blur(images: Pixels, randoms: Randoms, *, sigma: float, reach: int, iterations: int) -> Values:
    """Blur twice; in between each pixel, from the last to the first, becomes a copy of one near it.

    The published generator means to swap them. What it swaps are views of one array, so the second half of the swap
    does nothing.
    """
    height, width = images.shape[1:3]
    pixels = (gaussian(images / 255, sigma) * 255).astype(np.uint8)
    for image, random in zip(pixels, randoms, strict=True):
        image[:] = image.reshape(-1, 3)[_copied(random, height, width, reach, iterations)].reshape(image.shape)
    return 255 * gaussian(pixels / 255, sigma)


def _copied(random: RandomState, height: int, width: int, reach: int, iterations: int) -> list[int]:
    """Which pixel each pixel is a copy of in the end, both counted row by row."""
    copied = list(range(height * width))
    changed = np.arange(height * width).reshape(height, width)
    changed = changed[reach + 1 : height - reach + 1, reach + 1 : width - reach + 1][::-1, ::-1]
    for _ in range(iterations):
        right, down = np.moveaxis(random.randint(-reach, reach, (*changed.shape, 2)), 2, 0)
        near = changed + down * width + right
        for pixel, other in zip(changed.ravel().tolist(), near.ravel().tolist(), strict=True):
            copied[pixel] = copied[other]
    return copied


@corruption(radius=((6, 6, 6, 8, 9), (10, 15, 15, 15, 20)), sigma=((1, 1.5, 2, 2, 2.5), (3, 5, 8, 12, 15)))
def motion_blur(images: Pixels, randoms: Randoms, *, radius: float, sigma: float) -> Values:
    return motion_blurred(images, radius, sigma, drawn(randoms, lambda random: random.uniform(-45, 45)))


@corruption(
    stop=((1.06, 1.11, 1.16, 1.21, 1.26), (1.11, 1.16, 1.21, 1.26, 1.31)),
    step=((0.01, 0.01, 0.01, 0.01, 0.01), (0.01, 0.01, 0.02, 0.02, 0.03)),
)
def zoom_blur(images: Pixels, randoms: Randoms, *, stop: float, step: float) -> Values:
    """Average the image and its enlargements by 1, 1 + step, ..., in single precision.

    They end before `stop`, save that rounding lets 1.06 and 1.11 in, here as in the published images.
    """
    unit = (images / 255).astype(np.float32)
    factors = np.arange(1, stop, step)
    total = np.zeros_like(unit)
    for factor in factors:
        total += zoomed(unit, factor).astype(np.float32)
    return 255 * ((unit + total) / (len(factors) + 1))


@corruption(extra=True, sigma=((0.4, 0.6, 0.7, 0.8, 1), (1, 2, 3, 4, 6)))
def gaussian_blur(images: Pixels, randoms: Randoms, *, sigma: float) -> Values:
    return 255 * gaussian(images / 255, sigma)
