from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advss_zoo.data.folder.tables import read
from advss_zoo.errors import DataError


def table(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.png,cat\nb.png,dog\n",
        "a.png,cat\nb.png,dog\n",  # no heading
        "\ufefflabel;path\r\ncat;a.png\r\ndog;b.png\r\n",  # a spreadsheet's
        "id\tFILENAME\tClass\n1\ta.png\tcat\n2\tb.png\tdog",
        '"path","label"\n\n"a.png"," cat "\n"b.png","dog"\n\n',
    ],
)
def test_ways_to_write_the_same(text: str, tmp_path: Path) -> None:
    rows, skipped = read(table(tmp_path, text))
    assert [(row.path, row.label, row.part) for row in rows] == [("a.png", "cat", ""), ("b.png", "dog", "")]
    assert skipped == {}


def test_a_third_column_is_the_part(tmp_path: Path) -> None:
    assert read(table(tmp_path, "a.png,cat,train\n"))[0][0].part == "train"
    assert read(table(tmp_path, "path,label,split\na.png,cat,val\n"))[0][0].part == "val"


def test_tabs_divide_what_is_called_so(tmp_path: Path) -> None:
    rows, _ = read(table(tmp_path, "a, b.png\tcat, or dog, or emu\n", "t.TSV"))
    assert rows == [(1, "a, b.png", "cat, or dog, or emu", "")]


@pytest.mark.parametrize("column", ["img", "img_path", "image_name", "image_id", "ID"])
def test_columns_that_perhaps_are_paths(column: str, tmp_path: Path) -> None:
    rows, skipped = read(table(tmp_path, f"y,{column}\ncat,a.png\ndog,0001\n"))
    assert [(row.path, row.label) for row in rows] == [("a.png", "cat")]
    assert skipped == {"t.csv:3": "the path is missing"}
    named = read(table(tmp_path, f"{column},path,species,class_id\nz.png,a.png,cat,3\n"))[0]
    assert [(row.path, row.label) for row in named] == [("a.png", "cat")]


def test_json_lines(tmp_path: Path) -> None:
    text = '{"path": "a.png", "label": 3}\n\n{"File": "b.png", "Class": "x\\u2028y", "split": "test"}\nno\n[1]\n{}\n'
    rows, skipped = read(table(tmp_path, text, "t.jsonl"))
    assert rows == [(1, "a.png", "3", ""), (3, "b.png", "x\u2028y", "test")]
    assert skipped == {
        "t.jsonl:4": "not a JSON object", "t.jsonl:5": "not a JSON object", "t.jsonl:6": "the path is missing",
    }  # fmt: skip


def test_rows_that_say_nothing_are_named(tmp_path: Path) -> None:
    rows, skipped = read(table(tmp_path, "path,label\n,cat\nb.png,\nc.png\nd.png,dog\n"))
    assert [row.path for row in rows] == ["d.png"]
    assert skipped == {
        "t.csv:2": "the path is missing",
        "t.csv:3": "the label is missing",
        "t.csv:4": "the label is missing",
    }


def test_addresses_and_endless_cells_are_named(tmp_path: Path) -> None:
    rows, skipped = read(table(tmp_path, f"path,label\nhttps://x.org/a.png,cat\nb.png,{'x' * 5000}\nc.png,dog\n"))
    assert [row.path for row in rows] == ["c.png"]
    assert skipped == {"t.csv:2": "a URL; download it first", "t.csv:3": "a cell of more than 4,096 characters"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,kind\na.png,cat\n", "has no columns path and label; its first line is 'name, kind'"),
        ("path,size\na.png,3\n", "has no columns path and label"),
        (b"path,label\n\xff.png,cat\n", "is not valid UTF-8 .* at byte 11"),
        ("a.png,cat\n" + 'b.png,"' + "x" * 200_000, "is not valid CSV at line 2"),
        ('path,label\na.png,cat\nb.png,"dog\nc.png,cat\nd.png,dog\n', "is not valid CSV at line 3: .* unclosed"),
    ],
)
def test_what_is_no_table_is_a_sentence(text: str | bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        read(table(tmp_path, text))


words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=12).map(str.strip)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(st.tuples(words.filter(bool), words.filter(bool)), min_size=1, max_size=5))
def test_any_names_survive(records: list[tuple[str, str]], tmp_path: Path) -> None:
    expected = [(path, label) for path, label in records]
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label"), *records])
    lines = "".join(json.dumps({"path": path, "label": label}) + "\n" for path, label in records)
    for rows, skipped in (read(tmp_path / "t.csv"), read(table(tmp_path, lines, "t.jsonl"))):
        assert [(row.path, row.label) for row in rows] == expected
        assert skipped == {}
