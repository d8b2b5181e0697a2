"""A table that says of which class images are: CSV or JSON lines of path, label and, optionally, split."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from advss_zoo.data.folder.names import hidden_as, is_image, printable
from advss_zoo.errors import DataError
from advss_zoo.files import read_bytes
from advss_zoo.texts import listed

SUFFIXES = (".csv", ".tsv", ".jsonl")
DELIMITERS = ",;\t"
MOST_BYTES = 2**30  # of ten million images
LONGEST = 4096  # characters of a path, a label or a part
URL = re.compile("(https?|ftp|s3|gs)://", re.IGNORECASE)
SEPARATOR = re.compile(r'"?sep=(.)"?\r?(?:\n|$)')  # how spreadsheets say what divides cells
ENCODINGS = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""By the mark that a file begins with; without one it is UTF-8, or else what Windows writes in the West."""
COLUMNS = {
    "path": ("path", "file", "filename", "file_name", "image", "image_path", "filepath"),
    "label": ("label", "class", "class_name", "category", "target", "species", "class_id", "y"),
    "part": ("split", "part", "subset", "set", "partition", "usage", "fold"),
}
"""What each is called, in any case; of several the first counts."""
PERHAPS = ("img", "img_path", "image_name", "image_id", "id")
"""What stands for the path where that has no column: it may lack the suffix of the file."""
FOLD = "fold"  # a column that may number parts without saying what they are for
FLAGS = {
    "is_test": "test",
    **dict.fromkeys(("is_valid", "is_val", "is_validation"), "val"),
    **dict.fromkeys(("is_train", "is_training"), "train"),
}
"""Columns of true and false that stand for the part where that has no column; of several that are true the first."""
TRUTH = {
    **dict.fromkeys(("true", "1", "1.0", "yes", "y", "t"), True),
    **dict.fromkeys(("false", "0", "0.0", "no", "n", "f"), False),
}


class Row(NamedTuple):
    """`number` counts the lines of the file from 1; `part` and `group` are empty where the row says nothing of them."""

    number: int
    path: str
    label: str
    part: str
    group: str = ""


@dataclass(frozen=True)
class LabelTable:
    """Rows, and why others are skipped, by "NAME:LINE".

    `used` maps path, label, part and group to the columns that they come from, as these are written, `unused` are the
    others; `notes` say how the file was read where that is not plain.
    """

    rows: list[Row] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    used: dict[str, list[str]] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def is_table(name: str) -> bool:
    """Tell whether a file's name is that of a table."""
    return name.lower().endswith(SUFFIXES) and hidden_as(name) is None


def read(source: Path, group_by: str | None = None) -> LabelTable:
    """Read the rows of a table.

    Args:
        group_by: the column of the groups, if there is one of that name.

    Raises:
        DataError: it is not text, or has no column for paths or labels.
        AdvssError: it cannot be read.
    """
    table = LabelTable()
    text = _decoded(source, read_bytes(source, MOST_BYTES), table.notes)
    columns = _Columns(group_by.strip().lower() if group_by else "")
    is_json = source.suffix.lower() == ".jsonl"
    for number, record in _json_records(text) if is_json else _csv_records(source, text, columns):
        values = record if isinstance(record, str) else columns.values(record)
        if isinstance(values, str):
            table.skipped[f"{printable(source.name)}:{number}"] = values
        else:
            table.rows.append(Row(number, *values))
    table.used.update({role: list(columns.used[role]) for role in columns.roles if role in columns.used})
    taken = {name.lower() for names in columns.used.values() for name in names}
    table.unused.extend(name for lower, name in columns.names.items() if name and lower not in taken)
    return table


def _decoded(source: Path, content: bytes, notes: list[str]) -> str:
    marked = next((encoding for mark, encoding in ENCODINGS.items() if content.startswith(mark)), None)
    try:
        return content.decode(marked or "utf-8-sig")
    except UnicodeDecodeError as error:
        if marked:
            raise DataError(
                f"{source} is not valid {marked.upper()} ({error.reason} at byte {error.start})."
            ) from error
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError as error:
        where = f"{error.reason} at byte {error.start}"
        raise DataError(f"{source} is neither UTF-8 nor Windows-1252 ({where}).", "Save it as UTF-8.") from error
    notes.append(f"{printable(source.name)} is not UTF-8 and was read as Windows-1252.")
    return text


