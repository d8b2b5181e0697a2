"""TA against RA, as in Figure 1 of the paper, whose models can be shown beside ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from advss_zoo.data.catalogue import CIFAR10
from advss_zoo.reproduction import paper
from advss_zoo.results_page.charts import scatter
from advss_zoo.results_page.charts.scatter import Dot
from advss_zoo.results_page.charts.series import Value
from advss_zoo.results_page.evidence import Evaluation
from advss_zoo.results_page.figure import Column, DataTable, Figure, Section, Toggle
from advss_zoo.results_page.report_data import ReportData, comparable, data_set, images, percent

PAPERS = "pgd20"  # the protocol of the paper's numbers
HEADLINES = (PAPERS, "autoattack")
COLUMNS = (
    Column("model"),
    Column("TA", "percent"),
    Column("TA 95% low", "percent"),
    Column("TA 95% high", "percent"),
    Column("RA", "percent"),
    Column("RA 95% low", "percent"),
    Column("RA 95% high", "percent"),
    Column("epochs", "number"),
    Column("images", "number"),
)


def section(report_data: ReportData) -> Section:
    attacked = [e for e in report_data.evaluations if e.ra is not None and e.protocol.attack is None]
    labels = Counter(e.protocol.label for e in attacked)
    chosen = [label for label in HEADLINES if label in labels] or [label for label, _ in labels.most_common(1)]
    plots = [
        (label, evaluations)
        for label in chosen
        for evaluations in comparable(e for e in attacked if e.protocol.label == label)
    ]
    figures = tuple(
        _figure(f"tradeoff-{place}", label, report_data, evaluations)
        for place, (label, evaluations) in enumerate(plots, 1)
    )
    return Section(
        "tradeoff",
        "Accuracy and robustness",
        "Up and to the right is better. Lines are 95% intervals. Larger marks mean more training epochs, where known.",
        figures,
    )


def _figure(name: str, label: str, report_data: ReportData, evaluations: Sequence[Evaluation]) -> Figure:
    names = [report_data.name(evaluation) for evaluation in evaluations]
    several = len({evaluation.n for evaluation in evaluations}) > 1
    epochs = [report_data.found.epochs(evaluation) for evaluation in evaluations]
    ours = [
        Dot(text, percent(e.ta, e.ta_ci95), percent(e.ra or 0.0, e.ra_ci95), trained, report_data.look(e))
        for text, e, trained in zip(names, evaluations, epochs, strict=True)
    ]
    axes = "TA: accuracy on clean images (%)", f"RA: accuracy under {label} (%)"
    data = data_set(evaluations[0])
    theirs = list(_papers()) if label == PAPERS and data == CIFAR10.name else []
    table = DataTable(
        f"TA and RA under {label} on {data}",
        COLUMNS,
        (
            *(
                (text, e.ta, *e.ta_ci95, e.ra, *(e.ra_ci95 or (None, None)), trained, e.n)
                for text, e, trained in zip(names, evaluations, epochs, strict=True)
            ),
            *(
                (f"paper: {d.label}", d.ta.value / 100, None, None, d.ra.value / 100, None, None, d.epochs, 10_000)
                for d in theirs
            ),
        ),
    )
    return Figure(
        name,
        f"{label} on {data}",
        f"Scatter plot of {len(ours)} models on {images(evaluations)}: clean accuracy across, under attack up.",
        scatter.draw(ours, *axes),
        table,
        Toggle("Show the paper's ResNet-50v2 (hollow)", scatter.draw([*theirs, *ours], *axes)) if theirs else None,
        note=f"On {images(evaluations)}; the table says how many each." if several else None,
        origins=report_data.origins(evaluations),
    )


def _papers() -> Iterable[Dot]:
    for cell in paper.load("fig1").cells:
        values = cell.values
        yield Dot(cell.label, Value(values["ta"]), Value(values["ra"]), values["epochs"])
