"""A folder of images as one page: what is in it, pictures of each class, and everything odd."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from PIL import Image

from advss_zoo.data.folder import decoding
from advss_zoo.data.folder.prepared import Prepared
from advss_zoo.data.folder.summary import Summary
from advss_zoo.files import explained
from advss_zoo.progress import Progress
from advss_zoo.results_page.figure import Cell, Column, DataTable, Section
from advss_zoo.results_page.page import render, write_page

SIDE = 96  # pixels
MOST_CLASSES = 50  # that have pictures
SAMPLES = 6  # of each class
MOST_ODD = 24  # pictures of a kind of oddity
MOST_ROWS = 1_000  # of a table of files
THREADS = 2
WORDS = 3  # of a reason, by which kinds are told apart: "a near copy", "the same image"


@dataclass(frozen=True)
class Shown:
    """A picture as a data link (None: it cannot be read), what stands below it, and the picture that it is like."""

    link: str | None
    says: str
    other: str | None = None


@dataclass(frozen=True)
class Told:
    """Sentences, and tables below them."""

    lines: tuple[str, ...]
    tables: tuple[DataTable, ...]


@dataclass(frozen=True)
class Wall:
    """Pictures with a heading."""

    title: str
    pictures: tuple[Shown, ...]


def write(prepared: Prepared, path: Path, progress: Progress) -> None:
    """Write the page of a folder, which needs no network and no other file.

    Args:
        progress: called with pictures done and pictures in all, as "Drawing pictures".

    Raises:
        AdvssError: the page cannot be written, or the tables of the folder cannot be read.
    """
    summary = prepared.summary
    total = sum(summary.parts.values())
    lead = f"{total:,} images of {len(summary.classes):,} classes in {summary.source}."
    samples, odd = _samples(prepared), {**_by_kind(summary.odd), **_by_kind(summary.left_out)}
    shown = [each for found in odd.values() for path, reason in found[:MOST_ODD] for each in (path, _other(reason))]
    links = _pictures(summary, filter(None, chain(*samples.values(), shown)), progress)
    sections = (
        _counts(summary),
        Section(
            "pictures",
            "Pictures of each class",
            f"{SAMPLES} of each class, drawn at random; the middle square, as a model sees it but larger.",
            template="walls.html.j2",
            context=tuple(_sample_walls(samples, links)),
        ),
        *_odd_section(summary, odd, links),
        *_unread_section(prepared),
        _files(summary),
    )
    write_page(path, render(f"Images in {Path(summary.source).name}", lead, sections))


# --- tables -----------------------------------------------------------------------------------------------------------


def _counts(summary: Summary) -> Section:
    columns = Column("class"), Column("output", "number"), *(Column(part, "number") for part in summary.parts)
    rows: list[tuple[Cell, ...]] = [
        (label, place, *counts.values()) for place, (label, counts) in enumerate(summary.classes.items())
    ]
    total = ("all", None, *summary.parts.values())
    table = DataTable("Images of each class, in the order of the model's outputs", columns, (*rows, total))
    lines = (*summary.reading(), *summary.notes)
    lead = "What was taken for what, and what was done."
    return Section("classes", "Classes and splits", lead, template="told.html.j2", context=Told(lines, (table,)))


def _files(summary: Summary) -> Section:
    sizes = ((summary.smallest, "smallest"), (summary.median, "median"), (summary.largest, "largest"))
    facts: list[tuple[str, str]] = [
        *((f"{name} image", "x".join(map(str, size))) for size, name in sizes),
        *((f"mode {mode}", f"{count:,}") for mode, count in summary.modes.items()),
        *((what, f"{count:,}") for what, count in summary.noted()),
    ]
    facts += [
        (f"passed over: {kind}", f"{hidden.images:,} images in {hidden.places:,} places, such as {hidden.first}")
        for kind, hidden in summary.passed_over.items()
    ]
    table = DataTable("What the files are", (Column("what"), Column("found")), tuple(facts))
    lead = f"All become {summary.side}x{summary.side} pixels: the shorter side is resized, then the centre cropped."
    return Section("files", "Files", lead, template="told.html.j2", context=Told((), (table,)))


def _unread_section(prepared: Prepared) -> Iterator[Section]:
    """What cannot be read, and why; and all that is not used, as far as a page can list it."""
    tables = [
        DataTable(caption, (Column("file"), Column("why")), tuple(found.items())[:MOST_ROWS])
        for caption, found in (
            (f"Cannot be read: {len(prepared.summary.skipped):,} files", prepared.summary.skipped),
            (f"Can be read and are not used: {len(prepared.summary.left_out):,} files", prepared.summary.left_out),
        )
        if found
    ]
    if tables:
        lead = f"At most {MOST_ROWS:,} are listed here; all are in {prepared.unused_file}."
        yield Section(
            "unused", "Files that are not used", lead, template="told.html.j2", context=Told((), tuple(tables))
        )


# --- pictures ---------------------------------------------------------------------------------------------------------

Kinds: TypeAlias = Mapping[str, list[tuple[str, str]]]  # files and their reasons, by kind of reason
Links: TypeAlias = Mapping[str, str | None]


def _samples(prepared: Prepared) -> dict[str, list[str]]:
    """The paths of the first images of the first classes: they are stored in a random order."""
    found: dict[str, list[str]] = {label: [] for label in list(prepared.classes)[:MOST_CLASSES]}
    path = prepared.images_file
    with explained("read", path), path.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows)
        for image, label, _ in rows:
            if label in found and len(found[label]) < SAMPLES:
                found[label].append(image)
    return found


def _by_kind(reasons: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path, reason in reasons.items():
        found[" ".join(reason.split()[:WORDS])].append((path, reason))
    return found


def _other(reason: str) -> str | None:
    """The picture that another is like, by the reason."""
    found = re.search(r"(?:copy of|the same image as) (.+?)(?:, which is .*|; .*)?$", reason)
    return found[1] if found else None


def _pictures(summary: Summary, wanted: Iterable[str], progress: Progress) -> dict[str, str | None]:
    """Decode pictures, each once, as data links by path; None for what cannot be read."""

    def link(path: str) -> str | None:
        found = decoding.read(Path(summary.root) / path, SIDE, summary.value_range, truncated=True)
        if isinstance(found, str):
            return None
        buffer = io.BytesIO()
        Image.fromarray(found[0].transpose(1, 2, 0)).save(buffer, "JPEG", quality=85)
        return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

    paths, links = list(dict.fromkeys(wanted)), dict[str, str | None]()
    with ThreadPoolExecutor(THREADS) as pool:
        for path, made in zip(paths, pool.map(link, paths), strict=True):
            links[path] = made
            progress("Drawing pictures", "images", len(links), len(paths), "")
    return links


def _sample_walls(samples: Mapping[str, list[str]], links: Links) -> Iterator[Wall]:
    for label, paths in samples.items():
        yield Wall(label, tuple(Shown(links[path], Path(path).name) for path in paths))


def _odd_section(summary: Summary, odd: Kinds, links: Links) -> Iterator[Section]:
    walls = tuple(_odd_walls(odd, links))
    if walls:
        lead = (
            f"Images that are used and should be looked at: {len(summary.odd):,}. Images that can be read and are not "
            f"used: {len(summary.left_out):,}. At most {MOST_ODD} of a kind are shown."
        )
        yield Section("odd", "Look at these", lead, template="walls.html.j2", context=walls)


def _odd_walls(odd: Kinds, links: Links) -> Iterator[Wall]:
    for kind, found in odd.items():
        pictures = (
            Shown(links[path], f"{path}: {reason}", links[other] if (other := _other(reason)) else None)
            for path, reason in found[:MOST_ODD]
        )
        yield Wall(f"{kind} … ({len(found):,})", tuple(pictures))
