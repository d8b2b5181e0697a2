"""Adversarial images beside the clean ones, and what was added, amplified."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import safetensors
from numpy.typing import NDArray
from PIL import Image

from advss_zoo.data import catalogue
from advss_zoo.data.folder.prepared import known
from advss_zoo.data.imageset import ImageSet
from advss_zoo.data.load import in_order, load_data
from advss_zoo.errors import AdvssError
from advss_zoo.evaluation.adversarial import TENSORS_FILE
from advss_zoo.evaluation.verdicts import Integers, Verdicts
from advss_zoo.results_page.evidence import Evaluation
from advss_zoo.results_page.figure import Column, DataTable, Figure, Section
from advss_zoo.results_page.report_data import ReportData
from advss_zoo.results_page.scene import Mark, Picture, Scene, Text, fitted

MOST_RESULTS = 8
BROKEN, STANDING = 6, 2  # images of a result: the first that are broken, and the first that withstand
LARGEST = 96  # pixels of a side that are kept; larger images are shown smaller
LONGEST = 1024  # pixels of a side that are read at all
SIDE, GAP, CAPTION = 112.0, 12.0, 24.0  # of a picture in a drawing, between two, and what is written below it
FULL = 0.4  # what the largest difference is amplified to

Pixels = NDArray[np.float32]  # (C,H,W) or (B,C,H,W) in [0,1]


@dataclass(frozen=True)
class Exhibit:
    """One image; pictures are data: links to PNG files, None where the clean image is not on this machine."""

    position: int
    label: str
    before: str
    after: str
    adversarial: str
    clean: str | None
    difference: str | None
    broken: bool
    unchanged: bool  # an attack that keeps what it finds has found nothing


@dataclass(frozen=True)
class Room:
    """The images of one result; `factor` is how many times the difference is amplified."""

    title: str
    anchor: str
    exhibits: tuple[Exhibit, ...]
    factor: int | None

    @property
    def table(self) -> DataTable:
        columns = (
            Column("position", "number"),
            Column("label"),
            Column("prediction, clean"),
            Column("prediction, attacked"),
        )
        rows = tuple((str(e.position), e.label, e.before, e.after) for e in self.exhibits)
        return DataTable(f"Images shown: {self.title}", columns, rows)


def section(report_data: ReportData) -> Section:
    rooms = tuple(islice(_rooms(report_data), MOST_RESULTS))
    return Section(
        "gallery",
        "Adversarial images",
        "For each result, the first images that were broken and the first that stayed robust. The difference is shown "
        "around grey, amplified by the factor below it.",
        template="gallery.html.j2",
        context=rooms,
        drawings=tuple(_drawing(f"gallery-{place}", room) for place, room in enumerate(rooms, 1)),
    )


def _drawing(name: str, room: Room) -> Figure:
    """A row for each image, and below each picture what it is taken for."""
    marks: list[Mark] = []
    for row, exhibit in enumerate(room.exhibits):
        pictures = [
            (exhibit.clean, exhibit.before),
            (None if exhibit.unchanged else exhibit.adversarial, exhibit.after),
            (None if exhibit.unchanged else exhibit.difference, f"\N{MULTIPLICATION SIGN} {room.factor}"),
        ]
        top = row * (SIDE + CAPTION)
        for column, (link, said) in enumerate(pictures):
            left = column * (SIDE + GAP)
            if link:
                marks.append(Picture(left, top, SIDE, SIDE, link))
                text = fitted(said, SIDE)
                marks.append(Text(left + SIDE / 2, top + SIDE + CAPTION / 2, text, "middle", tip=said))
        if exhibit.unchanged:
            marks.append(Text(SIDE + GAP, top + SIDE / 2, "no adversarial image found", colour="soft"))
    columns = "clean, attacked and the difference" if room.factor else "attacked"
    text = f"{len(room.exhibits)} images, {columns}; the prediction below each."
    scene = Scene(len(room.exhibits) * (SIDE + CAPTION), tuple(marks))
    return Figure(name, room.title, text, scene, room.table)


def _rooms(report_data: ReportData) -> Iterator[Room]:
    found: dict[tuple[object, ...], ImageSet | None] = {}
    for evaluation in report_data.evaluations:
        if evaluation.ra is not None and (evaluation.folder / TENSORS_FILE).is_file():
            try:
                room = _room(report_data, evaluation, found)
            except AdvssError as error:
                report_data.leave_out(error)
                continue
            if room.exhibits:
                yield room


def _room(report_data: ReportData, evaluation: Evaluation, found: dict[tuple[object, ...], ImageSet | None]) -> Room:
    """
    Args:
        found: the clean images of other rooms, by what they are; those of this one are added.

    Raises:
        AdvssError: the images are damaged, or not those of the verdicts.
    """
    verdicts = evaluation.verdicts
    chosen, broken = _chosen(verdicts)
    adversarial = _adversarial(evaluation.folder / TENSORS_FILE, verdicts, chosen)
    known = report_data.found.classes(evaluation)
    key = evaluation.data.name, evaluation.data.content_sha256, known
    if key not in found:
        found[key] = _clean(report_data, evaluation, verdicts)
    images = found[key]
    classes = images.classes if images else known
    clean, factor = None, None
    if images and images.images.shape[1:] == adversarial.shape[1:]:
        clean = images.images[chosen].astype(np.float32) / np.float32(255)
        factor = _factor(adversarial - clean)

    def said(predictions: Integers | None, row: int) -> str:
        number = -1 if predictions is None else int(predictions[row])
        return classes[number] if 0 <= number < len(classes) else str(number)

    exhibits = [
        Exhibit(
            position=int(verdicts.index[row]),
            label=said(verdicts.label, row),
            before=said(verdicts.clean_prediction, row),
            after=said(verdicts.attacked_prediction, row),
            adversarial=_png(adversarial[place]),
            clean=None if clean is None else _png(clean[place]),
            difference=None if clean is None or factor is None else _png(0.5 + factor * (adversarial - clean)[place]),
            broken=place < broken,
            unchanged=clean is not None and bool((adversarial[place] == clean[place]).all()),
        )
        for place, row in enumerate(chosen)
    ]
    title = f"{report_data.name(evaluation)} under {evaluation.protocol.label}, {evaluation.data.name}"
    return Room(title, report_data.anchor(evaluation), tuple(exhibits), factor)


def _chosen(verdicts: Verdicts) -> tuple[list[int], int]:
    """Rows of images that are right clean, and how many of them, the first, are broken."""
    broken = np.flatnonzero(verdicts.right & ~verdicts.standing)[:BROKEN]
    standing = np.flatnonzero(verdicts.standing)[:STANDING]
    return [int(row) for row in (*broken, *standing)], len(broken)


def _factor(differences: Pixels) -> int:
    """How many times the differences are amplified."""
    largest = float(np.abs(differences).max(initial=0.0))
    return max(1, round(FULL / largest)) if largest else 1


def _adversarial(path: Path, verdicts: Verdicts, chosen: Sequence[int]) -> Pixels:
    """The chosen images (B,C,H,W), without reading the others."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            x_adv = file.get_slice("x_adv")
            n, channels, *sides = x_adv.get_shape()
            if n != len(verdicts) or channels not in (1, 3) or len(sides) != 2 or max(sides) > LONGEST:
                raise AdvssError(f"{path} holds tensors of shape {x_adv.get_shape()}, which are not its images.")
            if not np.array_equal(file.get_tensor("index"), verdicts.index):
                raise AdvssError(f"{path} does not hold the images of the verdicts in its folder.")
            found = np.stack([x_adv[row] for row in chosen]) if chosen else np.empty((0, channels, *sides))
    except AdvssError:
        raise
    except Exception as error:  # numpy and safetensors have many ways to say that a file is damaged
        raise AdvssError(f"{path} does not hold adversarial images ({error}).") from error
    return np.clip(np.nan_to_num(found), 0, 1).astype(np.float32)


