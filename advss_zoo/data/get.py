"""Put data sets into the cache, by name."""

from __future__ import annotations

from pathlib import Path

from advss_zoo.data import balanced, cifar, edm, imagenet, subset
from advss_zoo.data.cache import cache_file, intact
from advss_zoo.data.catalogue import SUBSET, Cifar, GeneratedDataset, GroupedImageNet, Subset, find
from advss_zoo.files import explained
from advss_zoo.progress import SILENT, Reporter


def get(name: str, source: Path | None = None, reporter: Reporter = SILENT) -> Path:
    """Put a data set into the cache, unless it is there already and intact, and return its file.

    Args:
        source: what the data set is read from in place of a download; Restricted ImageNet has no other source.

    Raises:
        UsageError: no data set has that name, or it cannot be had without `source`.
        DataError: no source has it; the message says why.
        AdvssError: the cache cannot be written to.
    """
    if name == SUBSET:
        return subset.path()
    dataset = find(name)
    path = cache_file(dataset)
    if intact(dataset):
        return path
    with explained("write to", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    match dataset:
        case Cifar():
            cifar.fetch(dataset, source, reporter)
        case GeneratedDataset():
            edm.fetch(dataset, source, reporter)
        case Subset():
            get(dataset.whole.name, source, reporter)
            balanced.cut(dataset, reporter)
        case GroupedImageNet():
            imagenet.make(dataset, source, reporter)
    return path
