"""Which images a person has: class folders, with or without train, val and test, or a table of paths and labels."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import stat
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from advss_zoo.data.folder import heif, tables
from advss_zoo.data.folder.names import is_image, normal, printable
from advss_zoo.data.folder.parts import (
    FILLERS,
    SAY,
    Part,
    Purpose,
    as_said,
    image_folder,
    inner,
    purpose_of,
    recognised,
    says_only,
)
from advss_zoo.data.folder.walking import PassedOver, contents, walk
from advss_zoo.errors import DataError, UsageError
from advss_zoo.files import explained
from advss_zoo.texts import counted, listed

HOW = "Put the images of each class into a separate folder, or write a CSV of path,label."
A_LINK = "a link to a folder above"
SHOWN = 5  # names that a sentence lists before it says how many more there are


@dataclass(frozen=True)
class FolderOptions:
    """What a person says of a folder or table beyond what it says itself.

    Attributes:
        parts: what folders, or entries of a table's column, are for, by their names.
        group_by: the name of a column, or a regular expression that is searched for in paths: images for which it gives
            the same stay together when they are divided.
        truncated: use what there is of JPEGs that were cut off.

    Raises:
        UsageError: a part is not train, val or test.
    """

    parts: Mapping[str, Part] = field(default_factory=dict)
    group_by: str | None = None
    truncated: bool = False

    def __post_init__(self) -> None:
        if unknown := set(self.parts.values()) - {"train", "val", "test"}:
            raise UsageError(f"parts has {unknown.pop()!r}, expected train, val or test.")

    @property
    def arguments(self) -> str:
        """As they are given on a command line."""
        parts = ",".join(f"{part}={name}" for name, part in self.parts.items())
        given = {"--parts": parts, "--group-by": self.group_by or ""}
        values = [f"{option} {shlex.quote(value)}" for option, value in given.items() if value]
        return " ".join([*values, *["--truncated"] * self.truncated])


PLAIN = FolderOptions()


class ListedImage(NamedTuple):
    """A file that should be an image: its path from the listing's root, its class, and what it is for if that is said.

    `group` is empty where it has none.
    """

    path: str
    label: str
    part: Part | None
    group: str = ""


class PartOrigin(NamedTuple):
    """A folder, or an entry of a table's column: what its images are for (None: they are left out), and why."""

    name: str
    part: Part | None
    why: str
    images: int


@dataclass(frozen=True)
class Listing:
    """All images below `root`, in a fixed order; `source` is the folder or table that was named.

    Every file in a folder that is an image by its name is among the `entries`, in `skipped` (why it is none), in
    `left_out` (why it is not used) or counted in `passed_over`. `origins` say where the parts come from, `used` and
    `unused` are columns of a table, `notes` what else is to be known. `classes` are all that were named, also those
    without images, and `others` files that by their names are no images. `states` digests sizes, times of change and
    permissions.
    """

    source: Path
    root: Path
    entries: list[ListedImage]
    skipped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    classes: set[str] = field(default_factory=set)
    others: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    passed_over: PassedOver = field(default_factory=PassedOver)
    origins: list[PartOrigin] = field(default_factory=list)
    used: dict[str, list[str]] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    states: Any = field(default_factory=hashlib.sha256)

    @property
    def key(self) -> str:
        """Another one as soon as a file is added, removed or changed, or more of them can be read."""
        found = self.states.copy()
        where = str(self.root.resolve()), heif.is_installed()
        for row in chain(where, self.entries, self.skipped, self.left_out):
            found.update(f"{row!r}\n".encode())  # repr escapes what is no text
        return found.hexdigest()

    def as_test(self) -> Listing:
        """Return the same images, all in the test split."""
        origins = [each._replace(part="test", why="--whole") if each.part else each for each in self.origins]
        return replace(self, entries=[entry._replace(part="test") for entry in self.entries], origins=origins)


