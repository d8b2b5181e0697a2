"""Numbers belong to (seed, image, position): they look random, and nothing else changes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from advss_zoo.noise import per_image_normal, per_image_uniform

SHAPE = (3, 8, 8)
FROZEN = ["0.0034846", "0.4880758", "0.0788476", "0.3683179", "0.1064850", "0.9697247"]


@given(
    index=st.lists(st.integers(0, 2**40), min_size=1, max_size=6),
    seed=st.integers(0, 2**62),
    position=st.integers(0, 5),
)
def test_a_row_depends_on_its_image_alone(index, seed, position):
    position %= len(index)
    together = per_image_uniform((len(index), *SHAPE), torch.tensor(index), seed)
    alone = per_image_uniform((1, *SHAPE), torch.tensor([index[position]]), seed)
    assert torch.equal(together[position : position + 1], alone)
    assert (together >= 0).all()
    assert (together < 1).all()


def test_images_seeds_and_positions_are_independent():
    draws = per_image_uniform((64, 4096), torch.arange(64), 7).numpy()
    other_seed = per_image_uniform((64, 4096), torch.arange(64), 8).numpy()
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 1e-3
    limit = 5 / np.sqrt(draws.size)
    for a, b in ((draws, other_seed), (draws[:-1], draws[1:]), (draws[:, :-1], draws[:, 1:])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < limit


def test_numbers_are_the_same_for_ever():
    drawn = per_image_uniform((2, 3), torch.tensor([0, 9999]), 20)
    assert [f"{value:.7f}" for value in drawn.flatten().tolist()] == FROZEN


@pytest.mark.parametrize("seed", [0, 20])
def test_normal_numbers(seed):
    draws = per_image_normal((16, 4096), torch.arange(16), seed)
    assert torch.isfinite(draws).all()
    assert stats.kstest(draws.numpy().ravel(), "norm").pvalue > 1e-3
