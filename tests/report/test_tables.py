"""The document of a table: the same keys whatever there is."""

from __future__ import annotations

import json

import pytest
from report import made_up

from advss_zoo.evaluation import protocols
from advss_zoo.report import paper, tables

ROW = {"row", "column", "checkpoint", "paper", "elsewhere", "ours", "other_picks"}
OURS = {"picked", "pick", "epochs", "n", "ta", "ta_ci95", "ra", "ra_ci95", "data", "sha256", "result"}
KEYS = {"name", "title", "tag", "metrics", "rows", "claims", "missing", "notes", "unreadable"}


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
        assert step.keys() == {"name", "action", "command", "protocol", "pick"}
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


@pytest.mark.parametrize(("name", "shows"), [("table3", True), ("fig1", True), ("fig4", False)])
def test_what_runs_picked_is_missing_where_it_would_be_shown(name, shows, measure, ours, runs):
    checkpoint = "selfie-p3f4.mini"
    for picked in ("best-ta", "best-ra", "last"):
        made_up.train(runs, checkpoint, picked, 16.0)
    measure(checkpoint, 0.7, 0.4)

    def missing():
        steps = tables.document(paper.load(name), "mini", ours())["missing"]
        return {step["pick"] for step in steps if step["name"] == checkpoint and step["protocol"] == "pgd20"}

    assert missing() == ({"best-ta", "best-ra"} if shows else set())
    measure(checkpoint, 0.7, 0.4, picked="best-ta")
    assert missing() == ({"best-ra"} if shows else set())


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


LINF, FOG = ([f"unforeseen-{attack}-eps{level}" for level in range(1, 7)] for attack in ("linf", "fog"))


def test_unforeseen_attacks_are_the_mean_over_the_strengths_that_all_have_met(unforeseen, ours):
    unforeseen("rotation-p3f4.mini", dict(zip(LINF, (0.6, 0.5, 0.4, 0.3, 0.2, 0.1), strict=True)))
    unforeseen("oneshot-f4.mini", dict(zip(LINF[:2], (0.5, 0.3), strict=True)))
    for name, accuracy in (("rotation-p3f4.mini", 0.2), ("oneshot-f4.mini", 0.3)):
        unforeseen(name, {FOG[3]: accuracy})
    unforeseen("oneshot-f4.mini", {FOG[4]: 0.9}, n=50)
    unforeseen("rotation-p3f4.mini", {FOG[4]: 0.9})
    document = tables.document(paper.load("fig3"), "mini", ours())
    shown = {
        (row["row"], row["column"]): row["ours"].get("gain", row["ours"].get("accuracy"))
        for row in document["rows"]
        if row["ours"]
    }
    assert shown == {
        ("least gain on an attack", ""): pytest.approx(-0.1),
        ("most gain on an attack", ""): pytest.approx(0.15),
        ("linf", "Rotation"): pytest.approx(0.55),
        ("linf", "one-shot"): pytest.approx(0.4),
        ("fog", "Rotation"): pytest.approx(0.2),
        ("fog", "one-shot"): pytest.approx(0.3),
    }
    assert {row["ours"]["n"] for row in document["rows"] if row["ours"]} == {100}


def test_unforeseen_attacks_are_missing_until_all_are_measured_on_all_images(unforeseen, measure, ours, runs):
    def missing():
        return [
            (step["name"], step["protocol"]) for step in tables.document(paper.load("fig4"), "mini", ours())["missing"]
        ]

    name = "selfie-p3f4.mini"
    measure(name, 0.7, 0.4)
    assert (name, "unforeseen") in missing()
    everything = protocols.expand("unforeseen")
    unforeseen(name, dict.fromkeys(everything[1:], 0.5), n=10_000)
    assert (name, "unforeseen") in missing()
    unforeseen(name, {everything[0]: 0.5}, n=9_999)
    assert (name, "unforeseen") in missing()
    unforeseen(name, {everything[0]: 0.5}, n=10_000)
    assert (name, "unforeseen") not in missing()
    assert ("jigsaw-p3f4.mini", "unforeseen") in missing()
