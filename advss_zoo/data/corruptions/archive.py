"""CIFAR-10-C and CIFAR-100-C as they are published: one array of 50,000 images for each corruption."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advss_zoo import resources
from advss_zoo.data.catalogue import CIFAR10, CIFAR100, Cifar
from advss_zoo.data.corruptions import find
from advss_zoo.data.corruptions.base import SEVERITIES
from advss_zoo.data.imageset import ImageSet
from advss_zoo.errors import DataError, UsageError
from advss_zoo.files import cache_folder, check_not_pointer, expanded, explained, read_json

LABELS = "labels"


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A folder NAME.npy, uint8 (5 * count, 32, 32, 3), for each corruption, with labels.npy (5 * count,).

    The first `count` images are those of the test set in its order under severity 1, and so on. `md5` has the sum of
    each file; `url` is what unpacks to the folder `title`.
    """

    title: str
    dataset: Cifar
    url: str
    md5: Mapping[str, str]
    count: int = 10_000

    @property
    def cached(self) -> Path:
        """Where it is looked for first."""
        return cache_folder() / "data" / self.title


MD5: dict[str, dict[str, str]] = read_json(resources.PACKAGE / "data" / "bundled" / "corruptions-md5.json")
CIFAR10_C, CIFAR100_C = (
    Archive(title=title, dataset=dataset, url=f"https://zenodo.org/records/{record}/files/{title}.tar", md5=MD5[title])
    for title, dataset, record in (("CIFAR-10-C", CIFAR10, 2535967), ("CIFAR-100-C", CIFAR100, 3555552))
)

ARCHIVES: Mapping[str, Archive] = MappingProxyType(
    {archive.dataset.name: archive for archive in (CIFAR10_C, CIFAR100_C)}
)


def read(dataset: str, name: str, severity: int) -> ImageSet:
    """Return the published images of one corruption and severity, a read-only view of their file.

    The name of the set is like "cifar10-c official snow 3". A file's md5 is computed once, and again when it changes.

    Args:
        dataset: "cifar10" or "cifar100".

    Raises:
        UsageError: there is no such archive, corruption or severity.
        DataError: a file is missing, or is not the published one.
        AdvssError: a file cannot be read.
    """
    find(name, severity)
    root, archive = locate(dataset), ARCHIVES[dataset]
    shape = (len(SEVERITIES) * archive.count,)
    images = _array(archive, root, name, (*shape, 32, 32, 3))
    labels = _array(archive, root, LABELS, shape)
    rows = slice((severity - 1) * archive.count, severity * archive.count)
    return ImageSet(
        name=f"{dataset}-c official {name} {severity}",
        split="test",
        images=images[rows].transpose(0, 3, 1, 2),
        labels=labels[rows].astype(np.int64),
        index=np.arange(archive.count),
        classes=archive.dataset.classes,
    )


def locate(dataset: str) -> Path:
    """Return the folder that holds the archive of a data set: in data/ of the cache, $ADVSS_DATA or ./data.

    Raises:
        UsageError: there is no such archive.
        DataError: it is not on this machine.
    """
    if dataset not in ARCHIVES:
        raise UsageError(f"Corrupted images of {dataset} are not published.", f"Choose from {', '.join(ARCHIVES)}.")
    archive = ARCHIVES[dataset]
    usual = (str(archive.cached.parent), os.environ.get("ADVSS_DATA"), "data")
    places = [expanded(place) / archive.title for place in usual if place]
    for place in places:
        if place.is_dir():
            return place
    raise DataError(f"{archive.title} is not on this machine: the folder {places[0]} does not exist.", _hint(archive))


def _hint(archive: Archive) -> str:
    return f"Unpack {archive.url} (2.9 GB) in {archive.cached.parent}, or set ADVSS_DATA to the folder that it is in."


def _array(archive: Archive, root: Path, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    path = root / f"{name}.npy"
    if not path.is_file():
        raise DataError(f"{path.name} of {archive.title} is missing in {root}.", _hint(archive))
    check_not_pointer(path)
    stat = path.stat()
    md5 = _md5(path.resolve(), (stat.st_size, stat.st_mtime_ns))
    if md5 != archive.md5[name]:
        raise DataError(
            f"{path} is damaged: its md5 is {md5}, expected {archive.md5[name]}.", f"Unpack {archive.url} again."
        )
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.shape != shape:
        raise DataError(f"{path} holds {array.dtype} {array.shape}, expected {shape}.")
    return array


@cache
def _md5(path: Path, state: tuple[int, int]) -> str:
    """Of a file of 154 MB, once a process and `state`: its size and the time of its last change."""
    with explained("read", path), path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
