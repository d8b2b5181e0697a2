from __future__ import annotations

import colorsys

import numpy as np

from advss_zoo.data.corruptions.colour import to_hsv, to_rgb


def test_as_the_standard_library_has_it() -> None:
    levels = np.array([0, 1, 77, 128, 255]) / 255
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    hsv = np.stack(to_hsv(colours), axis=-1)
    np.testing.assert_allclose(hsv, [colorsys.rgb_to_hsv(*colour) for colour in colours], atol=1e-12)
    np.testing.assert_allclose(to_rgb(*hsv.T), colours, atol=1e-12)
