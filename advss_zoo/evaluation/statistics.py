"""How far an accuracy measured on n images can be from that of all images."""

from __future__ import annotations


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a proportion (Wilson 1927), as fractions; sound near 0 and 1, where the normal one is not.

    Raises:
        ValueError: `n` is less than 1, or `successes` is not in 0..n.
    """
    from scipy.stats import binomtest  # takes longer to import than all else here

    interval = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)
