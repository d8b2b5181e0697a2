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


def test_transfer_shows_as_soon_as_it_is_measured(ours, monkeypatch):
    found = ours()
    monkeypatch.setattr(found, "transferred", lambda source, target: 0.4 if source != target else None)
    rows = tables.document(paper.load("table4"), "mini", found)["rows"]
    assert [row["ours"] and row["ours"]["asr"] for row in rows] == [None, 0.4, 0.4, 0.4, None, 0.4, 0.4, 0.4, None]
