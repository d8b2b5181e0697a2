"""Intervals of proportions and of their differences: against scipy, simulation and textbook values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.stats import binomtest

from advss_zoo.evaluation.statistics import Estimate, correlation, most_hits, wilson_interval


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
    with pytest.raises(ValueError, match=f"got {share} and {n}"):
        wilson_interval(share, n)


@pytest.mark.parametrize(("threshold", "verdict"), [(0.1, True), (0.2, None), (0.3, None), (0.4, False)])
def test_only_what_lies_outside_the_interval_is_exceeded_or_not(threshold, verdict):
    assert Estimate(0.25, 0.2, 0.3).exceeds(threshold) is verdict


def test_known_difference_of_independent_proportions():
    # Newcombe 1998, Table II, method 10: 56 of 70 less 48 of 80.
    found = Estimate.of(56 / 70, 70).minus(Estimate.of(48 / 80, 80))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_an_interval_of_a_difference_holds_it_as_often_as_it_says():
    """Two models that get 0.43 and 0.41 of all images right, and most of them the same."""
    random, n, times = np.random.default_rng(0), 1000, 1000
    both, only_one, only_other = 0.35, 0.08, 0.06
    covered = 0
    for draws in random.random((times, n)):
        one = (draws < both) | ((draws >= both) & (draws < both + only_one))
        other = (draws < both) | ((draws >= both + only_one) & (draws < both + only_one + only_other))
        paired = Estimate.of(one.mean(), n).minus(Estimate.of(other.mean(), n), correlation(one, other))
        covered += paired.low <= only_one - only_other <= paired.high
    assert 0.935 <= covered / times <= 0.97


def test_correlation():
    one, other = np.array([1, 1, 1, 0, 0, 0]), np.array([1, 1, 0, 0, 0, 1])
    assert correlation(one, other) == pytest.approx(0, abs=1e-12), "1/3, but for the correction"
    assert correlation(one, 1 - other) == pytest.approx(-1 / 3)
    assert correlation(np.tile(one, 1000), np.tile(other, 1000)) == pytest.approx(1 / 3, abs=1e-3)
    assert correlation(one, np.ones(6)) == 0


@pytest.mark.parametrize(("hits", "sample", "population"), [(0, 10, 50), (2, 10, 50), (10, 10, 50), (1, 40, 300)])
def test_most_hits_is_the_exact_bound_of_a_sample_without_replacement(hits, sample, population):
    plausible = [
        total
        for total in range(hits, population - sample + hits + 1)
        if stats.hypergeom.cdf(hits, population, total, sample) > 0.05
    ]
    assert most_hits(hits, sample, population) == max(plausible)


def test_most_hits_of_a_whole_population_and_of_nothing():
    assert most_hits(3, 20, 20) == 3
    assert most_hits(0, 0, 20) == 20
    assert most_hits(0, 0, 0) == 0


@pytest.mark.parametrize("total", [0, 1, 5, 20, 60])
def test_most_hits_covers_the_truth_in_95_percent_of_samples(total):
    chance = stats.hypergeom.pmf(np.arange(21), 60, total, 20)
    covered = sum(chance[hits] for hits in range(21) if chance[hits] > 0 and most_hits(hits, 20, 60) >= total)
    assert covered >= 0.95


def test_without_a_hit_the_bound_is_the_rule_of_three():
    assert 0.9 * 3 / 50 < most_hits(0, 50, 10_000) / 10_000 <= 3 / 50
