"""The one split of the training images that every stage shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advss_zoo.data import catalogue
from advss_zoo.data.imageset import ImageSet
from advss_zoo.errors import UsageError

Index = NDArray[np.int64]

SEED = 20  # one split for every stage and every recipe


def train_and_validation(images: ImageSet) -> tuple[Index, Index]:
    """Return (train, validation) positions in the training images of a data set.

    Where a data set has images of its own that are held out, they are the first; all others have one seeded split.
    """
    held_out = images.held_out
    if held_out is None and images.name in catalogue.DATASETS:
        held_out = catalogue.DATASETS[images.name].held_out
    if held_out is None:
        return train_validation_split(len(images))
    validation, train = np.split(np.arange(len(images)), [held_out])
    return train, validation


def train_validation_split(
    count: int = 50_000, validation: int = catalogue.VALIDATION, seed: int = SEED
) -> tuple[Index, Index]:
    """Split `count` positions into (train, validation), in the order of one seeded permutation.

    RandomState's stream is frozen by numpy, so the split stays the same from version to version.

    Raises:
        UsageError: `validation` does not lie between 0 and `count`.
    """
    if not 0 <= validation <= count:
        raise UsageError(f"Cannot keep {validation:,} of {count:,} images for validation.")
    order = np.random.RandomState(seed).permutation(count).astype(np.int64)
    return order[validation:], order[:validation]
