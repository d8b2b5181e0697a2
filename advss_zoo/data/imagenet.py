"""Restricted ImageNet: 203 classes of ImageNet (ILSVRC-2012) as 9, from an ImageNet folder that a person has.

The grouping is the public one of Tsipras et al. 2019 and Santurkar et al. 2019. Chen et al. 2020 speak of 10
superclasses of 190 classes; their list is in no source that could be found, and this is not it.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from advss_zoo.data.cache import HEADER_BYTES, Pixels, cache_file, check_space, header
from advss_zoo.data.catalogue import GroupedImageNet, digest
from advss_zoo.data.folder.decoding import FORMATS, MOST_PIXELS
from advss_zoo.data.imageset import Split
from advss_zoo.data.reporting import Reporter
from advss_zoo.errors import DataError, UsageError
from advss_zoo.files import explained, read_json, write_json

RESIZED, SIDE = 256, 224  # pixels: the shorter side as it is resized, and both sides of what is cut from the middle
SHAPE = (3, SIDE, SIDE)
BYTES = math.prod(SHAPE)
FOLDERS: Mapping[Split, str] = {"train": "train", "test": "val"}
SUFFIXES = (".jpeg", ".jpg", ".png")
PIECE = 256  # images between two entries in the journal: what a kill can cost
SEED = 20  # of the order of the images


class Entry(NamedTuple):
    """An image: its path below the ImageNet folder, and its superclass."""

    path: str
    label: int


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
    entries = {split: _entries(dataset, source, folder) for split, folder in FOLDERS.items()}
    partial = cache_file(dataset).with_suffix(".partial")
    broken = _decode(dataset, source, [entry.path for split in entries.values() for entry in split], partial, reporter)
    labels = {
        split: np.array([entry.label for entry in entries[split] if entry.path not in broken], dtype=np.uint8)
        for split in entries
    }
    for path, reason in broken.items():
        reporter.say(f"{dataset.title}: left out {path}: {reason}")
    if not all(map(len, labels.values())):
        _journal(partial).unlink()  # so that mended files are looked at again
        raise DataError(f"No image below {source} can be decoded.")
    reporter.say(f"{dataset.title}: computing its sha256")
    _complete(dataset, partial, labels)
    _journal(partial).unlink()


def cropped(image: Image.Image) -> Pixels:
    """Return the middle of an image, (3, 224, 224), after its shorter side was resized to 256 (bilinear,
    antialiased).
    """
    shorter = min(image.size)
    width, height = (int(RESIZED * side / shorter) for side in image.size)
    left, top = round((width - SIDE) / 2), round((height - SIDE) / 2)
    resized = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(resized.crop((left, top, left + SIDE, top + SIDE))).transpose(2, 0, 1))


def _entries(dataset: GroupedImageNet, source: Path, folder: str) -> list[Entry]:
    """All images of a split in a seeded order, so that the first of them are of all classes."""
    label_of = {
        f"{folder}/{wordnet_id}": dataset.classes.index(name) for name, ids in groups().items() for wordnet_id in ids
    }
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
        entries += [Entry(f"{place}/{name}", label) for name in names]
    return [entries[position] for position in np.random.RandomState(SEED).permutation(len(entries))]


def _decode(
    dataset: GroupedImageNet, source: Path, paths: list[str], partial: Path, reporter: Reporter
) -> dict[str, str]:
    """Fill `partial` with the pixels of all images; returns those that are broken, and why."""
    listing = hashlib.sha256("\n".join([str(source.resolve()), *paths]).encode()).hexdigest()
    done, broken = _progress_so_far(partial, listing)
    check_space(partial, (len(paths) - done) * BYTES)
    with (
        explained("write", partial),
        partial.open("r+b" if done else "w+b") as file,
        ThreadPoolExecutor() as pool,
        reporter.progress(dataset.title, "images") as progress,
    ):
        file.seek(_end(done - len(broken)))
        progress(done, len(paths))
        for begin in range(done, len(paths), PIECE):
            piece = paths[begin : begin + PIECE]
            for path, pixels in zip(piece, pool.map(lambda path: _pixels(source / path), piece), strict=True):
                if isinstance(pixels, str):
                    broken[path] = pixels
                else:
                    file.write(pixels.data)
            file.flush()
            os.fsync(file.fileno())
            done = begin + len(piece)
            write_json(_journal(partial), {"listing": listing, "done": done, "broken": broken})
            progress(done, len(paths))
    return broken


def _progress_so_far(partial: Path, listing: str) -> tuple[int, dict[str, str]]:
    """What a stopped run left: images done, and which of them are broken. Nothing where it worked on other files."""
    if not (_journal(partial).exists() and partial.exists()):
        return 0, {}
    state = read_json(_journal(partial))
    done, broken = state["done"], state["broken"]
    whole = state["listing"] == listing and partial.stat().st_size >= _end(done - len(broken))
    return (done, broken) if whole else (0, {})


def _journal(partial: Path) -> Path:
    return partial.with_suffix(".json")


def _end(images: int) -> int:
    """Where in the file so many images end."""
    return HEADER_BYTES + images * BYTES


def _pixels(path: Path) -> Pixels | str:
    """The pixels of an image, or why it cannot be decoded."""
    with explained("read", path):
        content = path.read_bytes()
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                return f"more than {MOST_PIXELS:,} pixels"
            return cropped(image)
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
        file.seek(_end(sum(map(len, labels.values()))))
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
