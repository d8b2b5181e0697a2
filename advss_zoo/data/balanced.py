"""Class-balanced, seeded subsets of a data set's training images (Table 7 of Chen et al. 2020 varies their number)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advss_zoo.data.cache import read, write
from advss_zoo.data.catalogue import GeneratedDataset, Subset
from advss_zoo.data.splits import Index, train_validation_split
from advss_zoo.errors import DataError
from advss_zoo.progress import Reporter

PIECE = 8_192  # images in memory at once
SEED = 20  # of the order in which subsets take images


def cut(dataset: Subset, reporter: Reporter) -> None:
    """Write a subset of what the cache holds: first the images that are held out, then those for training.

    Raises:
        DataError: the whole data set is not there, is damaged, or has too few images of a class.
    """
    images, labels = read(dataset.whole, "train")
    chosen = positions(dataset, labels)
    reporter.say(f"{dataset.title}: taking {len(chosen):,} images of {dataset.whole.title}")
    pieces = (images[chosen[begin : begin + PIECE]] for begin in range(0, len(chosen), PIECE))
    write(dataset, {"train_images": pieces, "train_labels": [labels[chosen]]})


def positions(dataset: Subset, labels: NDArray[np.uint8]) -> Index:
    """Choose the images of a subset: positions in the training images of the whole, those held out first.

    Raises:
        DataError: a class has too few images.
    """
    classes, held_out = len(dataset.classes), dataset.held_out or 0
    if isinstance(dataset.whole, GeneratedDataset):
        return balanced_order(labels, classes, held_out + dataset.count)
    training, validation = train_validation_split(len(labels), held_out)
    return np.concatenate([validation, training[balanced_order(labels[training], classes, dataset.count)]])


def balanced_order(labels: NDArray[np.uint8], classes: int, count: int) -> Index:
    """Take `count` positions in a seeded order that has one image of each class in turn.

    A shorter order is the beginning of a longer one. Within a class it is random, because the file of the generated
    images has those of a class sorted by how sure a classifier is of them. RandomState's stream is frozen by numpy.

    Raises:
        DataError: a class has too few images.
    """
    random, each = np.random.RandomState(SEED), -(-count // classes)
    of_class = [random.permutation(np.flatnonzero(labels == label))[:each] for label in range(classes)]
    fewest = min(map(len, of_class))
    if fewest < each:
        raise DataError(f"{each:,} images per class are needed, but one class has {fewest:,}.")
    return np.stack(of_class, axis=1).ravel()[:count]
