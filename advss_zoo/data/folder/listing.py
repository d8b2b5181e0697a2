"""Which images a person has: class folders, with or without train, val and test, or a table of paths and labels."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

from advss_zoo.data.folder import tables
from advss_zoo.data.folder.names import is_hidden, is_image, normal, printable
from advss_zoo.errors import DataError, UsageError
from advss_zoo.files import explained

Part = Literal["train", "val", "test"]

PARTS: Mapping[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What folders and entries of tables are called that say what an image is for; in any case."""

HOW = "Put the images of each class into a separate folder, or write a CSV of path,label."


class ListedImage(NamedTuple):
    """A file that should be an image: its path from the listing's root, its class, and what it is for if that is said.

    `size` in bytes and `changed` (ns) tell whether it is still the same file.
    """

    path: str
    label: str
    part: Part | None
    size: int
    changed: int


@dataclass(frozen=True)
class Listing:
    """All images below `root`, in a fixed order; `source` is the folder or table that was named.

    `skipped` says for paths and rows that were to be images why they are none; `notes` what else is to be known.
    `classes` are all that were named, also those without images, and `others` files that by their names are no images.
    """

    source: Path
    root: Path
    entries: list[ListedImage]
    skipped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    classes: set[str] = field(default_factory=set)
    others: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Another one as soon as a file is added, removed or changed."""
        rows = "\n".join(map(repr, (str(self.root.resolve()), *self.entries, *self.skipped)))
        return hashlib.sha256(rows.encode()).hexdigest()  # repr escapes what is no text

    def as_test(self) -> Listing:
        """Return the same images, all in the test split."""
        return replace(self, entries=[entry._replace(part="test") for entry in self.entries])


def list_images(source: Path) -> Listing:
    """Find all images; none is opened.

    Raises:
        UsageError: there is nothing of that name, or it is a file that is no table.
        DataError: there are no images, or it is not clear of which class they are.
        AdvssError: the folder or the table cannot be read.
    """
    with explained("read", source):
        is_folder, exists = source.is_dir(), source.exists()
    if not exists:
        raise UsageError(
            f"{source} does not exist.", "Give a folder of class folders, or a CSV or JSONL of path,label."
        )
    if not (is_folder or tables.is_table(source.name)):
        raise UsageError(f"{source} is a file, not a folder of images.", HOW)
    with explained("read", source):
        listing = _from_folder(source) if is_folder else _from_table(source)
    others = [_passed_over(listing.others)] if listing.others else []
    if not listing.entries:
        why = [": ".join(first) for first in list(listing.skipped.items())[:1]]
        raise DataError("; ".join([f"{source} contains no images", *why, *others]) + ".", HOW)
    listing.notes.extend(f"{each}." for each in others)
    return listing


def table_hint(listing: Listing) -> str | None:
    """Suggest a table in the folder that may hold the labels."""
    if not listing.source.is_dir():
        return None
    places = (folder.glob(pattern) for folder in (listing.source, listing.root) for pattern in ("*", "*/*"))
    found = (sorted(path for path in paths if tables.is_table(path.name)) for paths in places)
    table = next((paths[0] for paths in found if paths), None)
    return f"If a table holds the labels, give that: {table}" if table else None


def _passed_over(others: list[str]) -> str:
    files = f"{len(others):,} file{'' if len(others) == 1 else 's'}"
    return f"{files} of other types ignored, such as {printable(others[0])}"


def _from_table(source: Path) -> Listing:
    rows, skipped = tables.read(source)
    listing = Listing(source, source.parent, [], skipped)
    divided = any(row.part for row in rows)
    seen: set[tuple[str, str, str]] = set()
    for row in rows:
        part, label = PARTS.get(row.part.lower()), normal(row.label)
        listing.classes.add(label)
        if divided and part is None:
            listing.skipped[f"{printable(source.name)}:{row.number}"] = (
                f"unknown split {row.part!r}; choose from train, val, test" if row.part else "the split is missing"
            )
        elif row[1:] not in seen:
            seen.add(row[1:])
            _add(listing, row.path, label, part)
    return listing


def _from_folder(source: Path) -> Listing:
    root = _unwrapped(source)
    listing = Listing(source, root, [])
    folders, files = _children(root)
    parts = _parts(root, folders)
    above = frozenset(map(_identity, (root, *root.resolve().parents)))
    loose = _images(listing, "", files)
    for name in folders:
        if not parts:
            _walk(listing, name, normal(name), None, above)
        elif name not in parts:
            listing.notes.append(f"{printable(name)}/ is neither train, val nor test: left out.")
        else:
            loose += _walk_part(listing, name, parts[name], above)
    if loose and not listing.entries:
        raise DataError(
            f"The images in {root}, such as {printable(loose[0])}, are not in class folders.",
            table_hint(listing) or HOW,
        )
    if loose:
        some = f"{len(loose):,} images are outside class folders, such as {printable(loose[0])}"
        listing.notes.append(f"{some}: left out.")
    return listing


def _unwrapped(root: Path) -> Path:
    """The folder that class folders lie in, where an archive was unpacked into folders around them."""
    folders, files = _children(root)
    while len(folders) == 1 and not any(map(is_image, files)) and not _parts(root, folders):
        below, images = _children(root / folders[0])
        if not below or any(map(is_image, images)):
            break
        root, folders, files = root / folders[0], below, images
    return root


def _parts(root: Path, folders: list[str]) -> dict[str, Part]:
    """Which folders are train, val and test: if all are called so, or one is train and some of them hold folders.

    Raises:
        DataError: two folders are the same part.
    """
    named = {name: PARTS[name.lower()] for name in folders if name.lower() in PARTS}
    divided = [name for name in named if _children(root / name)[0]]
    if not (len(named) == len(folders) or ("train" in named.values() and divided)):
        return {}  # "train" is a class of its own beside "car" and "bus"
    if len({named[name] for name in divided}) < len(divided):
        raise DataError(f"Two of the folders {', '.join(divided)} in {root} are the same split.", "Keep one of them.")
    return named


Identity = tuple[int, int]


def _identity(folder: Path) -> Identity:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _walk_part(listing: Listing, name: str, part: Part, above: frozenset[Identity]) -> list[str]:
    """All images in the class folders of a part; returns those that lie beside them."""
    before = len(listing.entries)
    labels, files = _children(listing.root / name)
    for label in labels:
        _walk(listing, f"{name}/{label}", normal(label), part, above | {_identity(listing.root / name)})
    loose = _images(listing, f"{name}/", files)
    if len(listing.entries) == before and not loose:
        listing.notes.append(f"{name}/ is empty.")
    return loose


def _walk(listing: Listing, place: str, label: str, part: Part | None, above: frozenset[Identity]) -> None:
    """All images below a class folder, however deep; a link back to a folder above is not followed."""
    listing.classes.add(label)
    try:
        identity = _identity(listing.root / place)
        if identity in above:
            return
        folders, files = _children(listing.root / place)
    except OSError as error:
        listing.skipped[printable(f"{place}/")] = os.strerror(error.errno or 0)
        return
    for path in _images(listing, f"{place}/", files):
        _add(listing, path, label, part)
    for name in folders:
        _walk(listing, f"{place}/{name}", label, part, above | {identity})


def _images(listing: Listing, place: str, files: list[str]) -> list[str]:
    """The paths of those files that are images by their names; what is neither that nor a table is noted."""
    listing.others.extend(place + name for name in files if not (is_image(name) or tables.is_table(name)))
    return [place + name for name in files if is_image(name)]


def _children(folder: Path) -> tuple[list[str], list[str]]:
    """The names of folders and of all else in a folder, sorted; hidden ones are nobody's images."""
    folders: list[str] = []
    files: list[str] = []
    with os.scandir(folder) as found:
        for item in found:
            if not is_hidden(item.name):
                (folders if _is_folder(item) else files).append(item.name)
    return sorted(folders), sorted(files)


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link that leads back to itself, or to where one may not look
        return False


def _add(listing: Listing, path: str, label: str, part: Part | None) -> None:
    try:
        status = (listing.root / path).stat()
    except (OSError, ValueError) as error:
        if "\\" in path:  # as Windows writes it
            _add(listing, path.replace("\\", "/"), label, part)
        else:
            broken = isinstance(error, FileNotFoundError) and (listing.root / path).is_symlink()
            reason = "a broken link" if broken else getattr(error, "strerror", None) or str(error)
            listing.skipped[printable(path)] = reason
        return
    if stat.S_ISREG(status.st_mode):
        listing.entries.append(ListedImage(path, label, part, status.st_size, status.st_mtime_ns))
    else:
        listing.skipped[printable(path)] = "not a regular file"


def count_for_training(source: Path, share: float) -> int:
    """Estimate how many images would be trained on: those of the train split, or a share of all."""
    entries = list_images(source).entries
    named = sum(entry.part == "train" for entry in entries)
    return named or round(share * len(entries))
