"""Curves of training runs: accuracy on validation images, and the loss."""

from __future__ import annotations

from collections.abc import Sequence

from advss_zoo.results_page.charts import lines
from advss_zoo.results_page.charts.axes import linear
from advss_zoo.results_page.charts.lines import Curve
from advss_zoo.results_page.charts.series import Look, Value
from advss_zoo.results_page.collect import LoggedRun
from advss_zoo.results_page.evidence import LogRecord
from advss_zoo.results_page.figure import Column, DataTable, Figure, Section
from advss_zoo.results_page.report_data import ReportData, percent

LARGEST = 1e6  # a loss beyond it, or none at all: the run has diverged, and would hide the rest
MOST_POINTS = 200  # of the curve of a loss; more are averaged


def section(report_data: ReportData) -> Section:
    figures: list[Figure] = []
    for place, run in enumerate(report_data.runs, 1):
        measured = [record for record in run.records if record.validation]
        logged = [(record.epoch, record.loss) for record in run.records if record.loss is not None]
        losses = [(epoch, loss) for epoch, loss in logged if abs(loss) < LARGEST]
        if measured:
            figures.append(_accuracies(f"training-{place}-accuracy", run, measured))
        if losses:
            figures.append(_losses(f"training-{place}-loss", run, losses))
    return Section(
        "training",
        "Training",
        "TA and RA on the validation set (RA under the recipe's validation attack), and the training loss. "
        "These are not test accuracies; for a pretext task they are accuracies in that task.",
        tuple(figures),
    )


def _accuracies(name: str, run: LoggedRun, measured: Sequence[LogRecord]) -> Figure:
    ta = tuple((r.epoch, percent(r.validation.ta)) for r in measured if r.validation)
    ra = tuple((r.epoch, percent(r.validation.ra)) for r in measured if r.validation and r.validation.ra is not None)
    curves = [Curve("TA", Look(0), ta), *([Curve("RA", Look(1), ra)] if ra else [])]
    epochs = [record.epoch for record in measured]
    table = DataTable(
        f"Validation of {run.name}",
        (Column("epoch"), Column("TA", "percent"), Column("RA", "percent")),
        tuple((f"{r.epoch:g}", r.validation.ta, r.validation.ra) for r in measured if r.validation),
    )
    scene = lines.draw(
        curves, linear(epochs, low=0, high=max(epochs)), linear([0, 100]), "epoch", "validation accuracy (%)"
    )
    return Figure(name, f"{run.name}: validation", f"Accuracy on validation images by epoch, {run.name}.", scene, table)


def _losses(name: str, run: LoggedRun, losses: Sequence[tuple[float, float]]) -> Figure:
    points = _averaged(losses)
    curve = Curve("training loss", Look(5), tuple((epoch, Value(loss)) for epoch, loss in points))
    scene = lines.draw(
        [curve], linear([], low=0, high=points[-1][0]), linear([loss for _, loss in points]), "epoch", "loss"
    )
    table = DataTable(
        f"Training loss of {run.name}",
        (Column("epoch"), Column("loss", "number")),
        tuple((f"{epoch:.4g}", loss) for epoch, loss in points),
    )
    return Figure(name, f"{run.name}: loss", f"Training loss by epoch, {run.name}.", scene, table)


def _averaged(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `MOST_POINTS`, each the mean of neighbours."""
    share = -(-len(points) // MOST_POINTS)
    groups = [points[start : start + share] for start in range(0, len(points), share)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
