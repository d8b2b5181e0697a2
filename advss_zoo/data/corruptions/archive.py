"""CIFAR-10-C and CIFAR-100-C as they are published: one array of 50,000 images for each corruption."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advss_zoo.data.catalogue import CIFAR10, CIFAR100, Cifar
from advss_zoo.data.corruptions import find
from advss_zoo.data.corruptions.base import SEVERITIES
from advss_zoo.data.imageset import ImageSet
from advss_zoo.errors import AdvssError, DataError, UsageError
from advss_zoo.files import cache_folder, explained, read_json, write_json

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
        """Where it is looked for if no folder is given."""
        return cache_folder() / "data" / self.title


CIFAR10_C = Archive(
    title="CIFAR-10-C",
    dataset=CIFAR10,
    url="https://zenodo.org/records/2535967/files/CIFAR-10-C.tar",
    md5=MappingProxyType(
        {
            "brightness": "0a81ef75e0b523c3383219c330a85d48",
            "contrast": "3c8262171c51307f916c30a3308235a8",
            "defocus_blur": "7d1322666342a0702b1957e92f6254bc",
            "elastic_transform": "9421657c6cd452429cf6ce96cc412b5f",
            "fog": "7b397314b5670f825465fbcd1f6e9ccd",
            "frost": "31f6ab3bce1d9934abfb0cc13656f141",
            "gaussian_blur": "c33370155bc9b055fb4a89113d3c559d",
            "gaussian_noise": "ecaf8b9a2399ffeda7680934c33405fd",
            "glass_blur": "7361fb4019269e02dbf6925f083e8629",
            "impulse_noise": "2090e01c83519ec51427e65116af6b1a",
            "jpeg_compression": "2b9cc4c864e0193bb64db8d7728f8187",
            "labels": "c439b113295ed5254878798ffe28fd54",
            "motion_blur": "fffa5f852ff7ad299cfe8a7643f090f4",
            "pixelate": "0f14f7e2db14288304e1de10df16832f",
            "saturate": "1cfae0964219c5102abbb883e538cc56",
            "shot_noise": "3a7239bb118894f013d9bf1984be7f11",
            "snow": "bb238de8555123da9c282dea23bd6e55",
            "spatter": "8a5a3903a7f8f65b59501a6093b4311e",
            "speckle_noise": "ef00b87611792b00df09c0b0237a1e30",
            "zoom_blur": "6ea8e63f1c5cdee1517533840641641b",
        }
    ),
)

CIFAR100_C = Archive(
    title="CIFAR-100-C",
    dataset=CIFAR100,
    url="https://zenodo.org/records/3555552/files/CIFAR-100-C.tar",
    md5=MappingProxyType(
        {
            "brightness": "f22d7195aecd6abb541e27fca230c171",
            "contrast": "322bb385f1d05154ee197ca16535f71e",
            "defocus_blur": "d923e3d9c585a27f0956e2f2ad832564",
            "elastic_transform": "a0792bd6581f6810878be71acedfc65a",
            "fog": "4efc7ebd5e82b028bdbe13048e3ea564",
            "frost": "3a39c6823bdfaa0bf8b12fe7004b8117",
            "gaussian_blur": "5204ba0d557839772ef5a4196a052c3e",
            "gaussian_noise": "ecc4d366eac432bdf25c024086f5e97d",
            "glass_blur": "0bf384f38e5ccbf8dd479d9059b913e1",
            "impulse_noise": "3b3c210ddfa0b5cb918ff4537a429fef",
            "jpeg_compression": "c851b7f1324e1d2ffddeb76920576d11",
            "labels": "bb4026e9ce52996b95f439544568cdb2",
            "motion_blur": "732a7e2e54152ff97c742d4c388c5516",
            "pixelate": "96c00c60f144539e14cffb02ddbd0640",
            "saturate": "c0697e9fdd646916a61e9c312c77bf6b",
            "shot_noise": "b0a1fa6e1e465a747c1b204b1914048a",
            "snow": "0237be164583af146b7b144e73b43465",
            "spatter": "12ccf41d62564d36e1f6a6ada5022728",
            "speckle_noise": "e3f215b1a0f9fd9fd6f0d1cf94a7ce99",
            "zoom_blur": "0204613400c034a81c4830d5df81cb82",
        }
    ),
)

ARCHIVES: Mapping[str, Archive] = MappingProxyType(
    {archive.dataset.name: archive for archive in (CIFAR10_C, CIFAR100_C)}
)


def read(dataset: str, name: str, severity: int, folder: Path | None = None) -> ImageSet:
    """The published images of one corruption and severity, a read-only view of their file.

    The name of the set is like "cifar10-c official snow 3". A file's md5 is computed once and remembered with its size
    and the time of its last change.

    Args:
        dataset: "cifar10" or "cifar100".
        folder: holds NAME.npy and labels.npy, or CIFAR-10-C/ with them; None: see `locate`.

    Raises:
        UsageError: there is no such archive, corruption or severity.
        DataError: a file is missing, or is not the published one.
        AdvssError: a file cannot be read, or the cache not be written to.
    """
    find(name, severity)
    root = locate(dataset, folder)
    archive = ARCHIVES[dataset]
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


def locate(dataset: str, folder: Path | None = None) -> Path:
    """The folder that holds the archive of a data set.

    Args:
        folder: as for `read`; None is the first of data/ in the cache, $ADVSS_DATA and ./data that holds the archive.

    Raises:
        UsageError: there is no such archive.
        DataError: it is not on this machine.
    """
    if dataset not in ARCHIVES:
        raise UsageError(f"Corrupted images of {dataset} are not published.", f"Choose from {', '.join(ARCHIVES)}.")
    archive = ARCHIVES[dataset]
    if folder is None:
        usual = (archive.cached.parent, os.environ.get("ADVSS_DATA"), "data")
        places = [Path(place).expanduser() / archive.title for place in usual if place]
    else:
        places = [folder / archive.title, folder]
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
    md5 = _md5(path)
    if md5 != archive.md5[name]:
        raise DataError(
            f"{path} is damaged: its md5 is {md5}, expected {archive.md5[name]}.", f"Unpack {archive.url} again."
        )
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.shape != shape:
        raise DataError(f"{path} holds {array.dtype} {array.shape}, expected {shape}.")
    return array


def _md5(path: Path) -> str:
    """Of a file of 154 MB, so the sum is kept until the file's size or time of change is another."""
    notes = cache_folder() / "data" / "archives.json"
    with explained("read", path):
        stat = path.stat()
    state, key = [stat.st_size, stat.st_mtime_ns], str(path.resolve())
    known = _known(notes)
    if key in known and known[key]["state"] == state:
        return str(known[key]["md5"])
    with explained("read", path), path.open("rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    write_json(notes, {**_known(notes), key: {"state": state, "md5": md5}})
    return md5


def _known(notes: Path) -> dict[str, Any]:
    """What was found before; nothing where the notes are missing or damaged, for they can be made again."""
    try:
        known = read_json(notes)
    except AdvssError:
        return {}
    return known if isinstance(known, dict) else {}
