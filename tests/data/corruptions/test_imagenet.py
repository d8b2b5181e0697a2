"""Agreement with the published generator of ImageNet-C (make_imagenet_c.py of hendrycks/robustness).

Its functions were run under OpenCV 5.0 and scikit-image 0.26 on an image of 224 x 224 pixels, the first 49 test images
of CIFAR-10 side by side, with NumPy seed 0 for each corruption and severity; with our motion blur, which
`test_published` compares with ImageMagick's. `imagenet.webp` has a row for each corruption, in the order of `COMPARED`,
and severity: 64 of its pixels, at random places.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.random import RandomState
from PIL import Image

from advss_zoo.data.corruptions import CORRUPTIONS, corrupt
from advss_zoo.data.corruptions.base import LARGE, SEVERITIES, Pixels
from advss_zoo.data.imageset import ImageSet

SIDE = 224
UNSEEDED = "impulse_noise"  # scikit-image draws from a generator of its own
JPEG = "jpeg_compression"  # differs with the codec
COMPARED = [name for name in CORRUPTIONS if name != UNSEEDED]


@pytest.fixture(scope="module")
def large(clean: ImageSet) -> Pixels:
    """(1, 224, 224, 3)"""
    tiles = clean.images[:49].transpose(0, 2, 3, 1).reshape(7, 7, 32, 32, 3)
    return np.ascontiguousarray(tiles.transpose(0, 2, 1, 3, 4).reshape(1, SIDE, SIDE, 3))


@pytest.fixture(scope="module")
def published() -> Pixels:
    """(18, 5, 64, 3)"""
    with Image.open(Path(__file__).parent / "imagenet.webp") as file:
        return np.asarray(file.convert("RGB")).reshape(len(COMPARED), 5, 64, 3)


@pytest.mark.parametrize("name", COMPARED)
def test_same_pixels(name: str, large: Pixels, published: Pixels) -> None:
    rows, columns = RandomState(1).randint(SIDE, size=(64, 2)).T
    for severity, theirs in zip(SEVERITIES, published[COMPARED.index(name)], strict=True):
        ours = CORRUPTIONS[name](large, severity, [RandomState(0)])[0, rows, columns]
        difference = np.abs(ours.astype(int) - theirs)
        assert difference.max() <= (16 if name == JPEG else 1)
        assert difference.mean() < (1 if name == JPEG else 0.01)


def test_impulses_hit_as_many_values(large: Pixels) -> None:
    for severity, share in zip(SEVERITIES, (0.03, 0.06, 0.09, 0.17, 0.27), strict=True):
        corrupted = CORRUPTIONS[UNSEEDED](large, severity, [RandomState(0)])
        assert (corrupted != large).mean() == pytest.approx(share, rel=0.05)


def test_the_shorter_side_decides() -> None:
    """Noise is far stronger in ImageNet-C than in CIFAR-10-C."""
    for height, width, scale in ((LARGE - 1, 300, 0.04), (LARGE, 300, 0.08)):
        grey = np.full((1, 3, height, width), 128, np.uint8)
        noise = corrupt(grey, "gaussian_noise", 1, np.zeros(1, np.int64), 0) - 128.0
        assert noise.std() == pytest.approx(255 * scale, rel=0.05)
