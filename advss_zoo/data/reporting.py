"""Where work on a data set says what it is doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int], object]  # images done, images in all


@contextmanager
def _unseen(label: str, unit: str) -> Iterator[Progress]:
    yield lambda done, total: None


@dataclass(frozen=True)
class Reporter:
    """`say` is called with lines; `progress(label, unit)` opens a bar, or whatever shows what is done."""

    say: Callable[[str], None] = lambda line: None
    progress: Callable[[str, str], AbstractContextManager[Progress]] = _unseen
