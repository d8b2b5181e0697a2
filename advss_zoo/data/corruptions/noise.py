"""Noise that is independent from pixel to pixel and channel to channel."""

from __future__ import annotations

import numpy as np

from advss_zoo.data.corruptions.base import Pixels, Randoms, Values, corruption, drawn


@corruption(scale=((0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38)))
def gaussian_noise(images: Pixels, randoms: Randoms, *, scale: float) -> Values:
    return 255 * (images / 255 + scale * _normal(images, randoms))


@corruption(photons=((500, 250, 100, 75, 50), (60, 25, 12, 5, 3)))
def shot_noise(images: Pixels, randoms: Randoms, *, photons: float) -> Values:
    """Add Poisson noise; `photons` is that of a white pixel."""
    expected = images / 255 * photons
    counts = [random.poisson(image) for random, image in zip(randoms, expected, strict=True)]
    return 255 * (np.stack(counts) / photons)


@corruption(amount=((0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27)))
def impulse_noise(images: Pixels, randoms: Randoms, *, amount: float) -> Values:
    """Add salt and pepper: a share of all values become, with even odds, 0 or 255."""
    shape = images.shape[1:]
    hit = drawn(randoms, lambda random: random.random_sample(shape)) <= amount
    salt = drawn(randoms, lambda random: random.random_sample(shape)) <= 0.5
    return np.where(hit, 255 * salt, images)


@corruption(extra=True, scale=((0.06, 0.1, 0.12, 0.16, 0.2), (0.15, 0.2, 0.35, 0.45, 0.6)))
def speckle_noise(images: Pixels, randoms: Randoms, *, scale: float) -> Values:
    """Add noise in proportion to each value."""
    unit = images / 255
    return 255 * (unit + unit * (scale * _normal(images, randoms)))


def _normal(images: Pixels, randoms: Randoms) -> Values:
    return drawn(randoms, lambda random: random.standard_normal(images.shape[1:]))
