from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advss_zoo.data.folder.tables import LabelTable, Row
from advss_zoo.data.folder.tables import read as read_table
from advss_zoo.errors import DataError


def table(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(source: Path) -> tuple[list[Row], dict[str, str]]:
    found = read_table(source)
    return found.rows, found.skipped


def whole(folder: Path, text: str | bytes, name: str = "t.csv", group_by: str | None = None) -> LabelTable:
    return read_table(table(folder, text, name), group_by)


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.png,cat\nb.png,dog\n",
        "a.png,cat\nb.png,dog\n",  # no heading
        "\ufefflabel;path\r\ncat;a.png\r\ndog;b.png\r\n",  # a spreadsheet's
        "id\tFILENAME\tClass\n1\ta.png\tcat\n2\tb.png\tdog",
        '"path","label"\n\n"a.png"," cat "\n"b.png","dog"\n\n',
        '"path", "label"\n"a.png", "cat"\n"b.png",  "dog"\n',  # blanks after commas
        'label; path\n"cat"; "a.png"\n"dog"; "b.png"\n',
        "sep=;\npath;label\na.png;cat\nb.png;dog\n",  # a spreadsheet's
        '"sep=|"\r\nlabel|path\r\ncat|a.png\r\ndog|b.png\r\n',
        "path,label,\na.png,cat,\nb.png,dog,\n",  # a comma after the last cell
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
    assert rows == [(1, "a, b.png", "cat, or dog, or emu", "", "")]


@pytest.mark.parametrize("column", ["img", "img_path", "image_name", "image_id", "ID"])
def test_columns_that_perhaps_are_paths(column: str, tmp_path: Path) -> None:
    rows, skipped = read(table(tmp_path, f"y,{column}\ncat,a.png\ndog,0001\n"))
    assert [(row.path, row.label) for row in rows] == [("a.png", "cat"), ("0001", "dog")]
    assert skipped == {}
    named = read(table(tmp_path, f"{column},path,species,class_id\nz.png,a.png,cat,3\n"))[0]
    assert [(row.path, row.label) for row in named] == [("a.png", "cat")]


def test_json_lines(tmp_path: Path) -> None:
    text = '{"path": "a.png", "label": 3}\n\n{"File": "b.png", "Class": "x\\u2028y", "split": "test"}\nno\n[1]\n{}\n'
    rows, skipped = read(table(tmp_path, text, "t.jsonl"))
    assert rows == [(1, "a.png", "3", "", ""), (3, "b.png", "x\u2028y", "test", "")]
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
        ("image_id,age\na,40\n", "has no columns path and label"),
        ("image,size,year\na.png,3,1999\n", "has no columns path and label; its first line is 'image, size, year'"),
        ("image,cat,dog\na.png,1,1\nb.png,1,1\nc.png,0,1\n", "has no columns path and label"),
        (b"path,label\n\x81.png,cat\n", "is neither UTF-8 nor Windows-1252 .* at byte 11"),
        (b"\xff\xfep\0a\0\0\xd8", "is not valid UTF-16 .* at byte 6"),
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


@pytest.mark.parametrize(
    ("encoding", "note"),
    [
        ("utf-8", []),
        ("utf-8-sig", []),
        ("utf-16", []),
        ("utf-32", []),
        ("cp1252", ["t.csv is not UTF-8 and was read as Windows-1252."]),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_encodings(encoding: str, note: list[str], ending: str, tmp_path: Path) -> None:
    found = whole(tmp_path, ending.join(["path,label", "Ära.png,café", "b.png,naïf", ""]).encode(encoding))
    assert [(row.path, row.label) for row in found.rows] == [("Ära.png", "café"), ("b.png", "naïf")]
    assert found.notes == note


def test_encodings_of_json_lines(tmp_path: Path) -> None:
    text = '{"path": "a.png", "label": "Übung"}\n'
    for encoding in ("utf-16", "cp1252"):
        assert whole(tmp_path, text.encode(encoding), "t.jsonl").rows[0].label == "Übung"


class TestColumns:
    def test_those_that_are_used_and_not_are_told(self, tmp_path: Path) -> None:
        found = whole(tmp_path, "Image,age,Class_Name,Split,sex\na.png,40,cat,train,f\n")
        assert list(found.used.items()) == [("path", ["Image"]), ("label", ["Class_Name"]), ("part", ["Split"])]
        assert found.unused == ["age", "sex"]

    def test_those_of_json_lines(self, tmp_path: Path) -> None:
        lines = [{"file_name": "a.png", "label": 1, "source": "x"}, {"path": "b.png", "y": 2, "Licence": "mit"}]
        found = whole(tmp_path, "".join(json.dumps(line) + "\n" for line in lines), "t.jsonl")
        assert found.used == {"path": ["file_name", "path"], "label": ["label", "y"]}
        assert found.unused == ["source", "Licence"]

    def test_a_table_without_a_heading_has_none_to_tell(self, tmp_path: Path) -> None:
        assert whole(tmp_path, "a.png,cat\nb.png,dog\n").unused == []

    @pytest.mark.parametrize(
        ("heading", "cells", "parts"),
        [
            ("is_valid", ["True", "False", "false"], ["val", "train", "train"]),
            ("IS_VAL", ["1", "0", "1.0"], ["val", "train", "val"]),
            ("is_test", ["yes", "no", "maybe"], ["test", "train", "maybe"]),
            ("is_train", ["t", "f", "1"], ["train", "test", "train"]),
            ("is_training,is_test", ["1,0", "0,1", "0,0"], ["train", "test", "test"]),
            ("is_valid,is_test", ["1,0", "0,1", "0,0"], ["val", "test", "train"]),
            ("split,is_valid", ["train,1", "test,0", "val,0"], ["train", "test", "val"]),
            ("partition", ["Train", "val", "TEST"], ["Train", "val", "TEST"]),
            ("fold", ["0", "1", "2"], ["0", "1", "2"]),
        ],
    )
    def test_ways_to_say_the_part(self, heading: str, cells: list[str], parts: list[str], tmp_path: Path) -> None:
        lines = [f"{number}.png,cat,{cell}\n" for number, cell in enumerate(cells)]
        found = whole(tmp_path, f"path,label,{heading}\n{''.join(lines)}")
        assert [row.part for row in found.rows] == parts
        assert set(found.used["part"]) <= set(heading.split(","))

    @pytest.mark.parametrize("one", ["1", "1.0", "True"])
    def test_one_hot_labels(self, one: str, tmp_path: Path) -> None:
        """As in ISIC 2018 and Plant Pathology 2020."""
        zero = {"1": "0", "1.0": "0.0", "True": "False"}[one]
        rows = [("x1", one, zero, zero), ("x2", zero, zero, one), ("x3", one, one, zero), ("x4", zero, zero, zero)]
        text = "".join(
            ",".join(["40", *row]) + "\n" for row in [("image", "MEL", "NV", "Scab"), *rows, ("x5", zero, one, zero)]
        )
        found = whole(tmp_path, text.replace("40,image", "age,image"))
        assert [(row.path, row.label) for row in found.rows] == [("x1", "MEL"), ("x2", "Scab"), ("x5", "NV")]
        assert found.skipped == {"t.csv:4": "2 labels: MEL, NV", "t.csv:5": "the label is missing"}
        assert (found.used["label"], found.unused) == (["MEL", "NV", "Scab"], ["age"])

    def test_a_label_comes_before_one_hot_columns(self, tmp_path: Path) -> None:
        found = whole(tmp_path, "path,label,cat,dog\na.png,emu,1,0\n")
        assert ([row.label for row in found.rows], found.unused) == (["emu"], ["cat", "dog"])

    def test_surplus_cells_are_named(self, tmp_path: Path) -> None:
        found = whole(tmp_path, "path,label\na, b.png,cat\nc.png,dog\n")
        assert found.skipped == {"t.csv:2": "3 cells, but 2 columns"}
        assert whole(tmp_path, "a.png,cat,train,0.9\nb.png,dog\n").skipped == {"t.csv:1": "4 cells, but 3 columns"}

    @pytest.mark.parametrize(
        ("record", "why"),
        [
            ({"path": "a.png", "label": ["cat", "dog"]}, "the label is a list, expected one value"),
            ({"path": "a.png", "label": {"name": "cat"}}, "the label is a map, expected one value"),
            ({"path": ["a.png"], "label": "cat"}, "the path is a list, expected one value"),
            ({"image": {"bytes": None, "path": "a.png"}, "y": 1}, "the path is a map, expected one value"),
            ({"path": "a.png", "label": "cat", "split": ["train"]}, "the part is a list, expected one value"),
        ],
    )
    def test_lists_and_maps_are_no_classes(self, record: dict[str, object], why: str, tmp_path: Path) -> None:
        text = "\n".join(map(json.dumps, [{"path": "b.png", "label": "cat"}, record]))
        assert whole(tmp_path, text, "t.jsonl").skipped == {"t.jsonl:2": why}

    @pytest.mark.parametrize("nothing", ["null", "NaN", '""'])
    def test_a_label_that_is_missing_is_no_class(self, nothing: str, tmp_path: Path) -> None:
        """NaN is what Python writes where a data frame has nothing."""
        text = f'{{"path": "a.png", "label": {nothing}}}\n{{"path": "b.png", "label": "nan"}}\n'
        found = whole(tmp_path, text, "t.jsonl")
        assert (found.skipped, [row.label for row in found.rows]) == ({"t.jsonl:1": "the label is missing"}, ["nan"])

    def test_groups(self, tmp_path: Path) -> None:
        text = "path,label,Patient\na.png,cat,7\nb.png,dog,\n"
        found = whole(tmp_path, text, group_by="patient")
        assert [row.group for row in found.rows] == ["7", ""]
        assert (found.used["group"], found.unused) == (["Patient"], [])
        assert "group" not in whole(tmp_path, text, group_by="camera").used
