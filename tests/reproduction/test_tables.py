"""A table with ours beside it: its plain form has the same keys whatever there is."""

from __future__ import annotations

import json

import pytest
from reproduction import made_up

from advss_zoo.evaluation import protocols
from advss_zoo.reproduction import paper, tables
from advss_zoo.training import recipe

ROW = {"row", "column", "checkpoint", "images", "paper", "elsewhere", "ours", "other_picks"}
OURS = {"picked", "pick", "n", "values", "ci95", "data", "sha256", "result", "strengths", "changes"}
KEYS = {"name", "title", "tag", "metrics", "rows", "claims", "missing", "notes", "unreadable"}


@pytest.mark.parametrize("name", paper.names())
def test_every_table_has_every_key(name, measure, ours):
    measure("p1f4.mini", 0.7, 0.4)
    document = json.loads(json.dumps(tables.compare(paper.load(name), "mini", ours()).to_dict(), allow_nan=False))
    assert document.keys() == KEYS
    assert len(document["rows"]) == len(paper.load(name).cells)
    for row in document["rows"]:
        assert row.keys() == ROW
        assert row["paper"].keys() <= set(document["metrics"])
        assert row["ours"] is None or row["ours"].keys() == OURS
        assert (row["ours"] is not None) == (row["checkpoint"] == "p1f4.mini")
    for claim in document["claims"]:
        assert claim.keys() == {"claim", "verdict", "evidence", "missing", "kind"}
    for step in document["missing"]:
        assert step.keys() == {"name", "action", "command", "obstacle", "protocol", "pick"}
    assert {step["name"] for step in document["missing"]} >= {
        row["checkpoint"] for row in document["rows"] if row["checkpoint"] and not row["ours"]
    }


def test_accuracies_are_fractions_and_epochs_are_not(measure, ours):
    measure("p1f4.mini", 0.7, 0.4, epochs=12.0)
    row = tables.compare(paper.load("table3"), "mini", ours()).rows[1]
    assert row.paper == {"ta": 0.8472, "ra": 0.4722, "epochs": 99}
    assert row.ours.values == {"ta": 0.7, "ra": 0.4, "epochs": 12.0}
    low, high = row.ours.ci95["ra"]
    assert low < 0.4 < high


@pytest.mark.parametrize(("name", "shows"), [("table3", True), ("fig1", True), ("fig4", False)])
def test_what_runs_picked_is_missing_where_it_would_be_shown(name, shows, measure, ours, runs):
    checkpoint = "selfie-p3f4.mini"
    for picked in ("best-ta", "best-ra", "last"):
        made_up.train(runs, checkpoint, picked, 16.0)
    measure(checkpoint, 0.7, 0.4)

    def missing():
        steps = tables.compare(paper.load(name), "mini", ours()).missing
        return {step.pick for step in steps if step.name == checkpoint and step.protocol == "pgd20"}

    assert missing() == ({"best-ta", "best-ra"} if shows else set())
    measure(checkpoint, 0.7, 0.4, picked="best-ta")
    assert missing() == ({"best-ra"} if shows else set())


def test_a_tag_stands_for_itself(measure, ours):
    measure("p1f4.mini", 0.7, 0.4)
    assert all(row.ours is None for row in tables.compare(paper.load("table3"), "r50", ours()).rows)


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
    nothing = tables.compare(table, "mini", ours())
    assert [row.ours for row in nothing.rows] == [None] * len(expected)
    *before, last = nothing.missing
    assert (last.name, last.action) == ("ensemble-p3f4.mini", "evaluate")
    assert "--attack transfer" in last.command
    assert {step.action for step in before} == {"train"}
    folder = transfer()
    some = tables.compare(table, "mini", ours())
    assert [row.ours.values for row in some.rows] == [{metric: value} for value in expected]
    assert {(row.ours.result, row.ours.n, row.ours.data) for row in some.rows} == {(str(folder), 100, "cifar10")}
    assert some.missing[-1] == last, "on 100 images"
    transfer(n=10_000)
    assert tables.compare(table, "mini", ours()).missing == ()


LINF, FOG = ([f"unforeseen-{attack}-eps{level}" for level in range(1, 7)] for attack in ("linf", "fog"))


