"""A folder of images in the cache: decoded once, divided, and read from there as any other data set."""

from __future__ import annotations

import csv
import hashlib
import io
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from advss_zoo.data import cache
from advss_zoo.data.catalogue import Dataset
from advss_zoo.data.folder import decoding
from advss_zoo.data.folder import scan as scanning
from advss_zoo.data.folder.decoding import Decoded, Pixels
from advss_zoo.data.folder.division import Division, divide
from advss_zoo.data.folder.listing import PLAIN, FolderOptions, Listing, class_hint, list_images
from advss_zoo.data.folder.scan import Scan, Seen
from advss_zoo.data.folder.summary import Summary, used_rows
from advss_zoo.data.folder.values import ValueRange, range_of
from advss_zoo.data.imageset import ImageSet, Split
from advss_zoo.errors import DataError
from advss_zoo.files import explained, held, read_json, slug, write_atomically, write_json
from advss_zoo.progress import SILENT, Reporter

FORMAT = 4
UNUSED = ("skipped", "left_out", "odd")  # what a summary says of single files, which may be too many for JSON
UNUSED_SUFFIX = ".unused.csv"
PIECE_BYTES = 4 << 20
HASH_BYTES = 16  # of the 32 of a sha256 that are kept of each picture
LABEL = np.dtype("<u2")  # the cache holds bytes, and there may be more than 256 classes
FOLDER = "folders"  # in the cache of data sets


@dataclass(frozen=True)
class Prepared:
    """A data set made of a folder: what is in it, and where it lies.

    `name` is that of the folder with the beginning of a hash of the contents of its images, their classes and parts;
    `key` changes with the files themselves, so that a folder that was touched is noticed. `held_out` counts the
    training images, the first, that are for validation.
    """

    name: str
    key: str
    held_out: int
    summary: Summary
    file: Path

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.summary.classes)

    @property
    def images_file(self) -> Path:
        """A table of path,label,split that says which image is used for what."""
        return self.file.with_suffix(".csv")

    @property
    def unused_file(self) -> Path:
        """A table of path,use,why that says which file is skipped, left out, or odd though it is used, and why."""
        return self.file.with_suffix(UNUSED_SUFFIX)

    def counts(self) -> NDArray[np.int64]:
        """Return images to train on of each class, (classes,)."""
        return np.array([counts["train"] for counts in self.summary.classes.values()])

    def load(self, split: Split) -> ImageSet:
        """Load the images of a split.

        Raises:
            DataError: there are no images of this split, the cache holds them no longer as they were found, or it is
                damaged.
        """
        dataset = self._dataset()
        if split not in dataset.splits:
            raise DataError(f"{self.summary.source} has no {split} images.")
        if _record(self.file).get("key") != self.key:
            raise DataError(
                f"The images in {self.summary.source} have changed since they were read, and so has the cache.",
                "Run the command again.",
            )
        images, labels, sha256 = cache.read(dataset, split, ("images", "labels", "sha256"))
        numbers = labels.view(LABEL)[:, 0].astype(np.int64)
        return ImageSet(
            self.name,
            split,
            images,
            numbers,
            np.arange(len(numbers)),
            self.classes,
            held_out=self.held_out if split == "train" else None,
            value_range=self.summary.value_range,
            sha256=np.array(sha256),
        )

    def _dataset(self) -> Dataset:
        parts = self.summary.parts
        splits: tuple[Split, ...] = (
            *(("train",) if parts["train"] + parts["val"] else ()),
            *(("test",) if parts["test"] else ()),
        )
        return _dataset(self.file, self.classes, splits)


@dataclass(frozen=True, kw_only=True)
class _Cached(Dataset):
    """The file of a folder; it is made again as soon as it is missing."""

    @property
    def command(self) -> str:
        return f"rm {shlex.quote(str(cache.cache_file(self)))}"


