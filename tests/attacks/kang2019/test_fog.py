"""The height map against diamond-square written point by point."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from advss_zoo.attacks.kang2019.fog import Fog, height_map


def diamond_square(v, side):
    """Heights from numbers u = v + 1/2 in [0,1], filled in place as published: neighbour mean + (2u - 1)*amplitude."""
    numbers = iter(v + 0.5)
    heights, step, amplitude = np.zeros((side, side)), side, 100.0
    while step >= 2:
        half = step // 2
        grid = range(0, side, step)

        def fill(row, column, neighbours, amplitude=amplitude):
            mean = sum(heights[r % side, c % side] for r, c in neighbours) / 4
            heights[row, column] = mean + (2 * next(numbers) - 1) * amplitude

        for r in grid:
            for c in grid:
                corners = [(r, c), (r, c + step), (r + step, c), (r + step, c + step)]
                fill(r + half, c + half, corners)
        for r in grid:  # the centre above should be at r - half; it is the one a further cell away
            for c in grid:
                around = [(r, c), (r, c + step), (r + half, c + half), (r + half - 2 * step, c + half)]
                fill(r, c + half, around)
        for r in grid:
            for c in grid:
                around = [(r, c), (r + step, c), (r + half, c + half), (r + half, c + half - 2 * step)]
                fill(r + half, c, around)
        step, amplitude = half, amplitude / 2
    return heights


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_equals_diamond_square(levels):
    v = torch.rand(2, 4**levels - 1) - 0.5
    heights = height_map(v, levels)
    for image in range(2):
        assert np.allclose(heights[image], diamond_square(v[image].double().numpy(), 2**levels), atol=1e-4)


def make(x, eps):
    return Fog(x, eps=eps, index=torch.arange(len(x)), seed=0)


def test_fog_is_the_centre_of_a_map_from_0_to_1():
    x = torch.zeros(2, 3, 32, 32)
    attack = make(x, 1e9)  # on black, x' is the fog itself
    v = attack.start()
    assert v.shape == (2, 4095)
    fog = attack.images(v)
    heights = height_map(v, 6)
    for image in range(2):
        scaled = (heights[image] - heights[image].min()) / (heights[image].max() - heights[image].min())
        assert torch.allclose(fog[image], scaled[16:48, 16:48].expand(3, -1, -1), atol=1e-5)


def test_eps_is_mixed_in():
    x = torch.rand(2, 3, 32, 32) * 0.7
    v = make(x, 1).start()
    fog = make(torch.zeros_like(x), 1e9).images(v)
    brightest = x.amax(dim=(2, 3), keepdim=True)
    assert torch.allclose(make(x, 512).images(v), (255 * x + 512 * fog) / (255 * brightest + 512), atol=1e-5)
    assert torch.allclose(make(x, 0).images(v), x / brightest, atol=1e-6)


def test_the_map_of_large_images_has_a_side_of_256():
    assert make(torch.rand(1, 3, 224, 224), 1).start().shape == (1, 65535)
