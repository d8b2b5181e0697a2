"""What each image is for: to train on, to watch the training by, or to judge the result by.

An image and its exact copies never lie on two sides. Who comes where is a function of the bytes of the files alone:
neither their names nor their order count. Of all files, though: where some are added, others may change sides.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain, combinations

from advss_zoo.data.folder.listing import Part
from advss_zoo.data.folder.names import printable
from advss_zoo.data.folder.scan import Seen
from advss_zoo.data.splits import SEED
from advss_zoo.texts import listed

SHARES: Mapping[Part, float] = {"test": 0.2, "val": 0.1}
"""Of the images, where nobody has said what they are for; of each class at least one, and one left to train on."""
MOST: Mapping[Part, int] = {"test": 10_000, "val": 5_000}
PURPOSE: Mapping[Part, str] = {"train": "training", "val": "validation", "test": "test"}
SHOWN = 5  # names that a note lists before it says how many more there are


@dataclass(frozen=True)
class Division:
    """The images of each part, mixed; `left_out` says for the others why, by path; `notes` what was done."""

    parts: dict[Part, list[Seen]]
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def classes(self) -> tuple[str, ...]:
        """In the order of their numbers, which is that of torchvision's ImageFolder."""
        return tuple(sorted({seen.entry.label for part in self.parts.values() for seen in part}))


def divide(images: Iterable[Seen]) -> Division:
    """Divide images as their entries say, and by a seeded split of every class where they do not."""
    division = Division({"train": [], "val": [], "test": []})
    everyone = _without_clashes(division, list(images))
    if any(seen.entry.part for seen in everyone):
        _as_said(division, everyone)
    else:
        division.parts["train"] = everyone
        _cut(division, ["test", "val"])
    for images in division.parts.values():
        images.sort(key=_rank)
    return division


def _as_said(division: Division, everyone: list[Seen]) -> None:
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
        _cut(division, [part for part in SHARES if not parts[part]])


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


def _cut(division: Division, missing: list[Part]) -> None:
    """Take the missing parts out of what is there to train on, class by class."""
    training = division.parts["train"]
    shares = {part: min(SHARES[part], MOST[part] / max(1, len(training))) for part in missing}
    groups: dict[str, dict[str, list[Seen]]] = defaultdict(lambda: defaultdict(list))
    for seen in sorted(training, key=_rank):
        groups[seen.entry.label][seen.facts.sha256].append(seen)
    division.parts["train"] = []
    for label in sorted(groups):
        rest = list(groups[label].values())
        count = len(rest)
        for place, (part, share) in enumerate(shares.items(), 1):
            taken = max(1, round(share * count)) if count > place else 0
            division.parts[part] += chain.from_iterable(rest[:taken])
            rest = rest[taken:]
        division.parts["train"] += chain.from_iterable(rest)
    if missing:
        cut = " and ".join(f"{len(division.parts[part]):,} for {PURPOSE[part]}" for part in missing)
        division.notes.append(f"Images of every class are held out: {cut} (seed {SEED}).")
    for part in SHARES:
        absent = set(groups) - {seen.entry.label for seen in division.parts[part]}
        if absent:
            division.notes.append(f"No {PURPOSE[part]} image of {some(absent)}.")


def _rank(seen: Seen) -> tuple[str, str]:
    """A random order of contents; copies one after the other."""
    drawn = hashlib.sha256(f"{SEED}/{seen.facts.sha256}".encode()).hexdigest()
    return drawn, printable(seen.entry.path)


def counted(images: int) -> str:
    return f"{images:,} image{'' if images == 1 else 's'}"


def some(names: Iterable[str]) -> str:
    """List names as "a, b and 3 more"."""
    return listed(sorted(names), SHOWN)