def prepare(
    source: Path,
    side: int,
    options: FolderOptions = PLAIN,
    *,
    whole: bool = False,
    value_range: ValueRange | None = None,
    reporter: Reporter = SILENT,
) -> Prepared:
    """Find, decode and divide the images of a folder or a table, unless the cache has them as they are now.

    Args:
        side: pixels a side that they are brought to.
        options: what it does not say itself.
        whole: all of them are test images, whatever the folder says.
        value_range: the values that become 0 and 255, of images with more than 8 bits; None: by the largest there is.

    Raises:
        UsageError: there is nothing of that name, or it is neither a folder nor a table.
        DataError: there are no images, or too few to train and to judge with.
        AdvssError: the disk is full, or the folder cannot be read.
    """
    listing = list_images(source, options)
    if whole:
        listing = listing.as_test()
    _check_classes(listing, {entry.label for entry in listing.entries})
    file = _file(source, side, options, whole, value_range)
    read = partial(decoding.read, truncated=options.truncated)
    with held(file.with_suffix(".lock"), wait=True):
        cached = _recorded(file)
        if cached is None or cached.key != listing.key:
            return _make(listing, side, file, read, value_range, reporter)
        summary = replace(cached.summary, passed_over=listing.passed_over.kinds)  # which the key does not count
        return replace(cached, summary=summary)


def known(name: str) -> Iterator[Prepared]:
    """List the cached data sets of that name: the same images, in each size that was requested."""
    records = cache.cache_file(_dataset(Path("any"), (), ())).parent.glob("*.json")
    everyone = (_recorded(record.with_suffix(".safetensors")) for record in sorted(records))
    return (prepared for prepared in everyone if prepared and prepared.name == name)


def _recorded(file: Path) -> Prepared | None:
    values = _record(file)
    if not values:
        return None
    summary = Summary.from_json(values["summary"] | _unused(file))
    return Prepared(values["name"], values["key"], values["held_out"], summary, file)


def _record(file: Path) -> dict[str, Any]:
    """What stands in the cache beside the images; nothing where it is not whole, or of another version."""
    record = file.with_suffix(".json")
    if not all(path.exists() for path in (record, file, file.with_suffix(UNUSED_SUFFIX))):
        return {}
    values = read_json(record)
    return values if values.get("format") == FORMAT else {}


def _unused(file: Path) -> dict[str, dict[str, str]]:
    """Why files are not used, by use and path."""
    path, found = file.with_suffix(UNUSED_SUFFIX), {use: dict[str, str]() for use in UNUSED}
    with explained("read", path), path.open(newline="", encoding="utf-8") as table:
        rows = csv.reader(table)
        next(rows)
        for name, use, why in rows:
            found[use][name] = why
    return found


def _make(
    listing: Listing,
    side: int,
    file: Path,
    read: Callable[..., Decoded | str],
    value_range: ValueRange | None,
    reporter: Reporter,
) -> Prepared:
    pixels = file.with_suffix(".partial")
    scan = scanning.scan(listing, side, pixels, reporter, partial(read, value_range=value_range))
    scan, value_range = _scaled(scan, listing, read, value_range, reporter)
    division = divide(scan.seen)
    _check_division(listing, scan, division)
    held_out = len(division.parts["val"])
    prepared = Prepared(
        f"{slug(listing.source.absolute().stem)}-{_content(division)[:8]}",
        listing.key,
        held_out,
        Summary.of(listing, scan, division, value_range),
        file,
    )
    record = file.with_suffix(".json")
    record.unlink(missing_ok=True)  # it must never speak of another file than the one beside it
    _write_images(prepared, scan, division)
    _write_table(prepared.images_file, ("path", "label", "split"), used_rows(division, listing))
    summary = prepared.summary.to_json()
    unused = ((path, use, why) for use in UNUSED for path, why in summary[use].items())
    _write_table(prepared.unused_file, ("path", "use", "why"), unused)
    facts = {"format": FORMAT, "key": prepared.key, "name": prepared.name, "held_out": held_out}
    write_json(record, {**facts, "summary": summary | {use: len(summary[use]) for use in UNUSED}})
    scanning.forget(pixels)
    return prepared


def _scaled(
    scan: Scan, listing: Listing, read: Callable[..., Decoded | str], wanted: ValueRange | None, reporter: Reporter
) -> tuple[Scan, ValueRange | None]:
    """Bring images of more than 8 bits, each scaled by its own values, to one range; and return that."""
    deep = [seen for seen in scan.seen if seen.facts.largest is not None]
    if wanted or not deep:
        return scan, wanted if deep else None
    found = range_of((seen.facts.smallest, seen.facts.largest) for seen in deep)
    others = [seen for seen in deep if range_of([(seen.facts.smallest, seen.facts.largest)]) != found]
    return scanning.again(scan, listing, others, reporter, partial(read, value_range=found)), found


