"""Data sets by name."""

from __future__ import annotations

import numpy as np

from advss_zoo.data.catalogue import SUBSET, find, names
from advss_zoo.data.cifar import read_cache
from advss_zoo.data.imageset import ImageSet, Split
from advss_zoo.data.subset import load_subset
from advss_zoo.errors import UsageError

__all__ = ["load", "names"]


def load(name: str, split: Split) -> ImageSet:
    """One split of cifar10 or cifar100, or of the cifar10-1k that ships in the package (test images only).

    Raises:
        UsageError: no data set has that name, or it has no such split.
        DataError: it has not been fetched yet, or its file is damaged.
    """
    dataset = None if name == SUBSET else find(name)
    splits = ("train", "test") if dataset else ("test",)
    if split not in splits:
        raise UsageError(f"{name} has no {split!r} split.", f"It has: {', '.join(splits)}.")
    if dataset is None:
        return load_subset()
    images, labels = read_cache(dataset, split)
    return ImageSet(name, split, images, labels.astype(np.int64), np.arange(len(labels)), dataset.classes)
