"""Worst cases over several attacks, attack by attack."""

from __future__ import annotations

from advss_zoo.results_page.evidence import Evaluation
from advss_zoo.results_page.figure import Figure, Section
from advss_zoo.results_page.report_data import ReportData, comparable, data_set

CLEAN = "(no attack)"
LEFT, ALONE = "accuracy left (%), from top to bottom", "accuracy under this attack alone (%)"


def section(report_data: ReportData) -> Section:
    found: dict[str, list[Evaluation]] = {}
    for evaluation in report_data.evaluations:
        if len(evaluation.details.attacks) > 1:
            found.setdefault(evaluation.protocol.label, []).append(evaluation)
    plots = [(label, group) for label, evaluations in found.items() for group in comparable(evaluations)]
    figures: list[Figure] = []
    for place, (label, group) in enumerate(plots, 1):
        name, title = f"attacks-{place}", f"{label} on {data_set(group[0])}"
        left = [{CLEAN: e.ta} | {attack.name: attack.accuracy for attack in e.details.attacks} for e in group]
        figures.append(report_data.dots(name, f"{title}: accuracy left after each attack", LEFT, group, left))
        if several := [evaluation for evaluation in group if evaluation.details.parts]:
            alone = [{part.name: part.accuracy for part in e.details.parts} for e in several]
            figures.append(report_data.dots(f"{name}-alone", f"{title}: each attack alone", ALONE, several, alone))
    return Section(
        "attacks",
        "Attack by attack",
        "Worst case over several attacks: an image counts as robust if all attacks fail on it.",
        tuple(figures),
    )
