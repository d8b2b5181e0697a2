"""Agreement with the published generator of CIFAR-10-C (make_cifar_c.py of hendrycks/robustness).

It was run with NumPy seed 0 on the first 100 test images, one corruption after the other in its own order, under
current OpenCV and scikit-image and ImageMagick 6. Fed with the same stream of random numbers, ours gives the same
pixels.

`published.webp` has a row for each corruption in that order, and a column for each severity. `published.json` has the
mean absolute error against the clean image, over the first 64 images.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import RandomState
from PIL import Image

from advss_zoo.data.corruptions import CORRUPTIONS, generated
from advss_zoo.data.corruptions.base import SEVERITIES, Pixels
from advss_zoo.data.imageset import ImageSet
from advss_zoo.files import read_json

FOLDER = Path(__file__).parent
ERRORS: dict[str, list[float]] = read_json(FOLDER / "published.json")
IN_ITS_ORDER = list(ERRORS)
STORED = (0, 10, 30, 45, 63)  # which image is stored, by severity

UNSEEDED = "impulse_noise"  # scikit-image draws from a generator of its own
JPEG = "jpeg_compression"  # differs with the codec

# What the generator draws for one image of those that are not compared, where that is much less than all its work.
DRAWS: dict[str, Callable[[RandomState, dict[str, float]], Any]] = {
    "gaussian_noise": lambda random, constants: random.normal(size=(32, 32, 3)),
    "speckle_noise": lambda random, constants: random.normal(size=(32, 32, 3)),
    "glass_blur": lambda random, constants: random.randint(-1, 1, (int(constants["iterations"]), 30, 30, 2)),
    "snow": lambda random, constants: (random.normal(size=(32, 32)), random.uniform()),
    "fog": lambda random, constants: random.uniform(size=32 * 32 - 1),
    "elastic_transform": lambda random, constants: random.uniform(size=3 * 2 + 2 * 32 * 32),
    "spatter": lambda random, constants: random.normal(size=(32, 32)),
}


@pytest.fixture(scope="module")
def published() -> Pixels:
    """(19, 5, 32, 32, 3)"""
    with Image.open(FOLDER / "published.webp") as file:
        rows = np.asarray(file.convert("RGB")).reshape(19, 32, 5, 32, 3)
    return rows.transpose(0, 2, 1, 3, 4)


@pytest.fixture(scope="module")
def replayed(clean: ImageSet) -> Pixels:
    """The images that are stored, made here with the generator's stream of random numbers."""
    images = clean.images.transpose(0, 2, 3, 1)
    random = RandomState(0)
    made = []
    for name in IN_ITS_ORDER:
        corruption, skip = CORRUPTIONS[name], DRAWS.get(name)
        numbers = [RandomState(0)] if name == UNSEEDED else [random]
        for severity, stored in zip(SEVERITIES, STORED, strict=True):
            for position in range(len(images)):
                image = images[position : position + 1]
                if position == stored:
                    made.append(corruption(image, severity, numbers)[0])
                elif skip:
                    skip(random, corruption.constants(severity))
                elif numbers == [random]:
                    corruption(image, severity, numbers)
    return np.stack(made).reshape(19, 5, 32, 32, 3)


@pytest.fixture(scope="module")
def errors(clean: ImageSet) -> dict[str, list[float]]:
    """Mean absolute errors with our random numbers, by corruption and severity."""
    images = clean.first(64)
    before = images.images.astype(int)
    return {
        name: [float(np.abs(generated(images, name, severity).images - before).mean()) for severity in SEVERITIES]
        for name in CORRUPTIONS
    }


def test_the_registry_has_what_is_published() -> None:
    assert set(CORRUPTIONS) == set(IN_ITS_ORDER)


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - {UNSEEDED}))
def test_same_pixels(name: str, published: Pixels, replayed: Pixels) -> None:
    number = IN_ITS_ORDER.index(name)
    difference = np.abs(replayed[number].astype(int) - published[number])
    if name == JPEG:
        assert difference.mean() < 1
        assert difference.max() < 16
    else:
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.001


def test_impulses_hit_as_many_values(published: Pixels, clean: ImageSet) -> None:
    images = clean.first(64).images
    for severity, share in zip(SEVERITIES, (0.01, 0.02, 0.03, 0.05, 0.07), strict=True):
        corrupted = generated(clean.first(64), UNSEEDED, severity).images
        hit = corrupted != images
        assert set(np.unique(corrupted[hit])) == {0, 255}
        for level in (0, 255):
            among = images != level
            assert (corrupted[among] == level).mean() == pytest.approx(share / 2, rel=0.1)
        theirs = published[IN_ITS_ORDER.index(UNSEEDED), severity - 1]
        mine = clean.images[STORED[severity - 1]].transpose(1, 2, 0)
        assert set(np.unique(theirs[theirs != mine])) == {0, 255}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_same_size_of_error(name: str, errors: dict[str, list[float]]) -> None:
    """Within what the choice of 64 photographs, angles and clouds makes of it."""
    assert errors[name] == pytest.approx(ERRORS[name], rel=0.12)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_severities_rise_where_the_published_ones_do(name: str, errors: dict[str, list[float]]) -> None:
    for lower in range(4):
        if ERRORS[name][lower + 1] > 1.1 * ERRORS[name][lower]:
            assert errors[name][lower + 1] > errors[name][lower]
