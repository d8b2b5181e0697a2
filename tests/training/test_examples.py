"""Images of a run are bytes, and smaller ones are means over areas."""

from __future__ import annotations

import pytest
import torch

from advss_zoo.training.examples import resized


def images(side=32):
    return torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_half_the_side_is_the_mean_of_two_by_two_pixels():
    found = resized(images(), 16)
    expected = images().double().unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(4, 5))
    assert found.dtype == torch.uint8
    assert (found.double() - expected).abs().max() <= 0.5


@pytest.mark.parametrize("side", [16, 20, 24, 31, 32])
def test_an_image_of_one_colour_keeps_it(side):
    assert torch.equal(
        resized(torch.full((1, 3, 32, 32), 255, dtype=torch.uint8), side),
        torch.full((1, 3, side, side), 255, dtype=torch.uint8),
    )


def test_at_full_size_nothing_changes():
    assert torch.equal(resized(images(), 32), images())
