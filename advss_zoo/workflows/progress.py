"""How a workflow tells how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from advss_zoo.data.reporting import Reporter

# What is worked on, the unit it is counted in, units done, units in all, and a note, which may be empty.
Progress: TypeAlias = Callable[[str, str, int, int, str], None]
# One line of text at a time.
Say: TypeAlias = Callable[[str], None]


def ignore(*_: object) -> None:
    """Stand in for a callback that was not given."""


def reporter(progress: Progress, say: Say) -> Reporter:
    """Make the two callbacks into what work on a data set reports to."""

    @contextmanager
    def opened(label: str, unit: str) -> Iterator[Callable[[int, int], object]]:
        yield lambda done, total: progress(label, unit, done, total, "")

    return Reporter(say, opened)