def _clean(report_data: ReportData, evaluation: Evaluation, verdicts: Verdicts) -> ImageSet | None:
    """The very images that were attacked, if they were given or are on this machine, labelled as the model knows them.

    A name may also be the path of a folder. That is not followed: a result must not choose what is read.
    """
    name, classes, rows = evaluation.data.name, report_data.found.classes(evaluation), verdicts.index.astype(np.int64)
    first = np.array_equal(rows, np.arange(len(rows)))  # these are not copied
    given = (images for images in report_data.found.images if images.name == name)
    for images in chain(given, _known(name)):
        with suppress(AdvssError):
            found = images.first(len(rows)) if first else images.take(rows)
            if found.content_sha256 == evaluation.data.content_sha256:
                return found
            found = in_order(found, classes or found.classes)
            if found.content_sha256 == evaluation.data.content_sha256:
                return found
    return None


def _known(name: str) -> Iterator[ImageSet]:
    """The data set of this name, or folders that were decoded for an evaluation and are still in the cache."""
    with suppress(AdvssError):
        if name in catalogue.names():
            yield load_data(name, "test")
        for prepared in known(name):
            yield prepared.load("test")


def _png(pixels: Pixels) -> str:
    array = np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    picture = Image.fromarray(np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array)
    picture.thumbnail((LARGEST, LARGEST))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
