"""Lenses out of focus, frosted glass, motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from advss_zoo.data.corruptions.base import Pixels, Randoms, Values, corruption, drawn
from advss_zoo.data.corruptions.filters import gaussian, motion_blurred, zoomed


@corruption(radius=(0.3, 0.4, 0.5, 1, 1.5), alias=(0.4, 0.5, 0.6, 0.2, 0.1))
def defocus_blur(images: Pixels, randoms: Randoms, *, radius: float, alias: float) -> Values:
    return 255 * ndimage.correlate(images / 255, _disk(radius, alias)[None, :, :, None], mode="mirror")


def _disk(radius: float, alias: float) -> NDArray[np.float32]:
    """Equal weights for the pixels within `radius`, then a Gaussian blur of 3x3 pixels, in single precision."""
    reach = np.arange(-int(radius) - 1, int(radius) + 2)
    disk = (reach[:, None] ** 2 + reach**2 <= radius**2).astype(np.float32)
    disk /= disk.sum()
    blur = np.exp(-np.array([1, 0, 1]) / (2 * alias**2))
    blur = (blur / blur.sum()).astype(np.float32)
    for axis in (0, 1):
        disk = ndimage.correlate1d(disk, blur, axis, mode="constant")
    return disk


@corruption(sigma=(0.05, 0.25, 0.4, 0.25, 0.4), iterations=(1, 1, 1, 2, 2))
def glass_blur(images: Pixels, randoms: Randoms, *, sigma: float, iterations: int) -> Values:
    """Blur twice; in between each pixel becomes a copy of itself or of its neighbour above, to the left, or both.

    The published generator means to swap them, from the last pixel to the third in each direction. What it swaps are
    views of one array, so the second half of the swap does nothing.
    """
    height, width = images.shape[1:3]
    image = np.arange(len(images))[:, None, None]
    pixels = (gaussian(images / 255, sigma) * 255).astype(np.uint8)
    for _ in range(iterations):
        offsets = drawn(randoms, lambda random: random.randint(-1, 1, (height - 2, width - 2, 2)))[:, ::-1, ::-1]
        rows = np.arange(2, height)[:, None] + offsets[..., 1]
        columns = np.arange(2, width) + offsets[..., 0]
        pixels[:, 2:, 2:] = pixels[image, rows, columns]
    return 255 * gaussian(pixels / 255, sigma)


@corruption(radius=(6, 6, 6, 8, 9), sigma=(1, 1.5, 2, 2, 2.5))
def motion_blur(images: Pixels, randoms: Randoms, *, radius: float, sigma: float) -> Values:
    return motion_blurred(images, radius, sigma, drawn(randoms, lambda random: random.uniform(-45, 45)))


@corruption(stop=(1.06, 1.11, 1.16, 1.21, 1.26))
def zoom_blur(images: Pixels, randoms: Randoms, *, stop: float) -> Values:
    """Average the image and its enlargements by 1, 1.01, ..., in single precision.

    They end before `stop`, save that rounding lets 1.06 and 1.11 in, here as in the published images.
    """
    unit = (images / 255).astype(np.float32)
    factors = np.arange(1, stop, 0.01)
    total = np.zeros_like(unit)
    for factor in factors:
        total += zoomed(unit, factor).astype(np.float32)
    return 255 * ((unit + total) / (len(factors) + 1))


@corruption(extra=True, sigma=(0.4, 0.6, 0.7, 0.8, 1))
def gaussian_blur(images: Pixels, randoms: Randoms, *, sigma: float) -> Values:
    return 255 * gaussian(images / 255, sigma)
