"""What cameras, screens and files do to pictures."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Literal

import numpy as np
from PIL import Image

from advss_zoo.data.corruptions.base import Pixels, Randoms, Values, corruption, drawn
from advss_zoo.data.corruptions.colour import to_hsv, to_rgb
from advss_zoo.data.corruptions.filters import gaussian


@corruption(factor=((0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)))
def contrast(images: Pixels, randoms: Randoms, *, factor: float) -> Values:
    mean = images.mean(axis=(1, 2), keepdims=True) / 255
    return 255 * ((images / 255 - mean) * factor + mean)


SIDES = 244 / 224  # ImageNet-C's constants are in units of 244 pixels, though its images have sides of 224


@corruption(
    strength=((0, 0.05, 0.08, 0.1, 0.1), (2 * SIDES, 2 * SIDES, 0.05 * SIDES, 0.07 * SIDES, 0.12 * SIDES)),
    sigma=((0, 0.2, 0.06, 0.04, 0.03), (0.7 * SIDES, 0.08 * SIDES, 0.01 * SIDES, 0.01 * SIDES, 0.01 * SIDES)),
    affine=((0.08, 0.07, 0.06, 0.05, 0.03), (0.1 * SIDES, 0.2 * SIDES, 0.02 * SIDES, 0.02 * SIDES, 0.02 * SIDES)),
)
def elastic_transform(images: Pixels, randoms: Randoms, *, strength: float, sigma: float, affine: float) -> Values:
    """Apply a random affine map, then random smooth shifts, with constants in units of the shorter side."""
    height, width = images.shape[1:3]
    side = min(height, width)
    y, x = np.mgrid[:height, :width]
    back = _affine_back(height, width, drawn(randoms, lambda random: random.uniform(-1, 1, (3, 2))) * affine * side)
    columns, rows = (x * part[:, 0] + y * part[:, 1] + part[:, 2] for part in np.moveaxis(back, 2, 0)[..., None, None])
    mapped = _bilinear((images / 255).astype(np.float32), rows, columns, "mirror").astype(np.float32)
    right, down = (
        gaussian(drawn(randoms, lambda random: random.uniform(-1, 1, (height, width))), sigma * side, "reflect", 3)
        for _ in range(2)
    )
    return 255 * _bilinear(mapped, y + down * strength * side, x + right * strength * side, "reflect")


def _affine_back(height: int, width: int, moved: Values) -> Values:
    """Matrices (N, 3, 2) from [x, y, 1] after to [x, y] before three points around the centre moved by (N, 3, 2)."""
    x, y, reach = width // 2, height // 2, min(height, width) // 3
    before = np.array([[x + reach, y + reach], [x + reach, y - reach], [x - reach, y - reach]])
    after = np.concatenate([before + moved, np.ones((len(moved), 3, 1))], axis=2)
    return np.linalg.solve(after, np.broadcast_to(before, moved.shape))


def _bilinear(images: Values, rows: Values, columns: Values, edge: Literal["mirror", "reflect"]) -> Values:
    """Values (N, H, W, C) of the images at positions (N, H, W); "mirror" does not repeat the pixels at an edge."""
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    image = np.arange(len(images))[:, None, None]
    height, width = images.shape[1:3]

    def line(y: Values) -> Values:
        y = _inside(y, height, edge)
        before, after = (images[image, y, _inside(x, width, edge)] for x in (left, left + 1))
        return before * (1 - right) + after * right

    return line(top) * (1 - down) + line(top + 1) * down


def _inside(position: Values, size: int, edge: str) -> Values:
    repeated = edge == "reflect"
    period = 2 * size if repeated else 2 * size - 2
    position = position % period
    return np.minimum(position, period - position - repeated)


@corruption(share=((0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25)))
def pixelate(images: Pixels, randoms: Randoms, *, share: float) -> Values:
    def coarse(image: Image.Image) -> Image.Image:
        fewer = (int(image.width * share), int(image.height * share))
        return image.resize(fewer, Image.Resampling.BOX).resize(image.size, Image.Resampling.BOX)

    return _each(images, coarse)


@corruption(quality=((80, 65, 58, 50, 40), (25, 18, 15, 10, 7)))
def jpeg_compression(images: Pixels, randoms: Randoms, *, quality: int) -> Values:
    def coded(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _each(images, coded)


def _each(images: Pixels, change: Callable[[Image.Image], Image.Image]) -> Pixels:
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in images])


@corruption(
    extra=True,
    factor=((0.3, 0.1, 1.5, 2, 2.5), (0.3, 0.1, 2, 5, 20)),
    shift=((0, 0, 0, 0.1, 0.2), (0, 0, 0, 0.1, 0.2)),
)
def saturate(images: Pixels, randoms: Randoms, *, factor: float, shift: float) -> Values:
    hue, saturation, value = to_hsv(images / 255)
    return 255 * to_rgb(hue, np.clip(saturation * factor + shift, 0, 1), value)
