"""The document of a table: the same keys whatever there is."""

from __future__ import annotations

import json

import pytest

from advss_zoo.report import paper, tables

ROW = {"row", "column", "checkpoint", "paper", "elsewhere", "ours", "other_picks"}
OURS = {"picked", "pick", "epochs", "n", "ta", "ta_ci95", "ra", "ra_ci95", "data", "sha256", "result"}
KEYS = {"name", "title", "tag", "metrics", "needs", "rows", "claims", "missing", "notes", "unreadable"}


@pytest.mark.parametrize("name", paper.names())
def test_every_table_has_every_key(name, measure, ours):
    measure("p1f4.mini", 0.7, 0.4)
    document = json.loads(json.dumps(tables.document(paper.load(name), "mini", ours()), allow_nan=False))
    assert document.keys() == KEYS
    assert len(document["rows"]) == len(paper.load(name).cells)
    for row in document["rows"]:
        assert row.keys() == ROW
        assert row["paper"].keys() <= set(document["metrics"])
        assert row["ours"] is None or row["ours"].keys() == OURS
        assert (row["ours"] is not None) == (row["checkpoint"] == "p1f4.mini")
    for claim in document["claims"]:
        assert claim.keys() == {"claim", "verdict", "evidence", "missing"}
    for step in document["missing"]:
        assert step.keys() == {"name", "action", "command"}
    assert {step["name"] for step in document["missing"]} >= {
        row["checkpoint"] for row in document["rows"] if row["checkpoint"] and not row["ours"]
    }


def test_accuracies_are_fractions_and_epochs_are_not(measure, ours):
    measure("p1f4.mini", 0.7, 0.4, epochs=12.0)
    row = tables.document(paper.load("table3"), "mini", ours())["rows"][1]
    assert row["paper"] == {"ta": 0.8472, "ra": 0.4722, "epochs": 99}
    assert (row["ours"]["ta"], row["ours"]["ra"], row["ours"]["epochs"]) == (0.7, 0.4, 12.0)
    low, high = row["ours"]["ra_ci95"]
    assert low < 0.4 < high


def test_a_tag_stands_for_itself(measure, ours):
    measure("p1f4.mini", 0.7, 0.4)
    assert all(row["ours"] is None for row in tables.document(paper.load("table3"), "r50", ours())["rows"])


def test_ensembles_need_their_members_first():
    assert tables.checkpoints(paper.load("table6"), "mini")[:3] == [
        "jigsaw-p3f4.mini",
        "rotation-p3f4.mini",
        "ensemble-rotation-jigsaw-p3f4.mini",
    ]


@pytest.mark.parametrize(
    ("name", "metric", "expected"),
    [
        ("table4", "asr", [0.5, 0.35, 0.37, 0.4, 0.52, 0.33, 0.35, 0.36, 0.54]),
        ("fig5", "share", [30 / 45, 10 / 45, 5 / 45]),
    ],
)
def test_transfer_shows_as_soon_as_it_is_measured(name, metric, expected, transfer, ours):
    table = paper.load(name)
    missing = tables.document(table, "mini", ours())["missing"]
    assert [row["ours"] for row in tables.document(table, "mini", ours())["rows"]] == [None] * len(expected)
    assert (missing[-1]["name"], missing[-1]["action"]) == ("ensemble-p3f4.mini", "evaluate")
    assert "--attack transfer" in missing[-1]["command"]
    assert {step["action"] for step in missing[:-1]} == {"train"}
    folder = transfer()
    rows = [row["ours"] for row in tables.document(table, "mini", ours())["rows"]]
    assert [row[metric] for row in rows] == expected
    assert {row["result"] for row in rows} == {str(folder)}
    assert {(row["n"], row["data"]) for row in rows} == {(100, "cifar10")}
    assert tables.document(table, "mini", ours())["missing"] == missing, "on 100 images"
    transfer(n=10_000)
    assert tables.document(table, "mini", ours())["missing"] == []
