"""Texts and numbers as people read them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from advss_zoo.errors import UsageError

# Characters without a picture: control codes, halves of surrogate pairs, and those that turn the direction of text.
INVISIBLE = ("Cc", "Cs", "Cf", "Co")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
BUSY = 1.25  # times as long as on a free machine
UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}


def visible(text: str, keep: str = "") -> str:
    """Return the text of a stranger with a replacement for whatever has no picture of its own, but for what is in
    `keep`.
    """
    return "".join(c if c in keep or unicodedata.category(c) not in INVISIBLE else REPLACEMENT for c in text)


def listed(names: Sequence[str], most: int) -> str:
    """List words as "a, b and 3 more"."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def counted(count: int, thing: str = "image") -> str:
    """Write "1 image", "2,000 images"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def percent(fraction: float | None, nothing: str = "") -> str:
    return nothing if fraction is None else f"{100 * fraction:.2f}"


def format_eps(eps: float) -> str:
    """Write a size in pixel values as "8/255" where it is exactly that, else with all digits."""
    levels = round(eps * 255)
    return f"{levels}/255" if 0 < levels < 255 and levels / 255 == eps else repr(eps)


def duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def expected(seconds: float, seconds_now: float) -> str:
    """Return how long something will take on a free machine, and at its present load if that makes much of a
    difference.
    """
    busy = f"; at the present load about {duration(seconds_now)}" if seconds_now > BUSY * seconds else ""
    return f"about {duration(seconds)} on a free machine{busy}"


def parse_duration(value: str | float) -> float:
    """Read 90, "90s", "10m" or "1.5h" as seconds.

    Raises:
        UsageError: it is not a positive time.
    """
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(s|m|min|h)?", str(value).strip())
    if match is None or not float(match[1]):
        raise UsageError(f"{value!r} is not a positive time.", "Write for example 90s, 10m or 1.5h.")
    return float(match[1]) * UNITS[match[2] or ""]
