"""Accuracy on corrupted images (Hendrycks and Dietterich 2019), by corruption and severity."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from statistics import fmean

from advss_zoo.errors import UsageError
from advss_zoo.evaluation.protocols.corruptions import mean_corruption_error
from advss_zoo.results_page.charts import heatmap
from advss_zoo.results_page.evidence import Evaluation
from advss_zoo.results_page.figure import Column, DataTable, Figure, Section
from advss_zoo.results_page.report_data import ReportData, comparable, data_set, images, said
from advss_zoo.zoo import index

# The families of the benchmark, and the four extra corruptions, which its mean leaves out.
FAMILIES = (
    ("gaussian_noise", "shot_noise", "impulse_noise"),
    ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    ("snow", "frost", "fog", "brightness"),
    ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    ("speckle_noise", "gaussian_blur", "spatter", "saturate"),
)


def section(report_data: ReportData) -> Section:
    found = [evaluation for evaluation in report_data.evaluations if evaluation.details.corruptions]
    references = _references(report_data, found)
    labels = report_data.labels(found, [evaluation.protocol.label for evaluation in found])
    maps = [
        _map(f"corruptions-{place}", label, report_data, evaluation, references)
        for place, (label, evaluation) in enumerate(zip(labels, found, strict=True), 1)
    ]
    by_protocol: dict[str, list[Evaluation]] = {}
    for evaluation in found:
        by_protocol.setdefault(evaluation.protocol.label, []).append(evaluation)
    groups = [group for evaluations in by_protocol.values() for group in comparable(evaluations) if len(group) > 1]
    comparison = [
        _comparison(f"corruptions-compared-{place}", report_data, group) for place, group in enumerate(groups, 1)
    ]
    return Section(
        "corruptions",
        "Corruptions",
        "Accuracy under noise, blur, weather and digital corruptions, at five severities. The mean of the "
        "benchmark is that over its 15 corruptions; the last four are extra. Generated corruptions and those of the "
        "published archive differ slightly; the protocol says which were used.",
        (*comparison, *maps),
    )


def _families(names: Sequence[str]) -> list[list[str]]:
    """The names by family, those of no known family at the end."""
    known = {name for family in FAMILIES for name in family}
    found = [[name for name in family if name in names] for family in FAMILIES]
    return [family for family in [*found, [name for name in names if name not in known]] if family]


def _references(report_data: ReportData, found: Sequence[Evaluation]) -> list[Evaluation]:
    """The results of the baseline, by any of its names.

    Raises:
        UsageError: there is none.
    """
    asked, names = report_data.baseline, {report_data.baseline}
    if asked is None:
        return []
    with suppress(UsageError):
        names.add(index.find(asked).full_name)
    references = [e for e in found if {e.model.name, report_data.name(e)} & names]
    if not references:
        there = sorted({report_data.name(evaluation) for evaluation in found})
        hint = f"Choose from {', '.join(there)}." if there else "Run `advss eval --attack corruptions` first."
        raise UsageError(f"Results of {asked} under corruptions are missing.", hint)
    return references


def _against(references: Sequence[Evaluation], report_data: ReportData, evaluation: Evaluation) -> str:
    """A sentence on mCE, where the baseline was measured by the same protocol on the same images."""
    for other in references:
        with suppress(UsageError, KeyError):  # a result without verdicts may lack a corruption that it names
            mean = mean_corruption_error(evaluation, other)
            return f" mCE against {report_data.name(other)}: {100 * mean:.2f}."
    return ""


def _map(
    name: str, label: str, report_data: ReportData, evaluation: Evaluation, references: Sequence[Evaluation]
) -> Figure:
    values = evaluation.details.corruptions
    families = _families(list(values))
    rows = [row for family in families for row in family]
    severities = len(values[rows[0]])
    shares = [(*values[row], fmean(values[row])) for row in rows]
    starts = [sum(map(len, families[:place])) for place in range(1, len(families))]
    columns = [*(str(severity + 1) for severity in range(severities)), "mean"]
    scene = heatmap.draw(
        [said(row) for row in rows],
        columns,
        shares,
        "a",
        row_gaps=starts,
        column_gaps=[severities],
        column_heading="accuracy (%) by severity",
    )
    headings = (Column("corruption"), *(Column(f"severity {c}" if c != "mean" else c, "percent") for c in columns))
    table = DataTable(
        f"Accuracy of {label} by severity",
        headings,
        tuple((row, *cells) for row, cells in zip(rows, shares, strict=True)),
    )
    mean, against = evaluation.details.corruption_accuracy, _against(references, report_data, evaluation)
    note = f"Mean of the benchmark: {100 * mean:.2f}.{against}" if mean is not None else None
    text = f"Heat map of accuracy under {len(rows)} corruptions at {severities} severities, on {images([evaluation])}."
    return Figure(name, label, text, scene, table, note=note, origins=report_data.origins([evaluation]))


def _comparison(name: str, report_data: ReportData, found: Sequence[Evaluation]) -> Figure:
    means = [{name: fmean(row) for name, row in e.details.corruptions.items()} for e in found]
    rows = [name for family in _families(list(dict.fromkeys(name for one in means for name in one))) for name in family]
    return report_data.dots(
        name,
        f"{found[0].protocol.label} on {data_set(found[0])}: model by model",
        "accuracy, mean over severities (%)",
        found,
        means,
        heading="corruption",
        rows=rows,
        text=f"Dots: accuracy of {len(found)} models by corruption, on {images(found)}.",
        caption="Accuracy by corruption, mean over severities",
    )
