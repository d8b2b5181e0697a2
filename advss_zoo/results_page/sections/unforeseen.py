"""Accuracy under attacks that no training has seen (Kang et al. 2019), as in Figures 3 and 4 of the paper."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from advss_zoo.attacks.kang2019.calibration import CIFAR10
from advss_zoo.evaluation import uar
from advss_zoo.results_page.charts import dots, radar
from advss_zoo.results_page.charts.dots import Series
from advss_zoo.results_page.charts.series import Value
from advss_zoo.results_page.evidence import Evaluation
from advss_zoo.results_page.figure import Cell, Column, DataTable, Figure, Section
from advss_zoo.results_page.report_data import ReportData, images, percent

PROTOCOL = re.compile(r"unforeseen-(.+)-eps([1-6])(?:-(untargeted))?")
STRENGTHS = 6

Measured = dict[tuple[str, int], Evaluation]  # by attack and strength


@dataclass(frozen=True)
class Spoke:
    """An attack, at the strengths that every model has met of those that have met the attack."""

    attack: str
    strengths: tuple[int, ...]

    @property
    def label(self) -> str:
        first, last = self.strengths[0], self.strengths[-1]
        span = (
            f"{first} to {last}" if len(self.strengths) == last - first + 1 > 1 else ", ".join(map(str, self.strengths))
        )
        return f"{self.attack} {span}"

    def value(self, measured: Measured) -> Value | None:
        """Return the mean over the strengths; the interval, which a mean has not, only of a single one."""
        found = [measured.get((self.attack, strength)) for strength in self.strengths]
        accuracies = [e.ra for e in found if e is not None and e.ra is not None]
        if len(accuracies) < len(self.strengths):
            return None
        interval = found[0].ra_ci95 if len(found) == 1 and found[0] else None
        return percent(fmean(accuracies), interval)


def section(report_data: ReportData) -> Section:
    groups = _groups(report_data)
    figures: list[Figure] = []
    for place, (data, models) in enumerate(groups.items(), 1):
        figures += _figures(place, data, report_data, models)
    return Section(
        "unforeseen",
        "Unforeseen attacks",
        "Accuracy under the attacks of Kang et al. (2019), of which adversaries of training resemble only the first. "
        "The number behind an attack is its strength, from 1, the weakest, to 6; of several strengths it is the mean.",
        tuple(figures),
    )


def _groups(report_data: ReportData) -> dict[str, dict[tuple[str, str, int], Measured]]:
    """By data, then by weights and number of images."""
    groups: dict[str, dict[tuple[str, str, int], Measured]] = {}
    for evaluation in report_data.evaluations:
        named = PROTOCOL.fullmatch(evaluation.protocol.name)
        if named and evaluation.ra is not None:
            models = groups.setdefault(evaluation.data.name, {})
            measured = models.setdefault((*evaluation.weights, evaluation.n), {})
            measured.setdefault((" ".join(filter(None, named.group(1, 3))), int(named[2])), evaluation)
    return groups


def _figures(
    place: int, data: str, report_data: ReportData, models: dict[tuple[str, str, int], Measured]
) -> list[Figure]:
    firsts = [next(iter(measured.values())) for measured in models.values()]
    labels = report_data.labels(firsts)
    spokes = _spokes(list(models.values()))
    rows = [spoke.label for spoke in spokes]
    series = []
    for label, first, measured in zip(labels, firsts, models.values(), strict=True):
        values = {spoke.label: value for spoke in spokes if (value := spoke.value(measured))}
        series.append(Series(label, report_data.look(first), values))
    table = _table(labels, list(models.values()))
    origins = report_data.origins(e for measured in models.values() for e in measured.values())
    where = f"{len(spokes)} unforeseen attacks on {images(firsts)}"
    found = []
    if len(spokes) >= radar.FEWEST:
        title = f"{data}: profile of robustness"
        text = f"Radar of the accuracy of {len(models)} models under {where}; further out is better."
        scene = radar.draw(rows, series)
        found.append(Figure(f"unforeseen-{place}-radar", title, text, scene, table, origins=origins))
    text = f"Dots with intervals: accuracy of {len(models)} models under {where}."
    scene = dots.draw(rows, series, "accuracy under the attack (%)")
    found.append(Figure(f"unforeseen-{place}", f"{data}: attack by attack", text, scene, table, origins=origins))
    return [*found, *_uar_figures(f"unforeseen-{place}-uar", data, report_data, list(models.values()))]


def _uar_figures(name: str, data: str, report_data: ReportData, models: Sequence[Measured]) -> list[Figure]:
    scores = [{attack: score for attack in CIFAR10 if (score := _uar(attack, one)) is not None} for one in models]
    if not (attacks := [attack for attack in CIFAR10 if any(attack in found for found in scores)]):
        return []
    title = f"{data}: UAR, 100 being as robust as a net trained for the attack"
    text = f"Dots: unforeseen attack robustness of {len(models)} models by attack."
    firsts = [next(iter(measured.values())) for measured in models]
    figure = report_data.dots(name, title, "UAR", firsts, scores, rows=attacks, text=text, caption="UAR")
    return [replace(figure, origins=report_data.origins(e for measured in models for e in measured.values()))]


def _spokes(models: Sequence[Measured]) -> list[Spoke]:
    """In the order of the calibration; strength by strength where the models met an attack at different ones."""
    met = {attack for measured in models for attack, _ in measured}
    spokes = []
    for attack in [*(name for name in CIFAR10 if name in met), *sorted(met - CIFAR10.keys())]:
        strengths = [{strength for name, strength in measured if name == attack} for measured in models]
        if common := set.intersection(*filter(None, strengths)):
            spokes.append(Spoke(attack, tuple(sorted(common))))
        else:
            spokes += [Spoke(attack, (strength,)) for strength in sorted(set.union(*strengths))]
    return spokes


def _table(labels: Sequence[str], models: Sequence[Measured]) -> DataTable:
    columns = (
        Column("model"),
        Column("attack"),
        *(Column(f"eps{strength}", "percent") for strength in range(1, STRENGTHS + 1)),
        Column("UAR", "percent"),
    )
    rows: list[tuple[Cell, ...]] = []
    for label, measured in zip(labels, models, strict=True):
        for attack in dict.fromkeys(attack for attack, _ in measured):
            found = [measured.get((attack, strength)) for strength in range(1, STRENGTHS + 1)]
            rows.append((label, attack, *(None if e is None else e.ra for e in found), _uar(attack, measured)))
    return DataTable("Accuracy by strength, and UAR where all strengths and a calibration exist", columns, tuple(rows))


def _uar(attack: str, measured: Measured) -> float | None:
    """As a fraction; None where it has none (`uar.score`)."""
    found = [measured.get((attack, strength)) for strength in range(1, STRENGTHS + 1)]
    data = next(iter(measured.values())).data.name
    return uar.score(attack, data, [e.ra for e in found if e is not None and e.ra is not None])
