"""Data sets by name."""

from __future__ import annotations

import numpy as np

from advss_zoo.data import cache
from advss_zoo.data.catalogue import SUBSET, find, names
from advss_zoo.data.imageset import ImageSet, Split
from advss_zoo.data.subset import load_subset
from advss_zoo.errors import UsageError

__all__ = ["load", "names"]


def load(name: str, split: Split) -> ImageSet:
    """One split of a data set that was fetched, or of the cifar10-1k that ships in the package (test images only).

    Images of data sets too large for memory are a read-only view of the file.

    Raises:
        UsageError: no data set has that name, or it has no such split.
        DataError: it has not been fetched yet, or its file is damaged.
    """
    dataset = None if name == SUBSET else find(name)
    splits = dataset.splits if dataset else ("test",)
    if split not in splits:
        raise UsageError(f"{name} has no {split!r} split.", f"It has: {', '.join(splits)}.")
    if dataset is None:
        return load_subset()
    images, labels = cache.read(dataset, split)
    return ImageSet(name, split, images, labels.astype(np.int64), np.arange(len(labels)), dataset.classes)
