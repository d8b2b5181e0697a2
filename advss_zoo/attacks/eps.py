"""Sizes in pixel values, written the way people write them: 8/255."""

from __future__ import annotations

import math
from fractions import Fraction


def parse_pixels(value: object) -> float:
    """A finite number from 0.03, "0.03" or "8/255".

    Raises:
        ValueError: it is no number, infinite, or divides by zero.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"{value!r} is not a number such as 8/255 or 0.03")
    try:
        number = float(Fraction(value.replace(" ", "")) if isinstance(value, str) else value)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f"{value!r} is not a number such as 8/255 or 0.03") from None
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number