class _Columns:
    """What the columns are used for, noted as records are read; `names` are as written, by those in small letters."""

    def __init__(self, group: str) -> None:
        self.roles = {**COLUMNS, "group": (group,) if group else ()}
        self.used: dict[str, dict[str, None]] = {}
        self.names: dict[str, str] = {}

    def values(self, record: Mapping[str, Any]) -> tuple[str, str, str, str] | str:
        """Path, label, part and group of a record, or what is wrong with it."""
        cells: dict[str, Any] = {}
        for name, cell in record.items():
            self.names.setdefault(name.lower(), name)
            if cell is not None:
                cells.setdefault(name.lower(), cell)
        found = {role: self._first(role, cells, names) for role, names in self.roles.items()}
        found["path"] = found["path"] or self._first("path", cells, PERHAPS)
        for role, value in found.items():
            if isinstance(value, list | dict):
                return f"the {role} is a {'list' if isinstance(value, list) else 'map'}, expected one value"
        path, label, part, group = (str(value).strip() for value in found.values())
        part = part or self._flagged(cells)
        if not path or "\0" in path:
            return "the path is missing"
        if max(map(len, (path, label, part, group))) > LONGEST:
            return f"a cell of more than {LONGEST:,} characters"
        if URL.match(path):
            return "a URL; download it first"
        return (path, label, part, group) if label else "the label is missing"

    def use(self, role: str, name: str) -> None:
        self.used.setdefault(role, {})[self.names.get(name, name)] = None

    def _first(self, role: str, cells: Mapping[str, Any], names: Sequence[str]) -> Any:
        name = next((name for name in names if name in cells), None)
        if name is None:
            return ""
        self.use(role, name)
        return cells[name]

    def _flagged(self, cells: Mapping[str, Any]) -> str:
        """The part that columns of true and false give a record, or the cell that is neither."""
        flags = {name: _plain(cells[name]) for name in FLAGS if name in cells}
        for name, value in flags.items():
            self.use("part", name)
            if value not in TRUTH:
                return value
        true = [FLAGS[name] for name, value in flags.items() if TRUTH[value]]
        rest = "test" if "train" in map(FLAGS.get, flags) else "train"
        return true[0] if true else rest if flags else ""


def _json_records(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line, parse_constant=lambda name: None)  # NaN is how pandas writes nothing
        except (ValueError, RecursionError):
            record = None
        yield number, record if isinstance(record, dict) else "not a JSON object"


def _csv_records(source: Path, text: str, columns: _Columns) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """The first line names the columns, or is the first record: path, label and, if there is a third, the part."""
    heading: list[str] = []
    lines = _lines(source, text)
    for number, cells in lines:
        if not heading and any(map(is_image, cells)):
            heading = list(COLUMNS)
        elif not heading:
            heading = _heading(source, cells)
            columns.names.update((name.lower(), name) for name in heading)
            if {name.lower() for name in heading}.isdisjoint(COLUMNS["label"]):
                yield from _one_hot(source, heading, list(lines), columns)
            continue
        yield number, _record(heading, cells)


def _record(heading: list[str], cells: list[str]) -> dict[str, Any] | str:
    if any(map(str.strip, cells[len(heading) :])):
        return f"{len(cells)} cells, but {len(heading)} columns"
    return dict(zip(heading, cells, strict=False))


def _lines(source: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line that has any, with its number.

    Raises:
        DataError: quotes do not fit together.
    """
    said = SEPARATOR.match(text)
    delimiter = "\t" if source.suffix.lower() == ".tsv" else max(DELIMITERS, key=text.partition("\n")[0].count)
    file = io.StringIO(text[said.end() :] if said else text, newline="")
    reader = csv.reader(file, delimiter=said[1] if said else delimiter, strict=True, skipinitialspace=True)
    last = before = 1 if said else 0
    try:
        for cells in reader:
            last = before + reader.line_num
            if any(map(str.strip, cells)):
                yield last, cells
    except csv.Error as error:
        hint = 'Check for an unclosed or extra ".'
        raise DataError(f"{source} is not valid CSV at line {last + 1}: {error}.", hint) from error


def _heading(source: Path, cells: list[str]) -> list[str]:
    """The names of columns.

    Raises:
        DataError: paths are not among them, or labels cannot be.
    """
    names = [cell.strip() for cell in cells]
    known = {name.lower() for name in names}
    if known.isdisjoint({*COLUMNS["path"], *PERHAPS}) or (known.isdisjoint(COLUMNS["label"]) and len(names) < 3):
        raise _nameless(source, names)
    return names


def _one_hot(
    source: Path, heading: list[str], lines: list[tuple[int, list[str]]], columns: _Columns
) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Records whose label is the name of the one column of a row that has a 1, where all others have a 0.

    Raises:
        DataError: there are no such columns.
    """
    roles = {name for names in columns.roles.values() for name in names} | {*PERHAPS, *FLAGS}
    records = [(number, _record(heading, cells)) for number, cells in lines]
    whole = [record for _, record in records if not isinstance(record, str)]
    hot = [name for name in heading if name and name.lower() not in roles and all(map(_is_flag(name), whole))]
    on = [[name for name in hot if TRUTH.get(_plain(record.get(name)))] for record in whole]
    if len(hot) < 2 or 2 * sum(len(names) == 1 for names in on) < len(on):
        raise _nameless(source, heading)
    columns.roles["label"] = (hot[0].lower(),)
    for name in hot:
        columns.use("label", name.lower())
    marked = iter(on)
    for number, record in records:
        names = [] if isinstance(record, str) else next(marked)
        if isinstance(record, str) or len(names) < 2:
            yield number, record if isinstance(record, str) else record | {hot[0]: "".join(names)}
        else:
            yield number, f"{len(names)} labels: {listed(names, 5)}"


def _is_flag(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda record: _plain(record.get(name)) in {*TRUTH, ""}


def _plain(cell: Any) -> str:
    return str("" if cell is None else cell).strip().lower()


def _nameless(source: Path, heading: list[str]) -> DataError:
    return DataError(
        f"{source} has no columns path and label; its first line is {', '.join(heading)!r}.",
        "Start it with the line `path,label`, then one line per image.",
    )
