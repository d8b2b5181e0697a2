"""A table or figure of the paper as one document: the paper's numbers, ours, what they say and what is missing.

Accuracies are fractions, as in every document of this package.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from advss_zoo.report import plan
from advss_zoo.report.claims import CLAIMS
from advss_zoo.report.ours import PROTOCOL, TRANSFER, Measurement, Ours, members
from advss_zoo.report.paper import Cell, Table, Values

Document = dict[str, Any]


def checkpoints(table: Table, tag: str) -> list[str]:
    """The full names of all that a table and its claims need, the members of an ensemble before it."""
    names = [f"{cell.checkpoint}.{tag}" for cell in table.cells if cell.checkpoint]
    return list(dict.fromkeys(needed for name in names for needed in (*members(name), name)))


def protocol(table: Table) -> str:
    """Which protocol its numbers are measured by."""
    return TRANSFER if table.ensemble else PROTOCOL


def missing(table: Table, tag: str, ours: Ours) -> list[plan.Step]:
    """What has to be done before ours are complete."""
    needed = [f"{table.ensemble}.{tag}"] if table.ensemble else checkpoints(table, tag)
    return plan.steps(needed, ours, protocol(table))


def document(table: Table, tag: str, ours: Ours) -> Document:
    """What `advss reproduce` prints; `ours` of a row is None where nothing was measured."""
    return {
        "name": table.name,
        "title": table.title,
        "tag": tag,
        "metrics": list(table.metrics),
        "needs": table.needs,
        "rows": [_row(cell, tag, ours) for cell in table.cells],
        "claims": [asdict(claim(ours, tag)) for claim in CLAIMS[table.name]],
        "missing": [asdict(step) for step in missing(table, tag, ours)],
        "notes": list(table.notes),
        "unreadable": list(ours.unreadable),
    }


def _row(cell: Cell, tag: str, ours: Ours) -> Document:
    measured = _measured(cell, tag, ours)
    return {
        "row": cell.row,
        "column": cell.column,
        "checkpoint": f"{cell.checkpoint}.{tag}" if cell.checkpoint else None,
        "paper": _fractions(cell.values),
        "elsewhere": {where: _fractions(values) for where, values in cell.elsewhere.items()},
        "ours": measured[0] if measured else None,
        "other_picks": measured[1:],
    }


def _measured(cell: Cell, tag: str, ours: Ours) -> list[Document]:
    if cell.checkpoint:
        return [_measurement(found) for found in ours.measurements(f"{cell.checkpoint}.{tag}")]
    if cell.transfer:
        source, target = (f"{name}.{tag}" for name in cell.transfer)
        return _one_number(ours.transfer(source, target), "asr", ours.transferred(source, target))
    if cell.shared:
        source = f"{cell.shared[0]}.{tag}"
        fooled, spared = (tuple(f"{name}.{tag}" for name in names) for names in cell.shared[1:])
        return _one_number(ours.transfer(source, *fooled, *spared), "share", ours.shared(source, fooled, spared))
    return []


def _one_number(measured: Measurement | None, metric: str, value: float | None) -> list[Document]:
    return [] if measured is None or value is None else [{**_origin(measured), metric: value}]


def _measurement(measured: Measurement) -> Document:
    result = measured.result
    return {
        **_origin(measured),
        "epochs": measured.epochs,
        "ta": result.ta,
        "ta_ci95": result.ta_ci95,
        "ra": result.ra,
        "ra_ci95": result.ra_ci95,
    }


def _origin(measured: Measurement) -> Document:
    """What was measured, on how much, and where that is written down."""
    result = measured.result
    return {
        "picked": measured.picked,
        "pick": measured.pick,
        "n": result.n,
        "data": result.data["name"],
        "sha256": result.model["sha256"],
        "result": str(measured.folder),
    }


def _fractions(values: Values) -> Values:
    return {metric: value if metric == "epochs" else round(value / 100, 6) for metric, value in values.items()}
