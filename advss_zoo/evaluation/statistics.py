"""How far an accuracy measured on n images can be from that of all images."""

from __future__ import annotations

import math

from scipy.special import ndtri


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a proportion (Wilson 1927), as fractions; sound near 0 and 1, where the normal one is not.

    `scipy.stats.binomtest` gives the same, but its import would be a second of every evaluation.

    Raises:
        ValueError: `n` is less than 1, or `successes` is not in 0..n.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"There is no interval of {successes} successes in n = {n}.")
    share, z = successes / n, float(ndtri(0.5 + 0.5 * confidence))
    whole = 2 * (n + z**2)
    centre = (2 * n * share + z**2) / whole
    spread = z / whole * math.sqrt(4 * n * share * (1 - share) + z**2)
    low = 0.0 if successes == 0 else centre - spread
    high = 1.0 if successes == n else centre + spread
    return low, high