def list_images(source: Path, options: FolderOptions = PLAIN) -> Listing:
    """Find all images; none is opened.

    Raises:
        UsageError: there is nothing of that name, it is a file that is no table, or the options do not fit it.
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
        listing = _from_folder(source, options) if is_folder else _from_table(source, options)
    others = [_ignored(listing.others)] if listing.others else []
    if not listing.entries:
        why = [": ".join(first) for first in list(listing.skipped.items())[:1]]
        hint = HOW if is_folder else f"Write paths as they are below {source.parent}, such as CLASS/IMAGE.png."
        raise DataError("; ".join([f"{source} contains no images", *why, *others]) + ".", hint)
    listing.notes.extend(f"{each}." for each in others)
    if options.group_by:
        _group(listing, options.group_by)
    return listing


def class_hint(listing: Listing) -> str | None:
    """Suggest what else to give: a table in the folder that may hold labels, or the folder that holds the classes."""
    if not listing.source.is_dir():
        return None
    places = (folder.glob(pattern) for folder in (listing.source, listing.root) for pattern in ("*", "*/*"))
    found = (sorted(path for path in paths if tables.is_table(path.name)) for paths in places)
    if table := next((paths[0] for paths in found if paths), None):
        return f"If a table holds the labels, give that: {table}"
    folders = [PurePosixPath(entry.path).parts[:-1] for entry in listing.entries]
    if folders and all(len(each) > 1 for each in folders) and len({each[1] for each in folders}) > 1:
        return f"If the folders in it are the classes, give that: {listing.root / folders[0][0]}"
    return None


def _ignored(others: list[str]) -> str:
    return f"{counted(len(others), 'file')} of other types ignored, such as {printable(others[0])}"


def _group(listing: Listing, group_by: str) -> None:
    """Give entries the groups that a pattern finds in their paths, unless a column has given them.

    Raises:
        UsageError: it is no pattern, or none of them has a group, or all have the same.
    """
    if "group" not in listing.used:
        try:
            pattern = re.compile(group_by)
        except re.error as error:
            raise UsageError(f"--group-by {group_by!r} is not a regular expression: {error}.") from error
        for place, entry in enumerate(listing.entries):
            match = pattern.search(printable(entry.path))
            group = (match[1] if pattern.groups else match[0]) if match else None
            listing.entries[place] = entry._replace(group=group or "")
    groups = {entry.group for entry in listing.entries}
    if len(groups) == 1:
        only, columns = groups.pop(), [*listing.unused, *(name for names in listing.used.values() for name in names)]
        found = f"puts all images into one group, {only!r}" if only else "matches no image"
        known = f"; the columns are {listed(columns, 10)}" if columns else ""
        raise UsageError(
            f"--group-by {group_by!r} {found}, such as {printable(listing.entries[0].path)}{known}.",
            "Give a column of the table, or a regular expression such as 'patient_([0-9]+)'.",
        )
    if alone := sum(not entry.group for entry in listing.entries):
        listing.notes.append(f"{counted(alone)} without a group: each is treated as a group of its own.")


def _from_table(source: Path, options: FolderOptions) -> Listing:
    table = tables.read(source, options.group_by)
    listing = Listing(source, source.parent, [], table.skipped, table.notes, used=table.used, unused=table.unused)
    purposes = _purposes(listing, {row.part.lower() for row in table.rows if row.part}, options.parts)
    meant = _meant(listing, [row.path for row in table.rows])
    seen: set[tuple[str, ...]] = set()
    for row in table.rows:
        purpose, label = (purposes or {}).get(row.part.lower()), normal(row.label)
        part = None if purpose == "unlabelled" else purpose
        listing.classes.add(label)
        if purposes is not None and part is None:
            listing.skipped[f"{printable(source.name)}:{row.number}"] = (
                f"unknown split {row.part!r}; choose from train, val, test" if row.part else "the split is missing"
            )
        elif row[1:] not in seen:
            seen.add(row[1:])
            _add(listing, meant.get(row.path, row.path), label, part, row.group)
    columns = ", ".join(listing.used.get("part", ()))
    counts = Counter(entry.part for entry in listing.entries if entry.part)
    listing.origins.extend(PartOrigin(part, part, f"column {columns}", count) for part, count in counts.items())
    if listing.unused:
        listing.notes.append(f"Columns not used: {listed(listing.unused, 10)}.")
    return listing


def _purposes(listing: Listing, said: set[str], parts: Mapping[str, Part]) -> dict[str, Purpose] | None:
    """What the entries of a table's column are for; None where there are none, or only the numbers of folds.

    Raises:
        UsageError: `parts` names an entry that is not there.
    """
    known: dict[str, Purpose] = {name.lower(): part for name, part in parts.items()}
    if missing := sorted(known.keys() - said):
        raise UsageError(
            f"--parts names {missing[0]!r}, which is in no column for the split of {listing.source}.",
            f"Its entries: {listed(sorted(said), 10) or 'none'}.",
        )
    for value in said - known.keys():
        if (found := purpose_of(value)) and not found.rest:
            known[value] = found.purpose
    folds = [name for name in listing.used.get("part", ()) if name.lower() == tables.FOLD]
    if folds and not known:
        listing.unused.extend(listing.used.pop("part"))
        listing.notes.append(f"{folds[0]} does not say which images are for testing; --parts test={min(said)} does.")
        return None
    if folds and "train" not in known.values():
        known = {**dict.fromkeys(said, "train"), **known}
    return known if said else None


def _meant(listing: Listing, paths: Iterable[str]) -> dict[str, str]:
    """Where no path is that of a file: which files below the table's folder are meant, their endings left out or not.

    One is meant by a path that its own ends with, or that ends with its own, as those of another machine do. Where
    several are, or one by several paths, the path stays as it is, and `skipped` says so.
    """

    def fits(one: str, other: str) -> bool:
        return f"/{one}".endswith(f"/{other}") or f"/{other}".endswith(f"/{one}")

    plain = {path: path.replace("\\", "/").strip("/") for path in paths}
    if any(os.path.exists(listing.root / each) for both in plain.items() for each in both):  # noqa: PTH110  any text
        return {}
    ends: dict[str, list[tuple[str, str]]] = defaultdict(list)  # with and without their suffixes, by name or stem
    for folder, inside in walk(listing.root):
        for file in (folder / each for each in inside.files if is_image(each)):
            below = file.relative_to(listing.root)
            for name in {file.name, file.stem}:
                ends[name].append((below.as_posix(), below.with_suffix("").as_posix()))
    found = {}
    for path, written in plain.items():
        named = ends.get(written.rpartition("/")[2], ())
        fitting = sorted(end for end, stem in named if fits(end, written) or fits(stem, written))
        if len(fitting) == 1:
            found[path] = fitting[0]
        elif fitting:
            listing.skipped[printable(path)] = f"fits several files: {listed(fitting, SHOWN)}"
    times = Counter(found.values())
    for path in [path for path, file in found.items() if times[file] > 1]:
        listing.skipped[printable(path)] = f"fits {found.pop(path)}, as other paths do"
    if found:
        first = next(iter(found))
        listing.notes.append(f"Paths are completed to files below {listing.root}, such as {first} to {found[first]}.")
    return found


def _from_folder(source: Path, options: FolderOptions) -> Listing:
    root = _unwrapped(source)
    top = image_folder(root)
    named: dict[str, Purpose] = {}
    if options.parts:
        root, named = as_said(list(dict.fromkeys((root, root / top, source))), options.parts)
        top = ""
    else:
        found = recognised(root / top, contents(root / top).folders)
        named = {_below(top, name): purpose for name, purpose in found.items()}
    listing = Listing(source, root, [])
    for around in (folder for folder in root.parents if folder == source or source in folder.parents):
        listing.passed_over.add(around, contents(around).hidden)
    above = frozenset(map(_identity, (root, *root.resolve().parents)))
    places: dict[str, Purpose | None] = {inner(root, name): purpose for name, purpose in named.items()} or {top: None}
    why = "--parts" if options.parts else "its name"
    loose = [path for place, purpose in places.items() for path in _walk_part(listing, place, purpose, why, above)]
    why = "neither train, val nor test" if named else "next to the folder of images"
    loose += _outside(listing, "", places, why, above)
    if loose and not listing.entries:
        raise DataError(
            f"The images in {root}, such as {printable(loose[0])}, are not in class folders.",
            class_hint(listing) or HOW,
        )
    listing.left_out.update({printable(path): "not in a class folder" for path in loose})
    told = tuple(origin.name for origin in listing.origins if origin.part is None)
    if others := [path for path in map(printable, loose) if not path.startswith(told)]:
        listing.notes.append(f"{counted(len(others))} outside class folders, such as {others[0]}: left out.")
    if not named and (alike := _alike_inside(listing, top)):
        listing.notes.append(
            f"All classes contain folders of the same names, such as {listed(alike, SHOWN)}, which are not used. "
            f"If these are the classes, {SAY}, or give one of the folders. "
            "If they are splits, move CLASS/train to train/CLASS."
        )
    return listing


def _alike_inside(listing: Listing, top: str) -> list[str]:
    """The folders that are in every class folder, if they are most: of PlantVillage, where color/ and grayscale/ hold
    the classes, or of cat/train/ and dog/train/.
    """
    begin = len(f"{top}/") if top else 0
    inside: dict[str, set[str]] = defaultdict(set)
    for label, *folders in {(entry.label, *entry.path[begin:].split("/")[1:-1]) for entry in listing.entries}:
        inside[label].update([name for name in folders if not says_only(name, FILLERS)][:1])
    shared = set.intersection(*inside.values()) if len(inside) > 1 else set()
    most = 2 * len(shared) > len(set().union(*inside.values()))
    return sorted(map(printable, shared)) if most and len(shared) > 1 else []


def _unwrapped(root: Path) -> Path:
    """The folder that class folders lie in, where an archive was unpacked into folders around them."""
    folders, files, _ = contents(root)
    while len(folders) == 1 and not any(map(is_image, files)) and not recognised(root, folders):
        below, images, _ = contents(root / folders[0])
        if not below or any(map(is_image, images)):
            break
        root, folders, files = root / folders[0], below, images
    return root


Identity = tuple[int, int]


def _identity(folder: Path) -> Identity:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _below(place: str, name: str) -> str:
    return f"{place}/{name}" if place else name


def _walk_part(
    listing: Listing, place: str, purpose: Purpose | None, why: str, above: frozenset[Identity]
) -> list[str]:
    """All images in the class folders of a part, or of a folder without parts; returns those that lie beside them."""
    if purpose == "unlabelled":
        _leave_out(listing, place, "named as unlabelled")
        return []
    before = len(listing.entries)
    labels, files, hidden = contents(listing.root / place)
    listing.passed_over.add(listing.root / place, hidden)
    inside = above | {_identity(listing.root / each) for each in (place, *map(str, PurePosixPath(place).parents))}
    for label in labels:
        _walk(listing, _below(place, label), normal(label), purpose, inside)
    loose = _images(listing, place, files)
    if purpose:
        count = len(listing.entries) - before
        if count or not loose:
            listing.origins.append(PartOrigin(f"{printable(place)}/", purpose, why, count))
        else:
            listing.origins.append(PartOrigin(f"{printable(place)}/", None, "no class folders", len(loose)))
    return loose


def _outside(listing: Listing, place: str, places: Iterable[str], why: str, above: frozenset[Identity]) -> list[str]:
    """Leave out all folders but the `places`, down to these; returns images on the way there."""
    if place in places:
        return []
    folders, files, hidden = contents(listing.root / place)
    listing.passed_over.add(listing.root / place, hidden)
    loose = _images(listing, place, files)
    for path in (_below(place, name) for name in folders):
        if any(f"{each}/".startswith(f"{path}/") for each in places):
            loose += _outside(listing, path, places, why, above)
        elif _identity(listing.root / path) in above:
            listing.left_out[printable(f"{path}/")] = A_LINK
        else:
            _leave_out(listing, path, why)
    return loose


def _leave_out(listing: Listing, place: str, why: str) -> None:
    """Leave out all images below a folder."""
    before = len(listing.left_out)

    def refused(error: OSError) -> None:
        folder = Path(error.filename).relative_to(listing.root).as_posix()
        listing.skipped[printable(f"{folder}/")] = os.strerror(error.errno or 0)

    for folder, inside in walk(listing.root / place, refused):
        listing.passed_over.add(folder, inside.hidden)
        below = folder.relative_to(listing.root).as_posix()
        listing.left_out.update(dict.fromkeys(map(printable, _images(listing, below, inside.files)), why))
    listing.origins.append(PartOrigin(f"{printable(place)}/", None, why, len(listing.left_out) - before))


def _walk(listing: Listing, place: str, label: str, part: Part | None, above: frozenset[Identity]) -> None:
    """All images below a class folder, however deep; a link back to a folder above is not followed."""
    listing.classes.add(label)
    try:
        identity = _identity(listing.root / place)
        if identity in above:
            listing.left_out[printable(f"{place}/")] = A_LINK
            return
        folders, files, hidden = contents(listing.root / place)
    except OSError as error:
        listing.skipped[printable(f"{place}/")] = os.strerror(error.errno or 0)
        return
    listing.passed_over.add(listing.root / place, hidden)
    for path in _images(listing, place, files):
        _add(listing, path, label, part)
    for name in folders:
        _walk(listing, f"{place}/{name}", label, part, above | {identity})


def _images(listing: Listing, place: str, files: list[str]) -> list[str]:
    """The paths of those files that are images by their names; what is neither that nor a table is noted."""
    listing.others.extend(_below(place, name) for name in files if not (is_image(name) or tables.is_table(name)))
    return [_below(place, name) for name in files if is_image(name)]


def _add(listing: Listing, path: str, label: str, part: Part | None, group: str = "") -> None:
    try:
        status = (listing.root / path).stat()
    except (OSError, ValueError) as error:
        if "\\" in path:  # as Windows writes it
            _add(listing, path.replace("\\", "/"), label, part, group)
        else:
            broken = isinstance(error, FileNotFoundError) and (listing.root / path).is_symlink()
            reason = "a broken link" if broken else getattr(error, "strerror", None) or str(error)
            listing.skipped.setdefault(printable(path), reason)
        return
    if stat.S_ISREG(status.st_mode):
        listing.entries.append(ListedImage(path, label, part, group))
        listing.states.update(f"{status.st_size} {status.st_mtime_ns} {status.st_mode}\n".encode())
    else:
        listing.skipped[printable(path)] = "not a regular file"


def count_for_training(source: Path, share: float, options: FolderOptions = PLAIN) -> int:
    """Estimate how many images would be trained on: those of the train split, or a share of all."""
    entries = list_images(source, options).entries
    named = sum(entry.part == "train" for entry in entries)
    return named or round(share * len(entries))
