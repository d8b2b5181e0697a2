"""The numbers that Chen et al. (CVPR 2020) print, by table, row and column, and the checkpoint that each belongs to.

In percent, epochs as counts, as in the paper. `paper.json` also settles what the checkpoints of its tables are called.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from advss_zoo.attacks.kang2019.calibration import CIFAR10
from advss_zoo.errors import UsageError
from advss_zoo.files import read_json

Values = dict[str, float]  # metric -> percent, or a count of epochs


@dataclass(frozen=True)
class Cell:
    """One model of a table: its place, the checkpoint that is ours (without its tag) and its numbers."""

    row: str
    column: str  # "" where a table has none
    values: Values
    checkpoint: str | None = None
    members: tuple[str, ...] = ()  # of an ensemble
    transfer: tuple[str, str] | None = None  # source and target, where one model's images are shown to another
    shared: tuple[str, tuple[str, ...], tuple[str, ...]] | None = None  # source, whom it fools, whom it spares
    unforeseen: tuple[str, str] | None = None  # an attack and the model under it
    extreme: str | None = None  # "least" or "most" of what one model gains on another under the unforeseen attacks
    elsewhere: dict[str, Values] = field(default_factory=dict)  # what the paper prints for it in other places

    @property
    def label(self) -> str:
        return f"{self.row} {self.column}".strip()


@dataclass(frozen=True)
class Table:
    """A table or figure, its cells in the paper's order."""

    name: str
    title: str
    metrics: tuple[str, ...]
    cells: tuple[Cell, ...]
    notes: tuple[str, ...]
    ensemble: str | None  # of the models that the images of one are shown to
    unforeseen: tuple[str, ...]  # the models under attacks that no training has seen


def names() -> list[str]:
    return list(_everything())


def load(name: str) -> Table:
    """Load a table of the paper.

    Raises:
        UsageError: the paper has no such table; the message names the nearest.
    """
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name.lower().replace(" ", ""), known, n=1, cutoff=0.3)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(f"Unknown table {name!r}.", f"{hint}Choose from {', '.join(known)}.")
    found = _everything()[name]
    cells = [
        _cell(row, column, dict(values)) for row, columns in found["rows"].items() for column, values in columns.items()
    ]
    models: dict[str, str] = found.get("unforeseen", {})
    cells += [Cell(attack, column, {}, unforeseen=(attack, models[column])) for attack in CIFAR10 for column in models]
    return Table(
        name,
        found["title"],
        tuple(found["metrics"]),
        tuple(cells),
        tuple(found["notes"]),
        ensemble=found.get("ensemble"),
        unforeseen=tuple(models.values()),
    )


def values(checkpoint: str) -> Values:
    """Return what the paper prints for a checkpoint, in the first table that has it.

    Raises:
        KeyError: none has.
    """
    for cell in _cells():
        if cell.checkpoint == checkpoint:
            return cell.values
    raise KeyError(checkpoint)


def stand_in(checkpoint: str) -> str | None:
    """Return the checkpoint that takes the place of another where a tag has no recipe for that one."""
    return stand_ins().get(checkpoint, {}).get("checkpoint")


def images(checkpoint: str) -> str | None:
    """Return which images a checkpoint of Table 7 was pretrained on."""
    told = [(name, each["images"]) for name, each in stand_ins().items()]
    told += [(each["checkpoint"], each["its_images"]) for each in stand_ins().values()]
    return dict(told).get(checkpoint)


def stand_ins() -> dict[str, dict[str, str]]:
    """Return the stand-ins of Table 7, by the names of the checkpoints that they replace."""
    found: dict[str, dict[str, str]] = _everything()["table7"]["stand_ins"]
    return found


@cache
def ensembles() -> dict[str, tuple[str, ...]]:
    """Return the ensembles of the paper and their members."""
    return {cell.checkpoint: cell.members for cell in _cells() if cell.checkpoint and cell.members}


def _cells() -> Iterator[Cell]:
    for name in names():
        yield from load(name).cells


def _cell(row: str, column: str, facts: dict[str, Any]) -> Cell:
    checkpoint, members = facts.pop("checkpoint", None), tuple(facts.pop("members", ()))
    elsewhere, extreme = facts.pop("elsewhere", {}), facts.pop("extreme", None)
    transfer = shared = None
    if source := facts.pop("source", None):
        if "target" in facts:
            transfer = source, facts.pop("target")
        else:
            shared = source, tuple(facts.pop("fooled")), tuple(facts.pop("spared"))
    return Cell(row, column, facts, checkpoint, members, transfer, shared, None, extreme, elsewhere)


@cache
def _everything() -> dict[str, Any]:
    everything: dict[str, Any] = read_json(Path(__file__).with_name("paper.json"))
    return everything
