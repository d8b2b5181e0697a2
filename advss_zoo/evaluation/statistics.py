"""How far an accuracy measured on n images can be from that of all images."""

from __future__ import annotations

import math

Z = 1.959963984540054  # of the normal distribution, 95% lies within so many standard deviations


def wilson_interval(share: float, n: float) -> tuple[float, float]:
    """The 95% interval of a proportion (Wilson 1927), as fractions; sound near 0 and 1, where the normal one is not.

    Args:
        n: how many independent trials; of trials that depend on each other, how many they are worth.

    Raises:
        ValueError: `n` is less than 1, or `share` is not in 0..1.
    """
    if n < 1 or not 0 <= share <= 1:
        raise ValueError(f"There is no interval of a share of {share} of n = {n}.")
    z2 = Z**2 / n
    centre, reach = share + z2 / 2, math.sqrt(z2 * (share * (1 - share) + z2 / 4))
    high = (centre + reach) / (1 + z2) if share < 1 else 1.0  # which rounding could miss
    return max(0.0, (centre - reach) / (1 + z2)), min(1.0, high)
