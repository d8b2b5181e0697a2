"""Wilson's interval: against scipy, and against textbook values."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from advss_zoo.evaluation.statistics import wilson_interval


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (1, 1), (432, 1000), (5156, 10_000)])
def test_equals_that_of_scipy(successes, n):
    interval = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes / n, n) == pytest.approx((interval.low, interval.high), rel=1e-12, abs=0)


def test_known_value():
    # Newcombe 1998, Table I, method 3: 81 of 263.
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize("n", range(1, 200))
def test_nothing_and_everything_are_within_their_interval(n):
    assert wilson_interval(0.0, n)[0] == 0
    assert wilson_interval(1.0, n)[1] == 1


@pytest.mark.parametrize(("share", "n"), [(0.5, 0), (-0.1, 10), (1.1, 10)])
def test_shares_that_cannot_be_have_no_interval(share, n):
    with pytest.raises(ValueError, match=f"n = {n}"):
        wilson_interval(share, n)
