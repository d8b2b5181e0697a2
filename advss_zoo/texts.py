"""Texts and numbers as people read them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

# Characters without a picture: control codes, halves of surrogate pairs, and those that turn the direction of text.
INVISIBLE = ("Cc", "Cs", "Cf", "Co")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def visible(text: str, keep: str = "") -> str:
    """The text of a stranger with a replacement for whatever has no picture of its own, but for what is in `keep`."""
    return "".join(c if c in keep or unicodedata.category(c) not in INVISIBLE else REPLACEMENT for c in text)


def listed(names: Sequence[str], most: int) -> str:
    """ "a, b and 3 more"."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def percent(fraction: float | None, nothing: str = "") -> str:
    return nothing if fraction is None else f"{100 * fraction:.2f}"
