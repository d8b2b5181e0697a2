"""Checkpoint names: NAME and NAME.TAG. Never a path."""

from __future__ import annotations

import re
from dataclasses import dataclass

from advss_zoo.errors import UsageError

# For pydantic, which searches: a name in a file must not be a path either.
NAME, TAG = r"^[a-z0-9]+(-[a-z0-9]+)*$", r"^[a-z0-9]+$"
FULL_NAME = r"^[a-z0-9]+(-[a-z0-9]+)*\.[a-z0-9]+$"
_PATTERN = re.compile(rf"(?P<name>{NAME.strip('^$')})(?:\.(?P<tag>{TAG.strip('^$')}))?")
MAX_LENGTH = 100  # of NAME.TAG
LONGEST_NAME = 80


@dataclass(frozen=True)
class Name:
    """`p1f4.mini` taken apart; the tag is None where the default one is meant."""

    name: str
    tag: str | None = None

    def __str__(self) -> str:
        return self.name if self.tag is None else f"{self.name}.{self.tag}"


def is_name(text: str) -> bool:
    return len(text) <= MAX_LENGTH and _PATTERN.fullmatch(text) is not None


def parse(text: str) -> Name:
    """Parse a checkpoint name.

    Raises:
        UsageError: this is not a name; in particular it is a path.
    """
    match = _PATTERN.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        shown = text if len(text) <= MAX_LENGTH else text[:MAX_LENGTH] + "..."
        raise UsageError(
            f"{shown!r} is not a checkpoint name.",
            "Names look like p1f4 or p1f4.mini; paths of files and folders also work.",
        )
    return Name(match["name"], match["tag"])
