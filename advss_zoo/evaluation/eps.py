"""Sizes of perturbations, read the way papers write them: 8/255."""

from __future__ import annotations

from advss_zoo.attacks.eps import check_eps, parse_pixels
from advss_zoo.errors import UsageError


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
