"""What each image is for: to train on, to watch the training by, or to judge the result by.

An image and its copies never lie on two sides, nor do images of one group, nor near copies where the sides are drawn
here. Who comes where is a function of the decoded pixels and the groups alone: neither names, order, formats, metadata
nor the size on use count. Of all images, though: where some are added, others may change sides.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, combinations, groupby
from typing import NamedTuple, TypeAlias

from advss_zoo.data.folder import likeness
from advss_zoo.data.folder.names import Order, in_order, printable
from advss_zoo.data.folder.parts import Part
from advss_zoo.data.folder.scan import Seen
from advss_zoo.data.splits import SEED
from advss_zoo.texts import counted, listed

SHARES: Mapping[Part, float] = {"test": 0.2, "val": 0.1}
"""Of the images, where nobody has said what they are for; of each class at least one, and one left to train on."""
MOST: Mapping[Part, int] = {"test": 10_000, "val": 5_000}
PURPOSE: Mapping[Part, str] = {"train": "training", "val": "validation", "test": "test"}
COPY, GROUP = "copy", "group"
WHY = {COPY: "a copy of", GROUP: "of the same group ({}) as"}
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
        """In the order of the model's outputs."""
        return self._ordered[0]

    @property
    def order(self) -> Order:
        """What that order goes by."""
        return self._ordered[1]

    @property
    def _ordered(self) -> tuple[tuple[str, ...], Order]:
        return in_order({seen.entry.label for part in self.parts.values() for seen in part})


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


Groups: TypeAlias = Mapping[bytes, int]  # the number of the group of near copies that a picture is in, by its sha256


def _groups(images: list[Seen]) -> Groups:
    """Number the pictures that have near copies."""
    found = {seen.facts.sha256: seen.facts.likeness for seen in images}
    pictures = sorted(found)
    numbers = likeness.groups([found[picture] for picture in pictures])
    sizes = Counter(numbers)
    return {picture: number for picture, number in zip(pictures, numbers, strict=True) if sizes[number] > 1}


def _alike(images: Iterable[Seen], groups: Groups) -> Iterable[list[Seen]]:
    """The images of each group."""
    found: dict[int, list[Seen]] = defaultdict(list)
    for seen in images:
        if seen.facts.sha256 in groups:
            found[groups[seen.facts.sha256]].append(seen)
    return found.values()


def _note_near_copies(division: Division, groups: Groups) -> None:
    near = {part: [seen for seen in images if seen.facts.sha256 in groups] for part, images in division.parts.items()}
    part_of = {seen.entry.path: part for part, images in near.items() for seen in images}
    ordered = sorted(chain.from_iterable(near.values()), key=lambda seen: seen.entry.path)
    division.near.extend(images for images in _alike(ordered, groups) if _pictures(images) > 1)
    if division.near:
        few = some(printable(group[0].entry.path) for group in division.near)
        count, groups_of = counted(sum(map(len, division.near))), counted(len(division.near), "group")
        division.notes.append(f"{count} in {groups_of} of near copies: {few}.")
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
    first: dict[bytes, Seen] = {}
    clashing: dict[bytes, dict[str, Seen]] = {}
    for seen in images:
        before = first.setdefault(seen.facts.sha256, seen)
        if before.entry.label != seen.entry.label:
            clashing.setdefault(seen.facts.sha256, {before.entry.label: before}).setdefault(seen.entry.label, seen)
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
    """Leave out of training what the result is judged by, and of both what watches the training; groups likewise."""
    order: tuple[Part, ...] = ("test", "val", "train")
    for above, part in combinations(order, 2):
        held = {tie: seen for seen in division.parts[above] for tie in _ties(seen)}
        kept: list[Seen] = []
        dropped: dict[str, list[str]] = defaultdict(list)
        for seen in division.parts[part]:
            kind, value = next((tie for tie in _ties(seen) if tie in held), ("", ""))
            if not kind:
                kept.append(seen)
                continue
            why, path = WHY[kind].format(value), printable(seen.entry.path)
            division.left_out[path] = f"{why} {printable(held[kind, value].entry.path)}, which is in {above}"
            dropped[kind].append(path)
        division.parts[part] = kept
        for kind, paths in dropped.items():
            which = "also" if kind == COPY else "of groups that are also"
            names = f"{counted(len(paths))} of {part} {which} in {above}, {some(paths)}"
            division.notes.append(f"{names}: left out of {part}.")


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
    """Take the missing parts out of what is there to train on, so that each class has its share in each.

    Near copies of several classes stay with what is trained on.
    """
    training = division.parts["train"]
    near = _dividing(division, training, groups) if missing else {}
    units = _units(training, near)
    shares = {part: min(SHARES[part], MOST[part] / max(1, len(training))) for part in missing}
    contents, holders = Counter[str](), Counter[str]()
    for unit in units:
        contents.update(unit.weights)
        holders.update(unit.weights.keys())
    staying = [unit for unit in units if _is_unsure(unit, near)]
    units = [unit for unit in units if not _is_unsure(unit, near)]
    for place, (part, share) in enumerate(shares.items(), 1):
        wanted = {label: max(1, round(share * count)) for label, count in contents.items() if count > place}
        taken, units = _taken(units, wanted, holders)
        division.parts[part] += [seen for unit in taken for seen in unit.images]
    division.parts["train"] = [seen for unit in (*staying, *units) for seen in unit.images]
    if missing:
        cut = " and ".join(f"{len(division.parts[part]):,} for {PURPOSE[part]}" for part in missing)
        whole = ", whole groups" if any(seen.entry.group for seen in training) else ""
        division.notes.append(f"Images of every class are held out{whole}: {cut} (seed {SEED}).")
    for part in SHARES:
        absent = contents.keys() - {seen.entry.label for seen in division.parts[part]}
        if absent:
            division.notes.append(f"No {PURPOSE[part]} image of {some(absent)}.")


