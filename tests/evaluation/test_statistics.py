"""Wilson's interval: against its formula, and against textbook values."""

from __future__ import annotations

import math

import pytest

from advss_zoo.evaluation.statistics import wilson_interval


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (1, 1), (432, 1000), (5156, 10_000)])
def test_equals_the_formula(successes, n):
    z, p = 1.959963984540054, successes / n
    centre, spread = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    expected = [(centre - spread) / (1 + z**2 / n), (centre + spread) / (1 + z**2 / n)]
    assert wilson_interval(successes, n) == pytest.approx(expected, abs=1e-12)


def test_known_value():
    # Newcombe 1998, Table I, method 3: 81 of 263.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_more_confidence_is_wider():
    low, high = wilson_interval(50, 100)
    wider = wilson_interval(50, 100, confidence=0.99)
    assert wider[0] < low < 0.5 < high < wider[1]


def test_nothing_measured_has_no_interval():
    with pytest.raises(ValueError, match="n"):
        wilson_interval(0, 0)
