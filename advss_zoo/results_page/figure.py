"""A figure with the table behind it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import quote

from advss_zoo.results_page.scene import Scene

Cell: TypeAlias = str | float | int | None
Kind: TypeAlias = Literal["text", "percent", "number"]

NOTHING = "\N{EN DASH}"  # where there is no number

# A spreadsheet takes what begins with these for a formula (OWASP, "CSV Injection").
FORMULA = ("=", "+", "-", "@")


@dataclass(frozen=True)
class Column:
    """Percent: fractions, shown times 100 with two decimals."""

    name: str
    kind: Kind = "text"

    def shown(self, cell: Cell) -> str:
        """Return a cell as people read it."""
        if cell is None:
            return NOTHING
        if isinstance(cell, str):
            return cell
        if self.kind == "percent":
            return f"{100 * cell:.2f}"
        return f"{cell:,}" if isinstance(cell, int) else f"{cell:,.6g}"

    @property
    def heading(self) -> str:
        """The name with its unit."""
        return f"{self.name} (%)" if self.kind == "percent" else self.name

    def written(self, cell: Cell) -> str:
        """Return a cell as programs read it; percent stay percent, as the heading says."""
        if isinstance(cell, str):
            return _harmless(cell)
        if cell is None:
            return ""
        return f"{100 * cell:.6g}" if self.kind == "percent" else str(cell)


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


@dataclass(frozen=True)
class DataTable:
    """The first column names the rows."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def csv(self) -> str:
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(_harmless(column.heading) for column in self.columns)
        for row in self.rows:
            writer.writerow(column.written(cell) for column, cell in zip(self.columns, row, strict=True))
        return lines.getvalue()

    @property
    def link(self) -> str:
        """The table as a CSV file inside a link."""
        return "data:text/csv;charset=utf-8," + quote(self.csv.encode("utf-8", "replace"))


@dataclass(frozen=True)
class Toggle:
    """Another scene that a reader may ask for in place of the first."""

    label: str
    scene: Scene


@dataclass(frozen=True)
class Figure:
    """`name` is an id in the page and the name of its files; `description` is for those who cannot see it.

    `origins` are the results that it is made of: what each is, by the id of the place that says where it came from.
    """

    name: str
    title: str
    description: str
    scene: Scene
    table: DataTable
    toggle: Toggle | None = None
    note: str | None = None
    origins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A part of the page. `template` shows what `context` holds beside the figures, if there is such.

    `drawings` are for files alone: what the template shows, as figures.
    """

    name: str
    title: str
    lead: str
    figures: tuple[Figure, ...] = ()
    template: str | None = None
    context: object = None
    drawings: tuple[Figure, ...] = ()
