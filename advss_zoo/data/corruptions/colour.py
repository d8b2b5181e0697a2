"""Hue, saturation and value, computed as skimage.color does, on arrays (..., 3) in [0, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def to_hsv(rgb: Array) -> tuple[Array, Array, Array]:
    """Convert to hue in [0, 1), saturation and value in [0, 1], (...) each. Greys have hue and saturation 0."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    value = rgb.max(axis=-1)
    spread = value - rgb.min(axis=-1)
    divisor = np.where(spread, spread, 1)
    sixths = np.select(
        [blue == value, green == value],
        [4 + (red - green) / divisor, 2 + (blue - red) / divisor],
        (green - blue) / divisor,
    )
    hue = np.where(spread, sixths / 6 % 1, 0)
    return hue, spread / np.where(value, value, 1), value


def to_rgb(hue: Array, saturation: Array, value: Array) -> Array:
    """Invert `to_hsv`: (..., 3)."""
    sixth = np.floor(hue * 6)
    within = hue * 6 - sixth
    low = value * (1 - saturation)
    falling = value * (1 - within * saturation)
    rising = value * (1 - (1 - within) * saturation)
    order = sixth.astype(int) % 6
    red = np.choose(order, [value, falling, low, low, rising, value])
    green = np.choose(order, [rising, value, value, falling, low, low])
    blue = np.choose(order, [low, low, rising, value, value, falling])
    return np.stack([red, green, blue], axis=-1)
