"""Data sets by name, and folders of one's own by path."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from advss_zoo.data import cache
from advss_zoo.data.catalogue import SUBSET, find, names
from advss_zoo.data.folder import listing
from advss_zoo.data.folder.division import SHARES
from advss_zoo.data.folder.listing import PLAIN, FolderOptions
from advss_zoo.data.folder.parts import Part
from advss_zoo.data.folder.prepared import prepare
from advss_zoo.data.imageset import ImageSet, Split
from advss_zoo.data.subset import load_subset
from advss_zoo.errors import UsageError
from advss_zoo.progress import SILENT, Reporter
from advss_zoo.texts import listed

__all__ = ["count_for_training", "in_order", "is_own", "load_data", "names"]

IMAGENET_CLASSES = 1_000
WORDNET_ID = re.compile(r"n\d{8}")


def load_data(
    name: str | Path,
    split: Split = "test",
    *,
    limit: int | None = None,
    image_size: int = 32,
    whole: bool = False,
    parts: Mapping[str, Part] | None = None,
    group_by: str | None = None,
    truncated: bool = False,
    reporter: Reporter = SILENT,
) -> ImageSet:
    """Load images with labels: `images, labels = load_data("cifar10-1k", limit=64)`.

    A data set that was fetched (`advss data get`), the cifar10-1k that ships in the package, or a folder or table of
    images, which is decoded on first use. Large data sets and folders are a read-only view of a file.

    Args:
        name: a data set, or the path of a folder or table (see `data.folder`).
        limit: the first images only.
        image_size: pixels a side that images of a folder are brought to.
        whole: all images of a folder, whatever is held back for training in it.
        parts: which of its folders, or entries of its column, are "train", "val" and "test", by name, where their names
            do not say it: {"batch_7": "test"}.
        group_by: a column of the table, or a regular expression on paths, that tells which images belong together, as
            those of one patient: they lie on one side.
        truncated: use what there is of JPEGs in it that were cut off.

    Raises:
        UsageError: no data set has that name, or it has no such split.
        DataError: it has not been fetched yet, its file is damaged, or the folder holds no images of that split.
    """
    name, options = str(name), FolderOptions(parts or {}, group_by, truncated)
    if is_own(name):
        images = prepare(Path(name), image_size, options, whole=whole, reporter=reporter).load(split)
    elif options != PLAIN:
        raise UsageError(f"parts, group_by and truncated need a folder or table of images, got {name}.")
    else:
        images = _by_name(name, split)
    return images if limit is None else images.first(limit)


def _by_name(name: str, split: Split) -> ImageSet:
    dataset = None if name == SUBSET else find(name)
    splits = dataset.splits if dataset else ("test",)
    if split not in splits:
        raise UsageError(f"{name} has no {split!r} split.", f"Choose from {', '.join(splits)}.")
    if dataset is None:
        return load_subset()
    images, labels = cache.read(dataset, split)
    return ImageSet(name, split, images, labels.astype(np.int64), np.arange(len(labels)), dataset.classes)


def count_for_training(name: str, options: FolderOptions = PLAIN) -> int:
    """Count the images that training on a data set uses, without reading it; of a folder, about.

    Raises:
        UsageError: no data set has that name.
    """
    if is_own(name):
        return listing.count_for_training(Path(name), 1 - sum(SHARES.values()), options)
    return find(name).count_for_training


def is_own(name: str) -> bool:
    """Tell whether this is a path, not the name of a data set. Names come first: `./cifar10` is a folder."""
    return name not in names() and (os.sep in name or (name != "" and Path(name).exists()))


def in_order(images: ImageSet, classes: tuple[str, ...]) -> ImageSet:
    """Return the same images with labels that count the given classes, matched by name.

    Folders that are called after none of them are taken by their number, or of ImageNet by their WordNet id.

    Raises:
        UsageError: an image is of none of these classes.
    """
    if images.classes == classes:
        return images
    used = {images.classes[label] for label in np.unique(images.labels)}
    names = images.classes if used <= set(classes) else _renamed(images.classes, classes)
    if strangers := sorted({names[label] for label in np.unique(images.labels)} - set(classes)):
        raise UsageError(
            f"The model has no classes {listed(strangers, 10)}, which are in {images.name}.",
            f"Its classes: {listed(classes, 10)}. Name its outputs otherwise (--classes FILE), rename the folders, or "
            "fine-tune: `advss finetune --data DIR`.",
        )
    numbers = np.array([classes.index(name) if name in classes else -1 for name in names])
    present = len(set(names).intersection(classes))
    partial = present if present < len(classes) else None
    return replace(images, labels=numbers[images.labels], classes=classes, present=partial)


def _renamed(folders: tuple[str, ...], classes: tuple[str, ...]) -> tuple[str, ...]:
    """What folders stand for that are called by number or WordNet id, which sort as ImageNet's classes do."""
    if len(classes) == IMAGENET_CLASSES and all(WORDNET_ID.fullmatch(folder) for folder in folders):
        with suppress(ModuleNotFoundError):
            wordnet_ids = importlib.import_module("timm.data").ImageNetInfo("imagenet-1k").label_names()
            known = dict(zip(wordnet_ids, classes, strict=True))
            return tuple(known.get(folder, folder) for folder in folders)
        if len(folders) == len(classes):
            return tuple(classes[sorted(folders).index(folder)] for folder in folders)
    if all(folder.isdecimal() and int(folder) < len(classes) for folder in folders):
        return tuple(classes[int(folder)] for folder in folders)
    return folders
