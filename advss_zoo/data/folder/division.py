"""What each image is for: to train on, to watch the training by, or to judge the result by.

An image and its copies never lie on two sides, nor do near copies where the sides are drawn here. Who comes where is a
function of the decoded pixels alone: neither names, order, formats, metadata nor the size on use count. Of all images,
though: where some are added, others may change sides.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, combinations
from typing import Any, TypeAlias

from advss_zoo.data.folder import likeness
from advss_zoo.data.folder.listing import Part
from advss_zoo.data.folder.names import printable
from advss_zoo.data.folder.scan import Seen
from advss_zoo.data.splits import SEED
from advss_zoo.texts import listed

SHARES: Mapping[Part, float] = {"test": 0.2, "val": 0.1}
"""Of the images, where nobody has said what they are for; of each class at least one, and one left to train on."""
MOST: Mapping[Part, int] = {"test": 10_000, "val": 5_000}
PURPOSE: Mapping[Part, str] = {"train": "training", "val": "validation", "test": "test"}
LARGE = 10  # near copies, from which on more than half of a class are too many to keep on one side
SHOWN = 5  # names that a note lists before it says how many more there are


@dataclass(frozen=True)
class Division:
    """The images of each part, mixed; `left_out` says for the others why, by path; `notes` what was done.

    `near` are groups of near copies among the images that are used, each of several pictures.
    """

    parts: dict[Part, list[Seen]]
    left_out: dict[str, str] = field(default_factory=dict)
    near: list[list[Seen]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def classes(self) -> tuple[str, ...]:
        """In the order of their numbers, which is that of torchvision's ImageFolder."""
        return tuple(sorted({seen.entry.label for part in self.parts.values() for seen in part}))


def divide(images: Iterable[Seen]) -> Division:
    """Divide images as their entries say, and by a seeded split of every class where they do not."""
    division = Division({"train": [], "val": [], "test": []})
    everyone = _without_clashes(division, list(images))
    groups = _groups(everyone)
    if any(seen.entry.part for seen in everyone):
        _as_said(division, everyone, groups)
    else:
        division.parts["train"] = everyone
        _cut(division, ["test", "val"], groups)
    _note_near_copies(division, groups)
    for images in division.parts.values():
        images.sort(key=_rank)
    return division


Groups: TypeAlias = Mapping[str, int]  # the number of the group of near copies that a sha256 is in


def _groups(images: list[Seen]) -> Groups:
    found = sorted({seen.facts.sha256: seen.facts.likeness for seen in images}.items())
    return dict(zip((sha256 for sha256, _ in found), likeness.groups([each for _, each in found]), strict=True))


def _note_near_copies(division: Division, groups: Groups) -> None:
    part_of = {seen.entry.path: part for part, images in division.parts.items() for seen in images}
    used = sorted((seen for images in division.parts.values() for seen in images), key=lambda seen: seen.entry.path)
    division.near.extend(
        group for group in _by(used, lambda seen: groups[seen.facts.sha256]).values() if _pictures(group) > 1
    )
    if division.near:
        few = some(printable(group[0].entry.path) for group in division.near)
        count = counted(sum(map(len, division.near)))
        division.notes.append(f"{count} in {len(division.near):,} groups of near copies: {few}.")
    apart = [group for group in division.near if len({part_of[seen.entry.path] for seen in group}) > 1]
    if apart:
        few = some(f"{printable(seen.entry.path)} ({part_of[seen.entry.path]})" for group in apart for seen in group)
        division.notes.append(f"Near copies in several splits, which makes test results look better: {few}.")


def _as_said(division: Division, everyone: list[Seen], groups: Groups) -> None:
    for seen in everyone:
        division.parts[seen.entry.part or "train"].append(seen)
    parts = division.parts
    if not parts["test"] and parts["val"]:
        parts["test"], parts["val"] = parts["val"], []
        division.notes.append(
            "Test images are missing: val is used as the test set, and validation images are taken from train."
        )
    _without_copies(division)
    if parts["train"]:
        _without_strangers(division)
        _cut(division, [part for part in SHARES if not parts[part]], groups)


def _without_clashes(division: Division, images: list[Seen]) -> list[Seen]:
    """Leave out files with the same content and different labels: at most one of them can be right."""
    labels: dict[str, dict[str, Seen]] = defaultdict(dict)
    for seen in images:
        labels[seen.facts.sha256].setdefault(seen.entry.label, seen)
    clashing = {sha256: found for sha256, found in labels.items() if len(found) > 1}
    for seen in images:
        others = clashing.get(seen.facts.sha256, {})
        other = next((other for label, other in others.items() if label != seen.entry.label), None)
        if other:
            path = printable(seen.entry.path)
            division.left_out[path] = f"the same image as {printable(other.entry.path)}, which is {other.entry.label!r}"
    if clashing:
        names = some(printable(next(iter(found.values())).entry.path) for found in clashing.values())
        division.notes.append(f"{counted(len(clashing))} with two labels, {names}: all copies left out.")
    return [seen for seen in images if seen.facts.sha256 not in clashing]


