"""RA as the attack grows: against eps, and against the number of steps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from advss_zoo.attacks.ascent import default_step
from advss_zoo.results_page.charts import lines
from advss_zoo.results_page.charts.axes import at_values, linear
from advss_zoo.results_page.charts.lines import Curve
from advss_zoo.results_page.charts.series import Value
from advss_zoo.results_page.evidence import Evaluation
from advss_zoo.results_page.figure import Column, DataTable, Figure, Section
from advss_zoo.results_page.report_data import ReportData, images, percent, size

PGD = re.compile(r"pgd[0-9]+(-any)?")
FEWEST = 2  # points of a curve
UNITS = {"linf": "eps (Linf, in 1/255)", "l2": "eps (L2)", "l1": "eps (L1)"}

Sweep = list[Evaluation]  # of one model on the same images, all but one constant the same, by that constant


def section(report_data: ReportData) -> Section | None:
    against_eps, against_steps = _sweeps(report_data, _but_eps, _eps), _sweeps(report_data, _but_steps, _steps)
    figures = [
        *(_eps_figure(f"eps-{norm}", norm, report_data, sweeps) for norm, sweeps in _by_norm(against_eps)),
        *(_steps_figure(f"steps-{norm}", norm, report_data, sweeps) for norm, sweeps in _by_norm(against_steps)),
    ]
    if not figures:
        return None
    return Section(
        "strength",
        "Stronger attacks",
        "A sound attack brings RA down to 0 as its perturbations grow, and further steps change little. Vertical lines "
        "are 95% intervals; curves are drawn a little apart so that these can be seen.",
        tuple(figures),
    )


def swept(report_data: ReportData) -> list[Evaluation]:
    """The results that are a point of a curve."""
    sweeps = _sweeps(report_data, _but_eps, _eps) + _sweeps(report_data, _but_steps, _steps)
    return [evaluation for sweep in sweeps for evaluation in sweep]


def _eps(evaluation: Evaluation) -> float:
    assert evaluation.protocol.eps is not None
    return evaluation.protocol.eps


def _steps(evaluation: Evaluation) -> float:
    assert evaluation.protocol.steps is not None
    return evaluation.protocol.steps


def _common(evaluation: Evaluation) -> tuple[Any, ...]:
    protocol, data = evaluation.protocol, evaluation.data
    usual = default_step(str(protocol.norm), _eps(evaluation), int(_steps(evaluation)))
    step = None if protocol.step_size == usual else protocol.step_size
    return (
        evaluation.weights,
        data.content_sha256,
        data.indices,
        protocol.norm,
        protocol.iterate,
        protocol.restarts,
        step,
        evaluation.seed,
        _precision(evaluation),
    )


def _but_eps(evaluation: Evaluation) -> tuple[Any, ...]:
    return *_common(evaluation), evaluation.protocol.steps


def _but_steps(evaluation: Evaluation) -> tuple[Any, ...]:
    return *_common(evaluation), evaluation.protocol.eps


def _sweeps(
    report_data: ReportData, key: Callable[[Evaluation], tuple[Any, ...]], value: Callable[[Evaluation], float]
) -> list[Sweep]:
    found: dict[tuple[Any, ...], dict[float, Evaluation]] = {}
    for evaluation in report_data.evaluations:
        protocol = evaluation.protocol
        known = protocol.norm in UNITS and protocol.eps and protocol.steps and evaluation.ra is not None
        if known and PGD.fullmatch(protocol.name):
            found.setdefault(key(evaluation), {}).setdefault(value(evaluation), evaluation)
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
    curves = [
        Curve(
            label,
            report_data.look(sweep[0]),
            ((0.0, percent(sweep[0].ta, sweep[0].ta_ci95)), *((unit * _eps(e), _ra(e)) for e in sweep)),
        )
        for label, sweep in zip(labels, sweeps, strict=True)
    ]
    ends = [at for curve in curves for at, _ in curve.points]
    what = f"accuracy (%) under {_said(firsts)}"
    rows = [
        (label, shown, *cells)
        for label, sweep in zip(labels, sweeps, strict=True)
        for shown, cells in [
            ("0 (TA)", (sweep[0].ta, *sweep[0].ta_ci95)),
            *((size(_eps(e), norm), (e.ra, *(e.ra_ci95 or (None, None)))) for e in sweep),
        ]
    ]
    scene = lines.draw(curves, at_values(ends), linear([0, 100]), UNITS[norm], what)
    return Figure(
        name,
        "RA against the size of perturbations",
        f"Curves of accuracy against eps for {len(curves)} models, on {images(firsts)}; at 0 the accuracy is TA.",
        scene,
        _table("Accuracy by eps", "eps", rows),
        note="At eps 0 the accuracy is TA.",
        origins=report_data.origins(e for sweep in sweeps for e in sweep),
    )


def _steps_figure(name: str, norm: str, report_data: ReportData, sweeps: Sequence[Sweep]) -> Figure:
    firsts = [sweep[0] for sweep in sweeps]
    sizes = [f"eps {size(_eps(e), norm)}" for e in firsts]
    kinds = ["any iterate" if e.protocol.iterate == "any" else "" for e in firsts]
    labels = report_data.labels(firsts, sizes, kinds, *_chosen(firsts))
    curves = [
        Curve(label, report_data.look(sweep[0]), tuple((_steps(e), _ra(e)) for e in sweep))
        for label, sweep in zip(labels, sweeps, strict=True)
    ]
    values = [found for curve in curves for _, found in curve.points]
    ends = [end for found in values for end in (found.value, *(found.interval or ()))]
    what = f"accuracy (%) under PGD, {sizes[0]}" if len(set(sizes)) == 1 else "accuracy (%) under PGD"
    rows = [
        (label, f"{_steps(e):g}", e.ra, *(e.ra_ci95 or (None, None)))
        for label, sweep in zip(labels, sweeps, strict=True)
        for e in sweep
    ]
    across = at_values((at for curve in curves for at, _ in curve.points), logarithmic=True)
    return Figure(
        name,
        "RA against the number of steps",
        f"Curves of accuracy against the number of steps of PGD for {len(curves)} models, on {images(firsts)}.",
        lines.draw(curves, across, linear(ends), "steps (log scale)", what),
        _table("Accuracy by steps", "steps", rows),
        origins=report_data.origins(e for sweep in sweeps for e in sweep),
    )


def _table(caption: str, axis: str, rows: Sequence[tuple[Any, ...]]) -> DataTable:
    columns = Column("model"), Column(axis), Column("RA", "percent")
    return DataTable(caption, (*columns, Column("95% low", "percent"), Column("95% high", "percent")), tuple(rows))


def _ra(evaluation: Evaluation) -> Value:
    assert evaluation.ra is not None
    return percent(evaluation.ra, evaluation.ra_ci95)


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
