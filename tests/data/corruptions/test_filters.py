from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from advss_zoo.data.corruptions.digital import _bilinear
from advss_zoo.data.corruptions.filters import motion_blurred, zoomed

random = np.random.default_rng(0)


@pytest.mark.parametrize("factor", [1, 1.06, 1.25, 1.75, 2.25])
@pytest.mark.parametrize("side", [32, 45])
def test_zoom_is_that_of_scipy(factor: float, side: int) -> None:
    image = random.random((side, side))
    cut = math.ceil(side / factor)
    top = (side - cut) // 2
    whole = ndimage.zoom(image[top : top + cut, top : top + cut], factor, order=1)
    trim = (len(whole) - side) // 2
    expected = whole[trim : trim + side, trim : trim + side]
    np.testing.assert_allclose(zoomed(image[None], factor)[0], expected, atol=1e-12)


@pytest.mark.parametrize("mode", ["mirror", "reflect"])
def test_bilinear_is_that_of_scipy(mode: str) -> None:
    image = random.random((6, 9))
    rows, columns = random.uniform(-4, 9, (6, 9)), random.uniform(-5, 14, (6, 9))
    expected = ndimage.map_coordinates(image, [rows, columns], order=1, mode=mode)
    found = _bilinear(image[None, :, :, None], rows[None], columns[None], mode)  # type: ignore[arg-type]
    np.testing.assert_allclose(found[0, :, :, 0], expected, atol=1e-12)


@given(st.floats(-180, 180), st.integers(1, 5), st.floats(0.5, 6))
@settings(max_examples=25, deadline=None)
def test_motion_blur_pixel_by_pixel(degrees: float, radius: int, sigma: float) -> None:
    image = random.integers(0, 256, (5, 7), dtype=np.uint8)
    weights = [math.exp(-(step**2) / (2 * sigma**2)) for step in range(2 * radius + 1)]
    blurred = motion_blurred(image[None], radius, sigma, np.array([degrees]))[0]
    for y in range(5):
        for x in range(7):
            total = 0.0
            for step, weight in enumerate(weights):
                down = y + math.ceil(step * math.sin(math.radians(degrees)) - 0.5)
                right = x + math.ceil(step * math.cos(math.radians(degrees)) - 0.5)
                total += weight * int(image[min(max(down, 0), 4), min(max(right, 0), 6)])
            assert blurred[y, x] == pytest.approx(total / sum(weights) - 0.5, abs=0.51)


def test_motion_blur_goes_one_way() -> None:
    """A bright pixel leaves its trail to the left when the mean is taken to the right."""
    image = np.zeros((1, 1, 9), np.uint8)
    image[0, 0, 4] = 200
    trail = motion_blurred(image, 2, 1, np.zeros(1))[0, 0]
    assert (trail[5:] == 0).all()
    assert (np.diff(trail[:5].astype(int)) >= 0).all()
    assert trail[3] > 0
