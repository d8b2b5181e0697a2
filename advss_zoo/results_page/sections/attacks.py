"""Worst cases over several attacks, attack by attack."""

from __future__ import annotations

from collections.abc import Sequence

from advss_zoo.results_page.charts import dots
from advss_zoo.results_page.charts.dots import Series
from advss_zoo.results_page.evidence import Evaluation
from advss_zoo.results_page.figure import Column, DataTable, Figure, Section
from advss_zoo.results_page.report_data import ReportData, comparable, data_set, images, percent

CLEAN = "(no attack)"


def section(report_data: ReportData) -> Section | None:
    found: dict[str, list[Evaluation]] = {}
    for evaluation in report_data.evaluations:
        if len(evaluation.details.attacks) > 1:
            found.setdefault(evaluation.protocol.label, []).append(evaluation)
    plots = [(label, group) for label, evaluations in found.items() for group in comparable(evaluations)]
    figures: list[Figure] = []
    for place, (label, evaluations) in enumerate(plots, 1):
        figures.append(_after(f"attacks-{place}", label, report_data, evaluations))
        if alone := [evaluation for evaluation in evaluations if evaluation.details.parts]:
            figures.append(_alone(f"attacks-{place}-alone", label, report_data, alone))
    if not figures:
        return None
    return Section(
        "attacks",
        "Attack by attack",
        "A worst case over several attacks: an image counts as robust if none of them breaks it.",
        tuple(figures),
    )


def _after(name: str, label: str, report_data: ReportData, evaluations: Sequence[Evaluation]) -> Figure:
    accuracies = [{CLEAN: e.ta} | {attack.name: attack.accuracy for attack in e.details.attacks} for e in evaluations]
    title = f"{label} on {data_set(evaluations[0])}: accuracy left after each attack"
    return _figure(name, title, "accuracy left (%), from top to bottom", report_data, evaluations, accuracies)


def _alone(name: str, label: str, report_data: ReportData, evaluations: Sequence[Evaluation]) -> Figure:
    accuracies = [{part.name: part.accuracy for part in e.details.parts} for e in evaluations]
    title = f"{label} on {data_set(evaluations[0])}: each attack alone"
    return _figure(name, title, "accuracy under this attack alone (%)", report_data, evaluations, accuracies)


def _figure(
    name: str,
    title: str,
    axis: str,
    report_data: ReportData,
    evaluations: Sequence[Evaluation],
    accuracies: Sequence[dict[str, float]],
) -> Figure:
    rows = list(dict.fromkeys(row for one in accuracies for row in one))
    labels = report_data.labels(evaluations)
    series = [
        Series(label, report_data.look(evaluation), {row: percent(value) for row, value in one.items()})
        for label, evaluation, one in zip(labels, evaluations, accuracies, strict=True)
    ]
    columns = Column("attack"), *(Column(label, "percent") for label in labels)
    table = DataTable(title, columns, tuple((row, *(one.get(row) for one in accuracies)) for row in rows))
    text, scene = f"{title}, on {images(evaluations)}.", dots.draw(rows, series, axis)
    return Figure(name, title, text, scene, table, origins=report_data.origins(evaluations))
