"""Streaks, flakes and the budget, written out with loops and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d

from advss_zoo.attacks.kang2019.snow import NUMBERS, Flakes, Snow, streaks
from advss_zoo.noise import per_image_uniform


def line(right, below, width):
    """The published antialiased line from the centre (6,6) of a 13x13 kernel, and its mirror image."""
    kernel = np.zeros((13, 13))
    steep = below > right
    long, short = max(right, below), min(right, below)
    slope = short / long
    half = width * np.sqrt(1 + slope) / 2 / 2
    for i in range(long + 1):
        for j in range(7):
            value = np.clip(1 + half - abs(j - slope * i), 0, 1)
            kernel[(6 + i, 6 + j) if steep else (6 + j, 6 + i)] = value
    kernel[:7, :7] = kernel[::-1, ::-1][:7, :7].copy()
    return kernel


def blurred(kernel, sigma):
    window = np.exp(-0.5 * (np.arange(-1, 2) / sigma) ** 2)
    window = np.outer(window, window)
    return correlate2d(kernel, window / window.sum(), mode="same")


def make(x, eps=2.0):
    return Snow(x, eps=eps, index=torch.arange(len(x)), seed=0)


def test_streaks_follow_the_description():
    uniform = torch.rand(20, 29, generator=torch.Generator().manual_seed(0))
    found = streaks(uniform)
    for image, numbers in enumerate(uniform.double().numpy()):
        for layer, (right, below, width, blur) in enumerate(numbers[1:].reshape(4, 7).T):
            wide = 1 if width < 0.6 else 3 if width < 0.9 else 5
            expected = blurred(line(2 + int(5 * right), 2 + int(5 * below), wide), 0.41 + 0.19 * blur)
            if numbers[0] < 0.5:
                expected = expected[:, ::-1]
            assert np.allclose(found[image, layer], expected, atol=1e-5)


def test_snow_is_flakes_on_grids_times_streaks():
    x = torch.zeros(2, 3, 32, 32)
    attack = make(x, 0.01)
    v = attack.start()
    assert v.shape == (2, 7, 8, 8)
    kernels = streaks(per_image_uniform((2, NUMBERS), torch.arange(2), 0))
    snow = (attack.images(v) - 0.25 * 0.5) / 0.01  # black is lightened to a quarter of one half
    for image in range(2):
        expected = np.zeros((32, 32))
        for layer in range(7):
            flakes = np.zeros((32, 32))
            for row in range(8):
                for column in range(8):
                    place = (4 * row, 4 * column + layer) if layer < 4 else (4 * row + layer - 3, 4 * column)
                    flakes[place] = v[image, layer, row, column] ** 4
            expected += correlate2d(flakes, kernels[image, layer].numpy(), mode="same")
        assert np.allclose(snow[image], np.broadcast_to(expected, (3, 32, 32)), atol=1e-4)


def test_without_snow_images_are_lightened():
    x = torch.rand(2, 3, 32, 32)
    red, green, blue = x.unbind(dim=1)
    gray = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    expected = 0.75 * x + 0.25 * torch.maximum(x, (1.5 * gray + 0.5)[:, None])
    attack = make(x, 0)
    assert torch.allclose(attack.images(attack.start()), expected.clamp(0, 1), atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_mean_of_a_block_stays_within_the_budget(seed):
    generator = torch.Generator().manual_seed(seed)
    v = torch.rand(2, 7, 16, 8, generator=generator) ** (1 + 4 * seed)
    moved = v + 0.1 * torch.randn(v.shape, generator=generator).sign()
    found = Flakes().advance(v, moved - v, 0, 0.1)
    for image in range(2):
        for layer in range(7):
            for row in (0, 8):
                block = moved[image, layer, row : row + 8].clamp(1e-9, 1)
                expected = block * min(1, 0.2 / float(block.mean()))
                assert torch.allclose(found[image, layer, row : row + 8], expected, atol=1e-6)
    assert (Flakes().size(found) <= 1 + 1e-6).all()


def test_size_of_intensities():
    sizes = {0.0: 0, 0.1: 0.5, 0.2: 1, 0.4: 2, -0.1: torch.inf}
    for intensity, size in sizes.items():
        assert Flakes().size(torch.full((1, 7, 8, 8), intensity)) == pytest.approx(size)
