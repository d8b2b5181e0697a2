"""The ten unforeseen attacks of Kang et al. 2019 (arXiv 1908.08016), by name. A new one is one new file here.

The strengths that go with them, eps1 to eps6, are in `calibration`. What differs from the published code is said in
each attack's docstring, by one rule: what determines which images an attack can make is kept, slips included, because
the strengths were calibrated with it; what only misleads the search for them, or mixes the images of a batch, is not.
"""

from __future__ import annotations

import sys

from advss_zoo.attacks.kang2019.base import Unforeseen
from advss_zoo.errors import UsageError, nearest
from advss_zoo.registry import subclasses

__all__ = ["Unforeseen", "attacks", "find"]


def attacks() -> dict[str, type[Unforeseen]]:
    """Return all attacks by name."""
    found = subclasses(sys.modules[__name__], Unforeseen)  # type: ignore[type-abstract]
    return {attack.name: attack for attack in found}


def find(name: str) -> type[Unforeseen]:
    """Return the attack called `name`, for example "jpeg-linf" or "fog".

    Raises:
        UsageError: there is none.
    """
    known = attacks()
    if name not in known:
        raise UsageError(
            f"Unknown unforeseen attack {name!r}{nearest(name, known)}.", f"Choose from {', '.join(known)}."
        )
    return known[name]
