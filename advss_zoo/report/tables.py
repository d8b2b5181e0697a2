"""A table or figure of the paper as one document: the paper's numbers, ours, what they say and what is missing.

Accuracies are fractions, as in every document of this package.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from advss_zoo.report import plan
from advss_zoo.report.claims import CLAIMS
from advss_zoo.report.ours import PROTOCOL, TRANSFER, UNFORESEEN, Measurement, Ours, Unforeseen, members
from advss_zoo.report.paper import Cell, Table, Values

Document = dict[str, Any]
UnderAttack = dict[str, dict[str, Unforeseen]]  # by unforeseen attack and model


def checkpoints(table: Table, tag: str) -> list[str]:
    """The full names of all that a table and its claims need, the members of an ensemble before it."""
    names = [f"{cell.checkpoint}.{tag}" for cell in table.cells if cell.checkpoint]
    return list(dict.fromkeys(needed for name in names for needed in (*members(name), name)))


def missing(table: Table, tag: str, ours: Ours, *, profile: plan.Profile = "fast") -> list[plan.Step]:
    """What has to be done before ours are complete, and then to have beside them what runs picked by TA and by RA.

    Args:
        profile: of the recipes of what has to be trained.
    """
    needed = {
        PROTOCOL: checkpoints(table, tag),
        TRANSFER: [f"{table.ensemble}.{tag}"] if table.ensemble else [],
        UNFORESEEN: [f"{name}.{tag}" for name in table.unforeseen],
    }
    steps = [step for protocol, names in needed.items() for step in plan.steps(names, ours, protocol, profile=profile)]
    shown = (f"{cell.checkpoint}.{tag}" for cell in table.cells if cell.checkpoint and "ra" in table.metrics)
    return list(dict.fromkeys([*steps, *plan.picks(shown, ours)]))


def document(table: Table, tag: str, ours: Ours, *, profile: plan.Profile = "fast") -> Document:
    """What `advss reproduce` prints; `ours` of a row is None where nothing was measured."""
    unforeseen = ours.unforeseen(*(f"{name}.{tag}" for name in table.unforeseen)) if table.unforeseen else {}
    return {
        "name": table.name,
        "title": table.title,
        "tag": tag,
        "metrics": list(table.metrics),
        "rows": [_row(cell, tag, ours, unforeseen) for cell in table.cells],
        "claims": [asdict(claim(ours, tag)) for claim in CLAIMS[table.name]],
        "missing": [asdict(step) for step in missing(table, tag, ours, profile=profile)],
        "notes": list(table.notes),
        "unreadable": list(ours.unreadable),
    }


def _row(cell: Cell, tag: str, ours: Ours, unforeseen: UnderAttack) -> Document:
    measured = _measured(cell, tag, ours, unforeseen)
    return {
        "row": cell.row,
        "column": cell.column,
        "checkpoint": f"{cell.checkpoint}.{tag}" if cell.checkpoint else None,
        "paper": _fractions(cell.values),
        "elsewhere": {where: _fractions(values) for where, values in cell.elsewhere.items()},
        "ours": measured[0] if measured else None,
        "other_picks": measured[1:],
    }


def _measured(cell: Cell, tag: str, ours: Ours, unforeseen: UnderAttack) -> list[Document]:
    if cell.checkpoint:
        return [_measurement(found) for found in ours.measurements(f"{cell.checkpoint}.{tag}")]
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
        return _one_number(model.measured[0], "accuracy", model.accuracy)
    if cell.extreme and unforeseen:
        gains = {}
        for one, other in (models.values() for models in unforeseen.values()):
            gains[one.accuracy - other.accuracy] = one.measured[0]
        gain = {"least": min, "most": max}[cell.extreme](gains)
        return _one_number(gains[gain], "gain", gain)
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
        "data": result.data.name,
        "sha256": result.model.sha256,
        "result": str(measured.folder),
    }


def _fractions(values: Values) -> Values:
    return {metric: value if metric == "epochs" else round(value / 100, 6) for metric, value in values.items()}
