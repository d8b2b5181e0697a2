"""How work is cut."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from advss_zoo.evaluation.passes import MOST_PIXELS, images_per_pass, padded


@pytest.mark.parametrize(("side", "images"), [(4, 64), (28, 64), (32, 64), (33, 56), (64, 16), (96, 8), (224, 8)])
def test_larger_images_come_in_fewer(side, images):
    assert images_per_pass(side, side) == images


@given(st.integers(1, 600), st.integers(1, 600))
def test_passes_are_whole_multiples_of_eight_and_bounded(height, width):
    images = images_per_pass(height, width)
    assert images % 8 == 0
    assert 8 <= images <= 64
    assert images == 8 or images * height * width <= MOST_PIXELS


@given(st.lists(st.integers(0, 99), min_size=1, max_size=70))
def test_padding_repeats_rows_up_to_the_next_multiple_of_eight(rows):
    result = padded(torch.tensor(rows)).tolist()
    assert result[: len(rows)] == rows
    assert len(result) % 8 == 0
    assert len(rows) <= len(result) < len(rows) + 8
    assert set(result) == set(rows)
