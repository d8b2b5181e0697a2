"""Which class is taken for which, clean and attacked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Literal

import numpy as np

from advss_zoo.errors import AdvssError
from advss_zoo.evaluation.confusion import Confusion
from advss_zoo.results_page.charts import heatmap
from advss_zoo.results_page.evidence import Evaluation
from advss_zoo.results_page.figure import Column, DataTable, Figure, Section
from advss_zoo.results_page.report_data import ReportData, data_set, images

MOST_MODELS = 4
MOST_CLASSES = 20  # of more a cell is too small to see
FIRST = ("pgd20", "autoattack")  # of a model's results these are shown rather than others


def section(report_data: ReportData) -> Section:
    shown = list(islice(_shown(report_data), MOST_MODELS))
    figures = [
        figure
        for place, (label, evaluation) in enumerate(zip(report_data.labels(shown), shown, strict=True), 1)
        for figure in _figures(report_data, evaluation, label, place)
    ]
    return Section(
        "confusion",
        "Confusions",
        "Rows are true classes, columns predicted classes, in percent of the row.",
        tuple(figures),
    )


def _shown(report_data: ReportData) -> Iterator[Evaluation]:
    """Of each model on each data set one result, whose classes are known and few."""
    chosen: dict[tuple[str, str], Evaluation] = {}
    for evaluation in sorted(report_data.evaluations, key=lambda e: (e.protocol.label not in FIRST, -e.n)):
        known = 2 <= len(report_data.found.classes(evaluation)) <= MOST_CLASSES
        if known and evaluation.checked and evaluation.ra is not None:
            chosen.setdefault((evaluation.model.weights_sha256, data_set(evaluation)), evaluation)
    shown = set(map(id, chosen.values()))
    return (evaluation for evaluation in report_data.evaluations if id(evaluation) in shown)


def _figures(report_data: ReportData, evaluation: Evaluation, label: str, place: int) -> Iterator[Figure]:
    classes = report_data.found.classes(evaluation)
    try:
        verdicts = evaluation.verdicts
    except AdvssError as error:
        report_data.leave_out(error)
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
        counts = confusion.matrix
        totals = counts.sum(axis=1)
        rows = [
            [int(count) / int(total) if total else None for count in row]
            for row, total in zip(counts, totals, strict=True)
        ]
        title = f"{label}: {what_images}"
        yield Figure(
            f"confusion-{place}-{what}",
            title,
            f"Confusion matrix of {len(classes)} classes on {images([evaluation])}, {what_images}.",
            heatmap.draw(classes, classes, rows, "a", row_heading="is", column_heading="predicted (%)"),
            DataTable(
                f"{title}, number of images: true class in rows, predicted class in columns",
                (Column("is"), *(Column(label, "number") for label in classes)),
                tuple((label, *map(int, row)) for label, row in zip(classes, counts, strict=True)),
            ),
            note=f"n = {evaluation.n:,}.",
            origins=report_data.origins([evaluation]),
        )


def _within(classes: int, *numbers: np.ndarray) -> bool:
    return all(array.min() >= 0 and array.max() < classes for array in numbers)