class Unit(NamedTuple):
    """Images that must not lie on two sides, and how many different ones of each class they are."""

    images: list[Seen]
    weights: Counter[str]


def _taken(units: list[Unit], wanted: dict[str, int], holders: Counter[str]) -> tuple[list[Unit], list[Unit]]:
    """Take units until each class has as many images as are wanted; return them and those that are left.

    One is taken if more than half of its images are wanted, and for a class that has none then the one with the fewest
    that are not; never the last that has a class. `holders` counts those that are left.
    """
    missing, taken = Counter(wanted), set[int]()

    def can(place: int) -> bool:
        return place not in taken and all(holders[label] > 1 for label in units[place].weights)

    def surplus(place: int) -> int:
        return sum(count - max(0, min(count, missing[label])) for label, count in units[place].weights.items())

    def take(place: int) -> None:
        taken.add(place)
        missing.subtract(units[place].weights)
        holders.subtract(units[place].weights.keys())

    for place, unit in enumerate(units):
        if can(place) and 2 * surplus(place) < unit.weights.total():
            take(place)
    for label in sorted(wanted):
        if missing[label] == wanted[label]:
            fitting = [place for place, unit in enumerate(units) if label in unit.weights and can(place)]
            if fitting:
                take(min(fitting, key=surplus))
    return [units[place] for place in sorted(taken)], [unit for place, unit in enumerate(units) if place not in taken]


Tie: TypeAlias = tuple[str, str | bytes]  # a kind and a value


def _ties(seen: Seen) -> tuple[Tie, ...]:
    """What an image must not share with one on another side."""
    copy = (COPY, seen.facts.sha256)
    return (copy, (GROUP, seen.entry.group)) if seen.entry.group else (copy,)


def _units(images: Iterable[Seen], near: Groups) -> list[Unit]:
    """Join images that share something, directly or through others; in the order of the first of each."""
    ordered = sorted(images, key=_rank)

    def links() -> Iterator[tuple[int, int]]:
        first: dict[bytes | str | int | None, int] = {}
        for place, seen in enumerate(ordered):
            for tie in (seen.facts.sha256, seen.entry.group or None, near.get(seen.facts.sha256)):
                yield (place if tie is None else first.setdefault(tie, place)), place

    roots = likeness.joined(len(ordered), links())
    weights: Callable[[tuple[str, ...]], Counter[str]] = cache(Counter)  # most units are one image of some class

    def unit(found: list[Seen]) -> Unit:
        return Unit(found, weights(tuple(sorted({seen.facts.sha256: seen.entry.label for seen in found}.values()))))

    places = sorted(range(len(ordered)), key=roots.__getitem__)
    return [unit([ordered[place] for place in each]) for _, each in groupby(places, roots.__getitem__)]


def _dividing(division: Division, images: list[Seen], groups: Groups) -> Groups:
    """The groups of near copies that come to one side: none that is most of a class, or it could not be judged."""
    kept: dict[bytes, int] = {}
    pictures = Counter({seen.facts.sha256: seen.entry.label for seen in images}.values())
    for found in _alike(images, groups):
        label, count = found[0].entry.label, _pictures(found)
        if count >= LARGE and 2 * count > pictures[label]:
            division.notes.append(f"{counted(count)} of {label!r} are near copies of each other: divided all the same.")
        else:
            kept |= {seen.facts.sha256: groups[seen.facts.sha256] for seen in found}
    return kept


def _is_unsure(unit: Unit, near: Groups) -> bool:
    """Tell whether there are near copies of several classes in it."""
    several = len(unit.weights) > 1
    return several and any(len({seen.entry.label for seen in found}) > 1 for found in _alike(unit.images, near))


def _pictures(images: Iterable[Seen]) -> int:
    """How many there are without their copies."""
    return len({seen.facts.sha256 for seen in images})


def _rank(seen: Seen) -> tuple[bytes, str]:
    """A random order of contents; copies one after the other."""
    return hashlib.sha256(f"{SEED}/{seen.facts.sha256.hex()}".encode()).digest(), seen.entry.path


def some(names: Iterable[str]) -> str:
    """List names as "a, b and 3 more"."""
    return listed(sorted(names), SHOWN)
