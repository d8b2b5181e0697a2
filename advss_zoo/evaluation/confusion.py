"""Which class is taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Confusion:
    """Which class was taken for which: images by true and predicted class, of the pairs that there are."""

    classes: tuple[str, ...]
    pairs: dict[tuple[int, int], int]

    @classmethod
    def of(cls, classes: Sequence[str], labels: NDArray[Any], predictions: NDArray[Any]) -> Confusion:
        """Count pairs of labels and predictions (N,), both class numbers."""
        numbers, counts = np.unique(labels.astype(np.int64) * len(classes) + predictions, return_counts=True)
        pairs = (divmod(number, len(classes)) for number in numbers.tolist())
        return cls(tuple(classes), dict(zip(pairs, counts.tolist(), strict=True)))

    @property
    def matrix(self) -> NDArray[np.int64]:
        """All counts, [true, predicted], ints (K, K): for few classes."""
        counts = np.zeros((len(self.classes), len(self.classes)), np.int64)
        for pair, count in self.pairs.items():
            counts[pair] = count
        return counts

    def most(self, count: int) -> list[tuple[str, str, int]]:
        """List the most frequent confusions: true class, predicted class, count."""
        wrong = [(pair, number) for pair, number in self.pairs.items() if pair[0] != pair[1]]
        wrong.sort(key=lambda found: -found[1])  # of equal ones the first classes come first
        return [(self.classes[true], self.classes[taken], number) for (true, taken), number in wrong[:count]]
