"""Wilson's interval: against scipy, and against textbook values."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from advss_zoo.evaluation.statistics import wilson_interval


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (1, 1), (432, 1000), (5156, 10_000)])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_equals_that_of_scipy(successes, n, confidence):
    interval = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson_interval(successes, n, confidence) == (interval.low, interval.high)


def test_known_value():
    # Newcombe 1998, Table I, method 3: 81 of 263.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_more_confidence_is_wider():
    low, high = wilson_interval(50, 100)
    wider = wilson_interval(50, 100, confidence=0.99)
    assert wider[0] < low < 0.5 < high < wider[1]


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 10), (11, 10)])
def test_counts_that_cannot_be_have_no_interval(successes, n):
    with pytest.raises(ValueError, match=f"n = {n}"):
        wilson_interval(successes, n)
