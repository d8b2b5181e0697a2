"""What the sections share: the results in order, and what each model is called and looks like throughout the page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from advss_zoo.data.catalogue import whole
from advss_zoo.errors import AdvssError
from advss_zoo.results_page.charts import dots
from advss_zoo.results_page.charts.dots import Series
from advss_zoo.results_page.charts.series import Look, Value
from advss_zoo.results_page.collect import Findings, LoggedRun, reason
from advss_zoo.results_page.evidence import Evaluation
from advss_zoo.results_page.figure import Column, DataTable, Figure
from advss_zoo.texts import format_eps

DIGITS = 7  # of a sha256 that tell two sets of weights apart


class ReportData:
    """Everything that was found, by model, data and protocol.

    `baseline` is the name of the model that errors under corruptions are compared with, if any is.
    """

    def __init__(self, found: Findings, baseline: str | None = None) -> None:
        self.found = found
        self.baseline = baseline
        self.runs: tuple[LoggedRun, ...] = found.runs
        self.evaluations: tuple[Evaluation, ...] = tuple(sorted(found.evaluations, key=_order))
        self.left_out: list[str] = list(found.left_out)

    def leave_out(self, error: AdvssError) -> None:
        """Note that something else cannot be shown."""
        self.left_out.append(reason(error))

    @cached_property
    def _places(self) -> dict[tuple[str, str], int]:
        return {weights: place for place, weights in enumerate(dict.fromkeys(e.weights for e in self.evaluations))}

    @cached_property
    def _anchors(self) -> dict[int, str]:
        return {id(evaluation): f"result-{place}" for place, evaluation in enumerate(self.evaluations, 1)}

    @property
    def models(self) -> int:
        return len(self._places)

    @cached_property
    def _namesakes(self) -> Counter[str]:
        return Counter(name for name, _ in self._places)

    def name(self, evaluation: Evaluation) -> str:
        """Return the model's name; where several sets of weights have it, with the beginning of their sha256."""
        name, sha256 = evaluation.weights
        return f"{name} ({sha256[:DIGITS]})" if self._namesakes[name] > 1 else name

    def look(self, evaluation: Evaluation) -> Look:
        return Look(self._places[evaluation.weights])

    def anchor(self, evaluation: Evaluation) -> str:
        """Return the id of the place in the page that says where a result came from."""
        return self._anchors[id(evaluation)]

    def origins(self, evaluations: Iterable[Evaluation]) -> dict[str, str]:
        """Return what the results are, by `anchor`."""
        return {self.anchor(e): f"{self.name(e)}: {e.protocol.label} on {e.data.name}" for e in evaluations}

    def labels(self, evaluations: Sequence[Evaluation], *others: Sequence[str]) -> list[str]:
        """For each the model's name and whatever else of data, n and `others` is not the same for all of them."""
        facts = [[e.data.name for e in evaluations], [f"n = {e.n:,}" for e in evaluations], *others]
        told = [texts for texts in facts if len(set(texts)) > 1]
        return [
            ", ".join([self.name(evaluation), *(text for text in parts if text)])
            for evaluation, parts in zip(
                evaluations, zip(*told, strict=True) if told else [()] * len(evaluations), strict=True
            )
        ]

    def dots(
        self, name: str, title: str, axis: str, evaluations: Sequence[Evaluation], shares: Sequence[dict[str, float]],
        *, heading: str = "attack", rows: Sequence[str] = (), text: str | None = None, caption: str | None = None,
    ) -> Figure:  # fmt: skip
        """Draw what each evaluation says of some rows as dots, with the table behind them.

        Args:
            shares: fractions by row, of each evaluation.
            rows: in their order; left out: as they come.
        """
        rows = list(rows) or list(dict.fromkeys(row for one in shares for row in one))
        labels = self.labels(evaluations)
        series = [
            Series(label, self.look(evaluation), {said(row): percent(share) for row, share in one.items()})
            for label, evaluation, one in zip(labels, evaluations, shares, strict=True)
        ]
        columns = Column(heading), *(Column(label, "percent") for label in labels)
        table = DataTable(caption or title, columns, tuple((row, *(one.get(row) for one in shares)) for row in rows))
        scene = dots.draw([said(row) for row in rows], series, axis)
        text = text or f"{title}, on {images(evaluations)}."
        return Figure(name, title, text, scene, table, origins=self.origins(evaluations))


def said(name: str) -> str:
    """Return a name in a file as people read it."""
    return name.replace("_", " ")


def _order(evaluation: Evaluation) -> tuple[Any, ...]:
    label = _natural(evaluation.protocol.label)
    return evaluation.model.name, evaluation.model.weights_sha256, evaluation.data.name, label, -evaluation.n


def _natural(text: str) -> list[tuple[int, str]]:
    """In the order of their numbers: pgd2 before pgd10."""
    parts = re.split("0*([0-9]+)", text)  # every other one is a number; the longer, the greater
    return [(len(part) if place % 2 else 0, part) for place, part in enumerate(parts)]


def data_set(evaluation: Evaluation) -> str:
    """Return the data set that the images are of; those that come with the package are of CIFAR-10."""
    return whole(evaluation.data.name) or evaluation.data.name


def by_data(evaluations: Iterable[Evaluation]) -> list[list[Evaluation]]:
    """Return those on one split of one data set together, that with the most images first."""
    found: dict[tuple[str, str | None], list[Evaluation]] = {}
    for evaluation in evaluations:
        found.setdefault((data_set(evaluation), evaluation.data.split), []).append(evaluation)
    return sorted(found.values(), key=lambda group: -max(e.n for e in group))


def comparable(evaluations: Iterable[Evaluation]) -> list[list[Evaluation]]:
    """`by_data`, one result for each model: that on the most images."""
    groups = []
    for group in by_data(evaluations):
        found: dict[tuple[str, str], Evaluation] = {}
        for evaluation in sorted(group, key=lambda e: -e.n):
            found.setdefault(evaluation.weights, evaluation)
        chosen = set(map(id, found.values()))
        groups.append([evaluation for evaluation in group if id(evaluation) in chosen])
    return groups


def percent(fraction: float, interval: tuple[float, float] | None = None) -> Value:
    """Return a fraction as a figure shows it."""
    return Value(100 * fraction, interval and (100 * interval[0], 100 * interval[1]))


def images(evaluations: Sequence[Evaluation]) -> str:
    """Describe the images that these were measured on: "64 images of cifar10-1k"."""
    names, sizes = {data_set(e) for e in evaluations}, {e.n for e in evaluations}
    if len(names) > 1:
        return "different images (see the labels)"
    least, most = min(sizes), max(sizes)
    return f"{least:,}{f' to {most:,}' if most > least else ''} images of {names.pop()}"


def size(eps: float, norm: str | None) -> str:
    """Return a size of perturbations with its unit."""
    return format_eps(eps) if norm == "linf" else f"{eps:g}"
