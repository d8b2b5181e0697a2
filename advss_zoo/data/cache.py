"""One safetensors file a data set, written piece by piece and verified when it is read, once for each state of it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from advss_zoo.data import digests
from advss_zoo.data.catalogue import Dataset, digest
from advss_zoo.data.imageset import Split
from advss_zoo.errors import AdvssError, DataError
from advss_zoo.files import cache_folder, explained, tensors_header, write_atomically

HEADER_BYTES = 4096  # room for the header, which can only be written when all else is

Pixels = NDArray[np.uint8]


def cache_file(dataset: Dataset) -> Path:
    return cache_folder() / "data" / f"{dataset.name}.safetensors"


def read(dataset: Dataset, split: Split, names: Sequence[str] = ("images", "labels")) -> list[Pixels]:
    """Return arrays of one split, such as images (N, 3, H, W) and labels (N,), verified by their sha256.

    Where the data set is `mapped`, they are read-only views of the file.

    Raises:
        DataError: the data set has not been fetched, or its file is damaged.
        AdvssError: the file cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    path = cache_file(dataset)
    hint = f"Run `{dataset.command}`."
    with explained("read", path):
        if not path.exists():
            raise DataError(f"{dataset.title} is not on this machine: {path} does not exist.", hint)
    wanted = [f"{split}_{name}" for name in names]
    try:
        with explained("read", path), safe_open(path, framework="numpy") as file:
            expected = dataset.sha256 or file.metadata() or {}
            shapes = {key: file.get_slice(key).get_shape() for key in wanted}
            if dataset.mapped:
                arrays = {key: _mapped(path, key, shape) for key, shape in shapes.items()}
            else:
                arrays = {key: file.get_tensor(key) for key in wanted}
        sums = {key: digests.remembered(path, key, partial(digest, array)) for key, array in arrays.items()}
        compare(sums, {key: expected.get(key, "missing") for key in wanted})
    except SafetensorError as error:
        raise DataError(f"{path} is damaged: {error}.", hint) from error
    except DataError as error:
        raise DataError(f"{path} is damaged: {error.message}.", hint) from error
    return [arrays[key] for key in wanted]


def intact(dataset: Dataset) -> bool:
    """Tell whether the cache holds the data set, with every byte as it was written."""
    digests.forget(cache_file(dataset))
    try:
        for split in dataset.splits:
            read(dataset, split)
    except DataError:
        return False
    return True


def compare(found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Compare the sha256 of arrays with what they are expected to be.

    Raises:
        DataError: one is another.
    """
    for key, sha256 in expected.items():
        if found[key] != sha256:
            raise DataError(f"the sha256 of {key} is {found[key]}, expected {sha256}")


def write(dataset: Dataset, arrays: Mapping[str, Iterable[Pixels]]) -> None:
    """Put a data set into the cache, whole or not at all; each array is given as pieces that follow each other.

    Raises:
        AdvssError: the disk is full or the cache cannot be written to.
    """

    def fill(file: BinaryIO) -> None:
        shapes, sums = {}, {}
        file.seek(HEADER_BYTES)
        for name, pieces in arrays.items():
            content, count = hashlib.sha256(), 0
            for piece in map(np.ascontiguousarray, pieces):
                file.write(piece.data)
                content.update(piece.data)
                count += len(piece)
            shapes[name], sums[name] = (count, *piece.shape[1:]), content.hexdigest()
        file.seek(0)
        file.write(header(dataset, shapes, sums))

    write_atomically(cache_file(dataset), fill)


def header(dataset: Dataset, shapes: Mapping[str, tuple[int, ...]], sha256: Mapping[str, str]) -> bytes:
    """Return the first HEADER_BYTES bytes of a file that then holds uint8 arrays of these shapes, one after the
    other.
    """
    arrays = {name: ("U8", shape) for name, shape in shapes.items()}
    return tensors_header(arrays, {"dataset": dataset.name, **sha256}, HEADER_BYTES)


def check_space(path: Path, needed: int) -> None:
    """Check that there is room for `needed` bytes where `path` is to be written.

    Raises:
        AdvssError: there is not.
    """
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise AdvssError(
            f"{path.parent} has {free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB are needed.",
            "Free some space, or set ADVSS_CACHE to a folder on another disk.",
        )


def _mapped(path: Path, name: str, shape: list[int]) -> Pixels:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        begin = json.loads(file.read(length))[name]["data_offsets"][0]
    return np.memmap(path, np.uint8, "r", offset=8 + length + begin, shape=tuple(shape))
