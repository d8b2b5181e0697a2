"""RA as the attack grows: against eps, and against the number of steps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from advss_zoo.attacks.ascent import default_step
from advss_zoo.evaluation.schema import Interval
from advss_zoo.results_page.charts import lines
from advss_zoo.results_page.charts.axes import at_values, linear
from advss_zoo.results_page.charts.lines import Curve
from advss_zoo.results_page.evidence import Evaluation
from advss_zoo.results_page.figure import Column, DataTable, Figure, Section
from advss_zoo.results_page.report_data import ReportData, images, percent, size

PGD = re.compile(r"pgd[0-9]+(-any)?")
FEWEST = 2  # points of a curve
UNITS = {"linf": "eps (Linf, in 1/255)", "l2": "eps (L2)", "l1": "eps (L1)"}

Point = tuple[float, str, float, Interval | None]  # what is varied, as a number and as the table shows it; RA
Sweep = list[Evaluation]  # of one model on the same images, all but one constant the same, by that constant


def section(report_data: ReportData) -> Section:
    figures = [
        figure(f"{varied}-{norm}", norm, report_data, sweeps)
        for varied, figure in (("eps", _eps_figure), ("steps", _steps_figure))
        for norm, sweeps in _by_norm(_sweeps(report_data, varied))
    ]
    return Section(
        "strength",
        "Stronger attacks",
        "Under a sound attack RA falls to 0 as eps grows, and more steps change little. Vertical lines "
        "are 95% intervals; curves are slightly offset to keep them visible.",
        tuple(figures),
    )


def swept(report_data: ReportData) -> list[Evaluation]:
    """Return the results that are a point of a curve."""
    return [e for varied in ("eps", "steps") for sweep in _sweeps(report_data, varied) for e in sweep]


def _sweeps(report_data: ReportData, varied: str) -> list[Sweep]:
    """Of PGD, by the constant that is varied."""
    found: dict[tuple[Any, ...], dict[float, Evaluation]] = {}
    for evaluation in report_data.evaluations:
        protocol, data = evaluation.protocol, evaluation.data
        if protocol.norm not in UNITS or not PGD.fullmatch(protocol.name) or evaluation.ra is None:
            continue
        if protocol.eps and protocol.steps:
            usual = protocol.step_size == default_step(protocol.norm, protocol.eps, protocol.steps)
            attack = protocol.norm, protocol.iterate, protocol.restarts, None if usual else protocol.step_size
            same = evaluation.weights, data.content_sha256, data.indices, evaluation.seed, _precision(evaluation)
            other = protocol.steps if varied == "eps" else protocol.eps
            at = getattr(protocol, varied)
            found.setdefault((*attack, *same, other), {}).setdefault(at, evaluation)
    return [[sweep[at] for at in sorted(sweep)] for sweep in found.values() if len(sweep) >= FEWEST]


def _by_norm(sweeps: Iterable[Sweep]) -> Iterable[tuple[str, list[Sweep]]]:
    found: dict[str, list[Sweep]] = {}
    for sweep in sweeps:
        found.setdefault(str(sweep[0].protocol.norm), []).append(sweep)
    return found.items()


def _eps_figure(name: str, norm: str, report_data: ReportData, sweeps: Sequence[Sweep]) -> Figure:
    firsts = [sweep[0] for sweep in sweeps]
    labels = report_data.labels(firsts, [e.protocol.name for e in firsts], *_chosen(firsts))
    unit = 255.0 if norm == "linf" else 1.0
    points = [
        [(0.0, "0 (TA)", e[0].ta, e[0].ta_ci95), *((unit * (one.protocol.eps or 0.0), *_ra(one, "eps")) for one in e)]
        for e in sweeps
    ]
    text = f"Curves of accuracy against eps for {len(sweeps)} models, on {images(firsts)}; at 0 the accuracy is TA."
    axes = UNITS[norm], f"accuracy (%) under {_said(firsts)}"
    figure = _drawn(name, "RA against the size of perturbations", text, axes, report_data, sweeps, labels, points)
    return replace(figure, note="At eps 0 the accuracy is TA.")


def _steps_figure(name: str, norm: str, report_data: ReportData, sweeps: Sequence[Sweep]) -> Figure:
    firsts = [sweep[0] for sweep in sweeps]
    sizes = [f"eps {size(e.protocol.eps or 0.0, norm)}" for e in firsts]
    kinds = ["any iterate" if e.protocol.iterate == "any" else "" for e in firsts]
    labels = report_data.labels(firsts, sizes, kinds, *_chosen(firsts))
    points = [[(float(one.protocol.steps or 0), *_ra(one, "steps")) for one in sweep] for sweep in sweeps]
    text = f"Curves of accuracy against the number of steps of PGD for {len(sweeps)} models, on {images(firsts)}."
    axes = "steps (log scale)", f"accuracy (%) under PGD{f', {sizes[0]}' if len(set(sizes)) == 1 else ''}"
    return _drawn(name, "RA against the number of steps", text, axes, report_data, sweeps, labels, points, steps=True)


def _drawn(
    name: str, title: str, text: str, axes: tuple[str, str], report_data: ReportData, sweeps: Sequence[Sweep],
    labels: Sequence[str], points: Sequence[Sequence[Point]], *, steps: bool = False,
) -> Figure:  # fmt: skip
    curves = [
        Curve(label, report_data.look(sweep[0]), tuple((at, percent(share, ci95)) for at, _, share, ci95 in line))
        for label, sweep, line in zip(labels, sweeps, points, strict=True)
    ]
    across = at_values((at for line in points for at, *_ in line), logarithmic=steps)
    values = [found for curve in curves for _, found in curve.points]
    up = linear([end for found in values for end in found.ends] if steps else [0, 100])
    what = "steps" if steps else "eps"
    bounds = Column("RA", "percent"), Column("95% low", "percent"), Column("95% high", "percent")
    rows = [
        (label, shown, share, *(ci95 or (None, None)))
        for label, line in zip(labels, points, strict=True)
        for _, shown, share, ci95 in line
    ]
    table = DataTable(f"Accuracy by {what}", (Column("model"), Column(what), *bounds), tuple(rows))
    origins = report_data.origins(e for sweep in sweeps for e in sweep)
    return Figure(name, title, text, lines.draw(curves, across, up, *axes), table, origins=origins)


def _ra(evaluation: Evaluation, varied: str) -> tuple[str, float, Interval | None]:
    """What is varied, as the table shows it; RA and its interval."""
    protocol = evaluation.protocol
    shown = f"{protocol.steps}" if varied == "steps" else size(protocol.eps or 0.0, protocol.norm)
    assert evaluation.ra is not None
    return shown, evaluation.ra, evaluation.ra_ci95


def _chosen(evaluations: Sequence[Evaluation]) -> Iterable[list[str]]:
    """What else may tell their curves apart."""
    yield [f"{e.protocol.restarts} restarts" if e.protocol.restarts > 1 else "" for e in evaluations]
    yield [f"seed {e.seed}" for e in evaluations]
    yield [f"search in {_precision(e)}" for e in evaluations]


def _precision(evaluation: Evaluation) -> str:
    return evaluation.protocol.search or "fp32"  # results of the first versions say nothing of it


def _said(evaluations: Sequence[Evaluation]) -> str:
    names = {evaluation.protocol.name for evaluation in evaluations}
    return names.pop() if len(names) == 1 else "PGD"
