"""A table that says of which class images are: CSV or JSON lines of path, label and, if one likes, part."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from advss_zoo.data.folder.names import is_hidden, is_image, printable
from advss_zoo.errors import DataError
from advss_zoo.files import read_bytes

SUFFIXES = (".csv", ".tsv", ".jsonl")
DELIMITERS = ",;\t"
MOST_BYTES = 2**30  # of ten million images
LONGEST = 4096  # characters of a path, a label or a part
URL = re.compile("(https?|ftp|s3|gs)://", re.IGNORECASE)
# The first of each is the column's name, the rest are taken for it.
COLUMNS = {
    "path": ("path", "file", "filename", "file_name", "image", "image_path", "filepath"),
    "label": ("label", "class", "class_name", "category", "target", "species", "class_id", "y"),
    "part": ("split", "part", "subset", "set"),
}
PERHAPS = ("img", "img_path", "image_name", "image_id", "id")
"""What stands for the path where that has no column, in rows in which it names an image file."""


class Row(NamedTuple):
    """`number` counts the lines of the file from 1; `part` is empty where the row says nothing of it."""

    number: int
    path: str
    label: str
    part: str


def is_table(name: str) -> bool:
    """Tell whether a file's name is that of a table."""
    return name.lower().endswith(SUFFIXES) and not is_hidden(name)


def read(source: Path) -> tuple[list[Row], dict[str, str]]:
    """Read the rows of a table, and the reasons to skip others, by "NAME:LINE".

    Raises:
        DataError: it is not text in UTF-8, or has no column for paths or labels.
        AdvssError: it cannot be read.
    """
    content = read_bytes(source, MOST_BYTES)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{source} is not valid UTF-8 ({error.reason} at byte {error.start}).") from error
    records = _json_records(text) if source.suffix.lower() == ".jsonl" else _csv_records(source, text)
    rows, skipped = [], {}
    for number, record in records:
        values = record if isinstance(record, str) else _values(record)
        if isinstance(values, str):
            skipped[f"{printable(source.name)}:{number}"] = values
        else:
            rows.append(Row(number, *values))
    return rows, skipped


def _values(record: dict[str, Any]) -> tuple[str, str, str] | str:
    """Path, label and part of a record, or what is wrong with it."""
    path, label, part = (_first(record, names) for names in COLUMNS.values())
    path = path or next((value for name in PERHAPS if is_image(value := _first(record, (name,)))), "")
    if not path or "\0" in path:
        return "the path is missing"
    if max(map(len, (path, label, part))) > LONGEST:
        return f"a cell of more than {LONGEST:,} characters"
    if URL.match(path):
        return "a URL; download it first"
    return (path, label, part) if label else "the label is missing"


def _first(record: dict[str, Any], names: tuple[str, ...]) -> str:
    found = [record[name] for name in names if record.get(name) is not None]
    return str(found[0]).strip() if found else ""


def _json_records(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        fits = isinstance(record, dict)
        yield number, {str(key).lower(): value for key, value in record.items()} if fits else "not a JSON object"


def _csv_records(source: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The first line names the columns, or is the first record: path, label and, if there is a third, the part."""
    is_tabbed = source.suffix.lower() == ".tsv"
    delimiter = "\t" if is_tabbed else max(DELIMITERS, key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    last = 0
    try:
        for cells in reader:
            last = reader.line_num
            if not any(map(str.strip, cells)):
                continue
            is_heading = not columns and not any(map(is_image, cells))
            columns = columns or (_heading(source, cells) if is_heading else list(COLUMNS))
            if not is_heading:
                yield last, dict(zip(columns, cells, strict=False))
    except csv.Error as error:
        hint = 'Check for an unclosed or extra ".'
        raise DataError(f"{source} is not valid CSV at line {last + 1}: {error}.", hint) from error


def _heading(source: Path, cells: list[str]) -> list[str]:
    """The names of columns, in small letters.

    Raises:
        DataError: paths or labels are not among them.
    """
    named = [cell.strip().lower() for cell in cells]
    if set(named).isdisjoint({*COLUMNS["path"], *PERHAPS}) or set(named).isdisjoint(COLUMNS["label"]):
        raise DataError(
            f"{source} has no columns path and label; its first line is {', '.join(cells)!r}.",
            "Start it with the line `path,label`, then one line per image.",
        )
    return named
