"""Restricted ImageNet: 203 classes of ImageNet (ILSVRC-2012) as 9, from an ImageNet folder that a person has.

The grouping is the public one of Tsipras et al. 2019 and Santurkar et al. 2019. Chen et al. 2020 speak of 10
superclasses of 190 classes; their list is in no source that could be found, and this is not it.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from advss_zoo.data.cache import HEADER_BYTES, Pixels, cache_file, header
from advss_zoo.data.catalogue import GroupedImageNet, digest
from advss_zoo.data.folder.decoding import FORMATS, MOST_PIXELS, Facts
from advss_zoo.data.folder.listing import ListedImage, Listing
from advss_zoo.data.folder.scan import forget, scan
from advss_zoo.data.imageset import Split
from advss_zoo.errors import DataError, UsageError
from advss_zoo.files import check_not_pointer, explained, read_json
from advss_zoo.progress import Reporter

RESIZED, SIDE = 256, 224  # pixels: the shorter side as it is resized, and both sides of what is cut from the middle
SHAPE = (3, SIDE, SIDE)
BYTES = math.prod(SHAPE)
FOLDERS: Mapping[Split, str] = {"train": "train", "test": "val"}
SUFFIXES = (".jpeg", ".jpg", ".png")
SEED = 20  # of the order of the images


def groups() -> dict[str, list[str]]:
    """Return the WordNet ids of each superclass. They are ranges of all 1,000 ids as they sort: dogs are 151 to 268."""
    wordnet_ids: dict[str, list[str]] = read_json(Path(__file__).parent / "bundled" / "restricted-imagenet.json")
    return wordnet_ids


def make(dataset: GroupedImageNet, source: Path | None, reporter: Reporter) -> None:
    """Decode the images below train/ID/ and val/ID/ of the folder `source`, and write those that can be decoded.

    They are 39 GB and are written once, where they stay: work that was stopped goes on where it was.

    Raises:
        UsageError: no folder was given.
        DataError: the folder lacks classes, or no image in it can be decoded.
        AdvssError: the disk is full or the cache cannot be written to.
    """
    if source is None:
        raise UsageError(
            f"{dataset.title} is made from a local ImageNet folder.",
            f"Run `{dataset.command}` with the folder that holds train/ and val/.",
        )
    entries = [entry for split, folder in FOLDERS.items() for entry in _entries(dataset, source, split, folder)]
    partial = cache_file(dataset).with_suffix(".partial")
    listing = Listing(source, source, entries)
    found = scan(listing, SIDE, partial, reporter, _pixels, begin=HEADER_BYTES, copies=1)
    for path, reason in found.broken.items():
        reporter.say(f"{dataset.title}: left out {path}: {reason}")
    labels = {
        split: np.array([dataset.classes.index(e.label) for e, *_ in found.seen if e.part == split], dtype=np.uint8)
        for split in FOLDERS
    }
    if not all(map(len, labels.values())):
        forget(partial)  # so that mended files are looked at again
        raise DataError(f"No image below {source} can be decoded.")
    reporter.say(f"{dataset.title}: computing its sha256")
    _complete(dataset, partial, labels)
    forget(partial)


def cropped(image: Image.Image) -> Pixels:
    """Return the middle of an image, (3, 224, 224), after its shorter side was resized to 256 (bilinear,
    antialiased).
    """
    shorter = min(image.size)
    width, height = (int(RESIZED * side / shorter) for side in image.size)
    left, top = round((width - SIDE) / 2), round((height - SIDE) / 2)
    resized = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(resized.crop((left, top, left + SIDE, top + SIDE))).transpose(2, 0, 1))


def _entries(dataset: GroupedImageNet, source: Path, split: Split, folder: str) -> list[ListedImage]:
    """All images of a split in a seeded order, so that the first of them are of all classes."""
    label_of = {f"{folder}/{wordnet_id}": name for name, ids in groups().items() for wordnet_id in ids}
    missing = [place for place in label_of if not (source / place).is_dir()]
    if missing:
        raise DataError(
            f"{len(missing)} of the {len(label_of)} class folders needed in {source / folder} are missing, "
            f"such as {missing[0]}.",
            "Give --from the folder that holds train/ and val/, each with a folder for every WordNet id.",
        )
    entries = []
    for place, label in label_of.items():
        with explained("read", source / place):
            names = sorted(path.name for path in (source / place).iterdir() if path.suffix.lower() in SUFFIXES)
        if not names:
            raise DataError(f"{source / place} contains no images.")
        entries += [ListedImage(f"{place}/{name}", label, split) for name in names]
    return [entries[position] for position in np.random.RandomState(SEED).permutation(len(entries))]


def _pixels(path: Path, side: int) -> tuple[Pixels, Facts] | str:
    """The pixels of an image, or why it cannot be decoded; what cannot be read at all ends the work."""
    with explained("read", path):
        content = path.read_bytes()
    check_not_pointer(path, content)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                return f"more than {MOST_PIXELS:,} pixels"
            return cropped(image), Facts(b"", b"", *image.size, image.mode)
    except UnidentifiedImageError:
        return "not an image"
    except Exception as error:  # what damaged bytes make Pillow raise has no common base
        return str(error)


def _complete(dataset: GroupedImageNet, partial: Path, labels: Mapping[Split, Pixels]) -> None:
    """Put labels and header to the images, and the file in its place."""
    shapes = {f"{split}_images": (len(labels[split]), *SHAPE) for split in labels}
    shapes |= {f"{split}_labels": labels[split].shape for split in labels}
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    with explained("write", partial), partial.open("r+b") as file:
        file.seek(HEADER_BYTES + BYTES * sum(map(len, labels.values())))
        file.truncate()
        for array in labels.values():
            file.write(array.data)
        file.flush()
        content = np.memmap(partial, np.uint8, "r", HEADER_BYTES)
        sums = dict(zip(shapes, map(digest, np.split(content, ends[:-1])), strict=True))
        file.seek(0)
        file.write(header(dataset, shapes, sums))
        file.flush()
        os.fsync(file.fileno())
        partial.replace(cache_file(dataset))