def _write_images(prepared: Prepared, scan: Scan, division: Division) -> None:
    """Validation images, then those to train on; test images apart from them."""
    number = {label: place for place, label in enumerate(prepared.classes)}
    every = {"train": [*division.parts["val"], *division.parts["train"]], "test": division.parts["test"]}
    arrays: dict[str, Any] = {}
    for split, images in every.items():
        if images:
            arrays[f"{split}_images"] = _pieces(scan, images)
            labels = np.array([[number[seen.entry.label]] for seen in images], dtype=LABEL)
            arrays[f"{split}_labels"] = [labels.view(np.uint8)]
            hashes = b"".join(seen.facts.sha256[:HASH_BYTES] for seen in images)
            arrays[f"{split}_sha256"] = [np.frombuffer(hashes, np.uint8).reshape(-1, HASH_BYTES)]
    cache.write(prepared._dataset(), arrays)


def _pieces(scan: Scan, images: Sequence[Seen]) -> Iterator[Pixels]:
    """The images in this order; read and not mapped, for all that is mapped counts as memory of the process."""
    size = scanning.bytes_of(scan.side)
    step = max(1, PIECE_BYTES // size)
    with scan.pixels.open("rb") as file:
        for begin in range(0, len(images), step):
            rows = [seen.row for seen in images[begin : begin + step]]
            piece = np.empty((len(rows), 3, scan.side, scan.side), np.uint8)
            for row, pixels in zip(rows, piece, strict=True):
                file.seek(row * size)
                file.readinto(pixels.data)
            yield piece


def _write_table(path: Path, heading: tuple[str, str, str], rows: Iterable[tuple[str, str, str]]) -> None:
    def fill(file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, "utf-8", errors="replace", newline="")
        table = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)  # names may hold any character
        table.writerow(heading)
        table.writerows(rows)
        text.detach()

    write_atomically(path, fill)


def _content(division: Division) -> str:
    """sha256 over the contents of all images, their classes and their parts; the same wherever they lie."""
    content = hashlib.sha256()
    for part, images in division.parts.items():
        for seen in sorted(images, key=lambda seen: (seen.entry.label, seen.facts.sha256)):
            content.update(f"{part}/{seen.entry.label}/{seen.facts.sha256.hex()}\n".encode())
    return content.hexdigest()


def _file(source: Path, side: int, options: FolderOptions, *how: object) -> Path:
    text = "/".join(
        map(str, (side, *how, sorted(options.parts.items()), options.group_by, options.truncated, source.resolve()))
    )
    identity = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
    return cache.cache_file(_dataset(Path(identity), (), ()))


def _dataset(file: Path, classes: tuple[str, ...], splits: tuple[Split, ...]) -> Dataset:
    return _Cached(name=f"{FOLDER}/{file.stem}", title="This folder", classes=classes, splits=splits, mapped=True)


def _check_classes(listing: Listing, found: set[str]) -> None:
    """
    Raises:
        DataError: there is but one class, and its images are for training.
    """
    if len(found) < 2 and any(entry.part != "test" for entry in listing.entries):
        lost = "".join(f"; no image of {label!r} can be used" for label in sorted(listing.classes - found)[:1])
        raise DataError(
            f"{listing.source} has only one class, {next(iter(found))!r}{lost}.",
            class_hint(listing) or "At least two are needed.",
        )


def _check_division(listing: Listing, scan: Scan, division: Division) -> None:
    """
    Raises:
        DataError: no image can be read, or a part that is needed has none.
    """
    source, parts = listing.source, division.parts
    if not any(parts.values()):
        why = next((f"; {path}: {reason}" for path, reason in (scan.broken | division.left_out).items()), "")
        raise DataError(f"None of the {len(listing.entries):,} images in {source} can be used{why}.")
    if parts["train"]:
        _check_classes(listing, set(division.classes))
        if not (parts["val"] and parts["test"]):
            grouped = any(entry.group for entry in listing.entries)
            what = "images in three groups" if grouped else "three images"
            raise DataError(
                f"{source} has too few images: at least one class needs {what}, for training, validation and test."
            )