def _without_copies(division: Division) -> None:
    """Leave out of training what the result is judged by, and of both what watches the training."""
    order: tuple[Part, ...] = ("test", "val", "train")
    for above, part in combinations(order, 2):
        held = {seen.facts.sha256: seen for seen in division.parts[above]}
        copies = [seen for seen in division.parts[part] if seen.facts.sha256 in held]
        for seen in copies:
            other = printable(held[seen.facts.sha256].entry.path)
            division.left_out[printable(seen.entry.path)] = f"a copy of {other}, which is in {above}"
        division.parts[part] = [seen for seen in division.parts[part] if seen.facts.sha256 not in held]
        if copies:
            names = some(printable(seen.entry.path) for seen in copies)
            division.notes.append(f"{counted(len(copies))} of {part} also in {above}, {names}: left out of {part}.")


def _without_strangers(division: Division) -> None:
    """Leave out of the other parts what is of a class that is not trained on."""
    known = {seen.entry.label for seen in division.parts["train"]}
    for part in SHARES:
        strangers = [seen for seen in division.parts[part] if seen.entry.label not in known]
        for seen in strangers:
            division.left_out[printable(seen.entry.path)] = f"class {seen.entry.label!r} has no training image"
        division.parts[part] = [seen for seen in division.parts[part] if seen.entry.label in known]
        if strangers:
            names = some({seen.entry.label for seen in strangers})
            division.notes.append(
                f"{counted(len(strangers))} of {part} of classes without training images, {names}: left out."
            )


def _cut(division: Division, missing: list[Part], groups: Groups) -> None:
    """Take the missing parts out of what is there to train on, class by class; near copies come to one side.

    Those of several classes stay with what is trained on.
    """
    training = division.parts["train"]
    shares = {part: min(SHARES[part], MOST[part] / max(1, len(training))) for part in missing}
    pictures = {label: _pictures(images) for label, images in _by(training, lambda seen: seen.entry.label).items()}
    units: dict[str, list[list[Seen]]] = defaultdict(list)
    division.parts["train"] = []
    for unit in _units(division, sorted(training, key=_rank), groups, pictures):
        labels = {seen.entry.label for seen in unit}
        units[labels.pop()].append(unit) if len(labels) == 1 else division.parts["train"].extend(unit)
    for label, count in sorted(pictures.items()):
        rest = units[label]
        for place, (part, share) in enumerate(shares.items(), 1):
            taken, rest = _take(rest, max(1, round(share * count)) if count > place else 0)
            division.parts[part] += taken
        division.parts["train"] += chain.from_iterable(rest)
    if missing:
        cut = " and ".join(f"{len(division.parts[part]):,} for {PURPOSE[part]}" for part in missing)
        division.notes.append(f"Images of every class are held out: {cut} (seed {SEED}).")
    for part in SHARES:
        absent = set(pictures) - {seen.entry.label for seen in division.parts[part]}
        if absent:
            division.notes.append(f"No {PURPOSE[part]} image of {some(absent)}.")


def _units(division: Division, images: list[Seen], groups: Groups, pictures: Mapping[str, int]) -> Iterator[list[Seen]]:
    """What comes to one side: near copies, unless they are most of a class, for then none would be left to judge by."""
    for unit in _by(images, lambda seen: groups[seen.facts.sha256]).values():
        label, count = unit[0].entry.label, _pictures(unit)
        if count >= LARGE and 2 * count > pictures[label]:
            division.notes.append(f"{counted(count)} of {label!r} are near copies of each other: divided all the same.")
            yield from _by(unit, lambda seen: seen.facts.sha256).values()
        else:
            yield unit


def _take(units: list[list[Seen]], wanted: int) -> tuple[list[Seen], list[list[Seen]]]:
    """Take the first units that make up so many pictures, and return what is left; the last is never taken."""
    taken: list[Seen] = []
    rest: list[list[Seen]] = []
    room = wanted
    for unit in units:
        size = _pictures(unit)
        if size <= room and len(units) > 1:
            taken += unit
            room -= size
        else:
            rest.append(unit)
    if wanted and not taken and len(units) > 1:  # all are larger than what is wanted
        taken = rest.pop(min(range(len(rest)), key=lambda place: _pictures(rest[place])))
    return taken, rest


def _by(images: Iterable[Seen], key: Callable[[Seen], Any]) -> dict[Any, list[Seen]]:
    found: dict[Any, list[Seen]] = defaultdict(list)
    for seen in images:
        found[key(seen)].append(seen)
    return found


def _pictures(images: Iterable[Seen]) -> int:
    """How many there are without their copies."""
    return len({seen.facts.sha256 for seen in images})


def _rank(seen: Seen) -> tuple[str, str]:
    """A random order of contents; copies one after the other."""
    drawn = hashlib.sha256(f"{SEED}/{seen.facts.sha256}".encode()).hexdigest()
    return drawn, printable(seen.entry.path)


def counted(images: int) -> str:
    return f"{images:,} image{'' if images == 1 else 's'}"


def some(names: Iterable[str]) -> str:
    """List names as "a, b and 3 more"."""
    return listed(sorted(names), SHOWN)
