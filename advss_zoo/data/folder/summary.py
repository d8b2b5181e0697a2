"""What a person should know about their images before anything is trained on them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from advss_zoo.data.folder.division import Division, some
from advss_zoo.data.folder.listing import Listing, PartOrigin
from advss_zoo.data.folder.names import Order, printable
from advss_zoo.data.folder.parts import Part
from advss_zoo.data.folder.scan import Scan, Seen
from advss_zoo.data.folder.values import ValueRange
from advss_zoo.data.folder.walking import Hidden, describe
from advss_zoo.texts import counted, listed

MOST_ROWS = 20  # classes that are listed one by one
UNIFORM, FLAT = "nearly uniform", "Nearly uniform, with little to see"
SHOWN = 5  # files that are named before the rest is counted


@dataclass(frozen=True)
class Summary:
    """Counts and sizes; `classes` maps names to images by part, in the order of the model's outputs.

    `order` says what that goes by, `origins` where the parts come from and why, `passed_over` what systems left in
    folders, by kind; `columns` are those of a table by what they are used for, `unused_columns` the others. `groups`
    counts those that were kept together.
    """

    source: str
    root: str  # of the folder that the paths in it begin at
    side: int
    classes: dict[str, dict[Part, int]]
    order: Order
    parts: dict[Part, int]
    origins: list[PartOrigin]
    groups: int
    passed_over: dict[str, Hidden]
    columns: dict[str, list[str]]
    unused_columns: list[str]
    smallest: tuple[int, int]  # width, height
    median: tuple[int, int]
    largest: tuple[int, int]
    modes: dict[str, int]
    turned: int
    animated: int
    copies: int
    uniform: int
    on_black: int  # drawings that are nearly white on a transparent ground
    deep: int  # files with more than 8 bits
    value_range: ValueRange | None  # their values that become 0 and 255
    skipped: dict[str, str]  # what cannot be read, and why
    left_out: dict[str, str]  # what can be read and is not used, and why
    odd: dict[str, str]  # what is used and should be looked at, and why
    notes: list[str]

    @classmethod
    def of(cls, listing: Listing, scan: Scan, division: Division, value_range: ValueRange | None) -> Summary:
        used = [seen for part in division.parts.values() for seen in part]
        sizes = sorted(((seen.facts.width, seen.facts.height) for seen in used), key=lambda size: size[0] * size[1])
        counts = Counter((seen.entry.label, part) for part, images in division.parts.items() for seen in images)
        return cls(
            source=printable(str(listing.source)),
            root=printable(str(listing.root.absolute())),
            side=scan.side,
            classes={label: {part: counts[label, part] for part in division.parts} for label in division.classes},
            order=division.order,
            parts={part: len(images) for part, images in division.parts.items()},
            origins=listing.origins,
            groups=len({seen.entry.group for seen in used} - {""}),
            passed_over=listing.passed_over.kinds,
            columns=listing.used,
            unused_columns=listing.unused,
            smallest=sizes[0],
            median=sizes[len(sizes) // 2],
            largest=sizes[-1],
            modes=dict(Counter(seen.facts.mode for seen in used).most_common()),
            turned=sum(seen.facts.turned for seen in used),
            animated=sum(seen.facts.animated for seen in used),
            copies=len(used) - len({seen.facts.sha256 for seen in used}),
            uniform=sum(seen.facts.uniform for seen in used),
            on_black=sum(seen.facts.on_black for seen in used),
            deep=sum(seen.facts.largest is not None for seen in used),
            value_range=value_range,
            skipped=listing.skipped | scan.broken,
            left_out=listing.left_out | division.left_out,
            odd=_odd(used, division),
            notes=[*listing.notes, *_notes(listing.classes, division.classes), *division.notes],
        )

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Summary:
        pairs = ("smallest", "median", "largest", "value_range")
        typed: dict[str, Any] = {key: value[key] and tuple(value[key]) for key in pairs}
        typed["origins"] = [PartOrigin(**origin) for origin in value["origins"]]
        typed["passed_over"] = {kind: Hidden(**hidden) for kind, hidden in value["passed_over"].items()}
        return cls(**(value | typed))

    def to_json(self) -> dict[str, Any]:
        origins = [origin._asdict() for origin in self.origins]
        passed_over = {kind: hidden._asdict() for kind, hidden in self.passed_over.items()}
        return asdict(self) | {"origins": origins, "passed_over": passed_over}

    def lines(self) -> Iterator[str]:
        """Describe for people the images by class, those left out, and the processing."""
        total = sum(self.parts.values())
        yield f"{total:,} images of {len(self.classes):,} classes in {self.source}"
        yield from self.reading()
        yield from self._table()
        sizes = dict.fromkeys("x".join(map(str, size)) for size in (self.smallest, self.median, self.largest))
        modes = ", ".join(f"{count:,} {mode}" for mode, count in self.modes.items())
        yield f"Pixels (smallest, median, largest): {', '.join(sizes)}. Modes: {modes}."
        yield f"All become {self.side}x{self.side}: the shorter side is resized, then the centre cropped."
        for what, count in self.noted():
            uniform = [path for path, why in self.odd.items() if why.startswith(UNIFORM)] if what == FLAT else []
            yield ": ".join([what, counted(count), *([some(uniform)] if uniform else [])]) + "."
        if self.skipped:
            paths: dict[str, list[str]] = defaultdict(list)
            for path, reason in self.skipped.items():
                paths[reason].append(path)
            reasons = [f"{listed(found, 1)} ({reason})" for reason, found in paths.items()]
            more = sum(map(len, list(paths.values())[SHOWN:]))
            shown = "; ".join([*reasons[:SHOWN], *([f"and {more:,} more"] if more else [])])
            yield f"{counted(len(self.skipped), 'unreadable file')} skipped: {shown}."
        yield from self.notes

    def noted(self) -> Iterator[tuple[str, int]]:
        """Return what is noteworthy of images that are used, and of how many."""
        black, white = self.value_range or (0, 0)
        found = {
            "Rotated by their EXIF orientation": self.turned,
            "Several frames or pages, first used": self.animated,
            f"More than 8 bits, values {black:g} to {white:g} become 0 to 255": self.deep,
            "Nearly white on a transparent ground, placed on black": self.on_black,
            FLAT: self.uniform,
            "Exact copies within a split": self.copies,
        }
        return ((what, count) for what, count in found.items() if count)

    def reading(self) -> Iterator[str]:
        """Say what was taken for what: folders for parts, columns for labels, names for an order of classes."""
        taken = [f"{each.part} from {each.name} ({each.images:,}, by {each.why})" for each in self.origins if each.part]
        if taken:
            yield f"Splits: {'; '.join(taken)}."
        passed = [f"{each.name} ({each.images:,}, {each.why})" for each in self.origins if not each.part]
        if passed:
            yield f"Left out: {listed(passed, SHOWN)}."
        if columns := [f"{role} from {listed(names, SHOWN)}" for role, names in self.columns.items()]:
            yield f"Columns: {'; '.join(columns)}."
        if self.order == "number":
            yield f"Classes are in the order of their numbers: {listed(list(self.classes), SHOWN)}."
        if self.groups:
            yield f"Groups kept on one side: {self.groups:,}."
        if hidden := describe(self.passed_over):
            yield hidden

    def _table(self) -> Iterator[str]:
        """A line a class; of many classes the largest and the smallest."""
        rows = list(self.classes.items())
        if len(rows) > MOST_ROWS:
            ordered = sorted(rows, key=lambda row: -sum(row[1].values()))
            half = MOST_ROWS // 2
            rows = [*ordered[:half], (f"... {len(rows) - MOST_ROWS:,} more", {}), *ordered[-half:]]
        width = max(len(label) for label, _ in rows)
        parts = [part for part, count in self.parts.items() if count]
        yield "  ".join([" " * width, *(f"{part:>7}" for part in parts)])
        for label, counts in [*rows, ("all", self.parts)]:
            yield "  ".join([f"{label:<{width}}", *(f"{counts[part]:>7,}" for part in parts if counts)]).rstrip()


def _odd(used: list[Seen], division: Division) -> dict[str, str]:
    found: dict[str, list[str]] = defaultdict(list)
    for seen in used:
        path = printable(seen.entry.path)
        if seen.facts.uniform:
            found[path].append(UNIFORM)
        if seen.facts.on_black:
            found[path].append("nearly white on a transparent ground: placed on black")
    for group in division.near:
        first, *others = (printable(seen.entry.path) for seen in group)
        for path in others:
            found[path].append(f"a near copy of {first}")
    return {path: "; ".join(reasons) for path, reasons in found.items()}


def _notes(named: set[str], classes: tuple[str, ...]) -> Iterator[str]:
    if lost := named.difference(classes):
        yield f"No image of {some(map(repr, lost))} can be used."
    spellings: dict[str, list[str]] = {}
    for label in classes:
        spellings.setdefault(label.casefold(), []).append(label)
    for alike in spellings.values():
        if len(alike) > 1:
            yield f"{' and '.join(alike)} are treated as different classes."


def used_rows(division: Division, listing: Listing) -> Iterator[tuple[str, str, str]]:
    """Return path, label and part of every image that is used: a table that divides the same images alike."""
    for part, images in division.parts.items():
        for seen in images:
            yield str((listing.root / seen.entry.path).absolute()), seen.entry.label, part
