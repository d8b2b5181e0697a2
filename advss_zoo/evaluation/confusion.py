"""Which class is taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Confusion:
    """Which class was taken for which: `counts[true, predicted]`, ints (K, K)."""

    classes: tuple[str, ...]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, classes: Sequence[str], labels: NDArray[Any], predictions: NDArray[Any]) -> Confusion:
        """Count pairs of labels and predictions (N,), both class numbers."""
        size = len(classes)
        counts = np.bincount(labels.astype(np.int64) * size + predictions, minlength=size * size)
        return cls(tuple(classes), counts.reshape(size, size))

    def most(self, count: int) -> list[tuple[str, str, int]]:
        """List the most frequent confusions: true class, predicted class, count."""
        wrong = self.counts.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:count]
        pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
        return [
            (self.classes[true], self.classes[taken], int(wrong[true, taken]))
            for true, taken in pairs
            if wrong[true, taken]
        ]
