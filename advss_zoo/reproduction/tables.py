"""A table or figure of the paper as one value: the paper's numbers, ours, what they say and what is missing.

Accuracies are fractions, as in every document of this package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from advss_zoo.reproduction import paper, plan
from advss_zoo.reproduction.claims import CLAIMS, Judgement
from advss_zoo.reproduction.ours import PROTOCOL, TRANSFER, UNFORESEEN, Measurement, OurResults, UnforeseenRow, members
from advss_zoo.reproduction.paper import Cell, Table, Values
from advss_zoo.reproduction.standing import full_name

Interval = tuple[float, float]
UnderAttack = Mapping[str, Mapping[str, UnforeseenRow]]  # by unforeseen attack and model


@dataclass(frozen=True)
class OurNumbers:
    """One measurement of ours: its values by metric, and what was measured, on how much, where that is written down.

    `changes` says what differs between the making of the model and the recipes as they stand; then it is shown, and no
    claim is judged by it. `strengths` (1 to 6) are those of an unforeseen attack that `values` are the mean of.
    """

    values: Mapping[str, float | None]
    n: int
    data: str
    sha256: str | None
    result: str
    picked: str | None = None
    pick: str | None = None  # the weights of the run, where they are not those that it ships
    ci95: Mapping[str, Interval] = field(default_factory=dict)
    strengths: tuple[int, ...] = ()
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ComparisonRow:
    """One model of a table; `ours` is None where nothing was measured."""

    row: str
    column: str
    checkpoint: str | None
    images: str | None  # what ours was pretrained on, where the table is about that
    paper: Values
    elsewhere: Mapping[str, Values]  # what the paper prints in other places
    ours: OurNumbers | None
    other_picks: tuple[OurNumbers, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.row} {self.column}".strip()

    @property
    def measured(self) -> tuple[OurNumbers, ...]:
        return (self.ours, *self.other_picks) if self.ours else ()


@dataclass(frozen=True)
class Comparison:
    """A table or figure of the paper with ours beside it."""

    name: str
    title: str
    tag: str
    metrics: tuple[str, ...]
    rows: tuple[ComparisonRow, ...]
    claims: tuple[Judgement, ...]
    missing: tuple[plan.Step, ...]
    notes: tuple[str, ...]
    unreadable: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return asdict(self)


def checkpoints(table: Table, tag: str) -> list[str]:
    """Return the full names of all that a table and its claims need, the members of an ensemble before it."""
    names = [full_name(cell.checkpoint, tag) for cell in table.cells if cell.checkpoint]
    return list(dict.fromkeys(needed for name in names for needed in (*members(name), name)))


def missing(table: Table, tag: str, ours: OurResults) -> list[plan.Step]:
    """Return what has to be done before ours are complete, and then to have beside them what runs picked by TA and by
    RA.
    """
    needed = {
        PROTOCOL: checkpoints(table, tag),
        TRANSFER: [f"{table.ensemble}.{tag}"] if table.ensemble else [],
        UNFORESEEN: [f"{name}.{tag}" for name in table.unforeseen],
    }
    steps = [step for protocol, names in needed.items() for step in plan.steps(names, ours, protocol)]
    shown = (full_name(cell.checkpoint, tag) for cell in table.cells if cell.checkpoint and "ra" in table.metrics)
    return list(dict.fromkeys([*steps, *plan.picks(shown, ours)]))


def compare(table: Table, tag: str, ours: OurResults) -> Comparison:
    """Put ours beside a table of the paper."""
    unforeseen = ours.unforeseen(*(f"{name}.{tag}" for name in table.unforeseen)) if table.unforeseen else {}
    return Comparison(
        name=table.name,
        title=table.title,
        tag=tag,
        metrics=table.metrics,
        rows=tuple(_row(cell, tag, ours, unforeseen) for cell in table.cells),
        claims=tuple(claim(ours, tag) for claim in CLAIMS[table.name]),
        missing=tuple(missing(table, tag, ours)),
        notes=table.notes,
        unreadable=tuple(ours.unreadable),
    )


def _row(cell: Cell, tag: str, ours: OurResults, unforeseen: UnderAttack) -> ComparisonRow:
    measured = _measured(cell, tag, ours, unforeseen)
    name = full_name(cell.checkpoint, tag) if cell.checkpoint else None
    return ComparisonRow(
        row=cell.row,
        column=cell.column,
        checkpoint=name,
        images=paper.images(name.rpartition(".")[0]) if name and cell.checkpoint in paper.stand_ins() else None,
        paper=_fractions(cell.values),
        elsewhere={where: _fractions(values) for where, values in cell.elsewhere.items()},
        ours=measured[0] if measured else None,
        other_picks=tuple(measured[1:]),
    )


def _measured(cell: Cell, tag: str, ours: OurResults, unforeseen: UnderAttack) -> list[OurNumbers]:
    if cell.checkpoint:
        return [_accuracies(found) for found in ours.measurements(full_name(cell.checkpoint, tag))]
    if cell.transfer:
        source, target = (f"{name}.{tag}" for name in cell.transfer)
        rate = ours.transferred(source, target)
        return _one_number(ours.transfer(source, target), "asr", rate.value if rate else None)
    if cell.shared:
        source = f"{cell.shared[0]}.{tag}"
        fooled, spared = (tuple(f"{name}.{tag}" for name in names) for names in cell.shared[1:])
        share = ours.shared(source, fooled, spared)
        return _one_number(ours.transfer(source, *fooled, *spared), "share", share.value if share else None)
    if cell.unforeseen and (models := unforeseen.get(cell.unforeseen[0])):
        model = models[f"{cell.unforeseen[1]}.{tag}"]
        return _one_number(model.measured[0], "accuracy", model.accuracy, model.strengths)
    if cell.extreme and unforeseen:
        gains = {}
        for one, other in (models.values() for models in unforeseen.values()):
            gains[one.accuracy - other.accuracy] = one
        gain = {"least": min, "most": max}[cell.extreme](gains)
        return _one_number(gains[gain].measured[0], "gain", gain, gains[gain].strengths)
    return []


def _one_number(
    measured: Measurement | None, metric: str, value: float | None, strengths: tuple[int, ...] = ()
) -> list[OurNumbers]:
    return [] if measured is None or value is None else [_numbers(measured, {metric: value}, strengths=strengths)]


def _accuracies(measured: Measurement) -> OurNumbers:
    result = measured.result
    intervals = {"ta": result.ta_ci95, "ra": result.ra_ci95}
    return _numbers(
        measured,
        {"ta": result.ta, "ra": result.ra, "epochs": measured.epochs},
        ci95={metric: (bounds[0], bounds[1]) for metric, bounds in intervals.items() if bounds},
    )


def _numbers(
    measured: Measurement,
    values: Mapping[str, float | None],
    ci95: Mapping[str, Interval] | None = None,
    strengths: tuple[int, ...] = (),
) -> OurNumbers:
    result = measured.result
    return OurNumbers(
        values,
        n=result.n,
        data=result.data.name,
        sha256=result.model.sha256,
        result=str(measured.folder),
        picked=measured.picked,
        pick=measured.pick,
        ci95=ci95 or {},
        strengths=strengths,
        changes=measured.changes,
    )


def _fractions(values: Values) -> Values:
    return {metric: value if metric == "epochs" else round(value / 100, 6) for metric, value in values.items()}
