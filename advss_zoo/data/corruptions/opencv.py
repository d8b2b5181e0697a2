"""The functions of OpenCV that give drops of water their rims, on batches of grey images (N, H, W)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Grey = NDArray[np.uint8]

FARTHEST = 20  # pixels
RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])

# Ways are sums of steps in units of 2**-16 pixels; those of a knight in chess are the longest.
ONE, DIAGONAL, KNIGHT = (round(length * 2**16) for length in (1, 1.4, 2.1969))
FROM_ABOVE = (
    (1, 0, ONE),
    *((1, right, DIAGONAL) for right in (-1, 1)),
    *((up, right, KNIGHT) for up, right in ((2, -1), (2, 1), (1, -2), (1, 2))),
)
UNREACHED = 2**29

TAN_22, TAN_67 = 13573, 13573 + 2**16  # of 22.5 and 67.5 degrees, in units of 2**-15


def rims(drops: Grey) -> NDArray[np.float32]:
    """Emboss the map of distances to the outlines of drops; whole numbers from 0 to 255."""
    distance = np.minimum(distances(edges(drops, 50, 150)), np.float32(FARTHEST))
    levels = _equalized(_blurred(distance).astype(np.uint8)).astype(int)
    relief = ndimage.correlate(levels, RELIEF[None], mode="mirror").clip(0, 255)
    return np.rint(_blurred(relief)).astype(np.float32)


def edges(images: Grey, low: int, high: int) -> NDArray[np.bool_]:
    """Mark edges as cv2.Canny does by default: a Sobel operator of 3x3 pixels, and |x| + |y| as its strength."""
    x, y = _slope(images, 2), _slope(images, 1)
    strength = np.abs(x) + np.abs(y)
    padded = np.pad(strength, [(0, 0), (1, 1), (1, 1)])
    height, width = images.shape[1:]

    def beside(down: int, right: int) -> NDArray[np.int64]:
        return padded[:, 1 + down : 1 + down + height, 1 + right : 1 + right + width]

    steepness, run = np.abs(y) << 15, np.abs(x)
    ridge = np.select(
        [steepness < run * TAN_22, steepness > run * TAN_67, (x ^ y) < 0],
        [
            (strength > beside(0, -1)) & (strength >= beside(0, 1)),
            (strength > beside(-1, 0)) & (strength >= beside(1, 0)),
            (strength > beside(-1, 1)) & (strength > beside(1, -1)),
        ],
        (strength > beside(-1, -1)) & (strength > beside(1, 1)),
    )
    one_image = np.zeros((3, 3, 3))
    one_image[1] = 1
    lines, count = ndimage.label(ridge & (strength > low), one_image)
    kept = np.zeros(count + 1, bool)
    kept[lines[ridge & (strength > high)]] = True
    return kept[lines]


def _slope(images: Grey, axis: int) -> NDArray[np.int64]:
    change = ndimage.correlate1d(images.astype(np.int64), [-1, 0, 1], axis, mode="nearest")
    return ndimage.correlate1d(change, [1, 2, 1], 3 - axis, mode="nearest")


def distances(marked: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Compute cv2.distanceTransform(~marked, DIST_L2, 5): pixels to the nearest marked one, by three kinds of steps."""
    ways = np.where(marked, 0, UNREACHED)
    for _ in range(2):  # to the right and down, then to the left and up
        ways = _swept(ways)[:, ::-1, ::-1]
    return (ways / 2**16).astype(np.float32)


def _swept(ways: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ways that may come from the two rows above, and then go on to the right."""
    height, width = ways.shape[1:]
    padded = np.pad(ways, [(0, 0), (2, 0), (2, 2)], constant_values=UNREACHED)
    along = ONE * np.arange(width)
    for y in range(2, height + 2):
        row = padded[:, y, 2:-2]
        for up, right, length in FROM_ABOVE:
            np.minimum(row, padded[:, y - up, 2 + right : 2 + right + width] + length, out=row)
        row[:] = np.minimum.accumulate(row - along, axis=1) + along
    return padded[:, 2:, 2:-2]


def _blurred(images: NDArray[Any]) -> NDArray[np.float64]:
    """cv2.blur of 3x3 pixels."""
    total = images.astype(np.float64)
    for axis in (1, 2):
        total = ndimage.correlate1d(total, [1, 1, 1], axis, mode="mirror")
    return total / 9


def _equalized(images: Grey) -> Grey:
    """cv2.equalizeHist of each image."""
    return np.stack([_equal_levels(image)[image] for image in images])


def _equal_levels(image: Grey) -> Grey:
    counts = np.bincount(image.ravel(), minlength=256)
    lowest = image.min()
    others = image.size - counts[lowest]
    if not others:
        return np.arange(256, dtype=np.uint8)
    counts[lowest] = 0
    return np.rint(counts.cumsum().astype(np.float32) * np.float32(255 / others)).astype(np.uint8)
