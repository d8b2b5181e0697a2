"""Which class is taken for which, clean and attacked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Literal

import numpy as np

from advss_zoo.errors import AdvssError
from advss_zoo.evaluation.confusion import Confusion
from advss_zoo.evaluation.results import VERDICTS_FILE
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.report.html.charts import heatmap
from advss_zoo.report.html.evidence import Evaluation
from advss_zoo.report.html.figure import Column, Figure, Section, Table
from advss_zoo.report.html.material import Material, data_set, images

MOST_MODELS = 4
MOST_CLASSES = 20  # of more a cell is too small to see
FIRST = ("pgd20", "autoattack")  # of a model's results these are shown rather than others


def section(material: Material) -> Section | None:
    shown = list(islice(_shown(material), MOST_MODELS))
    figures = [
        figure
        for place, (label, evaluation) in enumerate(zip(material.labels(shown), shown, strict=True), 1)
        for figure in _figures(material, evaluation, label, place)
    ]
    if not figures:
        return None
    return Section(
        "confusion",
        "Confusions",
        "Rows are what an image shows, columns what it was taken for, in percent of the row.",
        tuple(figures),
    )


def _shown(material: Material) -> Iterator[Evaluation]:
    """Of each model on each data set one result, whose classes are known and few."""
    chosen: dict[tuple[str, str], Evaluation] = {}
    for evaluation in sorted(material.evaluations, key=lambda e: (e.protocol.label not in FIRST, -e.n)):
        known = 2 <= len(material.found.classes(evaluation)) <= MOST_CLASSES
        if known and evaluation.checked and evaluation.ra is not None:
            chosen.setdefault((evaluation.model.weights_sha256, data_set(evaluation)), evaluation)
    return (evaluation for evaluation in material.evaluations if evaluation in chosen.values())


def _figures(material: Material, evaluation: Evaluation, label: str, place: int) -> Iterator[Figure]:
    classes = material.found.classes(evaluation)
    try:
        verdicts = Verdicts.read(evaluation.folder / VERDICTS_FILE)
    except AdvssError as error:
        material.leave_out(error)
        return
    found: dict[Literal["clean", "attacked"], np.ndarray | None] = {
        "clean": verdicts.clean_prediction,
        "attacked": verdicts.attacked_prediction,
    }
    for what, predictions in found.items():
        if predictions is None or not _within(len(classes), verdicts.label, predictions):
            continue
        what_images = "clean images" if what == "clean" else f"images under {evaluation.protocol.label}"
        confusion = Confusion.of(classes, verdicts.label, predictions)
        totals = confusion.counts.sum(axis=1)
        rows = [
            [int(count) / int(total) if total else None for count in row]
            for row, total in zip(confusion.counts, totals, strict=True)
        ]
        title = f"{label}: {what_images}"
        yield Figure(
            f"confusion-{place}-{what}",
            title,
            f"Confusion matrix of {len(classes)} classes on {images([evaluation])}, {what_images}.",
            heatmap.draw(classes, classes, rows, "a", row_heading="is", column_heading="taken for (%)"),
            Table(
                f"{title}, number of images: what it is in rows, what it was taken for in columns",
                (Column("is"), *(Column(label, "number") for label in classes)),
                tuple((label, *map(int, row)) for label, row in zip(classes, confusion.counts, strict=True)),
            ),
            note=f"n = {evaluation.n:,}.",
            origins=material.origins([evaluation]),
        )


def _within(classes: int, *numbers: np.ndarray) -> bool:
    return all(array.min() >= 0 and array.max() < classes for array in numbers)