def test_unforeseen_attacks_are_the_mean_over_the_strengths_that_all_have_met(unforeseen, ours):
    unforeseen("rotation-p3f4.r50", dict(zip(LINF, (0.6, 0.5, 0.4, 0.3, 0.2, 0.1), strict=True)))
    unforeseen("oneshot-f4.r50", dict(zip(LINF[:2], (0.5, 0.3), strict=True)))
    for name, accuracy in (("rotation-p3f4.r50", 0.2), ("oneshot-f4.r50", 0.3)):
        unforeseen(name, {FOG[3]: accuracy})
    unforeseen("oneshot-f4.r50", {FOG[4]: 0.9}, n=50)
    unforeseen("rotation-p3f4.r50", {FOG[4]: 0.9})
    found = {row.label: row.ours for row in tables.compare(paper.load("fig3"), "r50", ours()).rows if row.ours}
    assert {label: next(iter(each.values.values())) for label, each in found.items()} == {
        "least gain on an attack": pytest.approx(-0.1),
        "most gain on an attack": pytest.approx(0.15),
        "linf Rotation": pytest.approx(0.55),
        "linf one-shot": pytest.approx(0.4),
        "fog Rotation": pytest.approx(0.2),
        "fog one-shot": pytest.approx(0.3),
    }
    assert {label: each.strengths for label, each in found.items() if "one-shot" in label} == {
        "linf one-shot": (1, 2),
        "fog one-shot": (4,),
    }
    assert {each.n for each in found.values()} == {100}


def test_unforeseen_attacks_are_compared_on_the_number_of_images_with_most_strengths(unforeseen, ours):
    """Rotation has met strength 1 on all images and two on a thousand; the one-shot model two on a thousand."""
    unforeseen("rotation-p3f4.r50", {LINF[0]: 0.9}, n=10_000)
    for name, accuracy in (("rotation-p3f4.r50", 0.5), ("oneshot-f4.r50", 0.4)):
        unforeseen(name, dict.fromkeys(LINF[:2], accuracy), n=1_000)
    found = {row.label: row.ours for row in tables.compare(paper.load("fig3"), "r50", ours()).rows}
    assert found["linf Rotation"].values == {"accuracy": pytest.approx(0.5)}
    assert (found["linf Rotation"].n, found["linf Rotation"].strengths) == (1_000, (1, 2))


def test_unforeseen_attacks_are_missing_until_all_are_measured_on_a_thousand_images(unforeseen, measure, ours, runs):
    def missing():
        return [(step.name, step.protocol) for step in tables.compare(paper.load("fig4"), "mini", ours()).missing]

    name = "selfie-p3f4.mini"
    measure(name, 0.7, 0.4)
    assert (name, "unforeseen") in missing()
    everything = protocols.expand("unforeseen")
    unforeseen(name, dict.fromkeys(everything[1:], 0.5), n=1_000)
    assert (name, "unforeseen") in missing()
    unforeseen(name, {everything[0]: 0.5}, n=999)
    assert (name, "unforeseen") in missing()
    unforeseen(name, {everything[0]: 0.5}, n=1_000)
    assert (name, "unforeseen") not in missing()
    assert ("jigsaw-p3f4.mini", "unforeseen") in missing()


def test_table_7_says_whose_images_they_are(monkeypatch):
    known = [f"selfie-{size}p3{way}.mini" for size in ("5k-", "15k-", "") for way in ("f2", "f4")]
    monkeypatch.setattr(recipe, "names", lambda: [*known, "selfie-30k-p3f2.r50"])
    assert tables.checkpoints(paper.load("table7"), "mini") == [*known[::2], *known[1::2]]
    assert tables.checkpoints(paper.load("table7"), "r50")[0] == "selfie-30k-p3f2.r50"


@pytest.mark.parametrize(("tag", "images"), [("mini", "45,000 of CIFAR-10"), ("r50", "150,000 generated")])
def test_rows_of_table_7_say_what_trunks_were_pretrained_on(tag, images, ours):
    rows = tables.compare(paper.load("table7"), tag, ours()).rows
    assert rows[2].images.startswith(images)
    assert tables.compare(paper.load("table3"), tag, ours()).rows[0].images is None
