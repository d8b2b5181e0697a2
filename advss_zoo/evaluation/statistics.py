"""How far an accuracy measured on n images can be from that of all images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Z = 1.959963984540054  # of the normal distribution, 95% lies within so many standard deviations


def wilson_interval(share: float, n: float) -> tuple[float, float]:
    """Return the 95% interval of a proportion (Wilson 1927), as fractions; sound near 0 and 1, where the normal one
    is not.

    Args:
        n: how many independent trials; of trials that depend on each other, how many they are worth.

    Raises:
        ValueError: `n` is less than 1, or `share` is not in 0..1.
    """
    if n < 1 or not 0 <= share <= 1:
        raise ValueError(f"share must be in [0, 1] and n at least 1, got {share} and {n}.")
    z2 = Z**2 / n
    centre, reach = share + z2 / 2, math.sqrt(z2 * (share * (1 - share) + z2 / 4))
    high = (centre + reach) / (1 + z2) if share < 1 else 1.0  # which rounding could miss
    return max(0.0, (centre - reach) / (1 + z2)), min(1.0, high)


def most_hits(hits: int, sample: int, population: int) -> int:
    """Return how many hits there can be in a population, with 95% confidence, that was sampled without replacement.

    The exact one-sided bound (hypergeometric): the largest number under which a sample has so few hits with a
    probability above 5%. Without any it is at most 3/sample of the population, the bound of the binomial distribution.

    Args:
        hits: in the sample, at most `sample`, which is at most `population`.
    """
    from scipy.special import gammaln, logsumexp

    def log_choose(n: Any, k: Any) -> Any:
        return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)

    def is_plausible(total: int) -> bool:
        few = np.arange(max(0, sample - (population - total)), hits + 1)
        ways = logsumexp(log_choose(total, few) + log_choose(population - total, sample - few))
        return bool(ways - log_choose(population, sample) > math.log(0.05))

    low, high = hits, population - sample + hits
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if is_plausible(middle) else (low, middle - 1)
    return low


def settled_by(share: float, is_settled: Callable[[Estimate], bool], most: int = 10**7) -> int | None:
    """Return about how many images settle a question if their share stays the same; None: more than `most`."""
    few, many = 0, 1
    while not is_settled(Estimate.of(share, many)):
        few, many = many, 2 * many
        if many > most:
            return None
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if is_settled(Estimate.of(share, middle)) else (middle, many)
    return many


@dataclass(frozen=True)
class Estimate:
    """A fraction, or a difference of two, with its 95% interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, share: float, n: float) -> Self:
        """Estimate a share of n images."""
        return cls(share, *wilson_interval(share, n))

    def exceeds(self, threshold: float = 0.0) -> bool | None:
        """Compare with a threshold; None if the interval contains it."""
        if self.low > threshold:
            return True
        return False if self.high < threshold else None

    def minus(self, other: Estimate, correlation: float = 0.0) -> Estimate:
        """Estimate the difference (Newcombe 1998, method 10 of independent and of paired proportions).

        Args:
            correlation: between what the two were measured on; 0 where that was apart.
        """

        def reach(down: float, up: float) -> float:
            return math.sqrt((down - up) ** 2 + 2 * (1 - correlation) * down * up)

        value = self.value - other.value
        return Estimate(
            value,
            value - reach(self.value - self.low, other.high - other.value),
            value + reach(self.high - self.value, other.value - other.low),
        )


def paired_difference(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> Estimate:
    """Estimate by how much the share of true values in `one` exceeds that in `other`, (n,), of the same images."""
    first, second = (Estimate.of(float(each.mean()), len(each)) for each in (one, other))
    return first.minus(second, correlation(one.astype(float), other.astype(float)))


def correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Correlate what became of each of the same images, (n,); 0 where one of them is constant.

    A positive one is a little less than Pearson's, lest an interval made with it be too narrow (Newcombe).
    """
    spread = one.std() * other.std()
    common = (one * other).mean() - one.mean() * other.mean()
    return float(max(common - 0.5 / len(one), min(common, 0.0)) / spread) if spread else 0.0
