"""Sizes in pixel values, written the way people write them: 8/255."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from numbers import Real

from advss_zoo.errors import UsageError

# No more digits than a person would type: Fraction("1e999999999") would fill the memory.
_NUMBER = r"(?:[0-9]{1,20}\.?[0-9]{0,20}|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,2})?"
_SIZE = re.compile(rf"\s*({_NUMBER})\s*(?:/\s*({_NUMBER})\s*)?")


def parse_pixels(value: object) -> float:
    """Parse a number such as 0.03, "0.03", "3e-2" or "8/255".

    Raises:
        ValueError: it is no number without a sign, or divides by zero.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    divisor = Fraction(match[2] or 1) if match else Fraction(0)
    if match is None or not divisor:
        raise ValueError(f"{value!r} is not a number such as 8/255 or 0.03")
    return float(Fraction(match[1]) / divisor)


def parse_eps(value: str | float, norm: str = "linf", name: str = "eps") -> float:
    """Read a size in pixel values in [0,1] from "8/255", "0.03", "3e-2" or a number.

    Raises:
        UsageError: it is not a positive number, or larger than a norm of "linf" allows.
    """
    try:
        size = parse_pixels(value)
    except ValueError:
        raise UsageError(f"{value!r} is not a positive size.", "Write a number such as 8/255 or 0.03.") from None
    return check_eps(size, norm, name)


def check_eps(eps: float, norm: str | None, name: str = "eps") -> float:
    """Check a perturbation size and return it.

    Args:
        norm: None: an attack's own unit.
        name: what the message calls it.

    Raises:
        UsageError: it is not a number, not positive and finite, or larger than 1 in the norm "linf".
    """
    if not isinstance(eps, Real):
        raise UsageError(f"{name} must be a number, got {eps!r}.", "Choose one such as 8 / 255 or 0.03.")
    eps = float(eps)
    if not (math.isfinite(eps) and eps > 0):
        raise UsageError(f"{name} must be positive and finite, got {eps:g}.", "Choose a number such as 8/255 or 0.03.")
    if norm == "linf" and eps > 1:
        hint = f"Did you mean {eps:g}/255?" if eps < 255 else "Choose a number such as 8/255 or 0.03."
        raise UsageError(f"{name} must be at most 1 in linf, as pixel values go from 0 to 1, got {eps:g}.", hint)
    return eps
