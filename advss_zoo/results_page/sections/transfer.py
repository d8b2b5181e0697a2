"""Which models the adversarial images of which model fool: Table 4 and Figure 5 of the paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from advss_zoo.evaluation.schema import TransferRates, VennCounts
from advss_zoo.results_page.charts import heatmap, venn
from advss_zoo.results_page.charts.venn import Counts
from advss_zoo.results_page.evidence import Evaluation
from advss_zoo.results_page.figure import Column, DataTable, Figure, Section
from advss_zoo.results_page.report_data import ReportData, images, size


def section(report_data: ReportData) -> Section:
    figures: list[Figure] = []
    for evaluation in report_data.evaluations:
        if evaluation.details.transfer:
            figures += _figures(f"transfer-{len(figures) + 1}", report_data, evaluation, evaluation.details.transfer)
    return Section(
        "transfer",
        "Transfer",
        "The share of images made to fool one model, the source, that another, the target, gets wrong. The less two "
        "models share their mistakes, the more an ensemble of them gains.",
        tuple(figures),
    )


def _figures(name: str, report_data: ReportData, evaluation: Evaluation, transfer: TransferRates) -> Iterable[Figure]:
    title, note = "Success of transferred attacks", "Misclassified clean images count as success, as in the paper."
    yield _matrix(name, title, note, report_data, evaluation, transfer, transfer.asr)
    title, note = (
        "Restricted to images classified correctly clean",
        "Of the images that the target classifies correctly clean.",
    )
    yield _matrix(f"{name}-right", title, note, report_data, evaluation, transfer, transfer.asr_of_right)
    pairs = [(source, pair) for source, found in evaluation.details.venn.items() for pair in found]
    for place, (source, pair) in enumerate(pairs, 1):
        yield _venn(f"{name}-venn-{place}", report_data, evaluation, source, pair)


def _measured(report_data: ReportData, evaluation: Evaluation) -> str:
    """What the figures of one result have in common."""
    protocol = evaluation.protocol
    eps = "" if protocol.eps is None else f" {protocol.norm}, eps {size(protocol.eps, protocol.norm)};"
    return f"{report_data.name(evaluation)};{eps} {evaluation.n:,} images of {evaluation.data.name}."


def _matrix(
    name: str,
    title: str,
    note: str,
    report_data: ReportData,
    evaluation: Evaluation,
    transfer: TransferRates,
    rates: Sequence[Sequence[float | None]],
) -> Figure:
    sources, targets = transfer.sources, transfer.targets
    last = [len(targets) - 1] if targets[-1] not in sources else []
    scene = heatmap.draw(
        sources, targets, rates, "w", column_gaps=last, row_heading="source", column_heading="target, wrong (%)"
    )
    table = DataTable(
        f"{title}: sources in rows, targets in columns",
        (Column("source"), *(Column(target, "percent") for target in targets)),
        tuple((source, *row) for source, row in zip(sources, rates, strict=True)),
    )
    text = f"Matrix of success rates on {images([evaluation])}, {len(sources)} sources by {len(targets)} targets."
    note = f"{note} {_measured(report_data, evaluation)}"
    return Figure(name, title, text, scene, table, note=note, origins=report_data.origins([evaluation]))


def _venn(name: str, report_data: ReportData, evaluation: Evaluation, source: str, pair: VennCounts) -> Figure:
    counts = Counts(*pair.only, pair.both)
    numbers = counts.only_one, counts.both, counts.only_other
    union = [count / counts.union if counts.union else None for count in numbers]
    of_all = [count / evaluation.n for count in numbers]
    one, other = pair.targets
    lines = tuple("" if share is None else f"{100 * share:.2f}%" for share in union)
    rows = (f"only {one}", f"{one} and {other}", f"only {other}")
    table = DataTable(
        f"Images made to fool {source} that fool {one} and {other}",
        (Column("wrong"), Column("images", "number"), Column("of the union", "percent"), Column("of all", "percent")),
        tuple(zip(rows, numbers, union, of_all, strict=True)),
    )
    text = (
        f"Venn diagram: of {evaluation.n:,} images made to fool {source}, {counts.both:,} fool both {one} and {other}, "
        f"{counts.only_one:,} only {one}, {counts.only_other:,} only {other}."
    )
    scene = venn.draw(one, other, counts, (lines[0], lines[1], lines[2]))
    note = f"Counts, and below them shares of the {counts.union:,} images that fool either. "
    note += _measured(report_data, evaluation)
    origins = report_data.origins([evaluation])
    return Figure(name, f"Made to fool {source}", text, scene, table, note=note, origins=origins)
