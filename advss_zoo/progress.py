"""How work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

# What is worked on, the unit it is counted in, units done, units in all, and a note, which may be empty.
Progress: TypeAlias = Callable[[str, str, int, int, str], None]
# One line of text at a time.
Say: TypeAlias = Callable[[str], None]


def ignore(*_: object) -> None:
    """Stand in for a callback that was not given."""


@dataclass(frozen=True)
class Reporter:
    """Both, for what passes them on."""

    say: Say = ignore
    progress: Progress = ignore


SILENT = Reporter()
