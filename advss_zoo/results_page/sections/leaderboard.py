"""One table for each data set: TA and RA of every model under every protocol, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from advss_zoo.evaluation.schema import Interval
from advss_zoo.results_page.evidence import Evaluation
from advss_zoo.results_page.figure import Cell, Column, DataTable, Section
from advss_zoo.results_page.report_data import ReportData, by_data, data_set
from advss_zoo.results_page.sections import strength

CLEAN = "TA"
FIRST = ("pgd20", "autoattack", "ensemble-worst")  # columns that stand before all others, and always
CORRUPTIONS = "corruptions"


@dataclass(frozen=True)
class Score:
    """One number of the table, and the result it is from."""

    value: float
    interval: Interval | None
    source: Evaluation
    anchor: str
    warning: bool = False  # is there something to know before believing in it?
    best: bool = False


@dataclass(frozen=True)
class RankingRow:
    name: str
    n: int  # of the result with the most images
    scores: tuple[Score | None, ...]  # by column


@dataclass(frozen=True)
class RankingTable:
    """Models by falling RA; of several results in one place, that on the most images counts."""

    name: str
    caption: str
    columns: tuple[str, ...]
    sorted_by: int  # place among the columns
    rows: tuple[RankingRow, ...]

    @property
    def table(self) -> DataTable:
        """What the link gives: intervals and numbers of images in columns of their own."""
        columns = [Column("model")]
        for name in self.columns:
            columns += [
                Column(name, "percent"),
                Column(f"{name} 95% low", "percent"),
                Column(f"{name} 95% high", "percent"),
            ]
            columns += [Column(f"{name} images", "number")]
        return DataTable(self.caption, tuple(columns), tuple((row.name, *_cells(row.scores)) for row in self.rows))


def section(report_data: ReportData) -> Section:
    boards = tuple(_boards(report_data))
    return Section(
        "leaderboard",
        "Leaderboard",
        "TA is the accuracy on clean images, every other column the accuracy under the attack or corruptions in its "
        "heading; an image misclassified clean counts as an error. In percent, with 95% intervals. Bold: the best of "
        "a column and all within its interval. Every number links to its provenance.",
        template="leaderboard.html.j2",
        context=boards,
    )


def _boards(report_data: ReportData) -> Iterable[RankingTable]:
    swept = {id(evaluation) for evaluation in strength.swept(report_data)}
    for place, evaluations in enumerate(by_data(report_data.evaluations)):
        scores: dict[str, dict[str, Score]] = {}  # by model and column
        for evaluation in sorted(evaluations, key=lambda e: -e.n):
            row = scores.setdefault(report_data.name(evaluation), {})
            anchor = report_data.anchor(evaluation)
            row.setdefault(CLEAN, Score(evaluation.ta, evaluation.ta_ci95, evaluation, anchor))
            if found := _score(evaluation, anchor, id(evaluation) in swept):
                row.setdefault(found[0], found[1])
        name, split = data_set(evaluations[0]), evaluations[0].data.split
        yield _board(f"board-{place + 1}", f"{name}, {split} images" if split else name, scores)


def _score(evaluation: Evaluation, anchor: str, swept: bool) -> tuple[str, Score] | None:
    """The column that a result belongs to beside TA, if it has one: most have a figure of their own instead."""
    details, label = evaluation.details, evaluation.protocol.label
    if details.corruption_accuracy is not None:
        return label, Score(details.corruption_accuracy, details.corruption_accuracy_ci95, evaluation, anchor)
    elsewhere = evaluation.protocol.attack is not None or details.transfer is not None or swept
    if evaluation.ra is None or (elsewhere and label not in FIRST):
        return None
    return label, Score(evaluation.ra, evaluation.ra_ci95, evaluation, anchor, warning=bool(evaluation.warnings))


def _board(name: str, caption: str, scores: dict[str, dict[str, Score]]) -> RankingTable:
    labels = {label for row in scores.values() for label in row}
    columns = [CLEAN, *sorted(labels - {CLEAN}, key=_rank)]
    sorted_by = min(1, len(columns) - 1)
    marked = {
        column: _marked({model: row[column] for model, row in scores.items() if column in row}) for column in columns
    }
    rows = [
        RankingRow(
            model, max(score.source.n for score in row.values()), tuple(marked[column].get(model) for column in columns)
        )
        for model, row in scores.items()
    ]

    def standing(row: RankingRow) -> tuple[bool, float]:
        score = row.scores[sorted_by]
        return score is None, -(score.value if score else 0.0)

    return RankingTable(name, caption, tuple(columns), sorted_by, tuple(sorted(rows, key=standing)))


def _rank(label: str) -> tuple[int, str]:
    if label in FIRST:
        return FIRST.index(label), label
    return (len(FIRST) + label.startswith(CORRUPTIONS)), label


def _marked(scores: dict[str, Score]) -> dict[str, Score]:
    """The same, the best marked, and those whose interval reaches its own."""
    best = max(scores.values(), key=lambda score: score.value)
    least = best.interval[0] if best.interval else best.value

    def ties(score: Score) -> bool:
        return score.value == best.value or bool(score.interval and score.interval[1] >= least)

    several = len(scores) > 1
    return {model: replace(score, best=several and ties(score)) for model, score in scores.items()}


def _cells(scores: Sequence[Score | None]) -> Iterable[Cell]:
    for score in scores:
        low, high = score.interval if score and score.interval else (None, None)
        yield from (None,) * 4 if score is None else (score.value, low, high, score.source.n)
