"""Tables as people and as programs read them."""

from __future__ import annotations

import csv
import io
from urllib.parse import unquote

from advss_zoo.results_page.figure import NOTHING, Column, DataTable

TABLE = DataTable(
    "some",
    (Column("model"), Column("RA", "percent"), Column("n", "number")),
    (("a,b", 0.43391, 10_000), ('=1+"1"', None, 0.5), ("-x", 0.0, None)),
)


def test_people_read_two_decimals() -> None:
    shown = [[column.shown(cell) for column, cell in zip(TABLE.columns, row, strict=True)] for row in TABLE.rows]
    assert shown == [["a,b", "43.39", "10,000"], ['=1+"1"', NOTHING, "0.5"], ["-x", "0.00", NOTHING]]


def test_programs_read_csv_in_which_no_text_is_a_formula() -> None:
    assert list(csv.reader(io.StringIO(TABLE.csv))) == [
        ["model", "RA (%)", "n"],
        ["a,b", "43.391", "10000"],
        ['\'=1+"1"', "", "0.5"],
        ["'-x", "0", ""],
    ]
    assert unquote(TABLE.link.removeprefix("data:text/csv;charset=utf-8,")) == TABLE.csv
