"""Snow, frost, fog, glare, and what splashes onto a lens."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.random import RandomState
from PIL import Image

from advss_zoo.data.corruptions.base import Pixels, Randoms, Values, corruption, drawn
from advss_zoo.data.corruptions.colour import to_hsv, to_rgb
from advss_zoo.data.corruptions.filters import gaussian, motion_blurred, zoomed
from advss_zoo.data.corruptions.opencv import rims

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
WATER = np.array([175, 238, 238], np.float32) / 255
MUD = np.array([63, 42, 20], np.float32) / 255
PHOTOS = ("frost1", "frost2", "frost2", "frost4", "frost5")  # the third published photograph is the second again


@corruption(
    mean=((0.1, 0.1, 0.15, 0.25, 0.3), (0.1, 0.2, 0.55, 0.55, 0.55)),
    deviation=((0.2, 0.2, 0.3, 0.3, 0.3), (0.3, 0.3, 0.3, 0.3, 0.3)),
    zoom=((1, 1, 1.75, 2.25, 1.25), (3, 2, 4, 4.5, 2.5)),
    threshold=((0.6, 0.5, 0.55, 0.6, 0.65), (0.5, 0.5, 0.9, 0.85, 0.85)),
    radius=((8, 10, 10, 12, 14), (10, 12, 12, 12, 12)),
    sigma=((3, 4, 4, 6, 12), (4, 4, 8, 8, 12)),
    mix=((0.95, 0.9, 0.9, 0.85, 0.8), (0.8, 0.7, 0.7, 0.65, 0.55)),
)
def snow(
    images: Pixels,
    randoms: Randoms,
    *,
    mean: float,
    deviation: float,
    zoom: float,
    threshold: float,
    radius: float,
    sigma: float,
    mix: float,
) -> Values:
    """Add falling flakes, and the same upside down, over a paler picture."""
    unit = (images / 255).astype(np.float32)
    flakes = zoomed(drawn(randoms, lambda random: random.normal(mean, deviation, images.shape[1:3])), zoom)
    flakes[flakes < threshold] = 0
    directions = drawn(randoms, lambda random: random.uniform(-135, -45))
    falling = motion_blurred((np.clip(flakes, 0, 1) * 255).astype(np.uint8), radius, sigma, directions)[..., None] / 255
    paler = mix * unit + (1 - mix) * np.maximum(unit, (unit @ LUMA)[..., None] * 1.5 + 0.5)
    return 255 * (paler + falling + falling[:, ::-1, ::-1])


@corruption(
    picture=((1, 1, 0.9, 0.85, 0.75), (1, 0.8, 0.7, 0.65, 0.6)),
    ice=((0.2, 0.3, 0.4, 0.4, 0.45), (0.4, 0.6, 0.7, 0.7, 0.75)),
    every=((5, 5, 5, 5, 5), (1, 1, 1, 1, 1)),
    side=((32, 32, 32, 32, 32), (224, 224, 224, 224, 224)),
)
def frost(images: Pixels, randoms: Randoms, *, picture: float, ice: float, every: int, side: int) -> Values:
    """Lay a random piece of a photograph of frost over the picture.

    Of the photographs one pixel in `every` is taken, and the rest scaled as images are larger than `side` pixels.
    """
    height, width = images.shape[1:3]

    def piece(random: RandomState) -> Pixels:
        photo = _photo(PHOTOS[random.randint(len(PHOTOS))], every, max(height, width) / side)
        top, left = random.randint(photo.shape[0] - height), random.randint(photo.shape[1] - width)
        return photo[top : top + height, left : left + width]

    return picture * images + ice * drawn(randoms, piece)


@cache
def _photo(name: str, every: int, scale: float) -> Pixels:
    with Image.open(Path(__file__).parent / "frost" / f"{name}.webp") as file:
        pixels = np.asarray(file.convert("RGB"))[every // 2 :: every, every // 2 :: every]
    height, width = (round(length * scale) for length in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


@corruption(
    strength=((0.2, 0.5, 0.75, 1, 1.5), (1.5, 2, 2.5, 2.5, 3)), decay=((3, 3, 2.5, 2, 1.75), (2, 2, 1.7, 1.5, 1.4))
)
def fog(images: Pixels, randoms: Randoms, *, strength: float, decay: float) -> Values:
    height, width = images.shape[1:3]
    side = 1 << (max(height, width) - 1).bit_length()
    clouds = drawn(randoms, lambda random: _plasma(random, side, decay))[:, :height, :width, None]
    brightest = images.max(axis=(1, 2, 3), keepdims=True) / 255
    return 255 * ((images / 255 + strength * clouds) * brightest / (brightest + strength))


def _plasma(random: RandomState, side: int, decay: float) -> Values:
    """Clouds in [0, 1], (side, side), by the diamond-square algorithm on a torus; `side` is a power of two."""
    heights = np.zeros((side, side))
    step, wibble = side, 100.0

    def wibbled(total: Values) -> Values:
        return total / 4 + wibble * random.uniform(-wibble, wibble, total.shape)

    def with_next(points: Values, axis: int, shift: int = -1) -> Values:
        return points + np.roll(points, shift, axis)

    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step]
        centres = wibbled(with_next(with_next(corners, 0), 1))
        heights[half::step, half::step] = centres
        heights[::step, half::step] = wibbled(with_next(centres, 0, 1) + with_next(corners, 1))
        heights[half::step, ::step] = wibbled(with_next(centres, 1, 1) + with_next(corners, 0))
        step, wibble = half, wibble / decay
    heights -= heights.min()
    return heights / heights.max()


@corruption(shift=((0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5)))
def brightness(images: Pixels, randoms: Randoms, *, shift: float) -> Values:
    hue, saturation, value = to_hsv(images / 255)
    return 255 * to_rgb(hue, saturation, np.clip(value + shift, 0, 1))


@corruption(
    extra=True,
    mean=((0.62, 0.65, 0.65, 0.65, 0.65), (0.65, 0.65, 0.65, 0.65, 0.67)),
    deviation=((0.1, 0.1, 0.3, 0.1, 0.1), (0.3, 0.3, 0.3, 0.3, 0.4)),
    sigma=((0.7, 0.8, 1, 0.7, 0.5), (4, 3, 2, 1, 1)),
    threshold=((0.7, 0.7, 0.69, 0.69, 0.68), (0.69, 0.68, 0.68, 0.65, 0.65)),
    strength=((0.5, 0.5, 0.5, 0.6, 0.6), (0.6, 0.6, 0.5, 1.5, 1.5)),
    mud=((0, 0, 0, 1, 1), (0, 0, 0, 1, 1)),
)
def spatter(
    images: Pixels,
    randoms: Randoms,
    *,
    mean: float,
    deviation: float,
    sigma: float,
    threshold: float,
    strength: float,
    mud: int,
) -> Values:
    """Add drops of water with bright rims; or mud, for which `strength` is the sigma that blurs its outline."""
    unit = (images / 255).astype(np.float32)
    liquid = gaussian(drawn(randoms, lambda random: random.normal(mean, deviation, images.shape[1:3])), sigma)
    liquid[liquid < threshold] = 0
    if mud:
        cover = gaussian((liquid > threshold).astype(np.float32), strength)[..., None]
        cover[cover < 0.8] = 0
        return 255 * (unit * (1 - cover) + cover * MUD)
    drops = (liquid * 255).astype(int).astype(np.uint8)  # 256 is 0: the published generator lets it overflow
    shine = drops * rims(drops)
    brightest = shine.max(axis=(1, 2), keepdims=True)
    shine = shine / np.where(brightest, brightest, 1) * np.float32(strength)
    return 255 * (unit + shine[..., None] * WATER)
